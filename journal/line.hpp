// Line: what lies on one timeline itself; and the shares of a path over several.
//
// Thread: values; the store guards a Line, as it guards the history.
// Invariants: segments are in the order of their positions; merged runs do not overlap.
#pragma once

#include "journal/merged_index.hpp"
#include "journal/segment.hpp"

namespace everstep::journal {

// A merged index in use: over segments [at, end) of its line, those under it that are still there.
struct MergedRun {
    MergedIndexPtr index;
    std::size_t at = 0;
    std::size_t end = 0;
    bool undone = false;  // the undo files of them all are sealed
};

struct Line {  // what lies on one timeline itself
    std::vector<Segment*> segments;
    std::vector<MergedRun> merged;  // in order; over some of the segments
    // A flush mark lies at most so many segments behind the step that it marks.
    std::size_t flush_reach = 0;
    // How many of the segments begin at or before the LSN.
    [[nodiscard]] std::size_t begun_by(Lsn lsn) const;
};

// A segment's share of a path: its positions behind `after` up to and including `to`.
struct PathSegment {
    const Segment* segment = nullptr;
    Position after;
    Position to;
};

// The share of a segment, or of the segments under a merged index.
struct PathRun {
    const Segment* segment = nullptr;  // under the lock only; or
    MergedIndexPtr merged;
    Position after;
    Position to;
    std::uint64_t number = 0;  // the segment's
};

}  // namespace everstep::journal
