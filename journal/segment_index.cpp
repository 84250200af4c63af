#include "journal/segment_index.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"

namespace everstep::journal {

void SegmentIndex::add(Unit unit, const StoredPayload& payload) {
    unit.packed_bytes = payload.packed() ? static_cast<std::uint32_t>(payload.stored().size()) : 0;
    if (payload.length() > kChunkBytes) {
        unit.chunks_at = static_cast<std::uint32_t>(chunk_words_.size());
        std::vector<std::uint32_t> ends;
        for (std::uint32_t n = 0; n < pack_chunks(payload.length()); ++n) {
            const auto chunk = payload.chunk(n);
            EVERSTEP_ASSERT(chunk.ok(), chunk.status().message());  // the frame was checked
            chunk_words_.push_back(crc32c(chunk->stored));
            ends.push_back(chunk->at + static_cast<std::uint32_t>(chunk->stored.size()));
        }
        if (payload.packed()) chunk_words_.insert(chunk_words_.end(), ends.begin(), ends.end());
    }
    restore(unit);
}

void SegmentIndex::restore(const Unit& unit) {
    EVERSTEP_ASSERT(units_.empty() || units_.back().position() < unit.position(),
                    "units come in the order of their positions");
    const auto number = static_cast<std::uint32_t>(units_.size());
    units_.push_back(unit);
    const VolumeIndex volume(unit.volume);
    const std::uint64_t first = unit.offset.value() / kSectorBytes;
    const std::uint64_t end = first + unit.length / kSectorBytes;
    sectors_.add({volume, first, end - first}, number);
    const auto part_of_block = [&](std::uint64_t sector) {
        if (sector % (1U << kBlockLevel) != 0)
            split_blocks_.add({volume, sector >> kBlockLevel, 1}, number);
    };
    part_of_block(first);
    if (end >> kBlockLevel != first >> kBlockLevel || first % (1U << kBlockLevel) == 0)
        part_of_block(end);
}

UnitSpan SegmentIndex::between(Position after, Position to) const {
    const auto place = [&](Position p) {
        const auto found =
            std::upper_bound(units_.begin(), units_.end(), p,
                             [](Position at, const Unit& unit) { return at < unit.position(); });
        return static_cast<std::uint32_t>(found - units_.begin());
    };
    return {place(after), place(to)};
}

std::uint32_t SegmentIndex::newest(VolumeIndex volume, std::uint64_t sector, UnitSpan span) const {
    std::uint32_t best = kRangeNone;
    if (span.empty()) return best;
    for (unsigned level = 0; level <= kRangeLevelMax; ++level) {
        if (!sectors_.uses(level)) continue;
        std::uint32_t entry = sectors_.newest(volume, sector, level);
        while (entry != kRangeNone && sectors_.value(entry) >= span.last)
            entry = sectors_.older(entry);
        if (entry == kRangeNone) continue;
        const std::uint32_t unit = sectors_.value(entry);
        if (unit >= span.first && (best == kRangeNone || unit > best)) best = unit;
    }
    return best;
}

std::optional<Unit> SegmentIndex::last_write(VolumeIndex volume, std::uint64_t sector,
                                             UnitSpan span) const {
    const std::uint32_t found = newest(volume, sector, span);
    return found == kRangeNone ? std::nullopt : std::optional(units_[found]);
}

Undone SegmentIndex::undone(VolumeIndex volume, std::uint64_t sector, UnitSpan span) const {
    if (newest(volume, sector, span) == kRangeNone) return {};
    return {.written = true, .before = last_write(volume, sector, {0, span.first})};
}

bool SegmentIndex::split_block(VolumeIndex volume, std::uint64_t block) const {
    if (sectors_.levels() >> kBlockLevel == 0) return true;
    return split_blocks_.newest(volume, block, 0) != kRangeNone;
}

void BeforeImageIndex::add(std::span<const ImageExtent> extents, ByteOffset body_at) {
    for (const ImageExtent& extent : extents) {
        if (find(extent.volume, extent.block) != nullptr) continue;
        restore({.at = body_at + extent.data_at,
                 .block = extent.block,
                 .blocks = extent.blocks,
                 .crc = extent.crc,
                 .volume = static_cast<std::uint16_t>(extent.volume.value()),
                 .zero = extent.data_at == 0});
    }
}

void BeforeImageIndex::restore(const BeforeImage& image) {
    const auto number = static_cast<std::uint32_t>(images_.size());
    images_.push_back(image);
    blocks_.add({VolumeIndex(image.volume), image.block, image.blocks}, number);
}

const BeforeImage* BeforeImageIndex::find(VolumeIndex volume, std::uint64_t block) const {
    for (unsigned level = 0; level <= kRangeLevelMax; ++level) {
        if (!blocks_.uses(level)) continue;
        const std::uint32_t entry = blocks_.newest(volume, block, level);
        if (entry != kRangeNone) return &images_[blocks_.value(entry)];
    }
    return nullptr;
}

}  // namespace everstep::journal
