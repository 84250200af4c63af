// OpeningFiles: the machine's file system, and which files were opened.
//
// Thread: one.
#pragma once

#include <string>
#include <vector>

#include "common/io/file.hpp"

namespace everstep::journal::lab {

class OpeningFiles final : public io::FileSystem {
  public:
    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                         const io::OpenOptions& options) override {
        opened.push_back(path);
        return under_.open(path, options);
    }
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
    std::vector<std::string> opened;

  private:
    io::FileSystem& under_ = io::system_files();
};

}  // namespace everstep::journal::lab
