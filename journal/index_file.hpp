// Index files: the sorted index of one sealed redo or undo file, so that the index of a long
// history need not be in memory and need not be made again at opening (docs/journal-format.md).
//
// Thread: any; pure but for the files.
// Invariants: an index file can be lost or damaged without harm, since it is made again from the
// segment; it is believed only if its checksum is right and it bears the salt of the file that it
// indexes; every number in it is checked before it is used. It is never synced for its own sake.
#pragma once

#include "journal/index_pages.hpp"
#include "journal/segment.hpp"
#include "journal/segment_header.hpp"

namespace everstep::journal {

inline constexpr std::uint32_t kIndexVersion = 4;

// What an index file has to fit.
struct IndexedFile {
    Uuid group;
    std::uint64_t segment = 0;
    std::uint64_t salt = 0;                   // of the redo or undo file
    std::span<const ByteCount> volume_bytes;  // by VolumeIndex; no write lies beyond
};

// The items of its lists, which its pages have too. is_sane: such that the rest of the program may
// be given it; `chunks`: how many words of chunks there are.
class BodyWriter;
class BodyReader;
void put_unit(BodyWriter& to, const Unit& unit);
[[nodiscard]] Unit get_unit(BodyReader& from);
[[nodiscard]] bool is_sane(const Unit& unit, std::size_t chunks, const IndexedFile& of);
void put_image(BodyWriter& to, const BeforeImage& image);
[[nodiscard]] BeforeImage get_image(BodyReader& from);
[[nodiscard]] bool is_sane(const BeforeImage& image, const IndexedFile& of);

// The file up to its first page: the header and a body. unpack: the body, when all of it is right.
[[nodiscard]] BodyBytes pack_index_head(const IndexedFile& of, FileKind kind,
                                        const BodyBytes& body);
[[nodiscard]] Result<Bytes> unpack_index_head(Bytes from, const IndexedFile& of, FileKind kind,
                                              const std::string& name);

[[nodiscard]] BodyBytes pack_redo_index(const IndexedFile& of, const RedoIndex& index);
[[nodiscard]] BodyBytes pack_undo_index(const IndexedFile& of, const BeforeImageIndex& images);
// corrupt: damaged, or of another file; version: a newer format. `name` is the file's, for
// messages.
[[nodiscard]] Result<RedoIndex> unpack_redo_index(Bytes from, const IndexedFile& of,
                                                  const std::string& name);
// Its lists without its writes; of the file's head (read_index_head).
[[nodiscard]] Result<RedoLists> unpack_redo_lists(Bytes from, const IndexedFile& of,
                                                  const std::string& name);
[[nodiscard]] Result<BeforeImageIndex> unpack_undo_index(Bytes from, const IndexedFile& of,
                                                         const std::string& name);

// Opens the pages of an index file for look-ups: a damaged body is not seen by it. `kind`: of the
// file that is indexed, or merged_index, of which a small one is read into memory.
[[nodiscard]] Result<std::shared_ptr<const IndexPages>> open_index_pages(io::FileSystem& files,
                                                                         const std::string& path,
                                                                         const IndexedFile& of,
                                                                         FileKind kind);

// Replaces DIRECTORY/NAME as a whole; not synced. What is left after a crash is checked when it is
// read.
struct IndexPath {
    std::string finished;
    std::string unfinished;
};
[[nodiscard]] Status write_index(io::FileSystem& files, const IndexPath& path, Bytes content);
[[nodiscard]] Result<Buffer> read_index(io::FileSystem& files, const std::string& path);
// What lies before its pages alone, unchecked.
[[nodiscard]] Result<Buffer> read_index_head(io::FileSystem& files, const std::string& path);

}  // namespace everstep::journal
