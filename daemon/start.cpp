#include "daemon/start.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "daemon/line_owner.hpp"

namespace everstep::daemon {

namespace {

using Kind = StartDecision::Kind;

StartDecision refuse(std::string why) {
    return {Kind::refuse, std::move(why), {}, {}, {}, {}};
}

bool of_another_group(const StartInput& input, const wire::GroupState& state) {
    return !input.group.nil() && !state.group_id.nil() && state.group_id != input.group;
}

// A standby with the state of another group of this name knows nothing of this one: its session is
// refused (plan_stream), the start is not its business. One that has taken part and could not read
// its state says nothing of what it has.
void drop_strangers(StartInput& input) {
    for (PeerAnswer& peer : input.peers) {
        if (!peer.state) continue;
        const bool stranger =
            peer.state->role == wire::Role::standby && of_another_group(input, *peer.state);
        const bool failed =
            peer.state->has_state && !peer.state->refused.empty() && peer.state->timelines.empty();
        if (stranger || failed) peer.state.reset();
    }
}

// The peer's line is one that this node's goes on from.
bool left_behind(const StartInput& input, const wire::GroupState& peer) {
    return input.has_record && peer.head.timeline != input.tip.point.timeline &&
           std::any_of(input.timelines.begin(), input.timelines.end(),
                       [&](const auto& one) { return one.id == peer.head.timeline; });
}

// Whose data is to be taken: of the node that took over, where it is a peer.
std::string whose(const StartInput& input, const PeerAnswer& peer) {
    const std::string owner = line_owner(peer.node, *peer.state);
    const bool known = std::any_of(input.peers.begin(), input.peers.end(),
                                   [&](const PeerAnswer& one) { return one.node == owner; });
    return known ? owner : peer.node;
}

// A peer that took over, or that serves something unrelated, ends the question at once.
std::optional<StartDecision> heard_of_another(const StartInput& input) {
    for (const PeerAnswer& peer : input.peers) {
        if (!peer.state) continue;
        const wire::GroupState& state = *peer.state;
        if (of_another_group(input, state)) {
            return refuse(
                fmt::format("{} has the state of another group of this name ({}; this node has {})",
                            peer.node, state.group_id.hex(), input.group.hex()));
        }
        const Timelines theirs = from_wire(state.timelines);
        const bool newer = input.has_record && !input.tip.point.timeline.nil() &&
                           has_descendant(theirs, input.tip.point.timeline, input.timelines);
        const Claim claim =
            input.has_record ? claim_of(input.timelines, input.takeovers, state) : Claim::none;
        if (newer || claim == Claim::theirs) {
            return StartDecision{
                Kind::demote,
                fmt::format("{} is on a newer timeline ({}), which branched from this node's",
                            peer.node, state.head.timeline.hex()),
                whose(input, peer),
                {},
                {},
                {}};
        }
        if (state.role == wire::Role::primary &&
            (claim == Claim::own || left_behind(input, state))) {
            StartDecision decision;
            decision.why = peer.node +
                           " serves a line that was left by a takeover here; this node "
                           "serves when it has stepped down";
            if (input.waited) decision.alarm = decision.why;
            return decision;
        }
        if (state.role == wire::Role::primary) {
            return refuse(fmt::format(
                "{} is primary too, on timeline {}, which is not related to this node's; "
                "see `everstep adopt`",
                peer.node, state.head.timeline.hex()));
        }
    }
    return std::nullopt;
}

const PeerAnswer* with_history(const StartInput& input) {
    const PeerAnswer* best = nullptr;
    for (const PeerAnswer& peer : input.peers) {
        if (!peer.state || !peer.state->has_history) continue;
        if (best == nullptr || peer.state->head.lsn > best->state->head.lsn) best = &peer;
    }
    return best;
}

bool all_answered(const StartInput& input) {
    return std::all_of(input.peers.begin(), input.peers.end(),
                       [](const PeerAnswer& peer) { return peer.state.has_value(); });
}

// The furthest peer with steps of this node's own timeline that this node does not know: it gave
// them out, and its state is older than that, or it has lost them.
const PeerAnswer* ahead_of(const StartInput& input) {
    const PeerAnswer* best = nullptr;
    for (const PeerAnswer& peer : input.peers) {
        if (!peer.state || !peer.state->has_history ||
            peer.state->head.timeline != input.tip.point.timeline)
            continue;
        const Lsn known = best == nullptr ? input.tip.point.lsn : best->state->head.lsn;
        if (peer.state->head.lsn > known) best = &peer;
    }
    return best;
}

// This disk becomes the truth by the operator's word: a new timeline behind the furthest peer's.
StartDecision force(const StartInput& input) {
    const PeerAnswer* peer = input.serves_store ? nullptr : with_history(input);
    if (peer == nullptr && !input.has_record) return {Kind::begin, "", {}, {}, {}, {}};
    if (peer == nullptr)
        return {Kind::branch, "adopted by force", {}, input.step, input.timelines, {}};
    const Timelines theirs = from_wire(peer->state->timelines);
    return {Kind::branch,
            "adopted by force",
            {},
            branch_tip(*peer->state),
            path_to(theirs, peer->state->head.timeline),
            {}};
}

StartDecision without_state(const StartInput& input) {
    const PeerAnswer* peer = with_history(input);
    if (peer != nullptr) {
        return refuse(
            fmt::format("this node has no state, but {} has a history up to step {}; `everstep "
                        "adopt GROUP --from {}` takes "
                        "its data, `everstep adopt GROUP --force` makes this disk the truth",
                        peer->node, peer->state->head.lsn.value(), peer->node));
    }
    if (all_answered(input)) return {Kind::begin, "", {}, {}, {}, {}};
    StartDecision decision;
    decision.why = "a node without state waits until every standby has answered";
    if (input.waited) decision.alarm = decision.why;
    return decision;
}

// Its steps are this node's, so that they may be brought back. A peer that waits for its compare
// may hold what the operator has declared void, unless it has got on to this node's timeline since.
bool proved(const StartInput& input, const PeerAnswer& peer) {
    return !peer.compare || peer.state->head.timeline == input.tip.point.timeline;
}

// Its newest step lies inside a batch: no point, and no content that may be brought.
bool in_batch(const wire::GroupState& peer) {
    return !peer.gap_open && peer.consistent != peer.head;
}

StartDecision after_unclean_stop(const StartInput& input) {
    std::uint32_t answers = 0;
    const PeerAnswer* furthest = nullptr;
    const PeerAnswer* source = nullptr;  // the furthest whose content may be taken
    const auto further = [](const PeerAnswer& peer, const PeerAnswer* than) {
        return than == nullptr || peer.state->head.lsn > than->state->head.lsn;
    };
    for (const PeerAnswer& peer : input.peers) {
        if (!peer.state || !peer.state->has_history || peer.state->gap_open) continue;
        const auto common =
            common_point(input.timelines, {input.tip.point.timeline, Lsn(UINT64_MAX)},
                         from_wire(peer.state->timelines), peer.state->head);
        if (common != peer.state->head) continue;  // not on this node's line
        if (further(peer, furthest)) furthest = &peer;
        if (!proved(input, peer) || !peer.connected) continue;
        ++answers;
        if (further(peer, source)) source = &peer;
    }
    if (!all_answered(input) && !input.waited) return {};
    if (furthest == nullptr) {
        StartDecision alone{
            Kind::branch, "the primary stopped uncleanly", {}, input.step, input.timelines, {}};
        if (!input.peers.empty())
            alone.alarm = "no standby confirmed the timeline; this disk's content is served";
        return alone;
    }
    // A standby behind that has lost what it had answered for: an older state was put back.
    const bool whole = source != nullptr && source->state->head.lsn >= input.acked;
    // All that was acknowledged was on this disk, flushed, before the batch of a restore began, or
    // when it ended.
    const bool batch = input.restoring || (source != nullptr && in_batch(*source->state));
    if (input.ack_kept && !batch && whole && answers >= input.answers_needed) {
        const wire::GroupState& state = *source->state;
        return {Kind::pull,        "acknowledged writes are brought from the standby", source->node,
                branch_tip(state), path_to(input.timelines, state.head.timeline),      {}};
    }
    const wire::GroupState& state = *furthest->state;
    const bool ahead = state.head.lsn >= input.tip.point.lsn;
    return {Kind::branch,
            "the primary stopped uncleanly",
            {},
            ahead ? branch_tip(state) : input.step,
            ahead ? path_to(input.timelines, state.head.timeline) : input.timelines,
            input.ack_kept && !batch
                ? "too few standbys answered to bring back what they keep; this "
                  "disk's content is served"
                : ""};
}

StartDecision after_clean_stop(const StartInput& input) {
    if (const PeerAnswer* ahead = ahead_of(input)) {
        return refuse(
            fmt::format("{} has step {} of timeline {}, of which this node gave out only {}: its "
                        "state is older than the standby's; `everstep adopt GROUP --from {}`",
                        ahead->node, ahead->state->head.lsn.value(), input.tip.point.timeline.hex(),
                        input.tip.point.lsn.value(), ahead->node));
    }
    for (const PeerAnswer& peer : input.peers) {
        if (!peer.state || !peer.state->has_history) continue;
        const auto common = common_point(input.timelines, input.tip.point,
                                         from_wire(peer.state->timelines), peer.state->head);
        if (common) return {Kind::go_on, "", {}, input.tip, input.timelines, {}};
    }
    const bool fresh_peers = all_answered(input);
    if (!fresh_peers && !input.waited) return {};
    StartDecision decision{Kind::go_on, "", {}, input.tip, input.timelines, {}};
    if (!fresh_peers) decision.alarm = "no standby answered; serving alone";
    return decision;
}

// The store that this node serves is its own truth, as far as it goes. After `kill -9` it goes as
// far as any standby's: frames leave for them behind the append. A standby that is further shows an
// older state put back, or a loss of power; the store cannot take its steps in.
StartDecision from_own_store(const StartInput& input) {
    const PeerAnswer* ahead = ahead_of(input);
    if (ahead != nullptr && (input.clean || input.ack_kept)) {
        return refuse(fmt::format(
            "{0} has step {1} of timeline {2}, of which this node's store holds only {3}: {4}. "
            "Stop this node, `everstep takeover GROUP --force` on {0}, then here `everstep adopt "
            "GROUP --from {0}`; `everstep adopt GROUP --force` gives those steps up",
            ahead->node, ahead->state->head.lsn.value(), input.tip.point.timeline.hex(),
            input.tip.point.lsn.value(),
            input.clean ? "its state is older than the standby's"
                        : "acknowledged writes are on the standby alone"));
    }
    const auto answers = std::count_if(input.peers.begin(), input.peers.end(),
                                       [](const auto& one) { return one.state.has_value(); });
    const bool heard = answers > 0;
    const bool kept = input.ack_kept && !input.clean;
    const bool asked = kept ? all_answered(input) : heard;
    if (!input.peers.empty() && !asked && !input.waited) return {};
    StartDecision decision{input.clean ? Kind::go_on : Kind::branch,
                           input.clean ? "" : "the primary stopped uncleanly",
                           {},
                           input.clean ? input.tip : input.step,
                           input.timelines,
                           {}};
    if (!input.peers.empty() && !heard) {
        decision.alarm = "no standby answered; serving alone";
    } else if (ahead != nullptr) {
        decision.alarm = fmt::format("steps up to {} are on {} alone and not served",
                                     ahead->state->head.lsn.value(), ahead->node);
    } else if (kept && answers < static_cast<std::ptrdiff_t>(input.answers_needed)) {
        decision.alarm =
            "too few standbys answered to know whether they keep more than this node's store, "
            "which is served";
    }
    return decision;
}

// The volumes are a mix of two contents: only all of the newer one makes them one again.
StartDecision finish_pull(const StartInput& input) {
    const PeerAnswer* from = nullptr;
    for (const PeerAnswer& peer : input.peers) {
        if (!peer.state || !peer.state->has_history || peer.state->gap_open) continue;
        if (!peer.connected) continue;  // it is asked again when it is, or another is
        const Timelines theirs = from_wire(peer.state->timelines);
        const Timelines path = path_to(theirs, peer.state->head.timeline);
        if (common_point(path, peer.state->head, theirs, input.pulled) != input.pulled) continue;
        if (from == nullptr || peer.state->head.lsn > from->state->head.lsn) from = &peer;
    }
    if (from != nullptr) {
        const wire::GroupState& state = *from->state;
        return {Kind::pull,
                "the volumes were brought from a standby",
                from->node,
                branch_tip(state),
                path_to(from_wire(state.timelines), state.head.timeline),
                {}};
    }
    if (!all_answered(input) && !input.waited) return {};
    return refuse(fmt::format(
        "this node stopped while its volumes were brought to step {} of {}: they hold a part of it "
        "over older content. It goes on when a node that has that step answers; `everstep adopt "
        "GROUP --from NODE` takes another node's data, `everstep adopt GROUP --force` makes this "
        "disk as it is the truth",
        input.pulled.lsn.value(), input.pulling));
}

}  // namespace

journal::Tip branch_tip(const wire::GroupState& state) {
    return {state.head, state.step_hash, state.step_seq,
            WallTime(std::chrono::nanoseconds(state.head_step_time_ns))};
}

Status may_adopt(const std::string& group, const std::string& peer, const wire::GroupState& state) {
    if (!state.has_history) return {ErrorCode::refused, peer + " has no history to take"};
    if (state.gap_open) return {ErrorCode::refused, peer + " is in the middle of a resync"};
    if (!in_batch(state)) return {};
    return {
        ErrorCode::refused,
        fmt::format("{0} ends in the middle of a restore that was cut; its newest point is step "
                    "{1}. Stop this node, `everstep takeover {2} --force` on {0}, then here "
                    "`everstep adopt {2} --from {0}`",
                    peer, state.consistent.lsn.value(), group)};
}

StartDecision decide_start(StartInput input) {
    drop_strangers(input);
    if (const auto other = heard_of_another(input)) return *other;
    if (input.forced) {
        StartDecision decision = force(input);
        decision.forced = true;
        return decision;
    }
    if (!input.pulling.empty() && input.volume_problem.empty()) return finish_pull(input);
    if (!input.has_record) return without_state(input);
    if (!input.volume_problem.empty()) {
        const PeerAnswer* peer = with_history(input);
        if (peer == nullptr && !all_answered(input) && !input.waited) return {};
        return refuse(input.volume_problem +
                      "; nothing is sent to a standby: `everstep adopt GROUP --from NODE` "
                      "takes that node's data, `everstep adopt GROUP --force` makes this "
                      "disk the truth");
    }
    if (input.serves_store) return from_own_store(input);
    return input.clean ? after_clean_stop(input) : after_unclean_stop(input);
}

}  // namespace everstep::daemon
