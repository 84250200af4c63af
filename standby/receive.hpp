// ReceiveSession: the standby's end of one replication session, as a state machine without I/O:
// messages in, messages out (walk, stage 5: check, in order, once).
//
// Thread: the loop's. It begins after both Hellos; the daemon has checked names, versions, group
// id, volumes and the configuration.
// States: waiting for Start -> starting (the store makes gap, timelines) -> streaming | resync |
// initial -> closed.
// Invariants: a frame is taken only if it continues what was received (timeline path, LSN, hash);
// an acknowledgement names the session's timeline and never passes what is durable; a peer's false
// claim ends the session, not the daemon; received bytes that are not yet durable are bounded by
// the sender's window (consumed_bytes).
#pragma once

#include <functional>

#include "proto/messages.hpp"
#include "standby/standby.hpp"

namespace everstep::standby {

// The sender keeps sent - consumed below this.
inline constexpr std::uint64_t kWindowBytes = 64ULL << 20;

struct ReceiveActions {
    std::function<void(const wire::Control&)> send;
    std::function<void(Buffer)> send_data;      // follows a ReadReply at once
    std::function<std::size_t()> queued_bytes;  // sent, and not yet taken by the network
    // The first Start of a group: group id and volumes are kept durably by the daemon before
    // anything else.
    std::function<Status(const wire::Start&)> keep_identity;
};

class ReceiveSession {
  public:
    ReceiveSession(Standby& standby, ReceiveActions actions);
    ~ReceiveSession();  // callbacks of running tasks are dropped
    [[nodiscard]] Status on_control(
        const wire::Control& message);  // not ok: end the session with this reason
    [[nodiscard]] Status on_frame(Buffer frame);
    void on_progress();  // the standby's on_progress: sends an Ack when something moved
    void on_drained();   // the link has sent everything: reads that wait for that begin
    [[nodiscard]] bool initial() const;    // an initial sync runs
    [[nodiscard]] bool resync() const;     // a gap is open
    [[nodiscard]] bool streaming() const;  // Started was sent, neither of the above
    // The primary's, as of its last Keepalive (0: none).
    [[nodiscard]] std::int64_t step_clock_ns() const;
    [[nodiscard]] Lsn primary_captured() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::standby
