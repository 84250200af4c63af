#include "daemon/send.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "standby/receive.hpp"

namespace everstep::daemon {

namespace {
constexpr std::size_t kNetworkBytes = 4U << 20;  // kept queued in the link
constexpr std::uint64_t kZeroExtentBytes =
    1ULL << 30;  // of a zero entry in the first copy of a fresh pair
}  // namespace

SendSession::SendSession(SendOptions options, StreamPlan plan, SendActions actions)
    : options_(std::move(options)),
      plan_(std::move(plan)),
      actions_(std::move(actions)),
      next_(plan_.next),
      alive_(std::make_shared<SendSession*>(this)) {
    const bool copies = plan_.mode != wire::StartMode::stream;
    if (copies && next_ != FrameSeq(0)) skipped_ = next_ - 1;
}

SendSession::~SendSession() {
    *alive_ = nullptr;
}

void SendSession::begin() {
    wire::Start start;
    start.mode = plan_.mode;
    start.group_id = options_.group;
    start.volumes = options_.volumes;
    start.timelines = to_wire(options_.path);
    start.from = plan_.from;
    start.reason = plan_.reason;
    actions_.send(start);
}

Status SendSession::on_control(const wire::Control& message) {
    if (const auto* begun = std::get_if<wire::Started>(&message)) {
        if (running_) return Status(ErrorCode::corrupt, "Started twice");
        if (begun->error != ErrorCode::ok) return Status(begun->error, begun->message);
        running_ = true;
        started();
        return {};
    }
    if (const auto* ack = std::get_if<wire::Ack>(&message)) {
        if (!running_) return Status(ErrorCode::corrupt, "an Ack before Started");
        EVERSTEP_TRY(check(*ack));
        consumed(*ack);
        return {};
    }
    if (const auto* hashes = std::get_if<wire::HashReply>(&message)) {
        if (!copy_ && !verify_) return Status(ErrorCode::corrupt, "hashes that nobody asked for");
        EVERSTEP_TRY(verify_ ? verify_->on_hashes(*hashes) : copy_->on_hashes(*hashes));
        pump();
        return {};
    }
    if (std::holds_alternative<wire::Keepalive>(message)) return {};
    return Status(ErrorCode::corrupt, "a message out of turn");
}

void SendSession::started() {
    const auto tip_known = [alive = alive_](const journal::Tip& tip) {
        if (*alive != nullptr) (*alive)->copy_from(tip);
    };
    switch (plan_.mode) {
        case wire::StartMode::stream:
            state_ = State::streaming;
            pump();
            return;
        case wire::StartMode::initial:
            state_ = State::initial;
            if (plan_.from_zero) {
                copy_from_zero();
            } else {
                actions_.name_gap(tip_known);
            }
            return;
        case wire::StartMode::resync:
            state_ = State::resync;
            if (next_ == FrameSeq(0)) actions_.name_gap(tip_known);
            actions_.may_differ([alive = alive_](std::vector<journal::GapExtent> extents) {
                if (*alive == nullptr) return;
                (*alive)->copy_extents(std::move(extents));
                (*alive)->pump();
            });
            pump();
            return;
    }
}

std::vector<journal::GapExtent> SendSession::everything() const {
    std::vector<journal::GapExtent> all;
    for (std::size_t v = 0; v < options_.volumes.size(); ++v)
        all.push_back({VolumeIndex(v), ByteOffset(0), options_.volumes[v].size});
    return all;
}

void SendSession::copy_extents(std::vector<journal::GapExtent> extents) {
    CopyOptions options = options_.copy;
    options.extents = std::move(extents);
    options.direct = state_ == State::initial;
    CopyActions actions;
    actions.find_holes = actions_.find_holes;
    actions.read_extent = actions_.read_extent;
    actions.ask_hashes = actions_.send;
    actions.newest = [this] { return newest(); };
    actions.moved = [this] { pump(); };
    actions.too_different = actions_.too_different;
    actions.fail = actions_.fail;
    copy_ = std::make_unique<Copy>(std::move(options), std::move(actions));
}

Status SendSession::verify(const CopyOptions& options,
                           std::function<void(Result<VerifyResult>)> done) {
    if (verify_ && !verify_->over()) return {ErrorCode::busy, "a verify runs already"};
    if (state_ != State::streaming || !acked_.consistent)
        return {ErrorCode::refused, "it is not streaming; what differs is being brought anyway"};
    CopyOptions all = options;
    all.extents = everything();
    VerifyActions actions;
    actions.read_extent = actions_.read_extent;
    actions.read_exact = actions_.read_exact;
    actions.ask_hashes = actions_.send;
    actions.newest = [this] { return newest(); };
    actions.moved = [this] { pump(); };
    actions.done = std::move(done);
    verify_ = std::make_unique<Verify>(std::move(all), std::move(actions));
    verify_->ask();
    return {};
}

// Taken from the capture.
FrameSeq SendSession::newest() const {
    const Backlog& backlog = *options_.backlog;
    return std::max(backlog.empty() ? next_ - 1 : backlog.last_seq(), next_ - 1);
}

void SendSession::copy_from_zero() {
    const Point base{options_.path.front().id, options_.path.front().branch_lsn};
    for (std::size_t v = 0; v < options_.volumes.size(); ++v) {
        const std::uint64_t size = options_.volumes[v].size.value();
        for (std::uint64_t at = 0; at < size; at += kZeroExtentBytes) {
            const ByteCount length(std::min(kZeroExtentBytes, size - at));
            const FramePtr frame =
                make_zero_frame(options_.group, base, {{VolumeIndex(v), ByteOffset(at), length}});
            sent_bytes_ += frame->bytes().size();
            actions_.send_frame(frame);
        }
    }
    wire::InitialEnd end;
    end.base = base;
    end.step_time_ns = options_.base_time.time_since_epoch().count();
    actions_.send(end);
    state_ = State::streaming;
    next_ = FrameSeq(1);
    pump();
}

void SendSession::copy_from(const journal::Tip& tip) {
    next_ = tip.seq + 1;
    skipped_ = tip.seq;
    sent_ = tip.point.lsn;
    if (state_ == State::initial) copy_extents(everything());
    pump();
}

void SendSession::ask_extents() {
    if (state_ != State::initial && state_ != State::resync) return;
    if (!copy_ || end_ || next_ == FrameSeq(0)) return;
    if (window_open()) copy_->ask();
    if (!end_ && copy_->all_read()) finish_copy();
}

void SendSession::finish_copy() {
    end_ = journal::Tip();  // asked for
    const auto ended = [alive = alive_](const journal::Tip& tip) {
        if (*alive == nullptr) return;
        (*alive)->end_ = tip;
        (*alive)->pump();
    };
    actions_.after_batch([this, alive = alive_, ended] {
        if (*alive == nullptr) return;
        if (state_ == State::resync) return actions_.sync_step(ended);
        actions_.name_gap([this, alive, ended](const journal::Tip& tip) {
            if (*alive == nullptr) return;
            if (stands_for_another(tip.point))
                actions_.sync_step(ended);
            else
                ended(tip);
        });
    });
}

// The step that the line left has another content on the standbys that have it: behind an unclean
// stop this disk may hold less than it, or more. A copy that ends there takes a step of its own.
bool SendSession::stands_for_another(Point base) const {
    const journal::TimelineInfo& newest = options_.path.back();
    return !options_.exact_branch && !newest.parent.nil() && base.lsn == newest.branch_lsn;
}

bool SendSession::window_open() const {
    return sent_bytes_ - consumed_bytes_ < standby::kWindowBytes / 2 &&
           actions_.queued_bytes() < kNetworkBytes;
}

bool SendSession::send_one() {
    if (FramePtr frame = copy_ ? copy_->take(next_) : nullptr) {
        sent_bytes_ += frame->bytes().size();
        sent_ = std::max(sent_, frame->header().last_lsn);
        actions_.send_frame(frame);
        return true;
    }
    if (const auto question = verify_ ? verify_->take(next_) : std::nullopt) {
        actions_.send(*question);
        return true;
    }
    if (end_is_next()) {
        say_end();
        return true;
    }
    if (!options_.backlog->has(next_) || (copy_ && !copy_->may_send(next_)) ||
        (verify_ && !verify_->may_send(next_)))
        return false;
    const Result<FramePtr> frame = options_.backlog->frame(next_);
    if (!frame.ok()) {
        actions_.lost(next_, frame.status().with_context("the spool cannot be read"));
        return false;
    }
    sent_bytes_ += (*frame)->bytes().size();
    sent_ = (*frame)->header().last_lsn;
    ++next_;
    actions_.send_frame(*frame);
    return true;
}

void SendSession::pump() {
    if (!running_) return;
    const bool resynced =
        end_said_ && end_ && acked_.consistent && acked_.durable >= end_->point.lsn;
    if (resynced) {
        state_ = State::streaming;
        skipped_ = end_->seq;
        end_.reset();
    }
    while (window_open() && send_one()) {
    }
    ask_extents();
    if (verify_ && window_open()) verify_->ask();
}

// Everything of the copy has left, and the stream up to its end.
bool SendSession::end_is_next() const {
    return end_ && !end_->point.timeline.nil() && !end_said_ && (!copy_ || copy_->empty()) &&
           next_ > end_->seq;
}

// Later frames leave behind it. An initial sync is over with it; a resync when the standby has said
// so.
void SendSession::say_end() {
    if (state_ == State::resync) {
        end_said_ = true;
        actions_.send(wire::ResyncEnd{end_->point});
        return;
    }
    wire::InitialEnd end;
    end.base = end_->point;
    end.hash = end_->hash;
    end.seq = end_->seq;
    end.step_time_ns = end_->step_time.time_since_epoch().count();
    actions_.send(end);
    state_ = State::streaming;
    skipped_ = end_->seq;
    end_.reset();
}

// `applied` may go back: a rewind takes the replica there. In a resync the standby stands where the
// newest timeline began, from Started on, whatever of the steps before that it has.
Status SendSession::check(const wire::Ack& ack) const {
    const bool in_order = ack.applied <= ack.durable && ack.durable <= ack.received;
    const bool forward = ack.consumed_bytes >= consumed_bytes_ && ack.durable >= acked_.durable &&
                         ack.received >= acked_.received;
    const Lsn began =
        plan_.mode == wire::StartMode::resync ? options_.path.back().branch_lsn : Lsn();
    const Lsn most = std::max({sent_, plan_.known, began});
    const bool was_sent = ack.consumed_bytes <= sent_bytes_ && ack.received <= most;
    if (in_order && forward && was_sent && ack.timeline == options_.path.back().id) return {};
    return {
        ErrorCode::corrupt,
        fmt::format("an Ack that cannot be: received {}, durable {}, applied {} of timeline {}; "
                    "sent was step {} of timeline {}",
                    ack.received.value(), ack.durable.value(), ack.applied.value(),
                    ack.timeline.hex(), most.value(), options_.path.back().id.hex())};
}

void SendSession::consumed(const wire::Ack& ack) {
    acked_ = ack;
    consumed_bytes_ = ack.consumed_bytes;
    pump();
}

FrameSeq SendSession::droppable_seq() const {
    const Backlog& backlog = *options_.backlog;
    if (state_ == State::initial) return next_ - 1;
    if (state_ == State::starting || backlog.empty()) return FrameSeq(0);
    FrameSeq seq = backlog.first_seq() - 1;
    while (backlog.has(seq + 1) && seq + 1 < next_) {
        const FrameHeader& header = backlog.header(seq + 1);
        // A frame without a write ends at the LSN of the one before it: only a later one proves
        // that it is there.
        const bool writes = header.first_lsn <= header.last_lsn;
        const bool proved =
            writes || header.last_lsn < acked_.durable || consumed_bytes_ == sent_bytes_;
        if (header.last_lsn > acked_.durable || !proved) break;
        ++seq;
    }
    return seq;
}

}  // namespace everstep::daemon
