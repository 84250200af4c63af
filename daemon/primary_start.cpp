// Primary: from "role primary" to serving, or not (DESIGN.md 5, "Starts").
#include <utility>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/primary.hpp"
#include "daemon/standby_changes.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {

namespace {
constexpr std::chrono::seconds kAdoptWait{5};  // for a link to the node whose data is wanted
constexpr std::chrono::milliseconds kAdoptPoll{100};
constexpr std::chrono::seconds kServeAgain{2};  // after an address could not be had
}  // namespace

void Primary::start(bool volumes_made) {
    volumes_made_ = volumes_made;
    if (context_.record.timelines.empty() && store_ != nullptr && store_->store().has_history()) {
        // It died between the store's beginning and the record of it.
        const journal::Store& store = store_->store();
        context_.record.timelines = path_to(store.timelines(), store.durable().point.timeline);
    }
    has_record_ = !context_.record.timelines.empty();
    was_clean_ = context_.record.clean;
    if (context_.record.group.nil())
        context_.record.group = Uuid::random();  // kept when the group begins
    const bool known = has_record_ || !context_.record.pulling.empty();
    if (known && store_ == nullptr) volume_problem_ = volumes_changed();
    for (auto& [name, standing] : standings_) standing.peer->dial();
    wait_timer_.after(context_.group->start_wait, [this] {
        waited_ = true;
        consider();
    });
    consider();
}

std::string Primary::volumes_changed() {
    const auto problem = volume_problem(context_);
    return problem.ok() ? *problem : problem.status().message();
}

// A store that does not end where the record says was put back, or left behind, without it: what
// was given out since cannot be proved.
void Primary::know_store(StartInput& input) const {
    const journal::Tip recorded = input.tip;
    if (!store_->store().has_history()) {
        input.volume_problem = fmt::format(
            "the store that this node served, up to step {} at least, is gone: it holds no history",
            recorded.point.lsn.value());
        return;
    }
    input.tip = store_->store().durable();
    const Result<journal::Tip> step = store_->store().tip_at(input.tip.point);
    input.step = step.ok() ? *step : input.tip;
    input.timelines = path_to(store_->store().timelines(), input.tip.point.timeline);
    input.clean = input.clean && input.tip.point == recorded.point &&
                  input.tip.hash == recorded.hash && input.tip.seq == recorded.seq;
}

// `forced`: the operator's word, for this one decision.
void Primary::consider(bool forced) {
    if (state_ == State::serving || state_ == State::stopped || puller_ || appending_) return;
    StartInput input;
    input.has_record = has_record_;
    input.clean = was_clean_;
    input.restoring = context_.record.restore.has_value();
    input.tip = context_.record.tip;
    input.step = context_.record.step;
    input.timelines = context_.record.timelines;
    input.volume_problem = volume_problem_;
    if (store_ != nullptr && has_record_) know_store(input);
    input.serves_store = store_ != nullptr;
    input.pulling = context_.record.pulling;
    input.pulled = context_.record.pulled;
    input.ack_kept = context_.record.ack_kept;
    input.acked = context_.record.acked;
    // As it was when it was acknowledged, whatever the configuration asks for now.
    const std::uint32_t answers = context_.record.ack_answers;
    input.answers_needed = answers != 0 ? answers : static_cast<std::uint32_t>(standings_.size());
    input.group = has_record_ ? context_.record.group : Uuid();
    input.takeovers = context_.record.takeovers;
    input.waited = waited_;
    input.forced = forced;
    for (const auto& [name, standing] : standings_) {
        const PeerRecord& record = context_.record.peers[name];
        // One that joins had no part in what was acknowledged.
        const bool may_answer = standing.peer->link() != nullptr && !record.joining;
        input.peers.push_back({name, standing.peer->state(), !record.compare.empty(), may_answer});
    }
    const StartDecision decision = decide_start(std::move(input));
    if (!decision.alarm.empty() && alarmed_ != decision.alarm) {
        alarmed_ = decision.alarm;
        context_.event("alarm-start", decision.alarm);
    }
    carry_out(decision);
}

