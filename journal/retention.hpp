// Retention: what of a history goes next (DESIGN.md 7). A decision table over summaries of the
// segments; no store, no files, no clock.
//
// The trunk is the part of the history that the replica's line and the receiving line share, oldest
// segment first: there the oldest goes first, so that the rest stays readable from the replica.
// Every other line is a side: its newest segment goes first, so that the rest stays readable from
// where it leaves the trunk; at the latest when the trunk's segment in which it leaves has to go. A
// kept step (a pinned mark, the place where a side with one leaves) is never dropped: instead the
// segments behind it are condensed, which leaves only kept steps and the ends of what was
// condensed.
//
// What cannot be condensed (a gap onto another line has no step at which that could end) stays as
// it is, and what lies behind it is condensed by itself.
//
// Thread: pure.
// Invariants: what is not `free` is never touched, nor what is held; the age of a segment is that
// of its newest step; one action at a time, then look again. Condensed segments of a line grow to
// the left: one that is at least as large as what stands behind it is left alone, so that a byte is
// condensed again only O(log n) times.
#pragma once

#include <vector>

#include "journal/history_types.hpp"

namespace everstep::journal {

struct KeepLimits {
    Age keep_time{0};         // 0: no limit
    ByteCount keep_bytes{0};  // 0: no limit
    // Room is wanted at once: everything that may go goes, before its time.
    bool force = false;
};

struct TrunkSegment {
    std::uint64_t number = 0;
    std::uint32_t line = 0;  // of one timeline: the same number
    ByteCount bytes;
    Age age{0};  // since its newest step
    bool condensed = false;
    bool ends_at_point = false;  // history may begin where it ends
    bool free = false;           // sealed, below the durable low, and nothing holds it
    bool keeps = false;          // a kept step lies in [its beginning, its end)
    bool empty = false;          // no position lies in it
    bool stays = false;          // it cannot be condensed, though what lies behind it may
};
struct SideSegment {
    std::uint64_t number = 0;
    Age age{0};
    bool keeps = false;  // a kept step lies in (its beginning, its end]
};
struct SideLine {
    std::vector<SideSegment> segments;  // oldest first
    std::size_t root = 0;    // the trunk segment in which it leaves; trunk.size(): behind all
    bool held = false;       // some of it is in use
    bool condensed = false;  // no step but kept ones is left, or it cannot be condensed
    // Its beginning lies in a segment of the trunk: it is condensed with that one.
    bool with_trunk = false;
};
struct KeepInput {
    std::vector<TrunkSegment> trunk;
    std::vector<SideLine> sides;
    ByteCount bytes;  // of all that is stored
};

enum class KeepVerb : std::uint8_t {
    nothing,
    drop_trunk,
    drop_side,
    condense_trunk,
    condense_side
};
struct KeepAction {
    KeepVerb verb = KeepVerb::nothing;
    std::size_t first = 0;  // trunk: segments [first, last]
    std::size_t last = 0;
    std::size_t side = 0;  // drop_side: its newest segment
    bool operator==(const KeepAction&) const = default;
};
[[nodiscard]] KeepAction next_action(const KeepInput& input, const KeepLimits& limits);

}  // namespace everstep::journal
