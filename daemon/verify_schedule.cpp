#include "daemon/verify_schedule.hpp"

#include <algorithm>

namespace everstep::daemon {

namespace {
constexpr std::uint64_t kShareOfTheTime = 4;
}

std::vector<std::string> VerifySchedule::due(std::chrono::seconds every, const Now& now,
                                             const std::vector<Standby>& standbys) const {
    std::vector<std::string> names;
    if (every == std::chrono::seconds(0)) return names;
    for (const Standby& one : standbys) {
        const auto failed = failed_.find(one.name);
        if (failed != failed_.end() && now.boot - failed->second < kVerifyRetry) continue;
        const bool waits =
            one.verified && now.wall - *one.verified < every && *one.verified - now.wall < every;
        if (!waits) names.push_back(one.name);
    }
    return names;
}

ByteCount VerifySchedule::rate(ByteCount all, std::chrono::seconds every, ByteCount most) {
    const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(1, every.count()));
    const std::uint64_t rate =
        std::max(kVerifyRateMin.value(), all.value() / seconds * kShareOfTheTime);
    return ByteCount(most == ByteCount(0) ? rate : std::min(rate, most.value()));
}

}  // namespace everstep::daemon