void Primary::carry_out(const StartDecision& decision) {
    using Kind = StartDecision::Kind;
    before_ = context_.record;
    const bool same_disk = has_record_ && !decision.forced && volume_problem_.empty();
    intent_ = same_disk ? IntentBegin::as_stored : IntentBegin::all_marked;
    switch (decision.kind) {
        case Kind::wait:
            why_ = decision.why;
            answer_adopt(Status(ErrorCode::refused, decision.why));
            return;
        case Kind::begin:
            intent_ = IntentBegin::all_clear;
            begin_group();
            return;
        case Kind::go_on:
            sealed_ = decision.tip;
            stepped_ = context_.record.step;
            new_timeline_ = false;
            serve();
            return;
        case Kind::branch:
            // This disk's content wins: what the standbys keep is not what is served.
            if (decision.forced || store_ == nullptr) context_.record.ack_kept = false;
            if (stands_on_unserved(decision)) {
                sealed_ = stepped_ = decision.tip;
                new_timeline_ = true;
                serve();
            } else {
                branch(decision, store_ == nullptr);
            }
            return;
        case Kind::pull:
            pull(decision);
            return;
        case Kind::refuse:
            refuse(decision.why);
            return;
        case Kind::demote:
            state_ = State::stopped;
            answer_adopt(Status(ErrorCode::refused, decision.why));
            context_.loop->post([this, alive = alive_, decision] {
                if (*alive != nullptr) events_.on_demoted(decision);
            });
            return;
    }
}

void Primary::refuse(const std::string& why) {
    if (state_ != State::refused || why_ != why) context_.event("alarm-refused", why);
    // A peer may change its mind, or another may answer: the question is asked again at each
    // greeting.
    state_ = State::refused;
    why_ = why;
    put_back();
    answer_adopt(Status(ErrorCode::refused, why));
}

// A start that came to nothing has used up no clean stop and begun no timeline: nothing was written
// and no peer was told.
void Primary::put_back() {
    if (!before_) return;
    const bool changed = pack_record(context_.record) != pack_record(*before_);
    context_.record = std::move(*before_);
    before_.reset();
    if (changed) {
        context_.save().ignore("the record then says less: not clean, an empty timeline more");
    }
}

void Primary::answer_adopt(const Status& status) {
    if (const auto done = std::exchange(adopting_, nullptr)) done(status);
}

void Primary::begin_group() {
    GroupRecord& record = context_.record;
    record.role = wire::Role::primary;
    record.zero_origin = volumes_made_;
    journal::TimelineInfo first;
    first.id = Uuid::random();
    first.node = context_.node;
    record.timelines = {first};
    record.tip = journal::Tip();
    record.tip.point.timeline = first.id;
    record.tip.step_time = context_.clock->wall();
    sealed_ = stepped_ = record.tip;
    new_timeline_ = true;
    begin_timeline(first);
}

// What was tried before and could not be served, or a takeover that this start goes on with.
bool Primary::stands_on_unserved(const StartDecision& decision) const {
    const GroupRecord& record = context_.record;
    if (!record.unserved || decision.forced || record.timelines.empty()) return false;
    const journal::TimelineInfo& newest = record.timelines.back();
    return decision.tip.point == Point{newest.id, newest.branch_lsn};
}

void Primary::branch(const StartDecision& decision, bool compare) {
    GroupRecord& record = context_.record;
    if (!has_record_) {  // adopted by force: the group that the peers know goes on
        for (const auto& [name, standing] : standings_) {
            if (standing.peer->state() && !standing.peer->state()->group_id.nil()) {
                record.group = standing.peer->state()->group_id;
                take_whole_from(record.volumes, standing.peer->state()->volumes);
            }
        }
    }
    journal::TimelineInfo next;
    next.id = Uuid::random();
    next.parent = decision.tip.point.timeline;
    next.branch_lsn = decision.tip.point.lsn;
    next.branch_hash = decision.tip.hash;
    next.branch_seq = decision.tip.seq;
    next.number = decision.timelines.empty() ? 1 : decision.timelines.back().number + 1;
    next.node = context_.node;
    // What was said to be whole may have been so behind this step only.
    stand_on(record.volumes, decision.timelines, decision.tip.point);
    record.role = wire::Role::primary;
    record.timelines = decision.timelines;
    record.timelines.push_back(next);
    record.tip = decision.tip;
    record.tip.point.timeline = next.id;
    record.pulling.clear();
    record.unserved = true;
    if (decision.forced) {  // the operator's word, as a takeover is
        for (const auto& [name, standing] : standings_) {
            if (!standing.peer->state()) continue;
            record.takeovers = std::max(record.takeovers, standing.peer->state()->takeovers);
        }
        record.takeovers += 1;
    }
    if (compare) {
        for (const auto& [name, standing] : standings_) record.peers[name].compare = decision.why;
    }
    sealed_ = stepped_ = record.tip;
    new_timeline_ = true;
    context_.event("timeline",
                   fmt::format("timeline {} ({}) begins behind step {}: {}", next.number,
                               next.id.hex(), next.branch_lsn.value(), decision.why));
    begin_timeline(next);
}

// Serves once the store, where there is one, has the timeline.
void Primary::begin_timeline(const journal::TimelineInfo& next) {
    if (store_ == nullptr) {
        serve();
        return;
    }
    state_ = State::starting;
    appending_ = true;
    events_.append_timeline(next, [this, alive = alive_](const Status& status) {
        if (*alive == nullptr) return;
        appending_ = false;
        if (state_ != State::starting) return;  // stopped, or another node took over meanwhile
        if (status.ok()) {
            serve();
        } else {
            refuse(status.message());
        }
    });
}

