// The JSON objects of the history commands (docs/admin.md), made from the store's facts. Pure; any
// thread.
#pragma once

#include "common/base/value.hpp"
#include "journal/finding.hpp"
#include "journal/store.hpp"

namespace everstep::standby {

struct Naming {  // numbers and names that a step's object needs
    std::vector<std::string> volumes;
    std::vector<journal::TimelineInfo> timelines;
    [[nodiscard]] Value volume(VolumeIndex index) const;  // null beyond the list
    [[nodiscard]] Value number(TimelineId id) const;      // null for an unknown one
};

[[nodiscard]] Value step_value(const journal::StepInfo& step, const Naming& naming);
[[nodiscard]] Value mark_value(const journal::Mark& mark, const Naming& naming);
// As it stands in a log: with "kind", how many extents it has, and the first kGapExtentsShown.
inline constexpr std::size_t kGapExtentsShown = 100;
[[nodiscard]] Value gap_line_value(const journal::Gap& gap, const Naming& naming);
[[nodiscard]] Value thinned_value(const journal::Thinned& thinned);
[[nodiscard]] Value extent_value(const journal::GapExtent& extent, const Naming& naming);
[[nodiscard]] Value finding_value(const journal::Finding& finding, const Naming& naming);

}  // namespace everstep::standby
