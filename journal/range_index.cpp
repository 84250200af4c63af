#include "journal/range_index.hpp"

#include <bit>

#include "common/base/assert.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kSlotsMin = 64;

std::uint64_t mix(std::uint64_t key) {
    key ^= key >> 32;
    key *= 0x9e3779b97f4a7c15ULL;
    key ^= key >> 29;
    key *= 0xbf58476d1ce4e5b9ULL;
    return key ^ key >> 32;
}

}  // namespace

std::uint64_t range_key(VolumeIndex volume, std::uint64_t unit, unsigned level) {
    const std::uint64_t piece = 1ULL << (kRangeUnitBits - level) | unit >> level;
    return volume.value() << (kRangeUnitBits + 1) | piece;
}

UnitRange range_of_key(std::uint64_t key) {
    const std::uint64_t volume = key >> (kRangeUnitBits + 1);
    const std::uint64_t piece = key & ((2ULL << kRangeUnitBits) - 1);
    const auto width = static_cast<unsigned>(std::bit_width(piece));
    if (volume >= kRangeVolumesMax || width + kRangeLevelMax < kRangeUnitBits + 1) return {};
    const unsigned level = kRangeUnitBits + 1 - width;
    const std::uint64_t index = piece ^ 1ULL << (width - 1);
    return {VolumeIndex(static_cast<std::uint32_t>(volume)), index << level, 1ULL << level};
}

void RangeIndex::add(const UnitRange& range, std::uint32_t value) {
    EVERSTEP_ASSERT(range.volume.value() < kRangeVolumesMax && range.first < kRangeUnitsMax &&
                        range.count <= kRangeUnitsMax - range.first,
                    "a range within the limits of the key");
    for_each_piece(range.first, range.count, kRangeLevelMax,
                   [&](std::uint64_t first, unsigned level) {
                       levels_ |= 1U << level;
                       add_piece(range_key(range.volume, first, level), value);
                   });
}

std::uint32_t RangeIndex::newest(VolumeIndex volume, std::uint64_t unit, unsigned level) const {
    if (keys_.empty()) return kRangeNone;
    const std::size_t slot = slot_of(range_key(volume, unit, level));
    return keys_[slot] == 0 ? kRangeNone : heads_[slot];
}

void RangeIndex::add_piece(std::uint64_t key, std::uint32_t value) {
    if ((used_ + 1) * 4 > keys_.size() * 3) grow();
    const std::size_t slot = slot_of(key);
    const std::uint32_t older = keys_[slot] == 0 ? kRangeNone : heads_[slot];
    if (keys_[slot] == 0) {
        keys_[slot] = key;
        ++used_;
    }
    EVERSTEP_ASSERT(entries_.size() < kRangeNone, "entries of one segment fit 32 bits");
    heads_[slot] = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back({value, older});
}

// The key's slot, or the free one where it belongs. There is always a free one.
std::size_t RangeIndex::slot_of(std::uint64_t key) const {
    const std::size_t mask = keys_.size() - 1;
    std::size_t slot = mix(key) & mask;
    while (keys_[slot] != 0 && keys_[slot] != key) slot = (slot + 1) & mask;
    return slot;
}

void RangeIndex::grow() {
    std::vector<std::uint64_t> keys(keys_.empty() ? kSlotsMin : keys_.size() * 2);
    std::vector<std::uint32_t> heads(keys.size());
    keys.swap(keys_);
    heads.swap(heads_);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i] == 0) continue;
        const std::size_t slot = slot_of(keys[i]);
        keys_[slot] = keys[i];
        heads_[slot] = heads[i];
    }
}

}  // namespace everstep::journal
