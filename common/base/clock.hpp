// Clocks are handed in, never read on the side, so that a test or the simulator can be the clock.
#pragma once

#include "common/base/types.hpp"

namespace everstep {

class Clock {
  public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual WallTime wall() const = 0;                  // CLOCK_REALTIME
    [[nodiscard]] virtual std::chrono::nanoseconds boot() const = 0;  // CLOCK_BOOTTIME since boot
};
[[nodiscard]] const Clock& system_clock();

}  // namespace everstep
