// The sealed frame: a run of consecutive writes with its checksums and the hash of its predecessor;
// the unit of transfer and storage. The same bytes lie in the spool, on the wire and in the
// standby's store.
//
// Bytes (little-endian; docs/journal-format.md): header (128) | payload | entries (64 each).
// The payload comes first so that a frame is built in place while writes arrive, without moving a
// byte. In a compressed frame the data of a write may be packed (packing.hpp).
//
// Invariants
//  - in a write frame the entries that take an LSN are first_lsn .. last_lsn without a
//    hole; a frame without such an entry (flush marks, marks) has last_lsn = first_lsn - 1 and
//    still has its own seq in the chain;
//  - a mark stands at first_lsn - 1 .. last_lsn; a flush mark at any step up to last_lsn,
//    because it is recorded when the flush has succeeded, and the step behind which it lies may
//    have been sealed long before; a batch begins and ends at the newest step before its entry;
//  - prev_hash is the hash of the write frame before it on the path (zero for the first);
//  - a resync frame stands outside the chain: first_lsn = last_lsn = as_of, no flags, prev_hash
//    zero; its entries (data, zero, discard) are positions (as_of, sub_first + i);
//  - parsing checks magic, version, reserved bytes, every length and range, header CRC, entries
//  CRC,
//    each payload CRC, and that what is packed holds the data of its CRC, before anything is given
//    out (law 8).
// Thread: a SealedFrame is immutable and may be shared by threads; a FrameBuilder has one owner.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/buffer.hpp"
#include "common/base/packing.hpp"
#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep {

inline constexpr std::uint32_t kFrameHeaderBytes = 128;
inline constexpr std::uint32_t kFrameEntryBytes = 64;
inline constexpr std::uint32_t kWritePayloadBytesMax =
    32U << 20;  // one write's data; NBD advertises it
inline constexpr std::uint32_t kFrameEntriesMax = 16384;
inline constexpr std::uint32_t kFrameBytesMax =
    kFrameHeaderBytes + kWritePayloadBytesMax + (1U << 20) + kFrameEntriesMax * kFrameEntryBytes;

enum class FrameKind : std::uint8_t { writes = 1, resync = 2 };

enum class EntryKind : std::uint8_t {
    data = 1,          // takes an LSN; payload of `length` bytes
    zero = 2,          // takes an LSN; no payload
    discard = 3,       // takes an LSN; reads as zeroes in history
    reread = 4,        // takes an LSN; a region read again after a failed write; payload
    sync = 5,          // takes an LSN; no data: the end of a gap, offset = length = 0
    flush = 16,        // no LSN of its own: a flush mark behind step `lsn`
    mark = 17,         // no LSN of its own: a named mark at step `lsn`; payload is a MarkBody
    batch_begin = 18,  // no LSN of its own: what follows step `lsn` belongs together,
    batch_end = 19,    // up to step `lsn`: the steps between are no points
};
[[nodiscard]] constexpr bool takes_lsn(EntryKind kind) {
    return kind <= EntryKind::sync;
}
[[nodiscard]] constexpr bool carries_data(EntryKind kind) {
    return kind == EntryKind::data || kind == EntryKind::reread;
}
[[nodiscard]] std::string_view entry_kind_name(EntryKind kind);

// One captured operation on its way to a frame (walk, stage 1 to 2). The payload is only borrowed.
struct CapturedWrite {
    VolumeIndex volume;
    EntryKind kind = EntryKind::data;
    ByteOffset offset;
    ByteCount length;
    bool fua = false;
    Bytes payload;  // length bytes for data and reread, else empty
};

struct FrameEntry {
    Lsn lsn;
    ByteOffset offset;
    ByteCount length;
    WallTime wall;                     // the primary's raw wall clock
    WallTime step_time;                // never less than the predecessor's on the path
    std::uint32_t payload_offset = 0;  // from the start of the frame
    std::uint32_t payload_bytes = 0;   // of data less than `length` where it is packed
    std::uint32_t payload_crc = 0;     // CRC32C of the payload as it is stored
    std::uint32_t data_crc = 0;        // CRC32C of the data of a packed one
    VolumeIndex volume;
    EntryKind kind = EntryKind::data;
    bool fua = false;
};

