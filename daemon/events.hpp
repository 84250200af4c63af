// What happened on this node, for `everstep events` and the log. The newest kEventsKept are kept in
// memory. Thread: any (a lock inside); followers are called on the thread that adds.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "common/base/clock.hpp"
#include "common/base/value.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kEventsKept = 4096;

class Events {
  public:
    Events(std::string node, const Clock& clock) : node_(std::move(node)), clock_(clock) {}
    // `kind` is one lower-case word of docs/admin.md; an alarm is an event whose kind begins with
    // "alarm-".
    void add(const std::string& group, const std::string& kind, const std::string& text);
    [[nodiscard]] Value all() const;
    // The events so far, and a number for unfollow(); each later one goes to `follower`.
    [[nodiscard]] std::pair<Value, std::uint64_t> follow(
        std::function<void(const Value&)> follower);
    void unfollow(std::uint64_t id);

  private:
    std::string node_;
    const Clock& clock_;
    mutable std::mutex mutex_;
    std::deque<Value> events_;
    std::map<std::uint64_t, std::function<void(const Value&)>> followers_;
    std::uint64_t next_follower_ = 1;
};

}  // namespace everstep::daemon
