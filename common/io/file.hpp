// Files as the store, the replica and the device want them: positioned reads and writes in batches,
// sync, allocate, holes, an exclusive lock. `File` is the one interface through which everything
// that must survive a crash is written, so that a test can record or fail each operation.
//
// Thread: one writer per file at a time; reads from any thread, also beside a writer.
// What holds: a write that returned is in the page cache or on the device; only sync() makes it
// survive power loss. A failed sync is final: the file says so from then on (the kernel may have
// dropped the pages).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep::io {

struct ReadOp {
    ByteOffset offset;
    MutableBytes to;
};
struct WriteOp {
    ByteOffset offset;
    Bytes from;
};
struct DataExtent {  // from SEEK_DATA / SEEK_HOLE; a hole reads as zeroes
    ByteOffset offset;
    ByteCount length;
    bool hole = false;
};

class File {
  public:
    virtual ~File() = default;
    [[nodiscard]] virtual const std::string& path() const = 0;
    // All of them, in any order; a read past the end is an error (corrupt) that names offset,
    // length and how much was found.
    [[nodiscard]] virtual Status read(std::span<const ReadOp> ops) const = 0;
    // The same, of what is read once and then not soon again: where the file was opened so
    // (OpenOptions), long parts of which nothing is in memory come past the page cache.
    [[nodiscard]] virtual Status read_once(std::span<const ReadOp> ops) const { return read(ops); }
    [[nodiscard]] virtual Status write(std::span<const WriteOp> ops) = 0;
    // The same by way of the page cache, also of a file opened `direct`: for small writes that do
    // not wait for the disk, which the next sync brings there together.
    [[nodiscard]] virtual Status write_cached(std::span<const WriteOp> ops) { return write(ops); }
    // fdatasync: data and size.
    [[nodiscard]] virtual Status sync() = 0;
    // Reserves blocks and keeps the content; behind the end it extends the file with zeroes.
    [[nodiscard]] virtual Status allocate(ByteOffset offset, ByteCount count) = 0;
    // The range then reads as zeroes, its blocks kept; behind the end it extends the file.
    [[nodiscard]] virtual Status zero(ByteOffset offset, ByteCount count) = 0;
    // The range then reads as zeroes, its blocks freed where that is possible; never extends.
    [[nodiscard]] virtual Status punch(ByteOffset offset, ByteCount count) = 0;
    [[nodiscard]] virtual Status resize(ByteCount size) = 0;
    // Block devices too.
    [[nodiscard]] virtual Result<ByteCount> size() const = 0;
    // In order, without a hole between them, over the part of the range before the end of the file.
    [[nodiscard]] virtual Result<std::vector<DataExtent>> extents(ByteOffset offset,
                                                                  ByteCount length) const = 0;
    // A hint: what of it is not in memory begins to come from the disk. Returns at once.
    virtual void will_read(ByteOffset offset, ByteCount count) const;
    [[nodiscard]] Status read_at(ByteOffset offset, MutableBytes to) const;
    [[nodiscard]] Status write_at(ByteOffset offset, Bytes from);
};

// create: fails where it exists.
enum class OpenMode : std::uint8_t { read_only, read_write, create };
struct OpenOptions {
    OpenMode mode = OpenMode::read_only;
    // flock, and O_EXCL on a block device: busy while someone else has it so.
    bool exclusive_lock = false;
    // O_DIRECT for calls whose ops are all aligned to 4096 (offset, length, memory), where the file
    // system has it; the other calls go through the page cache, with the same result.
    bool direct = false;
    // With `direct`: a write whose ops follow one another without a hole and together begin and end
    // at multiples of 4096 is copied into buffers that are registered with the writing thread's
    // ring, and goes from there; so it is direct whatever its memory's alignment. For appends.
    bool gather = false;
    // read_once() takes ops of kOnceBytesMin and more, aligned to 4096, from the disk by O_DIRECT,
    // where the file system has it and none of their pages is in the page cache.
    bool once = false;
};
inline constexpr std::size_t kOnceBytesMin = 256UL << 10;

// The directory operations of a crash-safe program, behind the same seam.
class FileSystem {
  public:
    virtual ~FileSystem() = default;
    [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                                             const OpenOptions& options) = 0;
    // And its parents; mode 0700; durable. A directory that is there is no error.
    [[nodiscard]] virtual Status make_directory(const std::string& path) = 0;
    // Replaces `to`; not durable before its directory is synced.
    [[nodiscard]] virtual Status rename(const std::string& from, const std::string& to) = 0;
    // A file or an empty directory.
    [[nodiscard]] virtual Status remove(const std::string& path) = 0;
    [[nodiscard]] virtual Status sync_directory(const std::string& path) = 0;
    // Names, sorted.
    [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& path) const = 0;
    [[nodiscard]] virtual Result<bool> exists(const std::string& path) const = 0;
    // What an unprivileged writer may still use of the file system on which the path lies; of the
    // machine's own, unless a test says otherwise.
    [[nodiscard]] virtual Result<ByteCount> free_bytes(const std::string& path) const;
};

// The machine's own file system: pread/pwrite for single operations, io_uring for batches of them
// and for gathered writes.
// Thread: any.
[[nodiscard]] FileSystem& system_files();

// What recognises a file or device again: DESIGN.md 5, "Unknown disks". A block device with a
// serial has no device, inode and birth: those of its node belong to one boot.
struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t birth_ns = 0;  // 0 where the file system does not say
    std::uint64_t size_bytes = 0;
    std::string serial;  // block devices: serial or WWN; empty otherwise
    bool operator==(const FileIdentity&) const = default;
};
[[nodiscard]] Result<FileIdentity> identify(const std::string& path);

}  // namespace everstep::io
