// The reading rule (DESIGN.md 7): where the content of a sector at a point lies.
//
// With the replica at [low, high] on one line, p = the newest common ancestor of the point L and
// high, and a = the older of low and p, the content of sector s (of block B) at L is
//   (1) the newest write of s on the path (a, L];
//   (2) else, with w = the first write of s on the path (p, high]: the newest write of s before w
//   in w's segment,
//       else s in B's before-image there;
//   (3) else what the replica holds.
// Why (3) is right: no write of s lies on (a, L] nor on (p, high], which together hold (low, high],
// so that the replica's s is the same anywhere in [low, high] and is the one of p and of L.
//
// A path is a list of shares, one segment's (or several neighbours') each. A share that grows is
// looked up under the store's lock and answers from what it found then; every other share never
// changes and may read its index from a file.
//
// Thread: any; a share is immutable.
// Invariants: the runs cover the range asked for, in order, without overlap; a run is whole: one
// checksum covers the bytes it comes from.
#pragma once

#include <memory>
#include <vector>

#include "journal/segment_index.hpp"

namespace everstep::journal {

enum class Source : std::uint8_t {
    replica,
    zero,     // a zero or discard, or a before-image without data
    redo,     // a payload in the segment's redo file
    undo,     // a before-image in its undo file
    missing,  // a before-image that must be there is not: the undo file was damaged
};

// Sectors [first, first + count) of a volume, and where they lie: behind the first `skip` sectors
// of `bytes` bytes of data, which `stored` bytes at `at` of the segment's file give (redo, undo
// only).
struct SectorRun {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    Source source = Source::replica;
    std::uint32_t skip = 0;
    std::uint64_t segment = 0;
    ByteOffset at{};
    std::uint32_t bytes = 0;   // of data
    std::uint32_t stored = 0;  // of the file: fewer, where it is packed
    std::uint32_t crc = 0;     // of what is stored
    [[nodiscard]] std::uint64_t end() const { return first + count; }
    bool operator==(const SectorRun&) const = default;
};
// Behind the others; joined with the last one where both are one run.
void append_run(std::vector<SectorRun>& runs, const SectorRun& run);
// The part of `run` that lies in [first, end); it must not be empty.
[[nodiscard]] SectorRun part_of(SectorRun run, std::uint64_t first, std::uint64_t end);

// What of the sorted, disjoint `ranges` no run covers. `runs` are sorted and disjoint.
[[nodiscard]] std::vector<UnitRange> without(const std::vector<UnitRange>& ranges,
                                             std::span<const SectorRun> runs);

enum class LookUp : std::uint8_t { newest, before };

// How many of the segments on its way a look-up hints at before it begins: what it needs of them
// comes from the disk together.
inline constexpr std::size_t kHintedSegments = 4;

// A share of a path.
class PathShare {
  public:
    virtual ~PathShare() = default;
    // A hint that `look` will be asked for few sectors; takes from `segments` those hinted at.
    virtual void will_look(LookUp /*look*/, std::span<const UnitRange> /*sectors*/,
                           std::size_t& /*segments*/) const {}
    // Appends what of `sectors` (sorted, disjoint) the share's writes cover, as its newest write
    // left it.
    [[nodiscard]] virtual Status newest(std::span<const UnitRange> sectors,
                                        std::vector<SectorRun>& out) const = 0;
    // Appends what of `sectors` the share's writes cover (more is allowed, if nothing changed it
    // before in this share), as it was before the first of them.
    [[nodiscard]] virtual Status before(std::span<const UnitRange> sectors,
                                        std::vector<SectorRun>& out) const = 0;
};

struct ReadPaths {
    std::vector<std::shared_ptr<const PathShare>> newer;   // (a, L], newest first
    std::vector<std::shared_ptr<const PathShare>> undone;  // (p, high], oldest first
};

// The most bytes that are looked up under one hold of the store's lock: who waits for the lock
// waits for one window, however much is asked for.
inline constexpr std::uint64_t kWindowBytesMax = 1ULL << 20;

// The runs of a range of sectors of a volume. Each share is asked once and let go, so that few hold
// a file open however long the paths are.
[[nodiscard]] Result<std::vector<SectorRun>> resolve(ReadPaths paths, const UnitRange& sectors);

// The same two look-ups in one segment's index, in memory or in pages of its file
// (paged_index.hpp). `span`: the share's writes.
template <class Writes, class Images>
struct ShareOf {
    const Writes* writes = nullptr;
    const Images* images = nullptr;  // before() only
    std::uint64_t segment = 0;
    typename Writes::Span span;
    void newest(const UnitRange& sectors, std::vector<SectorRun>& out) const;
    void before(const UnitRange& sectors, std::vector<SectorRun>& out) const;
};
using SegmentShare = ShareOf<SegmentIndex, BeforeImageIndex>;

}  // namespace everstep::journal
