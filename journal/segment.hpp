// Segment: what is known of one segment: its place on its timeline, how its two files end, and the
// index of what lies in them.
//
// Thread: the store guards it, as it guards the history.
// Invariants: the index of a sealed redo file and the before-images of a sealed undo file never
// change again, so that a look-up in them needs no lock; the summary is right at every instant.
#pragma once

#include <memory>

#include "journal/kept.hpp"
#include "journal/merged_index.hpp"
#include "journal/reading.hpp"
#include "journal/record_writer.hpp"

namespace everstep::journal {

struct FileState {
    std::uint64_t salt = 0;
    LogTail tail;
    bool sealed = false;  // a footer ends it
};

struct FrameRef {
    FrameSeq seq;
    Hash128 hash{};
    Lsn first;  // a frame without steps has last = first - 1
    Lsn last;
    WallTime step_first;  // of the first step in it (of the newest before it, if it has none)
    WallTime step_last;
    std::uint64_t segment = 0;
    ByteOffset at;  // of the frame's first byte in the redo file
    std::uint32_t bytes = 0;
    [[nodiscard]] bool has_steps() const { return first <= last; }
    bool operator==(const FrameRef&) const = default;
};

struct FlushMark {
    Lsn lsn;
    VolumeIndex volume;
    auto operator<=>(const FlushMark&) const = default;
};

// What lies in a redo file.
struct RedoLists {
    std::vector<FrameRef> frames;    // by seq
    std::vector<FlushMark> flushes;  // by LSN; some may mark steps of segments before
};
struct RedoIndex : RedoLists {
    SegmentIndex writes;
};

// What is always known of a redo file without its index.
struct RedoSummary {
    FrameSeq seq_last;  // of the newest frame in it or before it
    std::uint32_t frames = 0;
    bool has_steps = false;
    WallTime step_first;                    // of its first step, or of the newest before it
    std::vector<FlushMark> flushes_newest;  // one a volume
    Lsn flush_first;                        // of its oldest flush mark
    bool operator==(const RedoSummary&) const = default;
};

struct Segment {
    std::uint64_t number = 0;
    TimelineId timeline;
    Position first;  // its positions lie behind this
    Position last;   // newest position in it
    FileState redo;  // tail: of the open segment, as of the last publication
    FileState undo;  // tail: the apply thread's
    RedoSummary summary;
    // In memory while the file grows; behind its seal until they are in an index file.
    std::shared_ptr<RedoIndex> index = std::make_shared<RedoIndex>();
    std::shared_ptr<BeforeImageIndex> images = std::make_shared<BeforeImageIndex>();
    Position imaged_to;  // before-images of all writes up to here are durable
    Age begun_at{0};     // the age clock when it was begun; of a condensed one: of its newest step
    std::vector<KeptStep> ends;  // of a condensed segment: its points; those between are thinned
    [[nodiscard]] bool condensed() const { return !ends.empty(); }
    // Before-images are being taken: both indexes are in memory until the undo file is sealed.
    bool imaging = false;
    bool catalogued = false;  // the catalogue has it as it is
    // Its redo file's index may leave memory. A condensed one that the replica has not passed has
    // some of its before-images already: more are taken in any moment.
    [[nodiscard]] bool redo_fixed() const {
        return redo.sealed && (undo.sealed || (!imaging && !condensed()));
    }
    [[nodiscard]] bool fixed() const { return redo.sealed && undo.sealed; }
};

[[nodiscard]] inline FixedSegment fixed_of(const Segment& segment) {
    return {segment.number, segment.redo.salt, segment.undo.salt, segment.first, segment.last};
}

}  // namespace everstep::journal
