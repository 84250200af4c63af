#include "daemon/step_clock.hpp"

#include <algorithm>

namespace everstep::daemon {

StepClock::Change StepClock::read(WallTime wall, std::chrono::nanoseconds boot) {
    if (!wall_) {  // the first reading: nothing to compare the wall clock with
        wall_ = wall;
        boot_ = boot;
        step_ = std::max(step_, wall);
        return Change::none;
    }
    const auto boot_passed = std::max(boot - boot_, std::chrono::nanoseconds(0));
    const auto drift = (wall - *wall_) - boot_passed;
    wall_ = wall;
    boot_ = boot;
    Change change = Change::none;
    if (std::chrono::abs(drift) > kJump) {
        if (!jumped_at_) change = Change::wall_jumped;
        jumped_at_ = boot;
    } else if (jumped_at_ && boot - *jumped_at_ >= kSteady) {
        jumped_at_.reset();
        change = Change::wall_steady;
    }
    if (jumped_at_) {
        step_ += boot_passed;
    } else if (wall >= step_) {
        step_ = wall;
    } else {
        step_ += boot_passed / 2;
    }
    return change;
}

}  // namespace everstep::daemon
