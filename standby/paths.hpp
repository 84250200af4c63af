// Questions about the paths of a history: does a point lie on one, where do two part, which gaps
// lie between. Pure but for the store's facts; any thread.
#pragma once

#include "journal/store.hpp"

namespace everstep::standby {

// `at` is a step of the path (or the branch point or baseline that it begins at).
[[nodiscard]] bool on_path(const journal::View& view, Point at);
// The point of the path with this LSN: on the timeline that wrote it. Beyond the path's end: its
// last timeline.
[[nodiscard]] Point point_on(const journal::View& view, Lsn lsn);
// The newest LSN that both paths share.
[[nodiscard]] Lsn common_lsn(const journal::View& a, const journal::View& b);
// Gaps that a way between the steps `low` < `high` of the path crosses, oldest first; an open one
// counts, and its `to` has a nil timeline.
[[nodiscard]] std::vector<journal::Gap> gaps_between(const journal::Store& store,
                                                     const journal::View& view, Lsn low, Lsn high);
// The same between any two views of one tree.
[[nodiscard]] std::vector<journal::Gap> gaps_on_way(const journal::Store& store,
                                                    const journal::View& a, const journal::View& b);
// The view of a step, or, where it is no point (inside the open gap), of the tip.
[[nodiscard]] journal::View view_or_tip(const journal::Store& store, Point at);

}  // namespace everstep::standby
