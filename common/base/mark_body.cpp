// The body of a mark entry: version u8 = 1 | consistency u8 | flags u8 (bit 0: pinned) | name
// length u8 | name.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/frame.hpp"
#include "common/base/pack.hpp"

namespace everstep {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kFlagPinned = 1U << 0;
constexpr std::size_t kNameAt = 4;
static_assert(kMarkBodyBytesMax == kNameAt + kMarkNameBytesMax);
static_assert(kMarkNameBytesMax <= 255);

// The number on disk is the place in this list, from 1.
constexpr std::array<std::string_view, 3> kConsistencies = {"crash", "filesystem", "application"};

Status corrupt(std::string_view field, std::size_t found, std::string_view wanted) {
    return {ErrorCode::corrupt, fmt::format("mark: {}: found {}, wanted {}", field, found, wanted)};
}

bool digit(char c) {
    return c >= '0' && c <= '9';
}

bool name_character(char c) {
    return digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' ||
           c == ':' || c == '-';
}

// A name must not read as another kind of point (DESIGN.md 8): head, step:N, ago:D, t:HEX, a time.
bool reads_as_point(std::string_view name) {
    constexpr std::string_view kDate = "dddd-dd-dd";
    if (name == "head" || name.starts_with("step:") || name.starts_with("ago:") ||
        name.starts_with("t:")) {
        return true;
    }
    return name.size() >= kDate.size() &&
           std::equal(kDate.begin(), kDate.end(), name.begin(),
                      [](char shape, char c) { return shape == 'd' ? digit(c) : shape == c; });
}

}  // namespace

Status check_mark_name(std::string_view name) {
    if (name.empty() || name.size() > kMarkNameBytesMax) {
        return {ErrorCode::usage, fmt::format("mark name: found {} characters, wanted 1 to {}",
                                              name.size(), kMarkNameBytesMax)};
    }
    if (!std::all_of(name.begin(), name.end(), name_character)) {
        return {ErrorCode::usage, "mark name: wanted only A-Z a-z 0-9 . _ : -"};
    }
    if (name.front() == '-') return {ErrorCode::usage, "mark name: must not start with '-'"};
    if (reads_as_point(name)) {
        return {ErrorCode::usage,
                fmt::format("mark name: '{}' already means another point; choose a word that is "
                            "no head, step:, ago:, t: or date",
                            name)};
    }
    return {};
}

std::vector<std::byte> pack_mark(const MarkBody& mark) {
    const Status name = check_mark_name(mark.name);
    EVERSTEP_ASSERT(name.ok(), name.message());
    const auto found = std::find(kConsistencies.begin(), kConsistencies.end(), mark.consistency);
    EVERSTEP_ASSERT(found != kConsistencies.end(), mark.consistency);
    std::vector<std::byte> bytes(kNameAt + mark.name.size());
    put<std::uint8_t>(bytes, 0, kVersion);
    put<std::uint8_t>(bytes, 1, static_cast<std::uint8_t>(found - kConsistencies.begin() + 1));
    put<std::uint8_t>(bytes, 2, mark.pinned ? kFlagPinned : std::uint8_t{0});
    put<std::uint8_t>(bytes, 3, static_cast<std::uint8_t>(mark.name.size()));
    std::memcpy(bytes.data() + kNameAt, mark.name.data(), mark.name.size());
    return bytes;
}

Result<MarkBody> unpack_mark(Bytes bytes) {
    if (bytes.size() < kNameAt) return corrupt("bytes", bytes.size(), "4 or more");
    const auto version = get<std::uint8_t>(bytes, 0);
    const auto consistency = get<std::uint8_t>(bytes, 1);
    const auto flags = get<std::uint8_t>(bytes, 2);
    const std::size_t name_bytes = get<std::uint8_t>(bytes, 3);
    if (version != kVersion) {
        return Status(
            ErrorCode::version,
            fmt::format("mark: version: found {}, this program reads {}", version, kVersion));
    }
    if (consistency == 0 || consistency > kConsistencies.size()) {
        return corrupt("consistency", consistency, "1 to 3");
    }
    if ((flags & ~kFlagPinned) != 0) return corrupt("flags", flags, "bit 0");
    if (name_bytes != bytes.size() - kNameAt) {
        return corrupt("name length", name_bytes, fmt::format("{}", bytes.size() - kNameAt));
    }
    MarkBody mark;
    mark.name.assign(reinterpret_cast<const char*>(bytes.data()) + kNameAt, name_bytes);
    mark.consistency = kConsistencies[consistency - 1U];
    mark.pinned = (flags & kFlagPinned) != 0;
    if (const Status name = check_mark_name(mark.name); !name.ok()) {
        return Status(ErrorCode::corrupt, name.message());
    }
    return mark;
}

}  // namespace everstep
