// OrderStage (walk, stage 2): gives each captured write its LSN and its times. Thread: the capture
// thread. Invariants: LSNs are consecutive along the path; step times never go back; a failed write
// never comes here.
#pragma once

#include "common/base/clock.hpp"
#include "common/base/frame.hpp"
#include "daemon/step_clock.hpp"

namespace everstep::daemon {

class OrderStage {
  public:
    OrderStage(Lsn newest, WallTime step_time, const Clock& clock)
        : newest_(newest), clock_(clock), step_clock_(step_time) {}

    // Reads the clocks: once for everything that one read of the sockets returned.
    StepClock::Change tick();
    // The entry of the next write; takes an LSN.
    [[nodiscard]] FrameEntry push(const CapturedWrite& write);
    // An entry behind `lsn` that takes none: a flush mark or a named mark.
    [[nodiscard]] FrameEntry behind(Lsn lsn, EntryKind kind, VolumeIndex volume) const;
    [[nodiscard]] Lsn newest() const { return newest_; }
    [[nodiscard]] WallTime step_time() const { return step_clock_.now(); }

  private:
    Lsn newest_;
    const Clock& clock_;
    StepClock step_clock_;
    WallTime wall_;
};

}  // namespace everstep::daemon
