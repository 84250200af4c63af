// What `log` and `diff` list, handed on object by object.
// Thread: one of their own (they read from disk and take long); `each` is called on it and ends the
// walk by saying false.
#pragma once

#include <functional>

#include "standby/branches.hpp"
#include "standby/history_values.hpp"

namespace everstep::standby {

using EachValue = std::function<bool(Value)>;

// A view and the history that it is of; what lies below a branch, the nearest first.
struct PlacedView {
    journal::View view;
    std::shared_ptr<const HistorySource> source;
    struct Below {
        journal::View base;  // in its source
        std::shared_ptr<const HistorySource> source;
    };
    std::vector<Below> below;
};
// The loop's thread.
[[nodiscard]] PlacedView placed(journal::View view, std::shared_ptr<const HistorySource> source,
                                const Branches& branches);

// What of one history is listed, of several the newest first.
struct LogStretch {
    std::shared_ptr<const HistorySource> source;
    journal::View to;  // newest step listed
    Lsn after;         // steps behind it are listed
};
struct LogRange {
    std::vector<LogStretch> stretches;
    std::uint64_t limit = 0;  // of steps; 0: all
    bool flushes = false;     // only steps with a flush mark behind them
    journal::StepFilter filter;
};
// All of the way to a point.
[[nodiscard]] std::vector<LogStretch> stretches_to(const PlacedView& to);
// Leaves out what is older than the step. False: it does not lie on the way.
[[nodiscard]] bool cut_before(std::vector<LogStretch>& stretches, const PlacedPoint& oldest);

// Steps, newest first, with marks (right before their step) and gaps (right behind the step that
// ends them) in place.
[[nodiscard]] Status list_log(const LogRange& range, const Naming& naming, const EachValue& each);

// Extents whose content differs between two points, sector-exact, by volume and offset, adjacent
// ones merged.
[[nodiscard]] Status list_diff(const PlacedView& a, const PlacedView& b,
                               const std::function<bool(const journal::GapExtent&)>& each);
// Gaps that the way from one to the other crosses.
[[nodiscard]] std::vector<journal::Gap> gaps_on_way(const PlacedView& a, const PlacedView& b);

}  // namespace everstep::standby
