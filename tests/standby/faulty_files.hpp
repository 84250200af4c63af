// A file system that fails writes to files whose path holds a text, once it is told to, or lets
// them wait; and that has as much room as it is told.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "common/io/file.hpp"

namespace everstep::standby::testing {

struct Faults {
    std::atomic<bool> failing{false};
    std::atomic<bool> waiting{false};  // writes wait until it is false again
    std::atomic<int> waiters{0};
    std::atomic<bool> reads_waiting{false};  // and reads
    std::atomic<int> reads{0};
    std::atomic<bool> full{false};  // writes find no room
};

class FaultyFiles final : public io::FileSystem {
  public:
    FaultyFiles(io::FileSystem& under, std::string path_part)
        : under_(under), part_(std::move(path_part)), faults_(std::make_shared<Faults>()) {}
    void fail(bool failing) { faults_->failing = failing; }
    // No file or directory of these can be opened, as when there are no descriptors left.
    void close_all(bool closed) { closed_ = closed; }
    void fill(bool full) { faults_->full = full; }
    void set_free(std::uint64_t bytes) { free_ = bytes; }
    [[nodiscard]] Result<ByteCount> free_bytes(const std::string& path) const override {
        if (path.find(part_) != std::string::npos) ++looks_;
        return ByteCount(free_);
    }
    // How often the room of these was asked for.
    [[nodiscard]] int looks() const { return looks_; }
    void hold(bool held) { faults_->waiting = held; }
    [[nodiscard]] bool holds() const { return faults_->waiters > 0; }
    void hold_reads(bool held) { faults_->reads_waiting = held; }
    [[nodiscard]] bool holds_reads() const { return faults_->reads > 0; }

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
        if (is_closed(path)) return Status(ErrorCode::io, path + ": list: injected fault");
        return under_.list(path);
    }
    [[nodiscard]] Result<bool> exists(const std::string& path) const override {
        return under_.exists(path);
    }

  private:
    [[nodiscard]] bool is_closed(const std::string& path) const {
        return closed_ && path.find(part_) != std::string::npos;
    }
    io::FileSystem& under_;
    std::string part_;
    std::atomic<bool> closed_{false};
    std::shared_ptr<Faults> faults_;
    std::atomic<std::uint64_t> free_{~0ULL};
    mutable std::atomic<int> looks_{0};
};

}  // namespace everstep::standby::testing
