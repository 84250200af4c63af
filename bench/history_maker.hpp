// Makes the history that the figures of `bench/journal` are about: frames of a primary that writes
// one volume, and a store with a replica that takes them in and applies them.
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
    };
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
    std::uint64_t at_ = 0;
    std::vector<std::byte> payload_;
    std::mt19937_64 random_;
    FrameBuilder builder_;
};

// A store and its replica in one directory, as a standby has them.
class History {
  public:
    explicit History(std::string directory, ByteCount segment_bytes = ByteCount(64ULL << 20));
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
    std::string directory_;
    journal::LmdbCatalogue catalogue_;
    ByteCount segment_bytes_;
    std::unique_ptr<journal::Store> store_;
    std::unique_ptr<standby::Replica> replica_;
    std::unique_ptr<standby::Mover> mover_;
};

}  // namespace everstep::bench