struct FrameHeader {
    FrameKind kind = FrameKind::writes;
    Uuid group;
    TimelineId timeline;
    FrameSeq seq;
    Lsn first_lsn;
    Lsn last_lsn;
    std::uint32_t sub_first = 0;  // resync frames only
    bool after_branch = false;    // the first write frame of its timeline
    bool after_gap = false;       // the first write frame behind a gap
    bool compressed = false;      // the data of some entry is packed
    std::uint32_t entry_count = 0;
    std::uint32_t body_bytes = 0;  // payload and entries
    Hash128 prev_hash{};
};

class SealedFrame {
  public:
    // Takes the bytes of one whole frame and checks all of them. corrupt/version/too_large name the
    // field.
    [[nodiscard]] static Result<std::shared_ptr<const SealedFrame>> parse(Buffer bytes);
    // How long the frame is that starts with these kFrameHeaderBytes bytes; checks the header's own
    // CRC and limits.
    [[nodiscard]] static Result<std::uint32_t> frame_bytes(Bytes header);
    [[nodiscard]] const FrameHeader& header() const { return header_; }
    [[nodiscard]] const std::vector<FrameEntry>& entries() const { return entries_; }
    // What lies in the frame for an entry of it: what takes bytes for data asks for the data.
    [[nodiscard]] StoredPayload stored(const FrameEntry& entry) const;
    // The data of an entry, or a mark's body: in the frame, or in `unpacked` where it is packed.
    [[nodiscard]] Result<Bytes> payload(const FrameEntry& entry, Buffer& unpacked) const;
    [[nodiscard]] Bytes bytes() const { return bytes_.bytes(); }
    // What it holds of memory, which is more than bytes(): whole pages, and room that was left.
    [[nodiscard]] std::size_t memory_bytes() const {
        return sizeof *this + bytes_.capacity() + entries_.capacity() * sizeof(FrameEntry);
    }
    [[nodiscard]] const Hash128& hash() const { return hash_; }  // XXH3-128 of bytes()
    // CRC32C of bytes(), as they were when the frame was made or checked: joined from the CRCs of
    // its payloads, which are not read again.
    [[nodiscard]] std::uint32_t crc() const;

  private:
    friend class FrameBuilder;
    Buffer bytes_;
    FrameHeader header_;
    std::vector<FrameEntry> entries_;
    Hash128 hash_{};
};
using FramePtr = std::shared_ptr<const SealedFrame>;

// Builds one frame in place. Add entries, then seal().
class FrameBuilder {
  public:
    explicit FrameBuilder(std::size_t capacity_bytes = 64U << 10);
    [[nodiscard]] bool empty() const { return entries_.empty(); }
    [[nodiscard]] std::size_t size_bytes() const;  // what seal() would give now
    // True when `payload_bytes` more and one more entry still fit the limits.
    [[nodiscard]] bool fits(std::size_t payload_bytes) const;
    // Copies the payload (the one copy of DESIGN.md 5) and computes its CRC32C.
    // payload_offset/bytes/crc are set here.
    void add(FrameEntry entry, Bytes payload);
    // Seals what was added. `header`: the caller gives kind, group, timeline, seq, first/last LSN,
    // sub_first, flags and prev_hash. The builder is empty afterwards and may be used again.
    // `packer`: packs the data that becomes shorter by it; null: nothing is packed.
    [[nodiscard]] FramePtr seal(FrameHeader header, Packer* packer = nullptr);

  private:
    [[nodiscard]] bool pack(Packer& packer);
    Buffer bytes_;
    Buffer packed_;  // the same with what is packed, while it is sealed
    std::vector<FrameEntry> entries_;
    std::size_t capacity_bytes_;
};

inline constexpr std::uint32_t kMarkNameBytesMax = 128;
inline constexpr std::uint32_t kMarkBodyBytesMax = 4 + kMarkNameBytesMax;

// The body of a mark entry.
struct MarkBody {
    std::string name;         // 1..128 bytes of [A-Za-z0-9._:-], not starting with '-' and no
                              // point-expression word
    std::string consistency;  // "crash", "filesystem", "application"
    bool pinned = false;
};
[[nodiscard]] std::vector<std::byte> pack_mark(const MarkBody& mark);
[[nodiscard]] Result<MarkBody> unpack_mark(Bytes bytes);
[[nodiscard]] Status check_mark_name(std::string_view name);

}  // namespace everstep
