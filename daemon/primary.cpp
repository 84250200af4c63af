#include "daemon/primary.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/line_owner.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {

namespace {
constexpr std::size_t kSealedTimesMax = 1U << 20;
constexpr std::chrono::seconds kDrain{10};  // a clean stop waits this long for the standbys
constexpr std::chrono::milliseconds kDrainPoll{20};

std::string story_of(const StreamPlan& plan) {
    return plan.mode == wire::StartMode::stream    ? "streaming"
           : plan.mode == wire::StartMode::initial ? "initial sync"
                                                   : "resync: " + plan.reason;
}

// The link was cut between the end of its resync and its answer: the same resync again would put a
// gap over steps that are in order.
void resync_ended(GroupContext& context, Standing& standing) {
    const std::optional<Point> end = std::exchange(standing.end_said, std::nullopt);
    PeerRecord& record = context.record.peers[standing.peer->name()];
    if (!end || record.compare.empty() || !has_ended_at(*standing.peer->state(), *end)) return;
    record.compare.clear();
    context.event("resync", standing.peer->name() + " is consistent again, as it says");
    context.save().ignore("compared once more after the next start");
}

// Who has everything streams on, whatever became of the spool.
void tell_lost_spool(GroupContext& context, Standing& standing, StreamPlan& plan) {
    const std::string why = std::exchange(standing.spool_lost, "");
    PeerRecord& record = context.record.peers[standing.peer->name()];
    const bool costs = plan.mode == wire::StartMode::resync && record.compare.empty();
    if (why.empty() || !costs) return;
    plan.reason = record.compare = why;
    context.event("alarm-gap", standing.peer->name() + ": order is lost: " + why +
                                   ". It comes back by a resync");
    context.save().ignore("that it lacks frames is seen at its next greeting, too");
}
}  // namespace

Primary::Primary(GroupContext& context, standby::Standby* store, PrimaryEvents events)
    : context_(context),
      store_(store),
      events_(std::move(events)),
      restore_(context, restore_access()),
      verify_(context, verify_access()),
      joins_(context, join_access()),
      backlog_(*context.files, {context.directory + "/spool", context.group->queue_bytes,
                                context.group->spool_bytes}),
      ack_(*context.group, context.peers()),
      wait_timer_(*context.loop),
      tick_timer_(*context.loop),
      save_timer_(*context.loop),
      adopt_timer_(*context.loop),
      alive_(std::make_shared<Primary*>(this)) {
    for (const std::string& name : context_.peers()) add_standing(name);
}

Primary::~Primary() {
    *alive_ = nullptr;
}

Standing* Primary::standing(const std::string& node) {
    const auto at = standings_.find(node);
    return at == standings_.end() ? nullptr : &at->second;
}

// `from`: the last common step of the session's path and the standby's.
SendActions Primary::send_actions(Standing& standing, Point from) {
    SendActions actions;
    Peer* peer = standing.peer.get();
    actions.send = [peer](const wire::Control& message) {
        if (peer->link() != nullptr) peer->link()->send(message);
    };
    actions.send_frame = [this, peer, &standing](const FramePtr& frame) {
        if (peer->link() == nullptr) return;
        standing.rate.sent(frame->bytes().size(), context_.clock->boot());
        peer->send_frame(frame);
    };
    // What `rate_limit` holds back looks like a network that takes nothing.
    actions.queued_bytes = [this, peer, &standing] {
        const bool held = !standing.rate.may_send(context_.clock->boot());
        return held || peer->link() == nullptr ? SIZE_MAX : peer->link()->queued_bytes();
    };
    actions.find_holes = [this](const ResyncExtent& extent, auto done) {
        pipeline_->find_holes(extent, std::move(done));
    };
    actions.read_extent = [this](const ExtentRead& what, auto done) {
        pipeline_->read_extent(what, std::move(done));
    };
    actions.read_exact = [this](const ResyncExtent& extent, auto done) {
        pipeline_->read_exact(extent, std::move(done));
    };
    actions.name_gap = [this](std::function<void(const journal::Tip&)> done) {
        pipeline_->name_gap(std::move(done));
    };
    actions.sync_step = [this](std::function<void(const journal::Tip&)> done) {
        pipeline_->sync_step(std::move(done));
    };
    actions.may_differ = [this, &standing,
                          from](std::function<void(std::vector<journal::GapExtent>)> done) {
        send_may_differ(standing, from, std::move(done));
    };
    actions.after_batch = [this](std::function<void()> work) {
        restore_.after_batch(std::move(work));
    };
    actions.too_different = [this, peer](const Status& why) {
        context_.loop->post([this, alive = alive_, peer, why] {
            if (*alive != nullptr) too_different(*peer, why);
        });
    };
    actions.lost = [this, &standing](FrameSeq seq, const Status& why) {
        context_.loop->post(
            [this, alive = alive_, &standing, session = standing.session.get(), seq, why] {
                if (*alive != nullptr && standing.session.get() == session) unreadable(seq, why);
            });
    };
    actions.fail = [this, peer](const Status& why) {
        context_.loop->post([alive = alive_, peer, why] {
            if (*alive != nullptr) peer->refuse(why);
        });
    };
    return actions;
}

