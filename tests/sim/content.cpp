#include "tests/sim/content.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace everstep::sim {
namespace {
constexpr std::size_t kWords = kSectorBytes / sizeof(std::uint64_t);
using Words = std::array<std::uint64_t, kWords>;

Words words_of(const Stamp& stamp) {
    Words words{kStampMagic, stamp.operation, stamp.volume, stamp.sector};
    std::uint64_t mix = stamp.operation * 0x9e3779b97f4a7c15 + stamp.sector * 0x2545f4914f6cdd1d;
    for (std::size_t i = 4; i < kWords; ++i) {
        mix ^= mix << 13;
        mix ^= mix >> 7;
        mix ^= mix << 17;
        words[i] = mix;
    }
    return words;
}
}  // namespace

void put_stamp(const Stamp& stamp, MutableBytes sector) {
    if (stamp.operation == 0) {
        std::fill(sector.begin(), sector.end(), std::byte{0});
        return;
    }
    const Words words = words_of(stamp);
    std::memcpy(sector.data(), words.data(), kSectorBytes);
}

std::optional<Stamp> stamp_of(Bytes sector) {
    Words words{};
    std::memcpy(words.data(), sector.data(), kSectorBytes);
    if (std::all_of(words.begin(), words.end(), [](std::uint64_t word) { return word == 0; }))
        return Stamp();
    const Stamp stamp{words[1], words[2], words[3]};
    if (words[0] != kStampMagic || stamp.operation == 0 || words != words_of(stamp))
        return std::nullopt;
    return stamp;
}

}  // namespace everstep::sim
