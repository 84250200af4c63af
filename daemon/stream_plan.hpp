// How a session with one standby begins: stream on, copy everything, or bring it back over a gap. A
// decision without I/O from what both sides hold. Pure; any thread.
#pragma once

#include <string>

#include "daemon/backlog.hpp"
#include "daemon/lineage.hpp"

namespace everstep::daemon {

struct StreamInput {
    Uuid group;
    Timelines path;    // the primary's
    journal::Tip tip;  // newest sealed
    const Backlog* backlog = nullptr;
    std::string compare;       // not empty: order was lost for this standby, why
    bool zero_origin = false;  // all volumes are zeroes at LSN 0
};

struct StreamPlan {
    wire::StartMode mode = wire::StartMode::stream;
    Point from;
    Lsn known;      // the newest step of the path that the standby has already
    FrameSeq next;  // the first frame to send; 0 (resync, initial): the next one that is sealed
    bool from_zero = false;  // initial: the base is LSN 0, everything zero, and all frames are kept
    std::string reason;      // resync
};

// refused: the standby takes no part, or has what this primary never had; says what to do.
[[nodiscard]] Result<StreamPlan> plan_stream(const StreamInput& input,
                                             const wire::GroupState& standby);

// Whose two configurations are compared, for the message.
struct Sides {
    std::string here = "here";
    std::string there = "there";
};
// The standby has taken the end of a resync that was said to it: what it was compared for is over.
[[nodiscard]] bool has_ended_at(const wire::GroupState& standby, Point end);

// The first difference between two canonical configurations, as "KEY: FOUND here, WANTED there";
// empty: none.
[[nodiscard]] std::string first_difference(
    const std::vector<std::pair<std::string, std::string>>& here,
    const std::vector<std::pair<std::string, std::string>>& there, const Sides& sides = {});
// What is told of it while a session that began before goes on.
[[nodiscard]] std::string differs_text(const std::string& difference);

}  // namespace everstep::daemon