// Durable before the first byte is written over: what the volumes hold until the pull is done is
// neither this node's content nor the peer's.
Status Primary::record_pull(const StartDecision& decision) {
    EVERSTEP_TRY(sample_volumes(context_));  // these are the disks, whatever they were before
    forget_samples(context_);
    GroupRecord& record = context_.record;
    record.role = wire::Role::primary;
    record.clean = false;
    record.pulling = decision.peer;
    record.pulled = decision.tip.point;
    if (!intent_usable()) forget_intent();  // nor may a start that goes on with this use it
    EVERSTEP_TRY(context_.save());
    was_clean_ = false;
    volume_problem_.clear();
    before_ = record;
    return {};
}

void Primary::pull(const StartDecision& decision) {
    Standing* from = standing(decision.peer);
    if (from == nullptr || from->peer->link() == nullptr)
        return;  // asked again at its next greeting
    Status begun = make_gone_volumes(context_);
    const std::vector<journal::GapExtent> extents = to_pull(decision);
    if (begun.ok()) begun = record_pull(decision);
    if (!begun.ok()) {
        refuse(begun.message());
        return;
    }
    if (!decision.alarm.empty()) context_.event("alarm-adopt", decision.alarm);
    PullOptions options;
    options.at = decision.tip.point;
    options.extents = extents;
    for (const VolumeConfig& volume : context_.group->volumes) {
        options.devices.push_back(volume.on(context_.node)->device);
    }
    why_ = fmt::format("bringing the volumes to step {} from {}", options.at.lsn.value(),
                       decision.peer);
    context_.event("pull", why_ + ": " + share_of(extents) + " may differ and are read");
    pulling_from_ = decision.peer;
    puller_ = std::make_unique<Puller>(
        context_, std::move(options), *from->peer->link(),
        [this, alive = alive_, decision](const Status& status, ByteCount changed) {
            if (*alive == nullptr) return;
            context_.loop->post([gone = std::shared_ptr<Puller>(std::move(puller_))] {});
            if (state_ == State::stopped) return;
            if (!status.ok()) {
                refuse(status.message());
                return;
            }
            context_.event("pull", fmt::format("done: {} bytes differed", changed.value()));
            branch(decision, false);
        });
    from->peer->start_session(puller_->link_events());
    puller_->begin();
}

void Primary::serve() {
    GroupRecord& record = context_.record;
    record.role = wire::Role::primary;
    record.refused.clear();
    load_backlog();
    // A volume that was adopted, or brought from a peer, is the known one from now on.
    const Status sampled = sample_in_use();
    if (!sampled.ok()) {
        not_served(sampled);
        return;
    }
    // Consumed durably before the first write: another start without a clean stop must know.
    record.clean = false;
    record.unserved = false;
    record.tip = sealed_;
    record.step = stepped_;
    // What held goes on to hold until something is acknowledged: record_kept().
    record.ack_kept = record.ack_kept && ack_.level() == AckLevel::durable && ack_.enough();
    ack_.begin(sealed_.point.lsn);
    prepare_intent();
    const Status saved = context_.save();
    if (!saved.ok()) {
        not_served(saved);
        return;
    }
    PipelineOptions options;
    options.intent = intent_options();
    options.capture = {record.group,   sealed_,
                       new_timeline_,  store_ != nullptr || ack_.waits(),
                       context_.clock, context_.compression};
    options.store = store_;
    options.files = context_.files;
    options.in_batch = record.restore.has_value();
    for (const VolumeRecord& volume : record.volumes) {
        PipelineVolume served = served_volume(context_, volume);
        // A history that does not have all of it is not what anybody may write on.
        if (store_ != nullptr && std::exchange(served.coming, false)) served.listen.clear();
        options.volumes.push_back(std::move(served));
    }
    PipelineEvents events;
    events.on_frame = [this](const FramePtr& frame) { on_frame(frame); };
    events.on_overflow = [this] { on_overflow(); };
    events.on_event = [this](const std::string& kind, const std::string& text) {
        context_.event(kind, text);
    };
    events.on_intent_lost = [this](const Status& why) { return intent_lost(why); };
    pipeline_ = std::make_unique<Pipeline>(*context_.loop, std::move(options), std::move(events));
    const Status started = pipeline_->start();
    if (!started.ok()) {
        not_served(started);
        return;
    }
    served(new_timeline_);
    sample_in_use().ignore("taken again later");
}

