// What a history is made of besides frames: timelines, marks, gaps, steps. Plain values.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/base/frame.hpp"

namespace everstep::journal {

// The most pieces (of kPieceBytesMax) that the zeroes and discards of one frame may have, all
// together: each is a unit in memory, so that a small frame must not ask for many. Whoever seals
// seals before that; whoever takes a frame in refuses one over it.
inline constexpr std::uint64_t kFramePiecesMax = 65536;
[[nodiscard]] constexpr std::uint64_t zero_pieces(ByteOffset offset, ByteCount length) {
    if (length == ByteCount(0)) return 0;
    const std::uint64_t last = offset.value() + length.value() - 1;
    return last / kPieceBytesMax - offset.value() / kPieceBytesMax + 1;
}
// Frames that a standby makes of a resync hold zeroes of less than a piece: two pieces at most.
static_assert(2 * std::uint64_t{kFrameEntriesMax} <= kFramePiecesMax);

// Cuts a zero or discard into the pieces in which it is applied: at multiples of kPieceBytesMax of
// the volume.
template <class Each>
void for_each_zero_piece(ByteOffset offset, ByteCount length, Each each) {
    std::uint64_t at = offset.value();
    const std::uint64_t end = at + length.value();
    while (at < end) {
        const std::uint64_t stop = std::min(end, (at / kPieceBytesMax + 1) * kPieceBytesMax);
        each(ByteOffset(at), ByteCount(stop - at), stop == end);
        at = stop;
    }
}

// A branch of a group's history. The first one has a nil parent and branches from `branch_lsn` =
// the baseline.
struct TimelineInfo {
    TimelineId id;
    TimelineId parent;
    Lsn branch_lsn;            // its steps are branch_lsn + 1 ..
    Hash128 branch_hash{};     // of the frame that contains branch_lsn (zero where there is none)
    FrameSeq branch_seq;       // of that frame; the first own frame has the next one
    std::uint32_t number = 1;  // for people: parent's + 1
    std::string node;          // that made it
    bool operator==(const TimelineInfo&) const = default;
};

struct Mark {
    std::string name;
    Point at;
    std::string consistency = "crash";
    bool pinned = false;
    WallTime made;  // step time of the step
};

struct GapExtent {
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;
};

// Order was lost between two points, or the steps between belong together: no point lies inside
// (law 5).
struct Gap {
    Point from;  // the last consistent step before
    Point to;    // the sync step that ends it; nil timeline while it is open
    std::string reason;
    ByteCount bytes;  // that were found different
    std::vector<GapExtent> extents;
    bool batch = false;  // nothing was lost: the steps between are one batch (`everstep restore`)
};

struct StepInfo {
    TimelineId timeline;
    Lsn lsn;
    WallTime wall;
    WallTime step_time;
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;
    EntryKind kind = EntryKind::data;
    bool fua = false;
    bool flush = false;  // a flush mark of any volume lies directly behind it
};

// Steps that write on a volume, or on a range of it (of every volume, if none is named); all steps,
// if nothing is said.
struct StepFilter {
    std::optional<VolumeIndex> volume;
    ByteOffset offset{0};
    std::optional<ByteCount> length;  // from `offset`; none: all of it
    [[nodiscard]] bool any() const { return volume.has_value() || length.has_value(); }
    [[nodiscard]] bool takes(const StepInfo& step) const {
        if (!any()) return true;
        if (step.length == ByteCount(0) || (volume && step.volume != *volume)) return false;
        return !length || (step.offset < offset + length->value() &&
                           offset < step.offset + step.length.value());
    }
};

// Boot time that the daemon has run since the store began, summed over its runs: what retention
// calls age. No clock step and no time that the node was down counts.
using Age = std::chrono::nanoseconds;

// Steps that are gone between two that are kept (retention past a pinned mark): no point lies
// inside.
struct Thinned {
    Point from;
    Point to;
};

// Where the store stands: the newest step of the receiving line and what the next frame has to
// chain to.
struct Tip {
    Point point;
    Hash128 hash{};      // of the newest write frame (or the branch hash)
    FrameSeq seq;        // of that frame
    WallTime step_time;  // of the newest step
    bool operator==(const Tip&) const = default;
};

// The replica stands at [low, high] on the line that ends in timeline `line`; equal unless moving
// or half-moved.
struct ReplicaState {
    TimelineId line;
    Position low;
    Position high;
    bool held = false;  // rewound: applying waits for resume
    Point held_at;      // where to, while held
};

}  // namespace everstep::journal
