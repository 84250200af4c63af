// RangeIndex: which entries cover an aligned range of units (sectors or blocks) of a volume, newest
// first.
//
// A range is cut into maximal aligned power-of-two pieces; each piece is a key (volume, level,
// index) of a flat hash table, whose slot leads to the newest entry of that key; entries of one key
// are linked, newest first. A look-up of one unit asks one key for each level in use.
//
// Thread: the owner guards it.
// Invariants: values are added in growing order; memory grows by doubling only (no allocation per
// write).
#pragma once

#include <vector>

#include "common/base/types.hpp"

namespace everstep::journal {

// Limits of the key: 2^12 volumes, 2^48 units a volume, pieces of at most 2^17 units.
inline constexpr unsigned kRangeUnitBits = 48;
inline constexpr std::uint64_t kRangeVolumesMax = 1ULL << 12;
inline constexpr std::uint64_t kRangeUnitsMax = 1ULL << kRangeUnitBits;
inline constexpr unsigned kRangeLevelMax = 17;
inline constexpr std::uint32_t kRangeNone = 0xffffffff;

struct UnitRange {
    VolumeIndex volume;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

// A piece's key: level and index in one number, as in a heap: the piece's index behind a leading
// one. Never 0.
[[nodiscard]] std::uint64_t range_key(VolumeIndex volume, std::uint64_t unit, unsigned level);
// The piece of such a key; of no key of any piece: an empty range.
[[nodiscard]] UnitRange range_of_key(std::uint64_t key);

// Volume and unit in one number, in their order.
[[nodiscard]] constexpr std::uint64_t ordered_key(VolumeIndex volume, std::uint64_t unit) {
    return volume.value() << kRangeUnitBits | unit;
}

class RangeIndex {
  public:
    // Covers `range` with `value`, over everything added before. value < kRangeNone.
    void add(const UnitRange& range, std::uint32_t value);
    [[nodiscard]] bool uses(unsigned level) const { return (levels_ >> level & 1) != 0; }
    [[nodiscard]] bool uses_below(unsigned level) const {
        return (levels_ & ((1U << level) - 1)) != 0;
    }
    [[nodiscard]] std::uint32_t levels() const { return levels_; }
    // The newest entry of the piece at `level` that covers `unit`; kRangeNone if there is none.
    [[nodiscard]] std::uint32_t newest(VolumeIndex volume, std::uint64_t unit,
                                       unsigned level) const;
    [[nodiscard]] std::uint32_t value(std::uint32_t entry) const { return entries_[entry].value; }
    [[nodiscard]] std::uint32_t older(std::uint32_t entry) const { return entries_[entry].older; }
    [[nodiscard]] std::size_t entry_count() const { return entries_.size(); }
    // Calls each(key, newest entry) for every key, in no order.
    template <class Each>
    void for_each_key(Each each) const {
        for (std::size_t slot = 0; slot < keys_.size(); ++slot)
            if (keys_[slot] != 0) each(keys_[slot], heads_[slot]);
    }

  private:
    struct Entry {
        std::uint32_t value;
        std::uint32_t older;
    };
    void add_piece(std::uint64_t key, std::uint32_t value);
    [[nodiscard]] std::size_t slot_of(std::uint64_t key) const;
    void grow();

    std::vector<std::uint64_t> keys_;   // 0 = free; its size is a power of two
    std::vector<std::uint32_t> heads_;  // beside keys_
    std::size_t used_ = 0;
    std::vector<Entry> entries_;
    std::uint32_t levels_ = 0;
};

// Calls each(first, level) for the maximal aligned power-of-two pieces of [first, first + count),
// in order.
template <class Each>
void for_each_piece(std::uint64_t first, std::uint64_t count, unsigned level_max, Each each) {
    while (count > 0) {
        unsigned level = 0;
        while (level < level_max && (first & ((2ULL << level) - 1)) == 0 &&
               (2ULL << level) <= count)
            ++level;
        each(first, level);
        first += 1ULL << level;
        count -= 1ULL << level;
    }
}

}  // namespace everstep::journal
