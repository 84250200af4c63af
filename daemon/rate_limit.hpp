// RateLimit: how much may leave for one standby (`rate_limit`): bytes a second, with what a tenth
// of a second allows at once. Pure: times are handed in. Thread: the node's loop. Invariants: over
// any time t no more than rate * (t + kBurst) bytes and one frame may leave; what was not used is
// not saved beyond kBurst.
#pragma once

#include <algorithm>
#include <chrono>

#include "common/base/types.hpp"

namespace everstep::daemon {

class RateLimit {
  public:
    // 0: none. Counts at once; what was sent before does not.
    void set(ByteCount a_second) {
        if (a_second == a_second_) return;
        a_second_ = a_second;
        free_at_ = std::chrono::nanoseconds(0);
    }
    [[nodiscard]] bool limits() const { return a_second_.value() != 0; }
    [[nodiscard]] bool may_send(std::chrono::nanoseconds now) const {
        return !limits() || free_at_ <= now + kBurst;
    }
    // A frame left; it may be larger than what was allowed, and the next one waits for it.
    void sent(std::uint64_t bytes, std::chrono::nanoseconds now) {
        if (!limits()) return;
        const double seconds = static_cast<double>(bytes) / static_cast<double>(a_second_.value());
        free_at_ = std::max(free_at_, now) + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                 std::chrono::duration<double>(seconds));
    }

  private:
    static constexpr std::chrono::milliseconds kBurst{100};
    ByteCount a_second_;
    std::chrono::nanoseconds free_at_{0};  // when all that was sent is paid for
};

}  // namespace everstep::daemon
