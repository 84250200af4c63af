// Sizes and durations as people write them.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "common/base/config.hpp"

namespace everstep {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};
constexpr std::array<Unit, 5> kByteUnits = {
    {{"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}}};
constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kSecond = 1000 * kMillisecond;
constexpr std::array<Unit, 5> kTimeUnits = {{{"ms", kMillisecond},
                                             {"s", kSecond},
                                             {"m", 60 * kSecond},
                                             {"h", 3600 * kSecond},
                                             {"d", 86400 * kSecond}}};
// Both a file offset and a count of nanoseconds are signed 64-bit numbers in the system's
// interfaces.
constexpr std::uint64_t kNumberMax = std::numeric_limits<std::int64_t>::max();

template <std::size_t N>
Result<std::uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, N>& units,
                                      std::string_view wanted) {
    const auto bad = [&](std::string_view why) {
        return Status(ErrorCode::usage,
                      fmt::format("found \"{}\"{}, wanted {}", text, why, wanted));
    };
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc::result_out_of_range) return bad(" (too large)");
    if (error != std::errc()) return bad("");
    const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
    for (const Unit& unit : units) {
        if (unit.name != name) continue;
        if (number > kNumberMax / unit.factor) return bad(" (too large)");
        return number * unit.factor;
    }
    return bad(name.empty() ? " (no unit)" : "");
}

}  // namespace

Result<ByteCount> parse_byte_count(std::string_view text) {
    const auto bytes = parse_with_unit(text, kByteUnits, "an integer and B, KiB, MiB, GiB or TiB");
    if (!bytes.ok()) return bytes.status();
    return ByteCount(*bytes);
}

std::string format_byte_count(ByteCount count) {
    const Unit* best = &kByteUnits[0];
    for (const Unit& unit : kByteUnits) {
        if (count.value() >= unit.factor && count.value() % unit.factor == 0) best = &unit;
    }
    return fmt::format("{}{}", count.value() / best->factor, best->name);
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
    const auto count = parse_with_unit(text, kTimeUnits, "an integer and ms, s, m, h or d");
    if (!count.ok()) return count.status();
    return std::chrono::nanoseconds(static_cast<std::int64_t>(*count));
}

}  // namespace everstep
