// Primary: its standbys, which come and go while it serves (`everstep group apply`).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/primary.hpp"
#include "daemon/standby_changes.hpp"

namespace everstep::daemon {

void Primary::add_standing(const std::string& name) {
    PeerEvents peer_events;
    peer_events.own_state = [this] { return group_state(); };
    peer_events.on_greeted = [this, name] {
        if (state_ == State::serving) {
            begin_session(standings_.at(name));
        } else {
            consider();
        }
    };
    peer_events.on_ended = [this, name](const Status& why) {
        if (puller_ && pulling_from_ == name) puller_->link_lost(why);
        if (Standing* one = standing(name)) end_session(*one);
    };
    peer_events.on_reconfigured = [this, name] { tell_difference(standings_.at(name)); };
    peer_events.keepalive = [this] {
        wire::Keepalive alive;
        alive.step_clock_ns = step_now().time_since_epoch().count();
        alive.captured = pipeline_ ? pipeline_->captured() : sealed_.point.lsn;
        alive.captured_bytes = pipeline_ ? pipeline_->captured_bytes() : 0;
        return alive;
    };
    const PeerRecord& record = context_.record.peers[name];
    Standing& standing = standings_[name];
    standing.peer = std::make_unique<Peer>(context_, name, std::move(peer_events));
    standing.rate.set(context_.group->rate_limit);
    standing.let_go = record.joining;  // it needs no frame of now
    if (record.behind_since) ack_.recorded_lost(name);
    if (record.joining) ack_.joins(name);
}

// What was asked of it may still be on its way: it goes behind that.
void Primary::end_standing(const std::string& name) {
    const std::string why = fmt::format(
        "{} is not a standby of group {} any more; what it has of the history stays "
        "there",
        name, context_.group->name);
    const auto at = standings_.find(name);
    at->second.peer->stop(Status(ErrorCode::refused, why));
    end_session(at->second);
    const auto gone =
        std::make_shared<std::map<std::string, Standing>::node_type>(standings_.extract(at));
    context_.loop->post([loop = context_.loop, gone] { loop->post([gone] {}); });
    verify_.forget(name, why);
}

// A crash before the save leaves the group as it was; behind it a start does what is done here.
Status Primary::change_standbys() {
    const std::vector<std::string> standbys = context_.peers();
    const GroupRecord before = context_.record;
    const AckPolicy ack_before = ack_;
    const bool waited = ack_.waits();
    const bool begun = knows_standbys(context_.record);
    const bool paused = std::any_of(standings_.begin(), standings_.end(), [](const auto& one) {
        return one.second.peer->link_state() == "paused";
    });
    const StandbyChanges changes = take_standbys(context_.record, standbys);
    ack_.set_standbys(*context_.group, standbys, waited ? released_ : Lsn());
    for (const std::string& name : changes.added) {
        if (!begun) context_.record.peers[name] = {};  // there from the beginning
        if (begun) ack_.joins(name);
    }
    context_.record.ack_kept = context_.record.ack_kept && ack_.kept();
    context_.record.ack_answers = context_.record.ack_kept ? ack_.answers() : 0;
    if (const Status saved = context_.save(); !saved.ok()) {
        context_.record = before;
        ack_ = ack_before;
        return saved;
    }
    for (const std::string& name : changes.removed) {
        end_standing(name);
        context_.event("group", name + " is not a standby any more");
    }
    if (context_.record.intent) intent_bits_ = context_.record.intent->standbys;
    for (const std::string& name : changes.added) {
        add_standing(name);
        if (pipeline_ && context_.record.intent)
            pipeline_->add_standby(intent_bits_.size(), bit_of(name));
        if (paused) standings_[name].peer->set_paused(true);
        if (!paused) standings_[name].peer->dial_soon();
        context_.event("group", name +
                                    " is a standby now; it counts for `ack` when it has caught "
                                    "up for the first time");
    }
    for (auto& [name, standing] : standings_) standing.peer->follow_address();
    if (pipeline_ && !waited && ack_.waits()) {  // the first standbys of a group with none
        pipeline_->hold_answers([](Lsn) {});
        released_ = Lsn();
    }
    if (pipeline_) pipeline_->set_seal_every_batch(store_ != nullptr || ack_.waits());
    drop_frames();
    release();
    answer_marks();
    say_who_listens();
    return {};
}

bool Primary::keeps_acknowledged(const std::string& node) const {
    const auto record = context_.record.peers.find(node);
    if (record == context_.record.peers.end() || record->second.joining || !follows(node))
        return false;
    const Lsn acknowledged = ack_.waits() ? std::max(released_, ack_.begun()) : Lsn();
    return !record->second.behind_since && standings_.at(node).acked.durable >= acknowledged;
}

}  // namespace everstep::daemon
