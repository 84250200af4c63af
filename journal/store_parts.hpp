// What the parts of Store hand each other. Private to journal/.
//
// Thread: values.
#pragma once

#include "journal/history.hpp"

namespace everstep::journal {

// Frames are written in pieces of about this size, however many come at once.
inline constexpr std::uint64_t kAppendBytes = 8ULL << 20;
// A footer's batch is always kept free in a redo file.
inline constexpr std::uint64_t kFooterBytes = kBatchAlign;

struct NewSegment {
    HeadBody head;
    std::vector<TimelineInfo> begun;       // timelines that begin with it
    std::optional<PositionBody> position;  // begin_history only
    std::uint64_t body_bytes = 0;          // of the record that has to fit
    KeptBody kept{};                       // make_files fills it
};

struct FrameAt {
    std::optional<FrameRef> holds;  // contains the LSN
    std::optional<FrameRef> chain;  // what a branch behind it chains to: the newest at it
};

// Where the replica stood at a look-up: while that is so, no write of the replica has begun that
// the look-up does not know of.
struct ReplicaStand {
    std::uint64_t generation = 0;  // the moves that had begun
    TimelineId line;
    Position high;
    bool operator==(const ReplicaStand&) const = default;
};

// The shares of the paths of one look-up.
struct Looked {
    ReadPaths paths;
    ReplicaStand stand;
};

enum class Grain : std::uint8_t { sectors, blocks };

// Called with (a part of) an index.
template <class Part>
using Look = std::function<void(const Part&)>;

struct StepRange {  // the steps after < lsn <= to of one timeline on a path
    TimelineId timeline;
    Lsn after;
    Lsn to;
    std::vector<PathPart> path;  // whose flush marks count
    StepFilter filter;
};
struct StepHolder {  // a segment with steps: the kept ones, newest first, or else its frames
    std::uint64_t segment = 0;
    std::vector<StepInfo> kept;
};

}  // namespace everstep::journal
