// VerifySchedule: which standbys are compared by themselves now (`verify_every`), and how fast.
//
// When one was compared is the record's, in wall time, so that it counts over restarts; a clock
// that is set back puts it off by `every` at most. One that was never compared is so at once. A try
// that failed is not repeated for kVerifyRetry.
// Thread: its owner's.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/types.hpp"

namespace everstep::daemon {

inline constexpr std::chrono::minutes kVerifyRetry{10};
inline constexpr ByteCount kVerifyRateMin{16ULL << 20};  // a second

class VerifySchedule {
  public:
    struct Standby {
        std::string name;
        std::optional<WallTime> verified;  // a compare ended
    };
    struct Now {
        WallTime wall;
        std::chrono::nanoseconds boot{0};
    };
    [[nodiscard]] std::vector<std::string> due(std::chrono::seconds every, const Now& now,
                                               const std::vector<Standby>& standbys) const;
    void failed(const std::string& standby, std::chrono::nanoseconds boot) {
        failed_[standby] = boot;
    }
    void done(const std::string& standby) { failed_.erase(standby); }

    // Bytes a second: so many that all of it takes a quarter of the time, or kVerifyRateMin; never
    // more than `most` (0: no limit).
    [[nodiscard]] static ByteCount rate(ByteCount all, std::chrono::seconds every, ByteCount most);

  private:
    std::map<std::string, std::chrono::nanoseconds> failed_;  // boot time of the newest try
};

}  // namespace everstep::daemon
