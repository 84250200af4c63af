#include "standby/receive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "standby/content.hpp"
#include "standby/paths.hpp"
#include "standby/receive_hashes.hpp"
#include "standby/receive_order.hpp"
#include "standby/receive_reads.hpp"
#include "standby/replica.hpp"

namespace everstep::standby {
namespace {

constexpr std::uint64_t kAckBytes = 1ULL << 20;

// The newest step of the group's line that the raw replica holds; it may stand on another line, or
// be rewound.
Lsn applied_on_line(const Standby& standby) {
    const journal::Store& store = standby.store();
    const journal::ReplicaState at = store.replica();
    const Point stands{at.line, at.low.lsn};
    const journal::View tip = store.view_at_tip();
    if (on_path(tip, stands)) return standby.applied();
    return std::min(common_lsn(tip, view_or_tip(store, stands)), standby.applied());
}

bool same_positions(const wire::Ack& a, const wire::Ack& b) {
    return a.timeline == b.timeline && a.received == b.received && a.durable == b.durable &&
           a.applied == b.applied && a.consistent == b.consistent;
}

}  // namespace

struct ReceiveSession::Impl {
    enum class State : std::uint8_t { waiting, starting, streaming, resync, initial, closed };

    Impl(Standby& to, ReceiveActions with)
        : standby(to),
          actions(std::move(with)),
          reads(standby, actions),
          hashes(standby, actions) {}

    Status take(const wire::Start& start);
    Status take(const wire::InitialEnd& end);
    Status take(const wire::ResyncEnd& end);
    Status take(const wire::Keepalive& keepalive);
    Status take(const wire::HashRequest& request);
    void started(const Status& status, const Expected& expected);
    Status take_frame(const FramePtr& frame);
    Status check_frame(const SealedFrame& frame) const;
    Status take_extents(const FramePtr& frame);
    Status take_writes(const FramePtr& frame);
    Status close(Status why);
    void fail(const Status& why);
    Standby::Refused on_refused();
    void acknowledge(bool always);
    [[nodiscard]] wire::Ack ack() const;
    [[nodiscard]] bool running() const {
        return state == State::streaming || state == State::resync || state == State::initial;
    }

