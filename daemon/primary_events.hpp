// PrimaryEvents: what a primary asks of the group that it serves. Called in the node's loop.
#pragma once

#include "daemon/restore.hpp"
#include "daemon/start.hpp"

namespace everstep::daemon {

struct PrimaryEvents {
    std::function<void(const StartDecision&)> on_demoted;  // the group becomes something else
    // The store's next timeline, durable, before anything is written on it.
    std::function<void(const journal::TimelineInfo&, std::function<void(Status)>)> append_timeline;
    decltype(RestoreAccess::diff) diff;  // asked of the node
};

}  // namespace everstep::daemon
