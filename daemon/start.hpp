// What a node whose role is primary does at a start (DESIGN.md 5, "Starts"), as a decision table
// without I/O: what it knows of itself, what its peers answered, and what follows. Pure; any
// thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/lineage.hpp"

namespace everstep::daemon {

struct PeerAnswer {
    std::string node;
    std::optional<wire::GroupState> state;  // none: silent so far
    bool compare = false;   // it has to be compared with this node before it is known to be equal
    bool connected = true;  // its content could be brought from it now
};

struct StartInput {
    bool has_record = false;           // it has taken part in this group before
    bool clean = false;                // the last stop was
    bool restoring = false;            // in the middle of a restore: nobody was served behind it
    bool serves_store = false;         // its own store is what it serves
    std::string volume_problem;        // not empty: a volume is not the one of before, why
    std::string pulling;               // not empty: the volumes hold a part of this node's content
    Point pulled;                      // at this step, and the rest is older
    Lsn acked;                         // with ack_kept: acknowledged so far at least
    bool ack_kept = false;             // at the end of the last run `ack` beyond local was in force
    std::uint32_t answers_needed = 1;  // to trust that: standbys - ack_standbys + 1, as they were
    Uuid group;
    Timelines timelines;          // its path
    journal::Tip tip;             // furthest position known
    journal::Tip step;            // the same, with the frame that contains it: for a branch
    std::uint64_t takeovers = 0;  // by the operator's word, known here
    std::vector<PeerAnswer> peers;
    bool waited = false;  // start_wait has passed
    bool forced = false;  // the operator said that this disk is the truth
};

struct StartDecision {
    enum class Kind : std::uint8_t {
        wait,
        begin,   // a new group: first timeline, LSN 0
        go_on,   // the same timeline, at the tip
        branch,  // a new timeline at `tip`; peers are compared, as their content may differ
        pull,  // bring the volumes from `peer` to its step first, then a new timeline there, no gap
        refuse,  // stay up, serve nothing, until the operator decides
        demote,  // a peer has a newer timeline: this node's role is over
    };
    Kind kind = Kind::wait;
    std::string why;
    std::string peer;
    journal::Tip tip;     // branch, pull: what the new timeline branches from
    Timelines timelines;  // branch, pull: the path that leads to it
    std::string alarm;    // not empty: serves, but the operator should know
    bool forced = false;  // by the operator's word
};

[[nodiscard]] StartDecision decide_start(StartInput input);

// Whether the peer's newest step can become this node's content by the operator's word.
[[nodiscard]] Status may_adopt(const std::string& group, const std::string& peer,
                               const wire::GroupState& state);

// A peer's head, with the frame that contains it: what a branch there chains to.
[[nodiscard]] journal::Tip branch_tip(const wire::GroupState& state);

}  // namespace everstep::daemon
