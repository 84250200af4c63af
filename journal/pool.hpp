// Pool: files that wait to be used again as a segment's redo or undo file: `pool-%016x` beside the
// segments. A write into blocks that were written before costs no allocation and no journal commit
// of the file system.
//
// Thread: any; a mutex inside, not held while a file is written.
// Invariants
//  - a file's header was overwritten, and that synced, before its name says that it is free:
//  whatever else it holds belongs to no segment, and the salt of its next use tells old records
//  from new;
//  - redo files are all of one size and undo files of any other; at most kPoolFilesMax of each
//  wait, more are removed;
//  - what is in the pool is nobody's data: it may vanish at any time.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/io/file.hpp"

namespace everstep::journal {

inline constexpr std::size_t kPoolFilesMax = 2;

class Pool {
  public:
    Pool(io::FileSystem& files, std::string directory, ByteCount redo_bytes)
        : files_(files), directory_(std::move(directory)), redo_bytes_(redo_bytes) {}
    // What waits from an earlier run; those over the bound go.
    [[nodiscard]] Status open();
    // Renames a file to `path` (not durable); false where there is none: a redo file of exactly
    // `bytes`, the largest undo file.
    [[nodiscard]] Result<bool> take_redo(ByteCount bytes, const std::string& path);
    [[nodiscard]] Result<bool> take_undo(const std::string& path);
    // A dropped file: its header is overwritten and that is durable; then it waits under a name of
    // the pool, or is removed. The caller syncs the directory.
    [[nodiscard]] Status retire(const std::string& path);
    // One prewritten redo file more, if there is place for it. Writes all of it: for a thread that
    // may take long.
    [[nodiscard]] Status make_spare();
    [[nodiscard]] bool has_redo() const;
    [[nodiscard]] Status clear();  // room is wanted
    // Overwrites the header, durably: nothing of the file is valid any more.
    [[nodiscard]] static Status end_use(io::FileSystem& files, const std::string& path);

  private:
    struct Free {
        std::uint64_t number = 0;
        ByteCount bytes;
    };
    [[nodiscard]] std::string path_of(std::uint64_t number) const;
    [[nodiscard]] bool is_redo(ByteCount bytes) const { return bytes == redo_bytes_; }
    [[nodiscard]] std::optional<std::uint64_t> reserve_number(ByteCount bytes);
    void add(const Status& made, const Free& file);

    io::FileSystem& files_;
    std::string directory_;
    ByteCount redo_bytes_;
    mutable std::mutex mutex_;
    std::vector<Free> free_;
    std::vector<ByteCount> coming_;  // on their way in
    std::uint64_t next_ = 1;
};

}  // namespace everstep::journal