    Standby& standby;
    ReceiveActions actions;
    ReceiveReads reads;
    ReceiveHashes hashes;
    std::shared_ptr<bool> alive =
        std::make_shared<bool>(true);  // callbacks of running tasks die with it
    std::shared_ptr<bool> broken = std::make_shared<bool>(false);  // extents were refused
    State state = State::waiting;
    Status failed;  // the session ends with it at the next message
    wire::Start begun;
    ReceiveOrder order;
    std::uint64_t taken_bytes = 0;
    std::optional<wire::Ack> last_ack;
    std::int64_t step_clock_ns = 0;
    Lsn captured;
};

Status ReceiveSession::Impl::close(Status why) {
    state = State::closed;
    if (failed.ok()) failed = why;
    return why;
}

// Found outside of a message: the peer hears of it at once, the daemon at the next message.
void ReceiveSession::Impl::fail(const Status& why) {
    if (!failed.ok()) return;
    close(why).ignore("kept in `failed`");
    actions.send(wire::Goodbye{why.code(), why.message()});
}

Standby::Refused ReceiveSession::Impl::on_refused() {
    return [this, token = std::weak_ptr(alive)](const Status& status) {
        if (token.lock() != nullptr) fail(status);
    };
}

Status ReceiveSession::Impl::take(const wire::Start& start) {
    if (state != State::waiting)
        return {ErrorCode::corrupt, "Start: the session has begun already"};
    EVERSTEP_TRY(standby.journal_failure());
    EVERSTEP_TRY(check_start(start, standby.options()));
    if (actions.keep_identity) EVERSTEP_TRY(actions.keep_identity(start));
    state = State::starting;
    begun = start;
    const auto expected = std::make_shared<Expected>();
    standby.journal_task(
        [start, expected](journal::Store& store) { return begin_stream(store, start, *expected); },
        [this, expected, token = std::weak_ptr(alive)](const Status& status) {
            if (token.lock() != nullptr) started(status, *expected);
        });
    return {};
}

void ReceiveSession::Impl::started(const Status& status, const Expected& expected) {
    if (state != State::starting) return;
    if (!status.ok()) {
        actions.send(wire::Started{status.code(), status.message()});
        close(status).ignore("the answer said it");
        return;
    }
    order = ReceiveOrder(expected, timelines_of(begun));
    switch (begun.mode) {
        case wire::StartMode::stream:
            state = State::streaming;
            break;
        case wire::StartMode::initial:
            state = State::initial;
            break;
        case wire::StartMode::resync:
            state = State::resync;
            break;
    }
    actions.send(wire::Started{});
    acknowledge(true);
}

Status ReceiveSession::Impl::take(const wire::InitialEnd& end) {
    if (state != State::initial) return {ErrorCode::corrupt, "InitialEnd: no initial sync runs"};
    journal::Tip base;
    base.point = end.base;
    base.hash = end.hash;
    base.seq = end.seq;
    base.step_time = WallTime(std::chrono::nanoseconds(end.step_time_ns));
    EVERSTEP_TRY(order.take_base(base));
    if (end.base.timeline != begun.timelines.back().id) {
        return {ErrorCode::corrupt,
                fmt::format("InitialEnd: base on timeline {}, wanted {}", end.base.timeline.hex(),
                            begun.timelines.back().id.hex())};
    }
    state = State::streaming;
    standby.begin_history(timelines_of(begun), base,
                          [this, token = std::weak_ptr(alive)](const Status& status) {
                              if (token.lock() == nullptr) return;
                              if (status.ok()) {
                                  acknowledge(true);
                              } else {
                                  fail(status);
                              }
                          });
    return {};
}

// Behind everything that was received: the store checks that the step is there.
Status ReceiveSession::Impl::take(const wire::ResyncEnd& end) {
    if (state != State::resync) return {ErrorCode::corrupt, "ResyncEnd: no resync runs"};
    state = State::streaming;
    const auto close = [at = end.at, broken = broken](journal::Store& store) -> Status {
        if (*broken) return {ErrorCode::refused, "a resync that lacks extents ends no gap"};
        return store.close_gap(at);
    };
    standby.journal_task(close, [this, token = std::weak_ptr(alive)](const Status& status) {
        if (token.lock() == nullptr) return;
        if (status.ok()) {
            acknowledge(true);
        } else {
            fail(status);
        }
    });
    return {};
}

Status ReceiveSession::Impl::take(const wire::Keepalive& keepalive) {
    step_clock_ns = keepalive.step_clock_ns;
    captured = keepalive.captured;
    reads.tick();
    return {};
}

Status ReceiveSession::Impl::take(const wire::HashRequest& request) {
    if (!running()) return {ErrorCode::corrupt, "HashRequest: before Start was answered"};
    return hashes.ask(request, state == State::initial);
}

Status ReceiveSession::Impl::check_frame(const SealedFrame& frame) const {
    const FrameHeader& header = frame.header();
    if (header.group != begun.group_id) {
        return {ErrorCode::corrupt, fmt::format("frame: found group {}, wanted {}",
                                                header.group.hex(), begun.group_id.hex())};
    }
    if (standby.queued_bytes() > kWindowBytes + kFrameBytesMax) {
        return {ErrorCode::too_large,
                fmt::format("the sender keeps more than its window of {} bytes "
                            "unacknowledged",
                            kWindowBytes)};
    }
    return check_ranges(frame, standby.images());
}

Status ReceiveSession::Impl::take_frame(const FramePtr& frame) {
    EVERSTEP_TRY(check_frame(*frame));
    const FrameKind kind = frame->header().kind;
    EVERSTEP_TRY(kind == FrameKind::resync ? take_extents(frame) : take_writes(frame));
    taken_bytes += frame->bytes().size();
    return {};
}

Status ReceiveSession::Impl::take_extents(const FramePtr& frame) {
    if (state != State::initial && state != State::resync) {
        return {ErrorCode::corrupt, "frame: extents outside of a resync or an initial sync"};
    }
    EVERSTEP_TRY(order.take_extents(*frame));
    if (state == State::initial) {
        standby.push_initial(frame, on_refused());
    } else {
        standby.push_resync(frame, broken, on_refused());
    }
    return {};
}

Status ReceiveSession::Impl::take_writes(const FramePtr& frame) {
    EVERSTEP_TRY(order.take_writes(*frame));
    if (state == State::initial) {
        standby.push_initial(frame, on_refused());
        return {};
    }
    standby.push(frame, on_refused());
    return {};
}

wire::Ack ReceiveSession::Impl::ack() const {
    const journal::Store& store = standby.store();
    wire::Ack out;
    out.timeline = begun.timelines.back().id;
    out.received = order.tip().point.lsn;
    out.consumed_bytes = taken_bytes - std::min(taken_bytes, standby.queued_bytes());
    out.consistent = false;
    if (!store.has_history()) return out;
    // Said of the session's timeline only; the stream may still be on its way there.
    const Point durable = store.durable().point;
    out.consistent = store.order_kept();
    if (on_path(store.view_at_tip(), durable)) out.durable = durable.lsn;
    out.received = std::max(out.received, out.durable);
    out.applied = std::min(applied_on_line(standby), out.durable);
    return out;
}

void ReceiveSession::Impl::acknowledge(bool always) {
    if (!running() || !standby.journal_failure().ok()) return;
    const wire::Ack now = ack();
    if (last_ack && !always) {
        const std::uint64_t consumed = now.consumed_bytes - last_ack->consumed_bytes;
        const bool all = now.consumed_bytes == taken_bytes && consumed != 0;
        if (same_positions(now, *last_ack) && consumed < kAckBytes && !all) return;
    }
    last_ack = now;
    actions.send(now);
}

ReceiveSession::ReceiveSession(Standby& standby, ReceiveActions actions)
    : impl_(std::make_unique<Impl>(standby, std::move(actions))) {}

ReceiveSession::~ReceiveSession() = default;

Status ReceiveSession::on_control(const wire::Control& message) {
    if (!impl_->failed.ok()) return impl_->failed;
    Status status;
    if (const auto* start = std::get_if<wire::Start>(&message)) {
        status = impl_->take(*start);
    } else if (const auto* end = std::get_if<wire::InitialEnd>(&message)) {
        status = impl_->take(*end);
    } else if (const auto* resynced = std::get_if<wire::ResyncEnd>(&message)) {
        status = impl_->take(*resynced);
    } else if (const auto* keepalive = std::get_if<wire::Keepalive>(&message)) {
        status = impl_->take(*keepalive);
    } else if (const auto* request = std::get_if<wire::ReadRequest>(&message)) {
        status = impl_->reads.ask(*request);
    } else if (const auto* asked = std::get_if<wire::HashRequest>(&message)) {
        status = impl_->take(*asked);
    } else if (const auto* goodbye = std::get_if<wire::Goodbye>(&message)) {
        status = {ErrorCode::closed,
                  fmt::format("the primary ended the session: {}", goodbye->message)};
    } else {
        status = {ErrorCode::corrupt, "a message that a primary does not send"};
    }
    return status.ok() ? status : impl_->close(status);
}

Status ReceiveSession::on_frame(Buffer bytes) {
    if (!impl_->failed.ok()) return impl_->failed;
    if (!impl_->running()) {
        return impl_->close({ErrorCode::corrupt, "a frame before Start was answered"});
    }
    const auto frame = SealedFrame::parse(std::move(bytes));
    const Status status = frame.ok() ? impl_->take_frame(*frame) : frame.status();
    return status.ok() ? status : impl_->close(status);
}

void ReceiveSession::on_progress() {
    impl_->acknowledge(false);
}

void ReceiveSession::on_drained() {
    impl_->reads.on_drained();
}

bool ReceiveSession::initial() const {
    return impl_->state == Impl::State::initial;
}

bool ReceiveSession::resync() const {
    const std::optional<journal::Gap> gap = impl_->standby.store().gap_open();
    return impl_->running() && gap && !gap->batch;
}

bool ReceiveSession::streaming() const {
    return impl_->state == Impl::State::streaming && !resync();
}

std::int64_t ReceiveSession::step_clock_ns() const {
    return impl_->step_clock_ns;
}

Lsn ReceiveSession::primary_captured() const {
    return impl_->captured;
}

}  // namespace everstep::standby