// True when the peer took over while this node was out of its sight: then this node's role is over.
bool Primary::took_over(const wire::GroupState& state, const std::string& node) {
    if (!has_record_ || state_ == State::stopped) return false;
    const TimelineId& own = context_.record.timelines.back().id;
    const Claim claim = claim_of(context_.record.timelines, context_.record.takeovers, state);
    const bool newer = has_descendant(from_wire(state.timelines), own, context_.record.timelines);
    if (!newer && claim != Claim::theirs) {
        const bool both = state.role == wire::Role::primary && state_ == State::serving;
        split_brain(both && claim == Claim::undecided, node);
        return false;
    }
    StartDecision decision;
    decision.kind = StartDecision::Kind::demote;
    const std::string owner = line_owner(node, state);
    decision.peer = standing(owner) != nullptr ? owner : node;
    decision.why = node + " is on a newer timeline, which branched from this node's";
    carry_out(decision);
    return true;
}

// Both serve, and no takeover says which of the two lines counts.
void Primary::split_brain(bool split, const std::string& node) {
    if (!split && split_with_ == node) {
        split_with_.clear();
        why_.clear();
    }
    if (!split || split_with_ == node) return;
    split_with_ = node;
    why_ = fmt::format(
        "split brain: {} serves another line of this group too, and no takeover says which one "
        "counts; restart everstepd where the data is to go (it then serves nothing), and "
        "`everstep adopt` there",
        node);
    context_.event("alarm-split-brain", why_);
}

void Primary::heard(const wire::GroupState& state, const std::string& node) {
    if (standing(node) != nullptr) took_over(state, node);
}

void Primary::begin_session(Standing& standing) {
    Peer& peer = *standing.peer;
    const wire::GroupState& theirs = *peer.state();
    if (took_over(theirs, peer.name())) return;
    const auto refuse_later = send_actions(standing, Point()).fail;
    if (const Status may = may_copy(standing); !may.ok()) return refuse_later(may);
    StreamInput input;
    input.group = context_.record.group;
    input.path = context_.record.timelines;
    input.tip = sealed_;
    input.backlog = &backlog_;
    resync_ended(context_, standing);
    input.compare = context_.record.peers[peer.name()].compare;
    input.zero_origin = context_.record.zero_origin;
    Result<StreamPlan> plan = plan_stream(input, theirs);
    if (!plan.ok()) return refuse_later(plan.status());
    tell_lost_spool(context_, standing, *plan);
    SendOptions options;
    options.group = input.group;
    options.path = input.path;
    options.backlog = &backlog_;
    options.exact_branch = store_ != nullptr;
    options.base_time = base_time();
    options.copy =
        plan->mode == wire::StartMode::resync ? resync_options(standing) : copy_options();
    options.volumes = to_wire(context_.record.volumes);
    standing.lost_order = standing.let_go = false;
    // A copy needs nothing of what is kept so far, unless its base is LSN 0.
    const bool anew = plan->mode == wire::StartMode::initial && !plan->from_zero;
    standing.droppable = anew || plan->next == FrameSeq(0) ? sealed_.seq : plan->next - 1;
    standing.copying = plan->mode == wire::StartMode::initial;
    standing.session = std::make_unique<SendSession>(std::move(options), *plan,
                                                     send_actions(standing, plan->from));
    standing.reads = std::make_unique<RemoteReads>([&peer](const wire::Control& message) {
        if (peer.link() != nullptr) peer.link()->send(message);
    });
    LinkEvents events;
    events.on_data = [&standing](Buffer data) {
        return standing.reads ? standing.reads->on_data(std::move(data)) : Status();
    };
    events.on_control = [this, &standing](const wire::Control& message) -> Status {
        if (!standing.session) return {};
        if (const auto* reply = std::get_if<wire::ReadReply>(&message))
            return standing.reads->on_reply(*reply);
        EVERSTEP_TRY(standing.session->on_control(message));
        session_moved(standing);
        return {};
    };
    events.on_drained = [&standing] {
        if (standing.session) standing.session->pump();
    };
    peer.start_session(std::move(events));
    standing.session->begin();
    say_who_listens();
    restore_.keep_step(peer.name());
    context_.event("session", peer.name() + ": " + story_of(*plan));
}

