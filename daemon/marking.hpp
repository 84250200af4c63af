// Marking: a mark at the primary's head whose answer waits until it survives this node; a client
// waits, too. A value. Thread: the node's loop.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "common/base/status.hpp"
#include "journal/history_types.hpp"

namespace everstep::daemon {

struct Marking {
    std::string name;
    std::chrono::nanoseconds until{0};
    std::function<void(Result<Point>)> done;
    std::optional<journal::Tip> at{};  // the frame that carries it
};

}  // namespace everstep::daemon
