// MergedIndex: which of a run of neighbouring sealed segments have writes in a block, so that a
// look-up over a long history asks few segments. It covers some segments, or some merged indexes
// that do: a tree over the segments of a timeline. Its content lies in a file (merged_file.hpp).
//
// Thread: it never changes but for `damaged`.
// Invariants
//  - it may only spare a look-up: a segment that it leaves out has no write in the block, and where
//  its file is missing, damaged or another one, every segment counts as having one;
//  - its salt follows from what it covers, so that the file over other segments is never taken for
//  it, and one that is made again is the same.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "common/base/types.hpp"

namespace everstep::journal {

// What one covers: few enough that little is left unmerged, enough that the tree is flat.
inline constexpr std::size_t kMergeFanIn = 4;
inline constexpr std::size_t kMergeFanInMax = 8;  // of the format: a bit each

// A segment to whose redo file nothing is added any more.
struct FixedSegment {
    std::uint64_t number = 0;
    std::uint64_t redo_salt = 0;
    std::uint64_t undo_salt = 0;
    Position first;
    Position last;
};

// What its file names: a segment by its number and its redo file's salt; a merged index by 0 and
// its salt.
struct Covered {
    std::uint64_t number = 0;
    std::uint64_t salt = 0;
    bool operator==(const Covered&) const = default;
};

struct MergedIndex;
using MergedIndexPtr = std::shared_ptr<const MergedIndex>;

// Either `segments` or `children`, oldest first.
struct MergedIndex {
    std::uint64_t salt = 0;
    unsigned level = 1;  // 1: of segments; else one above its children
    std::vector<FixedSegment> segments;
    std::vector<MergedIndexPtr> children;
    Position first;                            // of the oldest segment under it
    Position last;                             // of the newest one
    mutable std::atomic<bool> damaged{false};  // its file was found so, and is to be made again
    [[nodiscard]] std::size_t child_count() const {
        return level == 1 ? segments.size() : children.size();
    }
};
// One over `segments`, or over `children`, which are of one level.
[[nodiscard]] MergedIndexPtr merged_of(std::vector<FixedSegment> segments);
[[nodiscard]] MergedIndexPtr merged_of(std::vector<MergedIndexPtr> children);

[[nodiscard]] std::vector<Covered> covered_by(const MergedIndex& index);
[[nodiscard]] std::uint64_t merged_salt(unsigned level, const std::vector<Covered>& covered);
// All segments under it, oldest first.
void list_segments(const MergedIndex& index, std::vector<FixedSegment>& out);

}  // namespace everstep::journal
