#include "daemon/events.hpp"

#include "common/base/config.hpp"
#include "common/base/log.hpp"

namespace everstep::daemon {

void Events::add(const std::string& group, const std::string& kind, const std::string& text) {
    Value event = Value::map();
    event.set("time", format_time(clock_.wall()));
    event.set("node", node_);
    event.set("group", group.empty() ? Value() : Value(group));
    event.set("kind", kind);
    event.set("text", text);
    const std::string line = (group.empty() ? "" : group + ": ") + kind + ": " + text;
    if (kind.starts_with("alarm-")) {
        log_warning(line);
    } else {
        log_info(line);
    }
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    if (events_.size() > kEventsKept) events_.pop_front();
    for (const auto& [id, follower] : followers_) follower(event);
}

Value Events::all() const {
    const std::lock_guard lock(mutex_);
    return Value(Value::List(events_.begin(), events_.end()));
}

std::pair<Value, std::uint64_t> Events::follow(std::function<void(const Value&)> follower) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t id = next_follower_++;
    followers_[id] = std::move(follower);
    return {Value(Value::List(events_.begin(), events_.end())), id};
}

void Events::unfollow(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    followers_.erase(id);
}

}  // namespace everstep::daemon
