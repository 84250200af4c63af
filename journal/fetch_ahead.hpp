// FetchAhead: a file whose small pieces are read from all over it is fetched by whole windows, once
// so much of a window has been read that this is the quicker way: one after the other, a few pieces
// cost the disk as much as the window. So an image of a past step that is read from its begin to
// its end reads what later writes kept aside as runs, not block by block.
//
// Thread: any. What it fetches goes to the page cache; it never waits for it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "common/io/file.hpp"

namespace everstep::journal {

inline constexpr std::uint64_t kFetchWindowBytes = 1ULL << 20;
// So many pieces of a window are read before it is fetched, and so many more before it is fetched
// again (the page cache may have lost it): what is fetched in vain is bounded by what is read.
inline constexpr std::uint32_t kFetchPieces = 8;
inline constexpr std::uint32_t kFetchAgainPieces = 256;
inline constexpr std::size_t kFetchWindows = 256;  // of a file; behind them nothing is fetched

class FetchAhead {
  public:
    // One of several pieces of the file is about to be read there.
    void reads(const io::File& file, ByteOffset at) {
        const std::uint64_t window = at.value() / kFetchWindowBytes;
        if (window >= kFetchWindows) return;
        const std::uint32_t before = read_[window].fetch_add(1, std::memory_order_relaxed);
        if (before % kFetchAgainPieces == kFetchPieces)
            file.will_read(ByteOffset(window * kFetchWindowBytes), ByteCount(kFetchWindowBytes));
    }

  private:
    std::array<std::atomic<std::uint32_t>, kFetchWindows> read_{};
};

}  // namespace everstep::journal
