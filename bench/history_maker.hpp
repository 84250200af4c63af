// Makes the histories that the figures of `bench/journal` and `bench/travel` are about: frames of a
// primary that writes one volume, and a store with a replica that takes them in and applies them:
// one of its own, or that of a standby that does not run.
//
// Thread: one.
#pragma once

#include <random>

#include "bench/counting_files.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "standby/move.hpp"
#include "standby/replica.hpp"

namespace everstep::bench {

inline constexpr std::uint64_t kVolumeBytes = 256ULL << 20;

// Where the next write goes.
enum class Pattern : std::uint8_t {
    first_touch,  // a block that was not written yet in this segment, as far as there are any
    rewrite,      // nine of ten go to few blocks
    anywhere,     // in the first 32 MiB
    spread,       // one block each in `places` equal parts of a volume
};

class Frames {
  public:
    explicit Frames(std::uint64_t seed);
    // One frame of `writes` writes of `bytes` each; `zero`: zeroes, without a payload.
    struct Shape {
        std::uint64_t writes = 1;
        std::uint64_t bytes = 4096;
        Pattern pattern = Pattern::anywhere;
        bool zero = false;
        std::uint64_t places = 1;  // of Pattern::spread
        std::uint64_t apart = 0;   // bytes from one of them to the next
    };
    // The next frame goes on behind this one.
    void follow(const Uuid& group, const journal::Tip& tip);
    [[nodiscard]] FramePtr next(const Shape& shape);
    [[nodiscard]] const TimelineId& timeline() const { return timeline_; }
    [[nodiscard]] Lsn head() const { return lsn_; }

  private:
    [[nodiscard]] ByteOffset place(const Shape& shape);
    Uuid group_;
    TimelineId timeline_;
    Lsn lsn_;
    FrameSeq seq_;
    Hash128 hash_{};
    WallTime begin_;  // step time of step 0
    std::uint64_t at_ = 0;
    std::vector<std::byte> payload_;
    std::mt19937_64 random_;
    FrameBuilder builder_;
};

// Where a history lies, and whose it is.
struct HistoryPlace {
    std::string store;    // directory
    std::string replica;  // image file
    Uuid group;
    ByteCount volume_bytes{kVolumeBytes};
    ByteCount segment_bytes{64ULL << 20};
};

// A store and its replica, as a standby has them.
class History {
  public:
    explicit History(HistoryPlace place);
    // Its own, in one directory: `store`, `replica`.
    explicit History(const std::string& directory,
                     ByteCount segment_bytes = ByteCount(64ULL << 20));
    [[nodiscard]] Status open();
    // Before the first open: the replica holds data everywhere, so that every before-image is one.
    [[nodiscard]] Status fill_replica();
    // Of a new store; its first segment's file is prewritten, as a used one is.
    [[nodiscard]] Status begin(const Frames& frames);
    [[nodiscard]] Status apply_all();
    [[nodiscard]] Status tend();
    // One block of a step.
    [[nodiscard]] Status read(Lsn lsn, std::uint64_t block);
    [[nodiscard]] journal::Store& store() { return *store_; }
    [[nodiscard]] const Traffic& traffic() const { return files_.traffic; }
    void close();

  private:
    CountingFiles files_;
    HistoryPlace place_;
    journal::LmdbCatalogue catalogue_;
    std::unique_ptr<journal::Store> store_;
    std::unique_ptr<standby::Replica> replica_;
    std::unique_ptr<standby::Mover> mover_;
};

}  // namespace everstep::bench
