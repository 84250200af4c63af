// StepClock: the time that a step bears (DESIGN.md 4, "Times"). Never less than its predecessor's;
// follows the wall clock while that runs steadily and the boot-time clock from a jump of the wall
// clock until it has been steady for kSteady; runs at half the boot-time rate while it is ahead of
// a steady wall clock. Pure: the readings of both clocks are handed in. Thread: the capture thread.
#pragma once

#include <optional>

#include "common/base/types.hpp"

namespace everstep::daemon {

class StepClock {
  public:
    static constexpr std::chrono::seconds kSteady{60};
    static constexpr std::chrono::seconds kJump{1};  // wall against boot time, between two readings

    // `floor`: the newest step time on the path (the epoch where there is none).
    explicit StepClock(WallTime floor) : step_(floor) {}

    enum class Change : std::uint8_t { none, wall_jumped, wall_steady };
    // Reads the clock. Gives what changed since the last reading: each change is an event and a
    // mark.
    Change read(WallTime wall, std::chrono::nanoseconds boot);
    [[nodiscard]] WallTime now() const { return step_; }

  private:
    WallTime step_;
    std::optional<WallTime> wall_;
    std::chrono::nanoseconds boot_{0};
    std::optional<std::chrono::nanoseconds>
        jumped_at_;  // boot time; set while the wall clock is not trusted
};

}  // namespace everstep::daemon
