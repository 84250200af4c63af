#include "daemon/link_times.hpp"

#include <algorithm>

namespace everstep::daemon {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIntervalMin{100};  // as a configuration may have it

milliseconds read(const std::string& text, milliseconds otherwise) {
    const auto time = parse_duration(text);
    return time.ok() ? std::chrono::duration_cast<milliseconds>(*time) : otherwise;
}

}  // namespace

KeepaliveConfig link_times(const KeepaliveConfig& own,
                           const std::vector<std::pair<std::string, std::string>>& theirs) {
    KeepaliveConfig times = own;
    for (const auto& [key, value] : theirs) {
        if (key == "keepalive.interval") {
            const milliseconds interval = std::max(read(value, own.interval), kIntervalMin);
            times.interval = std::min(times.interval, interval);
        } else if (key == "keepalive.timeout") {
            times.timeout = std::max(times.timeout, read(value, own.timeout));
        }
    }
    return times;
}

}  // namespace everstep::daemon
