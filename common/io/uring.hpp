// Transfers: the raw reads and writes below File, one at a time, in a batch by io_uring, or
// gathered into buffers that are registered with the ring.
//
// Thread: any; each thread has its own ring, made at its first batch (a refused ring means plain
// calls for ever), and its own buffers, made at its first gathered write and kept until it ends.
// Invariants: no transfer is in flight when a function returns, whatever failed; `done` only grows,
// and the first `done` bytes are moved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "common/io/file.hpp"

namespace everstep::io {

inline constexpr std::size_t kBatchOpsMin = 4;  // fewer do not pay for a ring's system call
inline constexpr std::size_t kCachedBytesMax = 64UL << 10;  // of one cached_read() transfer
inline constexpr std::size_t kRingDepth = 64;  // transfers of one batch_transfer() call
inline constexpr std::size_t kTransferBytesMax = 1UL << 30;  // in one request to the kernel
// Of a gathered write: while one buffer is written the next is filled. From 64 KiB to 1 MiB each
// and 1 to 4 MiB together these were the quickest: larger ones let the disk wait for the first.
inline constexpr std::size_t kGatherBytes = 128UL << 10;
inline constexpr std::size_t kGatherBuffers = 16;
static_assert(kGatherBuffers <= kRingDepth);

enum class Direction : bool { read, write };

struct Transfer {
    std::uint64_t offset = 0;
    std::byte* data = nullptr;  // only read from when Direction::write
    std::size_t size = 0;
    std::size_t done = 0;
    [[nodiscard]] bool complete() const { return done == size; }
};

// Moves what one ring can move of at most kRingDepth transfers. What is not complete afterwards (no
// ring, short, interrupted, failed) is left to single_transfer(), which then meets the error
// itself.
void batch_transfer(int fd, Direction direction, std::span<Transfer> transfers);

// Reads what of short transfers lies in the page cache, and lets the kernel fetch the rest, without
// waiting. False: there are long ones, or the file system cannot do it.
[[nodiscard]] bool cached_read(int fd, std::span<Transfer> transfers);

// Some of its range lies in the page cache; or that could not be found out.
[[nodiscard]] bool is_cached(int fd, const Transfer& transfer);

// Moves the rest of one transfer. 0 = complete, or a read met the end of the file; else errno.
[[nodiscard]] int single_transfer(int fd, Direction direction, Transfer& transfer);

// Writes the ops' bytes one behind the other from the first op's offset, whatever their memory's
// alignment: they are copied into the thread's buffers of kGatherBytes, aligned to 4096, and leave
// from there, several at a time where `by_ring`. What a request left over, or all where there is no
// ring, goes to `finish`, while nothing else is in flight; its error ends the write. Blocks.
using FinishTransfer = std::function<Status(Transfer&)>;
[[nodiscard]] Status gathered_write(int fd, bool by_ring, std::span<const WriteOp> ops,
                                    const FinishTransfer& finish);

// How the buffers of gathered writes left, of the whole process since it began.
struct GatherCounts {
    std::uint64_t registered = 0;
    std::uint64_t unregistered = 0;  // by a ring that was refused the registration (RLIMIT_MEMLOCK)
    std::uint64_t single = 0;        // by plain calls
};
[[nodiscard]] GatherCounts gather_counts();

}  // namespace everstep::io
