// A disk in memory that writes down, in one log, everything that changes it: writes, sizes, syncs,
// names, syncs of directories; of all files, whoever they belong to. What a log leaves on a disk
// whose power is cut inside it: power_cut.hpp.
//
// Thread: any (one mutex). A file given out is used no longer than its disk.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "common/io/file.hpp"

namespace everstep::power {

using Content = std::vector<std::byte>;
using FileId = std::uint64_t;

// What lies on a disk. Cheap to copy: a content is shared until someone changes it.
struct DiskState {
    std::map<std::string, FileId> names;
    std::map<FileId, std::shared_ptr<const Content>> files;
};

struct DiskOp {
    enum class Kind : std::uint8_t {
        write,  // `data`, or zeroes where there is none
        resize,
        extend,  // by a write behind the end: the size may get there in parts
        sync,
        sync_failed,  // what was not synced counts as written, and never will be
        create,
        rename,
        remove,
        sync_directory,
        note,  // the workload's: what has been promised from here on
    };
    Kind kind = Kind::note;
    FileId file = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  // resize, extend: the new size; note: its number
    Content data{};
    std::string name{};  // create, rename (new name), remove, sync_directory
    std::string from{};  // rename
};

// Says which directory a file's name lies in.
[[nodiscard]] std::string directory_of(const std::string& path);

class MemoryDisk final : public io::FileSystem {
  public:
    MemoryDisk() = default;
    explicit MemoryDisk(DiskState state);

    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                         const io::OpenOptions& options) override;
    [[nodiscard]] Status make_directory(const std::string& path) override;
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override;
    [[nodiscard]] Status remove(const std::string& path) override;
    [[nodiscard]] Status sync_directory(const std::string& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override;
    [[nodiscard]] Result<bool> exists(const std::string& path) const override;
    [[nodiscard]] Result<ByteCount> free_bytes(const std::string& path) const override;

    void note(std::uint64_t number);
    [[nodiscard]] DiskState state() const;
    [[nodiscard]] const DiskState& files_now() const { return state_; }
    [[nodiscard]] std::vector<DiskOp> take_log();
    [[nodiscard]] std::size_t log_size() const;
    // Called before each change of a file's bytes or size and before each sync, with no lock held:
    // so that a test does something else at the same time. What it changes itself does not call it.
    std::function<void(const std::string& path)> before_change;
    // Syncs of files with this in their path (but of those that are being made), and of
    // directories, say ok and do nothing: bugs to be found.
    std::string lying_sync;
    bool lying_when_made = false;  // of those that are being made, too
    bool lying_directories = false;
    // The process ends at an operation that changes something: it and all later ones do not happen.
    static constexpr std::uint64_t kNever = UINT64_MAX;
    std::uint64_t operations = 0;
    std::uint64_t die_at = kNever;
    // Syncs of files fail from this one on, as Linux lets them.
    std::uint64_t syncs = 0;
    std::uint64_t fail_sync_at = kNever;
    // New files hold this, as one that was used before and is used again. It may ask files_now()
    // and nothing else.
    std::function<std::shared_ptr<const Content>(const std::string& path)> recycled;

  private:
    class File;
    void interleave(const std::string& path);
    [[nodiscard]] Status operation();  // under the mutex
    [[nodiscard]] Content& content(FileId file);
    void add(DiskOp op) { log_.push_back(std::move(op)); }

    mutable std::mutex mutex_;
    DiskState state_;
    std::map<FileId, std::shared_ptr<Content>> owned_;  // changed since: the same as in state_
    std::set<FileId> locked_;
    FileId next_ = 1;
    std::vector<DiskOp> log_;
    bool interleaving_ = false;
};

}  // namespace everstep::power
