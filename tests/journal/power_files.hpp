// A file system for tests that knows what is on the disk: a file's content as of its last sync, the
// directory's names as of its last sync. It can end the process at an operation, fail a sync as
// Linux does (the pages count as clean afterwards, but are not on the disk), and take the power
// away. One directory; one thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>

#include "common/io/file.hpp"

namespace everstep::journal::lab {

class PowerFiles final : public io::FileSystem {
  public:
    explicit PowerFiles(std::string directory) : directory_(std::move(directory)) {}

    static constexpr std::uint64_t kNever = UINT64_MAX;
    std::uint64_t operations = 0;         // that change something
    std::uint64_t die_at = kNever;        // this one and all later ones do not happen
    std::uint64_t syncs = 0;              // of files
    std::uint64_t fail_sync_at = kNever;  // this one and all later ones
    // The directory is as the disk has it; what was open is gone.
    void lose_power();

    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                         const io::OpenOptions& options) override;
    [[nodiscard]] Status make_directory(const std::string& path) override;
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override;
    [[nodiscard]] Status remove(const std::string& path) override;
    [[nodiscard]] Status sync_directory(const std::string& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override;
    [[nodiscard]] Result<bool> exists(const std::string& path) const override;

  private:
    class File;
    struct OnDisk {
        std::string content;
        std::map<std::uint64_t, std::uint64_t> dirty;  // written since the last sync: offset, end
    };
    [[nodiscard]] Status operation();

    std::string directory_;
    std::map<ino_t, OnDisk> files_;
    std::map<std::string, ino_t> names_;
    std::vector<std::unique_ptr<io::File>> pins_;  // no inode number is used twice
};

}  // namespace everstep::journal::lab
