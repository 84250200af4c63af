// Primary: what it keeps for each standby, and when it gives that up (docs/backlog.md).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/primary.hpp"

namespace everstep::daemon {

namespace {
bool kept_for_any(const std::map<std::string, Standing>& standings) {
    return std::any_of(standings.begin(), standings.end(),
                       [](const auto& one) { return !one.second.let_go; });
}
}  // namespace

// Nobody waits for a disk that does not take the spool.
void Primary::load_backlog() {
    if (was_clean_ && !new_timeline_) {
        const Status loaded = backlog_.load_spool(context_.record.group);
        if (loaded.ok() && (backlog_.empty() || backlog_.last_seq() == sealed_.seq)) return;
        backlog_.clear();
        const std::string why =
            loaded.ok() ? "the spool does not end where the primary stopped" : loaded.message();
        context_.event("alarm-state", why + ": a standby that lacks what was in it is compared");
        for (auto& [name, standing] : standings_) standing.spool_lost = why;
    }
    const Status emptied = backlog_.discard_spool();
    if (!emptied.ok())
        context_.event("alarm-state", "the spool cannot be emptied: " + emptied.message() +
                                          "; nothing goes to it before it is");
}

void Primary::drop_frames() {
    if (backlog_.empty()) return;
    FrameSeq all = backlog_.last_seq();
    for (const auto& [name, standing] : standings_) {
        if (!standing.let_go) all = std::min(all, standing.droppable);
    }
    backlog_.drop_through(all);
    Lsn durable = sealed_.point.lsn;
    for (const auto& [name, standing] : standings_) {
        const bool nothing_yet = standing.let_go && standing.acked.durable == Lsn();
        if (!nothing_yet) durable = std::min(durable, standing.acked.durable);
    }
    while (!sealed_times_.empty() && sealed_times_.front().last <= durable)
        sealed_times_.pop_front();
}

// Where there is no room, what is furthest behind pays for it: the frames that only it lacks go.
void Primary::keep_frame(const FramePtr& frame) {
    if (losing_) return;
    // What was kept would end before this frame: whoever comes next cannot go on from it.
    if (!kept_for_any(standings_)) return drop_frames();
    for (Status kept = backlog_.push(frame); !kept.ok(); kept = backlog_.push(frame)) {
        FrameSeq furthest = backlog_.last_seq();
        for (const auto& [name, standing] : standings_) {
            if (!standing.let_go) furthest = std::min(furthest, standing.droppable);
        }
        if (!order_lost(kept.message(), furthest)) return lose_order(kept.message());
        drop_frames();
        if (!kept_for_any(standings_)) return;
    }
    tell_backlogs();
}

void Primary::on_overflow() {
    losing_ = true;
    pipeline_->name_gap([this, alive = alive_](const journal::Tip& tip) {
        if (*alive == nullptr) return;
        newest_known(tip);
        lose_order("the node did not take the frames from its capture in time");
    });
}

// What is kept cannot be streamed on, for nobody.
void Primary::lose_order(const std::string& reason) {
    if (pipeline_ && !std::exchange(losing_, true)) {
        pipeline_->name_gap([this, alive = alive_](const journal::Tip& tip) {
            if (*alive != nullptr) newest_known(tip);
        });
    }
    order_lost(reason, sealed_.seq);
    backlog_.clear();
}

// A frame that is kept cannot be read: whoever lacks it needs a resync.
void Primary::unreadable(FrameSeq seq, const Status& why) {
    if (order_lost(why.message(), seq - 1)) drop_frames();
}

// Each standby that has all frames up to `behind` at most, and lacks some, needs a resync. False:
// there was none.
bool Primary::order_lost(const std::string& reason, FrameSeq behind) {
    bool any = false;
    for (auto& [name, standing] : standings_) {
        const bool has_all = standing.droppable >= sealed_.seq && standing.session;
        if (standing.let_go || standing.droppable > behind || has_all) continue;
        let_go(standing, reason);
        any = true;
    }
    if (any) context_.save().ignore("a standby that lacks frames is seen at its next greeting");
    return any;
}

void Primary::let_go(Standing& standing, const std::string& reason) {
    const std::string& name = standing.peer->name();
    const std::uint64_t waited = backlog_.bytes_behind(standing.droppable);
    standing.let_go = true;
    standing.lost_order = true;
    standing.end_said.reset();
    standing.backlog = BacklogState::gap;
    context_.record.peers[name].compare = reason;
    const bool known = !standing.acked.timeline.nil();  // has it answered in this run
    const std::string where =
        known ? fmt::format(" behind step {}", standing.acked.durable.value()) : "";
    context_.event("alarm-gap", fmt::format("{}: order is lost{}: {}; {} bytes waited for it. It "
                                            "comes back by a resync",
                                            name, where, reason, waited));
    if (standing.session) send_actions(standing, Point()).fail(Status(ErrorCode::closed, reason));
}

// Leaves the spool again when the queue is half empty, so that one that is as fast as the writes
// does not go to and fro with every frame.
BacklogState Primary::backlog_state(const Standing& standing) const {
    const auto record = context_.record.peers.find(standing.peer->name());
    const bool gap = record != context_.record.peers.end() && !record->second.compare.empty();
    if (gap) return BacklogState::gap;
    if (backlog_.spooled_behind(standing.droppable)) return BacklogState::spool;
    const bool much =
        backlog_.bytes_behind(standing.droppable) > backlog_.options().memory_bytes.value() / 2;
    return much && standing.backlog == BacklogState::spool ? BacklogState::spool
                                                           : BacklogState::queue;
}

void Primary::tell_backlogs() {
    for (auto& [name, standing] : standings_) {
        const BacklogState now = backlog_state(standing);
        const BacklogState before = std::exchange(standing.backlog, now);
        if (now == before) continue;
        const std::uint64_t waiting = backlog_.bytes_behind(standing.droppable);
        switch (now) {
            case BacklogState::queue:
                context_.event("backlog",
                               before == BacklogState::gap
                                   ? fmt::format("{}: in order again, from the queue", name)
                                   : fmt::format("{}: the spool has nothing for it any more; {} "
                                                 "bytes wait in the queue",
                                                 name, waiting));
                break;
            case BacklogState::spool:
                context_.event(
                    "backlog",
                    fmt::format("{}: {} bytes wait for it, more than the queue holds "
                                "(queue_bytes = {}): the oldest go to the spool",
                                name, waiting, format_byte_count(backlog_.options().memory_bytes)));
                break;
            case BacklogState::gap:  // the reason was told where it was found
                break;
        }
    }
}

}  // namespace everstep::daemon
