// ExportDevice: one volume at one step as a read-only BlockDevice. Reads and the look-up of holes
// go through the store's reading function on a small pool of reader threads, so that a cold read or
// a long look-up never stalls the loop or another client; completions come back on the loop.
// Thread: the loop's. At most kExportReadsMax of them run at once; more wait in order.
#pragma once

#include <memory>

#include "common/base/block_device.hpp"
#include "common/net/loop.hpp"
#include "standby/local_history.hpp"

namespace everstep::standby {

inline constexpr std::size_t kExportReadsMax = 64;

// A read or a status of a volume at a view, as a block device answers it. Blocks; a reader's
// thread.
[[nodiscard]] Status answer_read(const HistorySource& source, const journal::View& view,
                                 VolumeIndex volume, const BlockRequest& request);

// `source` lives longer than the device.
[[nodiscard]] std::unique_ptr<BlockDevice> make_export_device(const HistorySource& source,
                                                              net::Loop& loop,
                                                              const journal::View& view,
                                                              VolumeIndex volume, ByteCount size);

}  // namespace everstep::standby
