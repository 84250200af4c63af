// Index files: the sorted index of one sealed redo or undo file, so that the index of a long
// history need not be in memory and need not be made again at opening (docs/journal-format.md).
//
// Thread: any; pure but for the files.
// Invariants: an index file can be lost or damaged without harm, since it is made again from the
// segment; it is believed only if its checksum is right and it bears the salt of the file that it
// indexes; every number in it is checked before it is used. It is never synced for its own sake.
#pragma once

#include "journal/segment.hpp"
#include "journal/segment_header.hpp"

namespace everstep::journal {

inline constexpr std::uint32_t kIndexVersion = 1;

// What an index file has to fit.
struct IndexedFile {
    Uuid group;
    std::uint64_t segment = 0;
    std::uint64_t salt = 0;                   // of the redo or undo file
    std::span<const ByteCount> volume_bytes;  // by VolumeIndex; no write lies beyond
};

[[nodiscard]] BodyBytes pack_redo_index(const IndexedFile& of, const RedoIndex& index);
[[nodiscard]] BodyBytes pack_undo_index(const IndexedFile& of, const BeforeImageIndex& images);
// corrupt: damaged, or of another file; version: a newer format. `name` is the file's, for
// messages.
[[nodiscard]] Result<RedoIndex> unpack_redo_index(Bytes from, const IndexedFile& of,
                                                  const std::string& name);
[[nodiscard]] Result<BeforeImageIndex> unpack_undo_index(Bytes from, const IndexedFile& of,
                                                         const std::string& name);

// Replaces DIRECTORY/NAME as a whole; not synced. What is left after a crash is checked when it is
// read.
struct IndexPath {
    std::string finished;
    std::string unfinished;
};
[[nodiscard]] Status write_index(io::FileSystem& files, const IndexPath& path, Bytes content);
[[nodiscard]] Result<Buffer> read_index(io::FileSystem& files, const std::string& path);

}  // namespace everstep::journal
