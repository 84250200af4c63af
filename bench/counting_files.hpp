// CountingFiles: the machine's file system, and how many bytes were written to its files and read
// from them. (The kernel's own count, /proc/self/io, takes a whole folio for each block that gets
// dirty: a hundred times too much for small writes into large files.)
//
// Thread: any.
#pragma once

#include <atomic>

#include "common/io/file.hpp"

namespace everstep::bench {

struct Traffic {
    std::atomic<std::uint64_t> written{0};
    std::atomic<std::uint64_t> read{0};
};

class CountingFiles final : public io::FileSystem {
  public:
    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                         const io::OpenOptions& options) override;
    [[nodiscard]] Status make_directory(const std::string& path) override {
        return under_.make_directory(path);
    }
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override {
        return under_.rename(from, to);
    }
    [[nodiscard]] Status remove(const std::string& path) override { return under_.remove(path); }
    [[nodiscard]] Status sync_directory(const std::string& path) override {
        return under_.sync_directory(path);
    }
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
        return under_.list(path);
    }
    [[nodiscard]] Result<bool> exists(const std::string& path) const override {
        return under_.exists(path);
    }
    Traffic traffic;  // outlives the files that were given out

  private:
    io::FileSystem& under_ = io::system_files();
};

}  // namespace everstep::bench
