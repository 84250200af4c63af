// Transfers: the raw reads and writes below File, one at a time or in a batch by io_uring.
//
// Thread: any; each thread has its own ring, made at its first batch (a refused ring means plain
// calls for ever). Invariants: no transfer is in flight when a function returns, whatever failed;
// `done` only grows, and the first `done` bytes are moved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace everstep::io {

inline constexpr std::size_t kBatchOpsMin = 4;  // fewer do not pay for a ring's system call
inline constexpr std::size_t kRingDepth = 64;   // transfers of one batch_transfer() call
inline constexpr std::size_t kTransferBytesMax = 1UL << 30;  // in one request to the kernel

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

// Moves the rest of one transfer. 0 = complete, or a read met the end of the file; else errno.
[[nodiscard]] int single_transfer(int fd, Direction direction, Transfer& transfer);

}  // namespace everstep::io
