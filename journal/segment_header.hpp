// The first 4 KiB of a redo or undo file: whose it is and which use of the file this is
// (docs/journal-format.md). Also the names of the store's files.
//
// Thread: pure functions.
// Invariants: the salt is new at each use of a file; a file gets its final name only after its
// header (and a redo file's first batch) was synced, so that a bad header under a final name is
// always damage, never a torn creation.
#pragma once

#include <optional>
#include <string>

#include "common/base/status.hpp"
#include "common/base/types.hpp"
#include "journal/record_format.hpp"

namespace everstep::journal {

// pool: waits, nobody's (pool.hpp). The index files (index_file.hpp) are named like the files that
// they index, merged ones (merged_index.hpp) by their salts. None of them has a header of this
// form.
enum class FileKind : std::uint8_t { redo, undo, pool, redo_index, undo_index, merged_index };

struct FileHeader {
    FileKind kind = FileKind::redo;
    Uuid group;
    Uuid salt;
    TimelineId timeline;
    std::uint64_t segment = 0;
    Position first;        // the segment's writes lie behind it
    ByteCount file_bytes;  // of a redo file; 0 for an undo file, which grows
    bool operator==(const FileHeader&) const = default;
};

// The part of the salt that envelopes bear; the rest counts through the header's CRC, where the
// chain begins.
[[nodiscard]] std::uint64_t envelope_salt(const Uuid& salt);

// Writes kFileHeaderBytes; gives the header's CRC.
std::uint32_t pack_header(const FileHeader& header, MutableBytes to);
struct CheckedHeader {
    FileHeader header;
    std::uint32_t crc = 0;
};
// corrupt: not an undamaged header of this kind; version: a newer format. `name` is the file's, for
// messages.
[[nodiscard]] Result<CheckedHeader> unpack_header(Bytes from, FileKind kind,
                                                  const std::string& name);

// "redo-%016x", "undo-%016x", "pool-%016x", "redo-index-%016x", "undo-index-%016x",
// "merged-index-%016x"; with `unfinished`, the name under which it is made (".new" behind it).
[[nodiscard]] std::string file_name(FileKind kind, std::uint64_t segment);
[[nodiscard]] std::string unfinished_name(FileKind kind, std::uint64_t segment);
// The segment of a finished file's name; nothing when it is another name.
[[nodiscard]] std::optional<std::uint64_t> parse_file_name(FileKind kind, std::string_view name);
[[nodiscard]] bool is_unfinished_name(std::string_view name);
// A finished or unfinished file of any kind.
[[nodiscard]] bool is_store_file(std::string_view name);

}  // namespace everstep::journal
