// Primary: what it tells of itself (`everstep status`, the greeting of a peer).
#include <algorithm>

#include "daemon/added_volumes.hpp"
#include "daemon/primary.hpp"

namespace everstep::daemon {

namespace {
std::string state_name(const SendSession* session, const wire::Ack& acked) {
    if (session == nullptr) return "waiting";
    switch (session->state()) {
        case SendSession::State::starting:
            return "waiting";
        case SendSession::State::initial:
            return "initial-sync";
        case SendSession::State::resync:
            return "resync";
        case SendSession::State::streaming:
            return acked.consistent ? "streaming" : "resync";
    }
    EVERSTEP_ASSERT(false, "a session state");
}
std::string_view name_of(BacklogState state) {
    switch (state) {
        case BacklogState::queue:
            return "queue";
        case BacklogState::spool:
            return "spool";
        case BacklogState::gap:
            return "gap";
    }
    EVERSTEP_ASSERT(false, "a backlog state");
}
}  // namespace

wire::GroupState Primary::group_state() const {
    wire::GroupState state;
    state.group = context_.group->name;
    state.group_id = context_.record.group;
    state.role = state_ == State::serving ? wire::Role::primary : wire::Role::none;
    state.configuration = context_.group->canonical();
    state.volumes = to_wire(context_.record.volumes);
    state.timelines = to_wire(context_.record.timelines);
    state.has_state = has_record_;
    state.takeovers = context_.record.takeovers;
    state.has_history = store_ != nullptr && store_->store().has_history();
    const journal::Tip& tip = state_ == State::serving ? sealed_ : context_.record.tip;
    state.head = tip.point;
    state.head_hash = tip.hash;
    state.head_seq = tip.seq;
    state.head_step_time_ns = tip.step_time.time_since_epoch().count();
    const journal::Tip& step = state_ == State::serving ? stepped_ : context_.record.step;
    state.step_hash = step.hash;
    state.step_seq = step.seq;
    state.consistent = state.head;
    return state;
}

WallTime Primary::step_now() const {
    const WallTime newest =
        pipeline_ ? std::max(pipeline_->step_now(), sealed_.step_time) : sealed_.step_time;
    return std::max(newest, context_.clock->wall());
}

double Primary::lag_seconds(Lsn durable) const {
    const auto at = std::find_if(sealed_times_.begin(), sealed_times_.end(),
                                 [&](const SealedTime& one) { return one.last > durable; });
    if (at == sealed_times_.end()) return 0;
    return std::max(0.0, std::chrono::duration<double>(step_now() - at->step_time).count());
}

Value Primary::positions() const {
    Lsn sent = sealed_.point.lsn;
    Lsn received = sent;
    Lsn durable = sent;
    Lsn applied = sent;
    const auto joins = [&](const std::string& name) {
        const auto record = context_.record.peers.find(name);
        return record != context_.record.peers.end() && record->second.joining;
    };
    const bool all_join = std::all_of(standings_.begin(), standings_.end(),
                                      [&](const auto& one) { return joins(one.first); });
    for (const auto& [name, standing] : standings_) {
        if (joins(name) && !all_join) continue;
        sent =
            std::min(sent, standing.session ? standing.session->sent() : standing.acked.received);
        received = std::min(received, standing.acked.received);
        durable = std::min(durable, standing.acked.durable);
        applied = std::min(applied, standing.acked.applied);
    }
    if (store_ != nullptr && standings_.empty()) {
        received = durable = store_->store().durable().point.lsn;
        applied = store_->applied();
    }
    const Lsn captured = pipeline_ ? pipeline_->captured() : sealed_.point.lsn;
    Value value = Value::map();
    value.set("captured", captured.value());
    value.set("queued", captured.value());
    value.set("sealed", sealed_.point.lsn.value());
    value.set("sent", std::max(sent, received).value());
    value.set("received", received.value());
    value.set("durable", durable.value());
    value.set("applied", applied.value());
    return value;
}

Value Primary::backlog_status() const {
    const BacklogOptions& limits = backlog_.options();
    Value value = Value::map();
    value.set("queue_bytes", backlog_.memory_bytes().value());
    value.set("queue_limit", limits.memory_bytes.value());
    value.set("spool_bytes", backlog_.spool_bytes().value());
    value.set("spool_limit", limits.spool_bytes.value());
    return value;
}

Value Primary::peer_status(const std::string& name, const Standing& standing) const {
    Value value = Value::map();
    value.set("node", name);
    value.set("state", standing.peer->link_state());
    const std::string differs = standing.peer->difference();
    const std::string why = differs.empty() ? standing.peer->why() : differs_text(differs);
    value.set("why", why.empty() ? Value() : Value(why));
    value.set("replica", state_name(standing.session.get(), standing.acked));
    value.set("received", standing.acked.received.value());
    value.set("durable", standing.acked.durable.value());
    value.set("applied", standing.acked.applied.value());
    const Lsn captured = pipeline_ ? pipeline_->captured() : sealed_.point.lsn;
    value.set("lag_steps", captured.value() - std::min(captured, standing.acked.durable).value());
    value.set("lag_bytes", backlog_.bytes_behind(standing.droppable));
    value.set("backlog", std::string(name_of(standing.backlog)));
    value.set("lag_seconds", lag_seconds(standing.acked.durable));
    const auto record = context_.record.peers.find(name);
    const bool behind = record != context_.record.peers.end() && record->second.behind_since;
    value.set("behind_since", behind ? Value(record->second.behind_since->value()) : Value());
    value.set("joining", record != context_.record.peers.end() && record->second.joining);
    value.set("compare", record == context_.record.peers.end() || record->second.compare.empty()
                             ? Value()
                             : Value(record->second.compare));
    const Value copy = standing.session ? copy_status(*standing.session) : Value();
    value.set("copied", copy.is_null() ? Value() : copy.at("done_bytes"));
    value.set("copy", copy);
    const bool known = record != context_.record.peers.end();
    value.set("verified", known ? verified_status(record->second) : Value());
    value.set("verifying", standing.session ? verify_status(*standing.session) : Value());
    const bool mapped = pipeline_ && context_.record.intent;
    value.set("may_differ_bytes",
              mapped ? Value(pipeline_->marked_bytes(bit_of(name)).value()) : Value());
    return value;
}

Value Primary::status() const {
    Value value = Value::map();
    const std::string cut = state_ == State::serving ? restore_.pending() : "";
    value.set("state", restore_.running()          ? "restoring"
                       : !cut.empty()              ? "refused"
                       : state_ == State::starting ? "starting"
                       : state_ == State::serving  ? "serving"
                       : state_ == State::refused  ? "refused"
                                                   : "stopped");
    const std::string& why = cut.empty() ? why_ : cut;
    value.set("why", why.empty() ? Value() : Value(why));
    value.set("restore", restore_.status());
    value.set("ack_in_force",
              std::string(ack_name(ack_.waits() ? ack_.in_force() : AckLevel::local)));
    value.set("positions", positions());
    Value peers = Value::list();
    for (const auto& [name, standing] : standings_) peers.push(peer_status(name, standing));
    value.set("peers", std::move(peers));
    value.set("backlog", backlog_status());
    Value uris = Value::list();
    if (pipeline_ && state_ == State::serving) {
        for (const std::string& uri : pipeline_->uris())
            uris.push(uri.empty() ? Value() : Value(uri));
    }
    value.set("uris", std::move(uris));
    Value reading = Value::list();
    for (const VolumeRecord& volume : context_.record.volumes) reading.push(joins_.status(volume));
    value.set("read_in", std::move(reading));
    return value;
}

}  // namespace everstep::daemon
