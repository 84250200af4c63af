// The pieces of a batch that reach the replica: where units overlap, the newest one wins, so that
// each byte is written once and the pieces may be written in any order.
// Thread: one owner; its memory is kept from batch to batch.
#pragma once

#include <vector>

#include "journal/store.hpp"

namespace everstep::standby {

struct CoverPiece {
    std::size_t unit = 0;  // index in the batch
    ByteOffset offset;
    ByteCount length;
};

class ApplyCover {
  public:
    // Disjoint pieces by volume and offset; valid until the next call. Their union is the union of
    // the units.
    [[nodiscard]] const std::vector<CoverPiece>& pieces(std::span<const journal::ApplyUnit> units);

  private:
    void emit(std::size_t unit, std::uint64_t from, std::uint64_t to);

    std::vector<std::size_t> order_;  // units by volume and offset
    std::vector<std::size_t>
        active_;  // heap: units that began at or before the position, newest on top
    std::vector<CoverPiece> pieces_;
};

}  // namespace everstep::standby
