// The machine's files, whose extents are told as pieces of 4 KiB, hole and data in turn; a look for
// them waits until the test lets it go on.
#pragma once

#include <atomic>
#include <future>
#include <memory>

#include "common/io/file.hpp"

namespace everstep::test {

struct Looks {
    std::atomic<std::uint64_t> extents{0};  // told, of all looks
    std::shared_future<void> go_on;
};

class PiecewiseFile final : public io::File {
  public:
    PiecewiseFile(std::unique_ptr<io::File> under, Looks& looks)
        : under_(std::move(under)), looks_(looks) {}
    const std::string& path() const override { return under_->path(); }
    Status read(std::span<const io::ReadOp> ops) const override { return under_->read(ops); }
    Status write(std::span<const io::WriteOp> ops) override { return under_->write(ops); }
    Status sync() override { return under_->sync(); }
    Status allocate(ByteOffset offset, ByteCount count) override {
        return under_->allocate(offset, count);
    }
    Status zero(ByteOffset offset, ByteCount count) override { return under_->zero(offset, count); }
    Status punch(ByteOffset offset, ByteCount count) override {
        return under_->punch(offset, count);
    }
    Status resize(ByteCount size) override { return under_->resize(size); }
    Result<ByteCount> size() const override { return under_->size(); }
    Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                ByteCount length) const override {
        looks_.go_on.wait();
        constexpr std::uint64_t kPiece = 4096;
        std::vector<io::DataExtent> pieces;
        for (std::uint64_t at = 0; at < length.value(); at += kPiece)
            pieces.push_back(
                {offset + at, ByteCount(kPiece), (offset + at).value() / kPiece % 2 == 0});
        looks_.extents += pieces.size();
        return pieces;
    }

  private:
    std::unique_ptr<io::File> under_;
    Looks& looks_;
};

class PiecewiseFiles final : public io::FileSystem {
  public:
    explicit PiecewiseFiles(Looks& looks) : looks_(looks) {}
    Result<std::unique_ptr<io::File>> open(const std::string& path,
                                           const io::OpenOptions& options) override {
        auto file = io::system_files().open(path, options);
        if (!file.ok()) return file;
        return std::unique_ptr<io::File>(std::make_unique<PiecewiseFile>(std::move(*file), looks_));
    }
    Status make_directory(const std::string& path) override {
        return io::system_files().make_directory(path);
    }
    Status rename(const std::string& from, const std::string& to) override {
        return io::system_files().rename(from, to);
    }
    Status remove(const std::string& path) override { return io::system_files().remove(path); }
    Status sync_directory(const std::string& path) override {
        return io::system_files().sync_directory(path);
    }
    Result<std::vector<std::string>> list(const std::string& path) const override {
        return io::system_files().list(path);
    }
    Result<bool> exists(const std::string& path) const override {
        return io::system_files().exists(path);
    }

  private:
    Looks& looks_;
};

}  // namespace everstep::test
