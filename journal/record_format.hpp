// The envelope in which every record of the history store lies, byte for byte
// (docs/journal-format.md).
//
// Thread: pure functions.
// Invariants
//  - a record belongs to one use of one file: it bears that use's salt and its own offset, so that
//  what an earlier
//    use left behind, or what was written to a wrong place, is never taken for it;
//  - previous_crc chains it to the record before (the first one to the file's header);
//  - synced_to is a claim: when this record was written, everything below that offset had been
//  synced. A record that
//    is bad below such a claim is damage; above all claims it is the torn end of the file;
//  - a record begins at a multiple of kRecordAlign; a batch (what one write wrote) at a multiple of
//  kBatchAlign, so
//    that no block that holds a synced record is ever written again.
#pragma once

#include <optional>

#include "common/base/types.hpp"

namespace everstep::journal {

inline constexpr std::uint32_t kFormatVersion = 2;
inline constexpr std::uint64_t kFileHeaderBytes = 4096;
inline constexpr std::uint64_t kEnvelopeBytes = 64;
inline constexpr std::uint64_t kRecordAlign = 512;
inline constexpr std::uint64_t kBatchAlign = 4096;
static_assert(kBatchAlign % kRecordAlign == 0 && kFileHeaderBytes % kBatchAlign == 0);

enum class RecordKind : std::uint16_t {
    head = 1,        // redo: what is still valid of timelines, marks and gaps; the first record
    frame = 2,       // redo: a write frame, the primary's bytes untouched
    resync = 3,      // redo: a resync frame made on this node
    images = 4,      // undo: before-images
    mark = 5,        // redo
    unmark = 6,      // redo
    gap_open = 7,    // redo
    gap = 8,         // redo: a gap that has ended
    timeline = 9,    // redo: right behind the head of the segment that begins it
    position = 10,   // undo and redo: where the replica stands
    footer = 11,     // both: the file is sealed
    kept = 12,       // redo: which segments are kept, where history begins, the age clock
    condensed = 13,  // redo of a condensed segment: the steps that it keeps
};
inline constexpr std::uint16_t kRecordKindMax = 13;

struct Envelope {
    RecordKind kind = RecordKind::head;
    std::uint64_t salt = 0;
    std::uint64_t sequence = 0;  // store-wide; larger = written later
    ByteOffset offset;           // of this envelope in its file
    ByteOffset synced_to;
    std::uint32_t body_bytes = 0;
    std::uint32_t previous_crc = 0;
    std::uint32_t body_crc = 0;
    bool operator==(const Envelope&) const = default;
};

// Writes kEnvelopeBytes; gives the envelope's CRC, to which the next record chains.
std::uint32_t pack_envelope(const Envelope& envelope, MutableBytes to);

struct CheckedEnvelope {
    Envelope envelope;
    std::uint32_t crc = 0;
};
// Nothing when the bytes are not a whole, undamaged envelope of this version (its body is not
// looked at). A kind beyond kRecordKindMax is given as it is: the caller says what an unknown kind
// means.
[[nodiscard]] std::optional<CheckedEnvelope> unpack_envelope(Bytes from);

// True when the bytes begin like an envelope of this use of a file, good or torn.
[[nodiscard]] bool bears_salt(Bytes from, std::uint64_t salt);

[[nodiscard]] constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}
// From the envelope's first byte to where the next record of the same batch begins.
[[nodiscard]] constexpr std::uint64_t record_bytes(std::uint64_t body_bytes) {
    return align_up(kEnvelopeBytes + body_bytes, kRecordAlign);
}

}  // namespace everstep::journal
