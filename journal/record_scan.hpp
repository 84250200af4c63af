// Reads a redo or undo file's records in order and decides how it ends (walk: recovery, before
// stage 6).
//
// Thread: any; it reads only.
// Invariants: three answers are told apart: a record, the end, and damage. The chain ends at the
// first place that holds no good record with this salt, offset and predecessor. That is damage only
// if a good record further on in the file says that the place had been synced; what other files say
// of it (a footer, a following segment, a stored position) the caller compares. Old records of
// another use of the file never count.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/io/file.hpp"
#include "journal/record_writer.hpp"
#include "journal/segment_header.hpp"

namespace everstep::journal {

struct ScannedRecord {
    Envelope envelope;
    ByteOffset body_at;
    Bytes body;  // valid during the visit
};

struct ScanEnd {
    LogTail tail;  // synced_to: what the records claim
    std::uint64_t records = 0;
    std::uint64_t sequence_max = 0;  // of good records, those behind the end included
    bool sealed = false;             // the last record is a footer
    bool tail_dirty = false;         // something other than zeroes lies behind the end
};

// Reads and checks the header. `path` is opened already.
[[nodiscard]] Result<CheckedHeader> read_header(const io::File& file, FileKind kind);

// Calls `visit` for each record in order; its error ends the scan. corrupt: damage below what was
// synced, names file and offset. version: a record of a kind that this program does not know.
[[nodiscard]] Result<ScanEnd> scan_records(
    const io::File& file, const CheckedHeader& header,
    const std::function<Status(const ScannedRecord&)>& visit);

}  // namespace everstep::journal
