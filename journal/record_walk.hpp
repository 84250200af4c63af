// Goes through every record of a redo or undo file, on behind damage, for who has to say what is
// there and what is not (scrub, dump). Opening a store goes by record_scan.hpp, which stops at the
// first damage.
//
// Thread: any; it reads only.
// Invariants: any bytes give records, bad ranges and an end, never a crash; records and bad ranges
// come in the order of their places and do not overlap; a place is called torn only where nothing
// says that it had been synced.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/io/file.hpp"
#include "journal/record_format.hpp"

namespace everstep::journal {

struct WalkedRecord {
    Envelope envelope;
    ByteOffset body_at;
    Bytes body;          // valid during the visit
    bool good = true;    // the body passes its checksum
    bool joined = true;  // it continues the record before it; false behind a bad range
};

struct BadRange {
    ByteOffset at;
    ByteCount length;      // 0: something is missing here
    bool torn = false;     // the end of what was written when the power went: no damage
    bool padding = false;  // no record lies here
    std::string what;
};

struct RecordVisitor {
    // An error ends the walk, which gives it.
    std::function<Status(const WalkedRecord&)> record;
    std::function<Status(const BadRange&)> bad;
};

struct WalkLimits {
    std::uint64_t end = 0;        // nothing at or behind it is looked at; at most the file's size
    std::uint64_t synced_to = 0;  // something beside the file says that it was synced up to here
    std::uint64_t salt = 0;       // of the file's envelopes; 0: that of the first one found
    std::optional<std::uint32_t> header_crc;  // where the chain begins, if the header is good
};

struct WalkEnd {
    std::uint64_t end = kFileHeaderBytes;  // behind the last record
    std::uint64_t records = 0;
    bool sealed = false;
};

// An error is of reading the file, or the visitor's.
[[nodiscard]] Result<WalkEnd> walk_records(const io::File& file, const WalkLimits& limits,
                                           const RecordVisitor& visitor);

}  // namespace everstep::journal
