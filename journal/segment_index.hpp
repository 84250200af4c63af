// SegmentIndex: the units (writes, pieces of long zeroes, resync extents) of one segment in order,
// and which of them touched a sector. BeforeImageIndex: the before-images of the segment's blocks.
//
// Thread: the store guards both.
// Invariants: units are added in growing position; unit numbers grow with positions, so that a
// range of positions is a range of unit numbers; a block has at most one before-image.
#pragma once

#include <optional>
#include <vector>

#include "common/base/packing.hpp"
#include "journal/range_index.hpp"
#include "journal/record_bodies.hpp"

namespace everstep::journal {

inline constexpr unsigned kBlockLevel = 3;  // 4 KiB = 2^3 sectors
static_assert(kSectorBytes << kBlockLevel == kBlockBytes);
static_assert(kSectorBytes << kRangeLevelMax == kPieceBytesMax);
// Data up to here has the entry's own CRC; longer data one CRC for each so many bytes, made when it
// comes in, so that a small read of a large write is checked without reading all of it. Of packed
// data the same chunks, and behind their CRCs where each ends in the payload.
inline constexpr std::uint32_t kChunkBytes = kPackChunkBytes;

struct Unit {
    Lsn lsn;
    ByteOffset offset;         // on the volume
    ByteOffset payload_at;     // in the redo file
    std::uint32_t length = 0;  // bytes of the volume; at most kPieceBytesMax
    std::uint32_t sub = 0;
    std::uint32_t crc = 0;           // of the whole payload, as it is stored
    std::uint32_t chunks_at = 0;     // place of the first chunk's word, if longer than kChunkBytes
    std::uint32_t packed_bytes = 0;  // of a packed payload; else 0, and `length` bytes are stored
    std::uint16_t volume = 0;
    bool zero = false;
    [[nodiscard]] Position position() const { return {lsn, sub}; }
    [[nodiscard]] std::uint32_t stored_bytes() const {
        return packed_bytes == 0 ? length : packed_bytes;
    }
    // So many words say what its chunks are.
    [[nodiscard]] std::uint32_t chunk_words() const {
        if (zero || length <= kChunkBytes) return 0;
        return pack_chunks(length) * (packed_bytes == 0 ? 1 : 2);
    }
};
static_assert(sizeof(Unit) <= 48);

// The part of a unit's payload under one checksum.
struct UnitChunk {
    std::uint32_t skip = 0;    // from payload_at
    std::uint32_t stored = 0;  // bytes in the file; less than `length`: packed
    std::uint32_t length = 0;  // of its data
    std::uint32_t crc = 0;     // of what is stored
};
// `word`: of the index's list of words. None: they make no sense.
template <class Word>
[[nodiscard]] std::optional<UnitChunk> chunk_of(const Unit& unit, std::uint32_t number,
                                                const Word& word) {
    if (unit.length <= kChunkBytes) return UnitChunk{0, unit.stored_bytes(), unit.length, unit.crc};
    UnitChunk chunk{number * kChunkBytes, 0, pack_chunk_length(unit.length, number),
                    word(unit.chunks_at + number)};
    chunk.stored = chunk.length;
    if (unit.packed_bytes == 0) return chunk;
    const std::uint32_t count = pack_chunks(unit.length);
    const std::uint32_t ends_at = unit.chunks_at + count;
    const auto table = static_cast<std::uint32_t>(count * sizeof(std::uint32_t));
    chunk.skip = number == 0 ? table : word(ends_at + number - 1);
    const std::uint32_t end = word(ends_at + number);
    if (chunk.skip < table || end <= chunk.skip || end > unit.packed_bytes ||
        end - chunk.skip > chunk.length)
        return std::nullopt;
    chunk.stored = end - chunk.skip;
    return chunk;
}

struct UnitSpan {  // unit numbers [first, last)
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    [[nodiscard]] bool empty() const { return first >= last; }
};

// The positions behind `after` up to and including `to`.
struct PathSpan {
    Position after;
    Position to;
};

// What a span of writes did to a sector: whether any of them covers it, and if so the newest one
// before the span that does.
struct Undone {
    bool written = false;
    std::optional<Unit> before;
};

class SegmentIndex {
  public:
    using Span = UnitSpan;
    SegmentIndex() = default;
    // One that is made again from its parts: the chunks' words, then its units by restore().
    explicit SegmentIndex(std::vector<std::uint32_t> chunk_words)
        : chunk_words_(std::move(chunk_words)) {}
    void restore(const Unit& unit);
    [[nodiscard]] const std::vector<std::uint32_t>& chunk_words() const { return chunk_words_; }
    // `payload` is empty for zeroes; else it was checked, and says how it is stored.
    void add(Unit unit, const StoredPayload& payload);
    [[nodiscard]] std::size_t unit_count() const { return units_.size(); }
    [[nodiscard]] const Unit& unit(std::uint32_t number) const { return units_[number]; }
    // Of data that is no zeroes; never none here.
    [[nodiscard]] std::optional<UnitChunk> chunk(const Unit& unit, std::uint32_t number) const {
        const auto found = chunk_of(unit, number, [&](std::uint32_t n) { return chunk_words_[n]; });
        EVERSTEP_ASSERT(found.has_value(), "the chunks of a write were checked when it came");
        return found;
    }
    // The units at positions behind `after` up to and including `to`.
    [[nodiscard]] UnitSpan between(Position after, Position to) const;
    // The newest unit of the span that covers the sector; kRangeNone if there is none.
    [[nodiscard]] std::uint32_t newest(VolumeIndex volume, std::uint64_t sector,
                                       UnitSpan span) const;
    // The two looks of the reading rule at a sector; PagedWrites has the same.
    [[nodiscard]] std::optional<Unit> last_write(VolumeIndex volume, std::uint64_t sector,
                                                 UnitSpan span) const;
    [[nodiscard]] Undone undone(VolumeIndex volume, std::uint64_t sector, UnitSpan span) const;
    // All of the sectors are the unit's.
    [[nodiscard]] static bool covers(const Unit& unit, const UnitRange& sectors) {
        const std::uint64_t at = sectors.first * kSectorBytes;
        return unit.volume == sectors.volume.value() && unit.offset.value() <= at &&
               at + sectors.count * kSectorBytes <= unit.offset.value() + unit.length;
    }
    // True when the block's sectors may have different writes: some unit covers only a part of it,
    // or no unit covers any block.
    [[nodiscard]] bool split_block(VolumeIndex volume, std::uint64_t block) const;
    [[nodiscard]] const RangeIndex& sectors() const { return sectors_; }
    [[nodiscard]] const RangeIndex& split_blocks() const { return split_blocks_; }

  private:
    std::vector<Unit> units_;
    RangeIndex sectors_;
    RangeIndex split_blocks_;  // blocks of which a unit covers a part
    std::vector<std::uint32_t> chunk_words_;
};

struct BeforeImage {
    ByteOffset at;            // of this extent's data in the undo file
    std::uint64_t block = 0;  // first of the extent
    std::uint32_t blocks = 0;
    std::uint32_t crc = 0;  // of the extent's data
    std::uint16_t volume = 0;
    bool zero = false;
};

class BeforeImageIndex {
  public:
    // The extents of one record whose body lies at `body_at`. Blocks that have an image already
    // keep it.
    void add(std::span<const ImageExtent> extents, ByteOffset body_at);
    [[nodiscard]] const BeforeImage* find(VolumeIndex volume, std::uint64_t block) const;
    void restore(const BeforeImage& image);
    [[nodiscard]] const std::vector<BeforeImage>& images() const { return images_; }
    [[nodiscard]] std::size_t image_count() const { return images_.size(); }
    [[nodiscard]] const RangeIndex& blocks() const { return blocks_; }

  private:
    std::vector<BeforeImage> images_;
    RangeIndex blocks_;
};

}  // namespace everstep::journal
