// What a test makes the kernel do to the calls of its thread: refuse, fail, move less. Nothing in
// the program sets it.
//
// Thread: the one that sets it. A thread's ring is made once, so `no_ring` and `no_registration`
// count for a thread that has not made its ring yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace everstep::io {

struct TransferFaults {
    bool no_ring = false;
    bool no_registration = false;
    bool no_direct = false;                  // a file system without O_DIRECT
    std::uint64_t submissions = UINT64_MAX;  // that the ring takes of gathered writes
    // Asked before each write that is given to the kernel: at most so many bytes are written (0: no
    // room); negative: this errno, and nothing is written.
    std::function<std::int64_t(std::uint64_t offset, std::size_t size)> write = nullptr;
};

// Those of this thread, or null.
[[nodiscard]] TransferFaults*& transfer_faults();

}  // namespace everstep::io
