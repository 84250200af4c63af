// Standing: what a primary knows of one standby while it serves. Plain data of Primary. Thread: the
// node's loop.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "daemon/peer.hpp"
#include "daemon/rate_limit.hpp"
#include "daemon/remote_reads.hpp"
#include "daemon/send.hpp"

namespace everstep::daemon {

// Where what waits for a standby lies (docs/backlog.md).
enum class BacklogState : std::uint8_t {
    queue,  // in memory
    spool,  // the oldest of it on disk
    gap,    // order was lost: a resync brings it back
};

// A resync to a standby was ended: it found more than this different.
struct TooDifferent {
    Status why;
    std::uint64_t differing_max;
};

struct Standing {
    std::unique_ptr<Peer> peer;
    std::unique_ptr<SendSession> session;
    std::unique_ptr<RemoteReads> reads;  // over the session's link
    bool copying = false;                // the session began with a first copy, which is not done
    bool lost_order = false;        // the session is about to end: it can prove nothing any more
    bool let_go = false;            // nothing is kept for it until its next session begins
    std::string spool_lost;         // why nothing that waited for it over a stop is here any more
    FrameSeq droppable;             // it needs no frame up to here
    FrameSeq skipped;               // of sessions that are over: SendSession::skipped()
    std::optional<Point> end_said;  // of a resync, before its link was cut: it may have got there
    wire::Ack acked;                // of its newest session
    BacklogState backlog = BacklogState::queue;  // as it was told last
    RateLimit rate;
    std::string differs;                        // of the configurations, as it was told last
    std::optional<TooDifferent> too_different;  // why nothing more is copied to it
    bool any_difference = false;  // adopt --force: it is no matter until the standby is whole
};

// Of a frame that some standby lacks.
struct SealedTime {
    Lsn last;
    WallTime step_time;
    std::uint64_t bytes;  // of all frames up to it
};

// Of a session's copy (initial sync, resync; primary_copy.cpp): figures, null when there is none
// under way, and what it has come to.
[[nodiscard]] Value copy_status(const SendSession& session);
[[nodiscard]] std::string copy_story(const SendSession& session);
// Of its newest compare as a whole, and of one that runs (primary_verify.cpp); null: none.
[[nodiscard]] Value verified_status(const PeerRecord& record);
[[nodiscard]] Value verify_status(const SendSession& session);

}  // namespace everstep::daemon
