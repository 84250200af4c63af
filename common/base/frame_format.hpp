// The bytes of a sealed frame (docs/journal-format.md): disk structs, pack, unpack and check.
// Nothing else reads or writes these bytes.
//
//   header (128) | payload of the entries, in their order, without a gap | entries (64 each)
//
// Thread: pure functions.
// Invariants: reserved bytes are zero and checked; unpack gives nothing out that check_* did not
// see; pack followed by unpack gives the same values.
#pragma once

#include <cstddef>

#include "common/base/frame.hpp"

namespace everstep::frame_format {

inline constexpr std::uint32_t kMagic = 0x46535645;  // "EVSF"
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::uint32_t kFlagAfterBranch = 1U << 0;
inline constexpr std::uint32_t kFlagAfterGap = 1U << 1;
inline constexpr std::uint32_t kFlagsKnown = kFlagAfterBranch | kFlagAfterGap;
inline constexpr std::uint8_t kEntryFlagFua = 1U << 0;
// All payload of one frame: one write of the greatest length, or many that came before it.
inline constexpr std::uint32_t kPayloadBytesMax = kWritePayloadBytesMax + (1U << 20);

struct HeaderDisk {
    std::uint32_t magic;
    std::uint16_t version;
    std::uint8_t kind;
    std::uint8_t compression;  // 0 = none, 1 = some payload is packed (zstd)
    std::uint32_t flags;
    std::uint32_t entry_count;
    std::uint8_t group[16];
    std::uint8_t timeline[16];
    std::uint8_t prev_hash[16];
    std::uint64_t seq;
    std::uint64_t first_lsn;
    std::uint64_t last_lsn;
    std::uint32_t sub_first;
    std::uint32_t payload_bytes;
    std::uint32_t body_bytes;   // payload_bytes + 64 * entry_count
    std::uint32_t entries_crc;  // CRC32C of the entries' bytes
    std::uint8_t reserved[20];
    std::uint32_t header_crc;  // CRC32C of the 124 bytes before
};
static_assert(sizeof(HeaderDisk) == kFrameHeaderBytes);
static_assert(offsetof(HeaderDisk, version) == 4 && offsetof(HeaderDisk, kind) == 6);
static_assert(offsetof(HeaderDisk, compression) == 7 && offsetof(HeaderDisk, flags) == 8);
static_assert(offsetof(HeaderDisk, entry_count) == 12 && offsetof(HeaderDisk, group) == 16);
static_assert(offsetof(HeaderDisk, timeline) == 32 && offsetof(HeaderDisk, prev_hash) == 48);
static_assert(offsetof(HeaderDisk, seq) == 64 && offsetof(HeaderDisk, first_lsn) == 72);
static_assert(offsetof(HeaderDisk, last_lsn) == 80 && offsetof(HeaderDisk, sub_first) == 88);
static_assert(offsetof(HeaderDisk, payload_bytes) == 92 && offsetof(HeaderDisk, body_bytes) == 96);
static_assert(offsetof(HeaderDisk, entries_crc) == 100 && offsetof(HeaderDisk, reserved) == 104);
static_assert(offsetof(HeaderDisk, header_crc) == 124);

struct EntryDisk {
    std::uint64_t lsn;
    std::uint64_t offset;
    std::uint64_t length;
    std::int64_t wall_ns;
    std::int64_t step_ns;
    std::uint32_t payload_offset;  // from the start of the frame; 0 without payload
    std::uint32_t payload_bytes;
    std::uint32_t payload_crc;  // CRC32C; 0 without payload
    std::uint16_t volume;
    std::uint8_t kind;
    std::uint8_t flags;
    std::uint32_t data_crc;  // CRC32C of the data of a packed payload; else 0
    std::uint8_t reserved[4];
};
static_assert(sizeof(EntryDisk) == kFrameEntryBytes);
static_assert(offsetof(EntryDisk, offset) == 8 && offsetof(EntryDisk, length) == 16);
static_assert(offsetof(EntryDisk, wall_ns) == 24 && offsetof(EntryDisk, step_ns) == 32);
static_assert(offsetof(EntryDisk, payload_offset) == 40 &&
              offsetof(EntryDisk, payload_bytes) == 44);
static_assert(offsetof(EntryDisk, payload_crc) == 48 && offsetof(EntryDisk, volume) == 52);
static_assert(offsetof(EntryDisk, kind) == 54 && offsetof(EntryDisk, flags) == 55);
static_assert(offsetof(EntryDisk, data_crc) == 56 && offsetof(EntryDisk, reserved) == 60);
static_assert(kFrameBytesMax ==
              kFrameHeaderBytes + kPayloadBytesMax + kFrameEntriesMax * kFrameEntryBytes);

// What a header says beside FrameHeader.
struct HeaderExtra {
    std::uint32_t payload_bytes = 0;
    std::uint32_t entries_crc = 0;
};

// `to`: kFrameHeaderBytes. Computes the header's own CRC.
void pack_header(const FrameHeader& header, const HeaderExtra& extra, MutableBytes to);
// `from`: at least kFrameHeaderBytes. corrupt, version, too_large name the field; on ok both
// outputs are set and every rule that the header alone can break was checked.
[[nodiscard]] Status unpack_header(Bytes from, FrameHeader& header, HeaderExtra& extra);

// `to`: kFrameEntryBytes.
void pack_entry(const FrameEntry& entry, MutableBytes to);
// `from`: kFrameEntryBytes. Checks the entry by itself: kind, flags, reserved bytes, alignment,
// length, overflow.
[[nodiscard]] Status unpack_entry(Bytes from, FrameEntry& entry);
// Checks an entry by itself; what unpack_entry() and the builder ask.
[[nodiscard]] Status check_entry(const FrameEntry& entry);
// Checks all entries against their header: LSNs without a hole, marks and flush marks in range,
// payload ranges contiguous from the header's end and payload_bytes long; payloads packed only in a
// compressed frame, one at least, and with them no more data than fits a frame that is none.
[[nodiscard]] Status check_entries(const FrameHeader& header, std::uint32_t payload_bytes,
                                   const std::vector<FrameEntry>& entries);

}  // namespace everstep::frame_format
