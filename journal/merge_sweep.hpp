// MergeSweep: goes through the writes of what a merged index covers, all of it side by side, and
// says for each run of blocks which of them have writes there.
//
// Thread: one owner.
// Invariants: what it gives is sorted, disjoint and joined, and follows from what is covered alone;
// memory is bounded by the writes of the segments covered, and some pages of each merged index.
#pragma once

#include "journal/index_cache.hpp"
#include "journal/merged_file.hpp"

namespace everstep::journal {

class BlockCursor;

class MergeSweep {
  public:
    struct From {
        io::FileSystem& files;
        IndexCache& indexes;
        const StoreOptions& options;
        bool mend = true;  // an index file of a segment that is no good is made again
    };
    MergeSweep(From from,
               const MergedIndex& index);  // `index` and what `from` refers to outlive it
    ~MergeSweep();
    MergeSweep(const MergeSweep&) = delete;
    MergeSweep& operator=(const MergeSweep&) = delete;
    [[nodiscard]] Status begin();
    // Without blocks behind the last one. A merged index that cannot be read is noted as damaged.
    [[nodiscard]] Status next(MergedExtent& out);

  private:
    [[nodiscard]] Result<std::unique_ptr<BlockCursor>> read_segment(const FixedSegment& segment);
    [[nodiscard]] Result<std::unique_ptr<BlockCursor>> read_merged(const MergedIndex& index);
    [[nodiscard]] Status take(MergedExtent& out);

    From from_;
    const MergedIndex& index_;
    std::vector<std::unique_ptr<BlockCursor>> cursors_;  // one of each that it covers
    MergedExtent ahead_;                                 // not yet given
};

}  // namespace everstep::journal