// The time of the baseline of a pair that begins at LSN 0: when serving began, never later than the
// first step.
WallTime Primary::base_time() const {
    if (!backlog_.has(FrameSeq(1))) return sealed_.step_time;
    const Result<FramePtr> first = backlog_.frame(FrameSeq(1));
    return first.ok() && !(*first)->entries().empty() ? (*first)->entries().front().step_time
                                                      : WallTime();
}

void Primary::end_session(Standing& standing) {
    const std::string& name = standing.peer->name();
    if (standing.session)
        standing.skipped = std::max(standing.skipped, standing.session->skipped());
    if (standing.session && !standing.lost_order) {
        standing.droppable = std::max(standing.droppable, standing.session->droppable_seq());
        standing.end_said = standing.session->unanswered_end();
    }
    // A first copy that was cut begins anew: it needs no frame of now.
    if (ack_.joining(name) && standing.acked.durable == Lsn()) standing.let_go = true;
    ack_.away(name);
    context_.loop->post([gone = std::shared_ptr<SendSession>(std::move(standing.session)),
                         reads = std::shared_ptr<RemoteReads>(std::move(standing.reads))] {});
    say_who_listens();
}

void Primary::say_who_listens() {
    bool any = ack_.waits();
    for (const auto& [name, standing] : standings_) any = any || standing.session != nullptr;
    if (pipeline_) pipeline_->set_eager(any);
}

void Primary::session_moved(Standing& standing) {
    const std::string& name = standing.peer->name();
    const SendSession& session = *standing.session;
    standing.acked = session.acked();
    if (!standing.lost_order)
        standing.droppable = std::max(standing.droppable, session.droppable_seq());
    const bool whole =
        session.state() == SendSession::State::streaming && standing.acked.consistent;
    std::string& compare = context_.record.peers[name].compare;
    if (whole && !compare.empty() && !standing.lost_order) {
        compare.clear();
        if (!standing.copying)
            context_.event("resync", name + " is consistent again" + copy_story(session));
        context_.save().ignore("compared once more after the next start");
    }
    if (whole && std::exchange(standing.copying, false)) {
        context_.record.peers[name].verified.reset();  // it was of another replica
        context_.save().ignore("it is only told");
        context_.event("session",
                       name + ": streaming, the first copy is done" + copy_story(session));
    }
    if (whole && !standing.lost_order) standing.any_difference = false;
    if (whole) answered(standing);
    drop_frames();
    tell_backlogs();
    release();
    answer_marks();
}

void Primary::on_frame(const FramePtr& frame) {
    const FrameHeader& header = frame->header();
    sealed_.point.lsn = header.last_lsn;
    sealed_.seq = header.seq;
    sealed_.hash = frame->hash();
    if (!frame->entries().empty()) sealed_.step_time = frame->entries().back().step_time;
    if (header.first_lsn <= header.last_lsn) stepped_ = sealed_;
    if (sealed_times_.size() == kSealedTimesMax) sealed_times_.pop_front();
    const std::uint64_t before = sealed_times_.empty() ? 0 : sealed_times_.back().bytes;
    sealed_times_.push_back({header.last_lsn, sealed_.step_time, before + frame->bytes().size()});
    // Behind a loss the frames are kept again from the one that names it.
    if (losing_) losing_ = !header.after_gap;
    keep_frame(frame);
    for (auto& [name, standing] : standings_) {
        if (standing.session) standing.session->pump();
    }
    drop_frames();
    if (ack_.in_force() == AckLevel::local) release();
}

// What the pipeline has sealed and not handed over is known only by the tip that it names.
void Primary::newest_known(const journal::Tip& tip) {
    if (tip.seq > sealed_.seq) sealed_ = tip;
}

