// Point expressions (DESIGN.md 8): parse, then resolve against a store. Pure but for the store's
// reads; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "standby/branches.hpp"

namespace everstep::standby {

struct PointContext {
    const journal::Store* store = nullptr;
    std::vector<std::string> volume_names;
    WallTime step_now;                   // "now" on the primary's step clock, for ago:
    const Branches* branches = nullptr;  // whose points count, too; none: the store's alone
};

// usage: not a point expression, says what was found and the forms that exist. refused: before
// history, after head, inside a gap, ambiguous timeline number; names the nearest points on both
// sides. not_found: no such mark.
[[nodiscard]] Result<Point> resolve_point(std::string_view expression, const PointContext& context);
// With the history that it lies in: the group's, or a branch's. Needs branches; the loop's thread.
// What lies on the way to a branch, before its own steps, lies in the history below.
[[nodiscard]] Result<PlacedPoint> resolve_placed(std::string_view expression,
                                                 const PointContext& context);
// "step:N" on the group's line, "t:HEX@step:N" elsewhere; what every message prints.
[[nodiscard]] std::string format_point(Point point, const journal::Store& store);

}  // namespace everstep::standby
