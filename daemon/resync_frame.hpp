// The content of an extent as of a step, as a resync frame: runs of zeroes without payload, the
// rest with it, compressed as the group's frames are; what the standby is known to hold already is
// left out. Any thread, where that of the compressor.
#pragma once

#include <memory>
#include <vector>

#include "daemon/compression.hpp"
#include "proto/messages.hpp"

namespace everstep::daemon {

inline constexpr std::uint64_t kResyncExtentBytes = 1U << 20;  // of data, a frame
static_assert(kResyncExtentBytes <= wire::kHashedBytesMax);

struct ResyncExtent {
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;
};

// What a standby holds of an extent, as its answer says.
struct KnownContent {
    std::uint64_t seed = 0;
    bool zero = false;
    std::vector<Hash128> hashes;  // one for each block of the extent, where not `zero`
    [[nodiscard]] bool has(Bytes block, std::size_t number) const;
};

struct ResyncFrame {
    FramePtr frame;                     // none: the standby has it all
    std::uint64_t differing_bytes = 0;  // of the extent; all of it where nothing is known
};

// Where a frame of content belongs: behind step `as_of` in the stream.
struct ResyncPlace {
    Uuid group;
    Point as_of;
    ResyncExtent extent;
};

// `content`: of the extent, read at `as_of` or later (what was written since follows in the
// stream). `known`: none, or what the standby held at some point of this stream before the read.
[[nodiscard]] ResyncFrame make_resync_frame(const ResyncPlace& place, Bytes content,
                                            const KnownContent* known = nullptr,
                                            FrameCompressor* compressor = nullptr);
// Of extents that are known to be zeroes; at most kFrameEntriesMax.
[[nodiscard]] FramePtr make_zero_frame(Uuid group, Point as_of,
                                       const std::vector<ResyncExtent>& extents);

}  // namespace everstep::daemon
