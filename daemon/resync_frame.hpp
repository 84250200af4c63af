// The content of an extent as of a step, as a resync frame: runs of zeroes without payload, the
// rest with it. Thread: the capture thread (reads the volume; blocks on the disk).
#pragma once

#include "daemon/capture.hpp"

namespace everstep::daemon {

inline constexpr std::uint64_t kResyncExtentBytes = 1U << 20;  // of data, a frame

struct ResyncExtent {
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;
};

// Reads [offset, offset + length) and seals it as of `as_of` (the newest step, all of whose writes
// are complete).
[[nodiscard]] Result<FramePtr> make_resync_frame(Uuid group, Point as_of,
                                                 const ResyncExtent& extent,
                                                 CapturedVolume& volume);
// The same for an extent that is known to be zeroes: no read.
[[nodiscard]] FramePtr make_zero_frame(Uuid group, Point as_of, const ResyncExtent& extent);

}  // namespace everstep::daemon
