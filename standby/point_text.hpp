// The grammar of point expressions (DESIGN.md 8): text in, its parts out; nothing is looked up.
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep::standby {

struct PointText {
    enum class Base : std::uint8_t { head, step, mark, time, ago };
    Base base = Base::head;
    Lsn lsn;                                       // step
    std::optional<std::uint64_t> timeline_number;  // step, head: 3@step:N
    std::string timeline_hex;                      // step, head: t:HEX@step:N, lower case
    std::string mark;
    WallTime time;
    std::chrono::nanoseconds ago{};
    std::uint64_t shift = 0;  // steps
    bool forward = false;     // + and not ~
    bool flush = false;
    std::optional<std::string> flush_volume;
};

// usage: says what was found and which forms exist.
[[nodiscard]] Result<PointText> parse_point(std::string_view expression);

}  // namespace everstep::standby
