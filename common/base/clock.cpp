#include "common/base/clock.hpp"

#include <ctime>

#include "common/base/assert.hpp"

namespace everstep {
namespace {

std::chrono::nanoseconds read_clock(clockid_t id) {
    timespec now{};
    const int result = ::clock_gettime(id, &now);
    EVERSTEP_ASSERT(result == 0, "the system clock cannot be read");
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

class SystemClock final : public Clock {
  public:
    WallTime wall() const override { return WallTime(read_clock(CLOCK_REALTIME)); }
    std::chrono::nanoseconds boot() const override { return read_clock(CLOCK_BOOTTIME); }
};

}  // namespace

const Clock& system_clock() {
    static const SystemClock clock;
    return clock;
}

}  // namespace everstep
