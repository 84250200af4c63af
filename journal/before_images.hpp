// BeforeImages: takes the before-images that a batch's segment lacks into its undo file (walk,
// stage 7, first half).
//
// Thread: the apply thread. It reads the replica, which nobody else changes.
// Invariants: a block that has an image is not read again; images of holes and zeroes are extents
// without data; the replica is read in pieces of at most kImageReadBytes; memory is bounded by
// kImageRecordBytes whatever the batch.
#pragma once

#include "journal/history.hpp"
#include "journal/store.hpp"

namespace everstep::journal {

inline constexpr std::uint64_t kImageReadBytes = 1ULL << 20;
inline constexpr std::uint64_t kImageRecordBytes = 4ULL << 20;

struct TakenImages {  // one record's
    std::vector<ImageExtent> extents;
    ByteOffset body_at;
};

class BeforeImages {
  public:
    struct From {
        const ReplicaReader& replica;
        const std::vector<ByteCount>& volume_bytes;
    };
    BeforeImages(const BeforeImageIndex& index, const From& from, RecordWriter& undo)
        : index_(index), replica_(from.replica), volume_bytes_(from.volume_bytes), undo_(undo) {}
    // Writes the records of all blocks that `writes` (merged extents) touch and that have no image
    // yet. The caller syncs, and only then adds what taken() gives to the index.
    [[nodiscard]] Status take(const std::vector<GapExtent>& writes);
    [[nodiscard]] const std::vector<TakenImages>& taken() const { return taken_; }

  private:
    struct Blocks {
        VolumeIndex volume;
        std::uint64_t first = 0;
        std::uint64_t count = 0;
    };
    [[nodiscard]] Status take_missing(const Blocks& blocks);
    [[nodiscard]] Status take_run(const Blocks& blocks);
    [[nodiscard]] Status take_data(const Blocks& blocks);
    [[nodiscard]] Status take_zero(const Blocks& blocks);
    [[nodiscard]] Status add(const ImageExtent& extent, Bytes data);
    [[nodiscard]] Status flush();

    const BeforeImageIndex& index_;
    const ReplicaReader& replica_;
    const std::vector<ByteCount>& volume_bytes_;
    RecordWriter& undo_;
    Buffer read_;
    Buffer data_;
    std::vector<ImageExtent> extents_;
    std::vector<TakenImages> taken_;
};

}  // namespace everstep::journal