// Says once that it fails, however often it is tried.
bool Primary::save() {
    const Status saved = context_.save();
    const std::string reason = saved.ok() ? "" : saved.message();
    if (reason != unsaved_) {
        context_.event(saved.ok() ? "state" : "alarm-state",
                       saved.ok() ? "the state can be saved again" : reason);
        unsaved_ = reason;
    }
    return saved.ok();
}

void Primary::tick() {
    answer_marks();
    pump_copies();
    verify_.tick();
    joins_.tick();
    for (auto& [name, standing] : standings_) {
        if (standing.session && standing.rate.limits()) standing.session->pump();
    }
    if (pipeline_) count_standbys();
}

void Primary::set_paused(bool paused) {
    for (auto& [name, standing] : standings_) standing.peer->set_paused(paused);
    context_.event("pause", paused ? "the link is paused" : "the link goes on");
}

void Primary::fence() {
    wait_timer_.cancel();
    tick_timer_.cancel();
    save_timer_.cancel();
    adopt_timer_.cancel();
    state_ = State::stopped;
    fail_marks();
    verify_.cut("this node does not serve the group any more");
    restore_.stop(Status(ErrorCode::closed, "this node's role ends"));
    answer_adopt(Status(ErrorCode::closed, "this node's role ends"));
    if (pipeline_) context_.record.tip = pipeline_->stop().tip;
    for (auto& [name, standing] : standings_) standing.peer->stop();
}

void Primary::stop(std::function<void()> done) {
    const bool served = pipeline_ != nullptr && state_ == State::serving;
    wait_timer_.cancel();
    tick_timer_.cancel();
    save_timer_.cancel();
    adopt_timer_.cancel();
    state_ = State::stopped;
    fail_marks();
    verify_.cut("this node does not serve the group any more");
    restore_.stop(Status(ErrorCode::closed,
                         "the node stops; a restore that has begun waits for "
                         "`--continue` or `--undo`"));
    answer_adopt(Status(ErrorCode::closed, "the node stops"));
    if (!served) {
        for (auto& [name, standing] : standings_) standing.peer->stop();
        context_.loop->post(std::move(done));
        return;
    }
    const Pipeline::Stopped stopped = pipeline_->stop();
    devices_clean_ = stopped.clean;
    // Behind the frames that the pipeline has handed over.
    context_.loop->post([this, alive = alive_, tip = stopped.tip, done = std::move(done)] {
        if (*alive == nullptr) return;
        if (tip.seq != sealed_.seq) {
            sealed_ = stepped_ = tip;
            lose_order("the standbys' queue ran over");
        }
        drain(context_.clock->boot() + kDrain, done);
    });
}

void Primary::drain(std::chrono::nanoseconds deadline, std::function<void()> done) {
    bool waiting = false;
    for (auto& [name, standing] : standings_) {
        if (backlog_.empty()) break;  // nobody lacks anything
        if (!standing.session || !context_.record.peers[name].compare.empty()) continue;
        standing.session->pump();  // what `rate_limit` held back
        waiting = waiting || standing.acked.durable < sealed_.point.lsn ||
                  standing.droppable < sealed_.seq;
    }
    if (waiting && context_.clock->boot() < deadline) {
        wait_timer_.after(kDrainPoll,
                          [this, deadline, done = std::move(done)] { drain(deadline, done); });
        return;
    }
    for (auto& [name, standing] : standings_) standing.peer->stop();
    record_stop();
    done();
}

// Behind a store the image is still changed by the apply stage: what a sample of it found would not
// be what the next start finds.
Status Primary::sample() {
    if (store_ == nullptr) return sample_volumes(context_);
    forget_samples(context_);
    return {};
}

void Primary::record_stop() {
    drop_frames();
    const Status stored = backlog_.store_all();
    if (!stored.ok()) lose_order("the backlog could not be stored: " + stored.message());
    const Status sampled = sample();
    context_.record.tip = sealed_;
    context_.record.step = stepped_;
    context_.record.clean = devices_clean_ && sampled.ok();
    const Status saved = context_.save();
    if (saved.ok() && context_.record.clean) {
        context_.event("stopped", fmt::format("clean, at step {}", sealed_.point.lsn.value()));
    } else {
        context_.event("alarm-stop", "not clean: " + (sampled.ok() ? saved : sampled).message());
    }
}

}  // namespace everstep::daemon
