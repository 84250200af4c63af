// BlockDevice: what the NBD server serves. Implemented by the capture of a primary's device, by the
// promoted volume (through the store) and by exports of a step.
//
// Thread: every call comes from the serving loop's thread, and every completion goes back on it.
// Invariants: submit() never blocks on a peer; each submitted request is completed exactly once,
// also at shutdown (with an error); completions may come inside submit() or later, in any order; a
// write's data need only live until submit() returns (the device copies it once); a read's buffer
// and a status' extents live until the completion.
#pragma once

#include <vector>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep {

// `status`: which parts of a range are holes or zeroes.
enum class BlockOp : std::uint8_t { read, write, flush, trim, zero, status };

// An extent of a status answer.
struct BlockExtent {
    std::uint64_t length = 0;
    bool hole = false;
    bool zero = false;
};

struct BlockRequest {
    BlockOp op = BlockOp::read;
    std::uint64_t offset =
        0;  // bytes; multiple of 512; the server has checked offset + length <= size
    std::uint64_t length = 0;  // bytes; multiple of 512; trim/zero up to 4 GiB - 512
    bool fua = false;
    bool no_hole = false;  // zero: allocated zeroes wanted
    Bytes data;            // write
    MutableBytes out;      // read
    // status: filled before the completion, with extents that cover a prefix of the range, at least
    // one, at most extents_max.
    std::vector<BlockExtent>* extents = nullptr;
    std::size_t extents_max = 0;
    std::uint64_t token = 0;  // given back to the sink
};

class BlockSink {
  public:
    virtual ~BlockSink() = default;
    virtual void complete(std::uint64_t token, const Status& status) = 0;
};

class BlockDevice {
  public:
    virtual ~BlockDevice() = default;
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;  // multiple of 512
    [[nodiscard]] virtual bool read_only() const = 0;
    virtual void submit(const BlockRequest& request, BlockSink& sink) = 0;
    // The server has handed over everything that one read of its sockets returned.
    virtual void end_of_batch() {}
};

}  // namespace everstep
