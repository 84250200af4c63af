// Times and durations as text: RFC 3339, and the durations of `ago:`. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/types.hpp"

namespace everstep::standby {

// RFC 3339 date-time with 'Z' or an offset; fractions beyond nanoseconds are cut. None: not one, or
// out of range.
[[nodiscard]] std::optional<WallTime> parse_time(std::string_view text);
// UTC, RFC 3339 with microseconds (rounded down): 2026-11-20T20:45:00.250000Z
[[nodiscard]] std::string format_time(WallTime time);
// One or more of INTEGER UNIT with ms, s, m, h, d, w: 90s, 2h, 1h30m. None: not one, or out of
// range.
[[nodiscard]] std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);
// Decimal digits only, the whole text.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace everstep::standby
