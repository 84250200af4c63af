// SendSession (walk, stage 4): the primary's end of one replication session, as a state machine
// without I/O: what arrived in, what to send out. It walks the backlog for one standby and puts
// resync extents between the frames.
//
// Thread: the node's loop. States: starting (Start sent) -> copying (initial, resync) -> streaming
// -> closed. Invariants: sent - consumed stays below the standby's window; a resync extent as of
// step n leaves behind the frame that ends at n and before the next; the end of a copy leaves
// behind its extents and the frame it names, before any later one; positions are those that this
// session's standby said on this path, never beyond what was sent.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/copy.hpp"
#include "daemon/stream_plan.hpp"
#include "daemon/verify.hpp"

namespace everstep::daemon {

struct SendActions {
    std::function<void(const wire::Control&)> send;
    std::function<void(const FramePtr&)> send_frame;
    std::function<std::size_t()> queued_bytes;  // not yet taken by the network
    // Asks of the capture; each calls back on the loop, in stream order (daemon/pipeline.hpp).
    decltype(CopyActions::find_holes) find_holes;
    decltype(CopyActions::read_extent) read_extent;
    decltype(VerifyActions::read_exact) read_exact;
    std::function<void(std::function<void(const journal::Tip&)>)> name_gap;
    std::function<void(std::function<void(const journal::Tip&)>)> sync_step;
    // Of a resync: where the standby may differ, as of a moment behind the asks before.
    std::function<void(std::function<void(std::vector<journal::GapExtent>)>)> may_differ;
    // Runs it once no batch is open: a copy that ended within one would end at no point.
    std::function<void(std::function<void()>)> after_batch;
    std::function<void(const Status&)> too_different;  // the same, and it does not begin again
    std::function<void(const Status&)> fail;           // ends the session
    // The frame is kept and cannot be read: ends the session, and a resync follows.
    std::function<void(FrameSeq, const Status&)> lost;
};

struct SendOptions {
    Uuid group;
    std::vector<wire::Volume> volumes;
    Timelines path;
    const Backlog* backlog = nullptr;
    bool exact_branch = false;  // the newest line began with the content of its branch point
    WallTime base_time;         // the step time of LSN 0, where the copy begins there
    CopyOptions copy;           // its extents and `direct` are the session's business
};

class SendSession {
  public:
    SendSession(SendOptions options, StreamPlan plan, SendActions actions);
    ~SendSession();
    void begin();  // sends Start
    [[nodiscard]] Status on_control(const wire::Control& message);
    void pump();  // frames came, or the network took some

    enum class State : std::uint8_t { starting, initial, resync, streaming };
    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] const wire::Ack& acked() const { return acked_; }
    // Frames up to here need not be kept for this standby: durable there, or, during an initial
    // sync, sent (one that is cut begins anew).
    [[nodiscard]] FrameSeq droppable_seq() const;
    [[nodiscard]] Lsn sent() const { return sent_; }
    // Of frames up to here the standby's history has no point: a copy brings what they wrote, and
    // nothing else that they carry, and no step inside a resync's gap can be named.
    [[nodiscard]] FrameSeq skipped() const { return skipped_; }
    // Of a resync whose end was said, while the standby has not answered for it.
    [[nodiscard]] std::optional<Point> unanswered_end() const {
        return end_said_ && end_ ? std::optional(end_->point) : std::nullopt;
    }
    // Compares the whole volumes. refused: not now; busy: answers to one that has ended are on
    // their way yet. `done` once, also where the session ends.
    [[nodiscard]] Status verify(const CopyOptions& options,
                                std::function<void(Result<VerifyResult>)> done);
    void end_verify(const Status& why) {
        if (verify_) verify_->end(why);
    }
    [[nodiscard]] const Verify* verifying() const { return verify_.get(); }
    // Of the initial sync or resync; null: none, or its extents are not known yet.
    [[nodiscard]] const Copy* copy() const { return copy_.get(); }

  private:
    void started();
    void copy_from_zero();
    void copy_from(const journal::Tip& tip);
    void copy_extents(std::vector<journal::GapExtent> extents);
    [[nodiscard]] std::vector<journal::GapExtent> everything() const;
    [[nodiscard]] FrameSeq newest() const;
    void ask_extents();
    void finish_copy();
    [[nodiscard]] bool stands_for_another(Point base) const;
    [[nodiscard]] bool end_is_next() const;
    void say_end();
    [[nodiscard]] Status check(const wire::Ack& ack) const;
    void consumed(const wire::Ack& ack);
    [[nodiscard]] bool window_open() const;
    bool send_one();

    SendOptions options_;
    StreamPlan plan_;
    SendActions actions_;
    State state_ = State::starting;
    wire::Ack acked_;
    FrameSeq next_;
    FrameSeq skipped_;
    std::uint64_t sent_bytes_ = 0;
    std::uint64_t consumed_bytes_ = 0;
    Lsn sent_;
    std::unique_ptr<Copy> copy_;
    std::unique_ptr<Verify> verify_;
    bool running_ = false;             // Started has come
    std::optional<journal::Tip> end_;  // the copy ends at this tip
    bool end_said_ = false;            // ResyncEnd has left
    std::shared_ptr<SendSession*> alive_;
};

}  // namespace everstep::daemon
