// What `log` and `diff` list, handed on object by object.
// Thread: one of their own (they read from disk and take long); `each` is called on it and ends the
// walk by saying false.
#pragma once

#include <functional>

#include "standby/history_values.hpp"

namespace everstep::standby {

using EachValue = std::function<bool(Value)>;

struct LogRange {
    journal::View to;         // newest step listed
    Lsn after;                // steps behind it are listed
    std::uint64_t limit = 0;  // of steps; 0: all
    bool flushes = false;     // only steps with a flush mark behind them
};

// Steps, newest first, with marks (right before their step) and gaps (right behind the step that
// ends them) in place.
[[nodiscard]] Status list_log(const journal::Store& store, const LogRange& range,
                              const Naming& naming, const EachValue& each);

struct DiffRange {
    journal::View a;
    journal::View b;
};

// Extents whose content differs between two points, sector-exact, by volume and offset, adjacent
// ones merged.
[[nodiscard]] Status list_diff(const journal::Store& store, const journal::ReplicaReader& replica,
                               const DiffRange& range,
                               const std::function<bool(const journal::GapExtent&)>& each);

}  // namespace everstep::standby
