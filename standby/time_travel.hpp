// Rewind and resume (walk, stage 8) as work of the apply thread.
// Thread: the apply thread; blocks until the replica is there.
// What holds: `held` is written down durably with its step before the replica moves; killed
// anywhere, the move goes on after a restart. An error before that changes nothing.
#pragma once

#include "common/base/clock.hpp"
#include "common/base/value.hpp"
#include "standby/move.hpp"

namespace everstep::standby {

class TimeTravel {
  public:
    TimeTravel(journal::Store& store, Mover& mover, const Clock& clock)
        : store_(store), mover_(mover), clock_(clock) {}
    // {"lsn","timeline","from","blocks","bytes","seconds","gaps"}; dry: nothing moves, nothing is
    // written, and "about_seconds" says how long it would take: by the last one of this run of the
    // node, else by reading a part of it.
    [[nodiscard]] Result<Value> rewind(Point target, bool dry_run);
    // Applies again, up to the newest durable step as of the call.
    [[nodiscard]] Result<Value> resume(bool dry_run);

  private:
    [[nodiscard]] Result<Value> foresee(Point from, Point target);
    [[nodiscard]] Value body(Point from, Point to, MoveFigures figures) const;
    [[nodiscard]] Value moved(Point from, Point to);
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(clock_.boot() - began_).count();
    }
    journal::Store& store_;
    Mover& mover_;
    const Clock& clock_;
    std::chrono::nanoseconds began_{};
    double bytes_per_second_ = 0;  // of the last move; 0: none yet
};

// {"from","to","reason","bytes"}; `to` is null while the gap is open.
[[nodiscard]] Value gap_value(const journal::Gap& gap);

}  // namespace everstep::standby
