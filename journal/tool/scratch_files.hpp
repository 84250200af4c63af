// ScratchFiles: a file system over another one whose files are only read. What is written to one of
// its files stays in memory, in that open file, so that a store can be opened, its torn tail cut,
// and nothing of it changes.
//
// Thread: any; a file's changes have one owner, as in io::File.
// Invariants: nothing below is ever changed or locked; a file that is made is forgotten when it is
// closed; names that are removed or renamed stay as they are.
#pragma once

#include "common/io/file.hpp"

namespace everstep::journal::tool {

class ScratchFiles final : public io::FileSystem {
  public:
    explicit ScratchFiles(io::FileSystem& below) : below_(below) {}
    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                         const io::OpenOptions& options) override;
    [[nodiscard]] Status make_directory(const std::string&) override { return {}; }
    [[nodiscard]] Status rename(const std::string&, const std::string&) override { return {}; }
    [[nodiscard]] Status remove(const std::string&) override { return {}; }
    [[nodiscard]] Status sync_directory(const std::string&) override { return {}; }
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
        return below_.list(path);
    }
    [[nodiscard]] Result<bool> exists(const std::string& path) const override {
        return below_.exists(path);
    }

  private:
    io::FileSystem& below_;
};

}  // namespace everstep::journal::tool
