#include "tests/journal/power_files.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace everstep::journal::lab {
namespace {

namespace fs = std::filesystem;

std::string read_whole(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

ino_t inode_of(const fs::path& path) {
    struct stat found {};
    return ::stat(path.c_str(), &found) == 0 ? found.st_ino : 0;
}

}  // namespace

// Writes are kept as ranges: only they reach the disk at the next good sync.
class PowerFiles::File final : public io::File {
  public:
    File(PowerFiles& all, std::unique_ptr<io::File> real)
        : all_(all), real_(std::move(real)), inode_(inode_of(real_->path())) {}
    [[nodiscard]] const std::string& path() const override { return real_->path(); }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        return real_->read(ops);
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp> ops) override {
        EVERSTEP_TRY(all_.operation());
        for (const io::WriteOp& op : ops) note(op.offset.value(), op.from.size());
        return real_->write(ops);
    }
    [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override {
        EVERSTEP_TRY(all_.operation());
        return real_->allocate(offset, count);
    }
    [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override {
        EVERSTEP_TRY(all_.operation());
        note(offset.value(), count.value());
        return real_->zero(offset, count);
    }
    [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override {
        EVERSTEP_TRY(all_.operation());
        note(offset.value(), count.value());
        return real_->punch(offset, count);
    }
    [[nodiscard]] Status resize(ByteCount size) override {
        EVERSTEP_TRY(all_.operation());
        return real_->resize(size);
    }
    [[nodiscard]] Result<ByteCount> size() const override { return real_->size(); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                              ByteCount length) const override {
        return real_->extents(offset, length);
    }
    [[nodiscard]] Status sync() override {
        EVERSTEP_TRY(all_.operation());
        OnDisk& disk = all_.files_[inode_];
        if (all_.syncs++ >= all_.fail_sync_at) {
            disk.dirty.clear();
            return {ErrorCode::io, path() + ": sync: an error for the test"};
        }
        const std::string now = content();
        disk.content.resize(now.size());
        for (const auto& [from, to] : disk.dirty) {
            const auto end = std::min<std::uint64_t>(to, now.size());
            if (from < end) disk.content.replace(from, end - from, now, from, end - from);
        }
        disk.dirty.clear();
        return {};
    }

  private:
    void note(std::uint64_t offset, std::uint64_t length) {
        std::uint64_t& end = all_.files_[inode_].dirty[offset];
        end = std::max(end, offset + length);
    }
    // Under whatever name it has now.
    [[nodiscard]] std::string content() const {
        for (const auto& entry : fs::directory_iterator(all_.directory_))
            if (inode_of(entry.path()) == inode_) return read_whole(entry.path());
        return {};
    }
    PowerFiles& all_;
    std::unique_ptr<io::File> real_;
    ino_t inode_;
};

Status PowerFiles::operation() {
    if (operations++ < die_at) return {};
    return {ErrorCode::io, "the process has ended"};
}

Result<std::unique_ptr<io::File>> PowerFiles::open(const std::string& path,
                                                   const io::OpenOptions& options) {
    if (options.mode == io::OpenMode::create) EVERSTEP_TRY(operation());
    auto file = io::system_files().open(path, options);
    if (!file.ok()) return file;
    if (options.mode == io::OpenMode::create) {
        auto pin = io::system_files().open(path, {});
        if (pin.ok()) pins_.push_back(std::move(*pin));
    }
    return std::unique_ptr<io::File>(std::make_unique<File>(*this, std::move(*file)));
}

Status PowerFiles::make_directory(const std::string& path) {
    return io::system_files().make_directory(path);
}

Status PowerFiles::rename(const std::string& from, const std::string& to) {
    EVERSTEP_TRY(operation());
    return io::system_files().rename(from, to);
}

Status PowerFiles::remove(const std::string& path) {
    EVERSTEP_TRY(operation());
    return io::system_files().remove(path);
}

Status PowerFiles::sync_directory(const std::string&) {
    EVERSTEP_TRY(operation());
    names_.clear();
    for (const auto& entry : fs::directory_iterator(directory_))
        names_[entry.path().filename()] = inode_of(entry.path());
    return {};
}

Result<std::vector<std::string>> PowerFiles::list(const std::string& path) const {
    return io::system_files().list(path);
}

Result<bool> PowerFiles::exists(const std::string& path) const {
    return io::system_files().exists(path);
}

void PowerFiles::lose_power() {
    std::map<std::string, std::string> disk;
    for (const auto& [name, inode] : names_) disk[name] = files_[inode].content;
    for (const auto& entry : fs::directory_iterator(directory_)) fs::remove(entry.path());
    pins_.clear();
    files_.clear();
    names_.clear();
    for (const auto& [name, content] : disk) {
        const fs::path path = fs::path(directory_) / name;
        std::ofstream(path, std::ios::binary) << content;
        names_[name] = inode_of(path);
        files_[names_[name]].content = content;
    }
    die_at = fail_sync_at = kNever;
}

}  // namespace everstep::journal::lab