// No client was let in; it is tried again. What the store has taken in stays: the next try stands
// on it.
void Primary::not_served(const Status& why) {
    pipeline_.reset();
    if (store_ != nullptr && new_timeline_) {
        has_record_ = true;
        was_clean_ = false;
        context_.record.unserved = true;
        context_.save().ignore("then the next start begins one more timeline");
        before_.reset();
    }
    refuse(why.message());
    wait_timer_.after(kServeAgain, [this] { consider(); });
}

void Primary::served(bool new_timeline) {
    state_ = State::serving;
    why_.clear();
    has_record_ = true;
    volume_problem_.clear();
    before_.reset();
    wait_timer_.cancel();
    context_.event(
        "serving",
        fmt::format("serving from step {} of timeline {}{}", sealed_.point.lsn.value(),
                    context_.record.timelines.back().number, new_timeline ? " (new)" : ""));
    if (const std::string cut = restore_.pending(); !cut.empty())
        context_.event("alarm-restore", cut);
    if (ack_.waits())
        for (const std::string& text : told_behind(context_.record))
            context_.event("alarm-ack", text);
    restore_.keep_step("");
    if (store_ == nullptr) joins_.begin();
    tick_timer_.every(std::chrono::milliseconds(50), [this] { tick(); });
    save_timer_.every(std::chrono::seconds(5), [this] { save_progress(); });
    release();
    say_who_listens();
    for (auto& [name, standing] : standings_) {
        if (standing.peer->link() != nullptr) begin_session(standing);
    }
    answer_adopt(Status());
}

void Primary::adopt_soon(bool force, const std::string& from, std::function<void(Status)> done) {
    adopt_until_ = context_.clock->boot() + kAdoptWait;
    adopt(force, from, std::move(done));
}

void Primary::adopt(bool force, const std::string& from, std::function<void(Status)> done) {
    if (state_ == State::serving && force && !restore_.pending().empty())
        return restore_.take_as_it_is(std::move(done));
    if (state_ == State::serving && force && take_any_difference()) return done(Status());
    if (state_ == State::serving && force && store_ != nullptr &&
        joins_.take_as_whole(sealed_.point))
        return done(Status());
    if (state_ == State::serving) return done(Status(ErrorCode::refused, why_no_adopt()));
    if (puller_ || appending_) {
        done(Status(ErrorCode::busy, puller_ ? "data is being brought already"
                                             : "the store is about to begin a timeline"));
        return;
    }
    if (force) {
        adopting_ = std::move(done);
        consider(true);
        return;
    }
    if (store_ != nullptr) {
        done(Status(ErrorCode::refused,
                    fmt::format("this node serves through its store and takes no other content "
                                "over it: stop it, `everstep takeover {0} --force` on {1}, then "
                                "`everstep adopt {0} --from {1}` here",
                                context_.group->name, from)));
        return;
    }
    Standing* peer = standing(from);
    if (peer == nullptr || peer->peer->link() == nullptr || !peer->peer->state()) {
        if (context_.clock->boot() >= adopt_until_) {
            const std::string why = peer == nullptr ? "" : peer->peer->why();
            done(Status(ErrorCode::unreachable, fmt::format("{} is not connected{}{}", from,
                                                            why.empty() ? "" : ": ", why)));
        } else {
            adopt_timer_.after(kAdoptPoll, [this, from, done] { adopt(false, from, done); });
        }
        return;
    }
    const wire::GroupState& state = *peer->peer->state();
    Status may = may_adopt(context_.group->name, from, state);
    if (may.ok()) may = all_whole_at(state.volumes, from_wire(state.timelines), state.head);
    if (!may.ok()) return done(may);
    before_ = context_.record;
    StartDecision decision;
    decision.kind = StartDecision::Kind::pull;
    decision.why = "adopted from " + from;
    context_.record.ack_kept = false;
    decision.peer = from;
    decision.timelines = path_to(from_wire(state.timelines), state.head.timeline);
    decision.tip = branch_tip(state);
    const std::string lost = steps_not_there(context_.record.timelines, context_.record.tip.point,
                                             from_wire(state.timelines), decision.tip.point);
    if (has_record_ && !lost.empty()) decision.alarm = not_there_text(lost, from);
    if (!has_record_) context_.record.group = state.group_id;
    context_.record.restore.reset();  // all of the volumes becomes that node's
    intent_ = IntentBegin::all_marked;
    adopting_ = std::move(done);
    state_ = State::starting;
    pull(decision);
}

void Primary::serve_promoted(std::function<void(Status)> done) {
    has_record_ = true;
    waited_ = true;  // the takeover has asked every member
    sealed_ = stepped_ = context_.record.tip;
    new_timeline_ = true;
    context_.record.ack_kept = false;
    adopting_ = std::move(done);
    serve();
    for (auto& [name, standing] : standings_) standing.peer->dial();
}

}  // namespace everstep::daemon
