// HookedFiles: the machine's file system, with something done or failing at an opening.
//
// Thread: one.
#pragma once

#include <functional>
#include <string>

#include "common/io/file.hpp"

namespace everstep::journal::lab {

class HookedFiles final : public io::FileSystem {
  public:
    std::function<Status(const std::string&, const io::OpenOptions&)> at_open;
    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& name,
                                                         const io::OpenOptions& options) override {
        if (at_open) EVERSTEP_TRY(at_open(name, options));
        return under_.open(name, options);
    }
    [[nodiscard]] Status make_directory(const std::string& name) override {
        return under_.make_directory(name);
    }
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override {
        return under_.rename(from, to);
    }
    [[nodiscard]] Status remove(const std::string& name) override { return under_.remove(name); }
    [[nodiscard]] Status sync_directory(const std::string& name) override {
        return under_.sync_directory(name);
    }
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& name) const override {
        return under_.list(name);
    }
    [[nodiscard]] Result<bool> exists(const std::string& name) const override {
        return under_.exists(name);
    }
    [[nodiscard]] Result<ByteCount> free_bytes(const std::string& name) const override {
        return under_.free_bytes(name);
    }

  private:
    io::FileSystem& under_ = io::system_files();
};

}  // namespace everstep::journal::lab
