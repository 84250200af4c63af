// How a replication session begins: what Start says is checked against this node and its history,
// and taken.
//
// Thread: check_start on the loop; begin_stream on the journal thread (durable once its task is
// answered).
// Invariants: everything is checked before anything is taken; a timeline that both sides know is
// the same on both; a new one branches from a point that this store has, with the same hash, unless
// a gap covers the difference.
#pragma once

#include "proto/messages.hpp"
#include "standby/standby.hpp"

namespace everstep::standby {

// What the next frame has to continue.
struct Expected {
    journal::Tip tip;    // point, hash and seq
    bool exact = false;  // hash and seq count; not before the first write frame of an initial sync
                         // or a resync
    bool anything = false;  // nothing was seen yet of an initial sync or a resync: any LSN behind
                            // the tip begins it
};

// group id, volumes (count, names, sizes), the shape of the timelines.
[[nodiscard]] Status check_start(const wire::Start& start, const StandbyOptions& options);
[[nodiscard]] std::vector<journal::TimelineInfo> timelines_of(const wire::Start& start);
[[nodiscard]] Status begin_stream(journal::Store& store, const wire::Start& start,
                                  Expected& expected);

}  // namespace everstep::standby
