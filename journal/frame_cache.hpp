// FrameCache: the newest frames that were appended, so that the apply thread copies their payloads
// from memory: what goes past the page cache is not in it afterwards.
//
// Thread: any; a mutex inside, not held while bytes are copied. Frames are added in the order of
// their places, after their batch was written. Invariants: a frame's bytes are those that its
// record has in the file, which never change; a number is given to one segment only, so what is
// left of one that is gone is found by nobody. At most the given number of bytes of memory, which
// for small frames is far more than what they hold: full means that the oldest go; a frame that is
// larger or has no payload is not taken.
#pragma once

#include <deque>
#include <mutex>

#include "common/base/frame.hpp"

namespace everstep::journal {

class FrameCache {
  public:
    explicit FrameCache(ByteCount bytes_max) : bytes_max_(bytes_max.value()) {}
    // The frame is the body of the record at `at` of this segment's redo file.
    void add(std::uint64_t segment, ByteOffset at, FramePtr frame);
    // Copies what the file has there; false when it is not in memory.
    [[nodiscard]] bool copy(std::uint64_t segment, ByteOffset at, MutableBytes to) const;
    // The segment is gone: its frames' memory is wanted back.
    void forget(std::uint64_t segment);

  private:
    struct Place {
        std::uint64_t segment = 0;
        std::uint64_t at = 0;
        auto operator<=>(const Place&) const = default;
    };
    struct Entry {
        Place place;
        FramePtr frame;
    };
    const std::uint64_t bytes_max_;
    mutable std::mutex mutex_;
    std::deque<Entry> entries_;  // by place, rising
    std::uint64_t bytes_ = 0;
};

}  // namespace everstep::journal
