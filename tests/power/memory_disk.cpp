#include "tests/power/memory_disk.hpp"

#include <algorithm>
#include <cstring>

namespace everstep::power {
namespace {

constexpr std::uint64_t kHoleBytes = 4096;
constexpr ByteCount kFreeBytes{1ULL << 40};

bool holds_zeroes(const Content& content, std::uint64_t from, std::uint64_t to) {
    return std::all_of(content.begin() + static_cast<std::ptrdiff_t>(from),
                       content.begin() + static_cast<std::ptrdiff_t>(to),
                       [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

std::string directory_of(const std::string& path) {
    return path.substr(0, path.rfind('/'));
}

class MemoryDisk::File final : public io::File {
  public:
    File(MemoryDisk& disk, FileId id, std::string path, bool locked)
        : disk_(disk), id_(id), path_(std::move(path)), locked_(locked) {}
    ~File() override {
        const std::lock_guard guard(disk_.mutex_);
        if (locked_) disk_.locked_.erase(id_);
    }
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        const std::lock_guard guard(disk_.mutex_);
        const Content& content = *disk_.state_.files.at(id_);
        for (const io::ReadOp& op : ops) {
            if (op.offset.value() + op.to.size() > content.size())
                return {ErrorCode::corrupt, path_ + ": a read past the end"};
            if (!op.to.empty())
                std::memcpy(op.to.data(), content.data() + op.offset.value(), op.to.size());
        }
        return {};
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp> ops) override {
        for (const io::WriteOp& op : ops) {
            disk_.interleave(path_);
            EVERSTEP_TRY(change(op.offset.value(), op.from.size(), op.from));
        }
        return {};
    }
    [[nodiscard]] Status sync() override {
        disk_.interleave(path_);
        const std::lock_guard guard(disk_.mutex_);
        EVERSTEP_TRY(disk_.operation());
        if (disk_.syncs++ >= disk_.fail_sync_at) {
            disk_.add({.kind = DiskOp::Kind::sync_failed, .file = id_});
            return {ErrorCode::io, path_ + ": sync: an error for the test"};
        }
        const bool lies = !disk_.lying_sync.empty() &&
                          (disk_.lying_when_made || !path_.ends_with(".new")) &&
                          path_.find(disk_.lying_sync) != path_.npos;
        if (!lies) disk_.add({.kind = DiskOp::Kind::sync, .file = id_});
        return {};
    }
    [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override {
        const std::uint64_t end = offset.value() + count.value();
        if (end > size_now()) return resize(ByteCount(end));
        return {};
    }
    [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override {
        disk_.interleave(path_);
        return change(offset.value(), count.value(), {});
    }
    [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override {
        disk_.interleave(path_);
        const std::uint64_t size = size_now();
        if (offset.value() >= size) return {};
        return change(offset.value(), std::min(count.value(), size - offset.value()), {});
    }
    [[nodiscard]] Status resize(ByteCount size) override {
        disk_.interleave(path_);
        const std::lock_guard guard(disk_.mutex_);
        EVERSTEP_TRY(disk_.operation());
        disk_.content(id_).resize(size.value());
        disk_.add({.kind = DiskOp::Kind::resize, .file = id_, .length = size.value()});
        return {};
    }
    [[nodiscard]] Result<ByteCount> size() const override { return ByteCount(size_now()); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                              ByteCount length) const override {
        const std::lock_guard guard(disk_.mutex_);
        const Content& content = *disk_.state_.files.at(id_);
        const std::uint64_t end =
            std::min<std::uint64_t>(content.size(), offset.value() + length.value());
        std::vector<io::DataExtent> out;
        for (std::uint64_t at = offset.value(); at < end;) {
            const std::uint64_t stop = std::min(end, (at / kHoleBytes + 1) * kHoleBytes);
            const bool hole = holds_zeroes(content, at, stop);
            if (!out.empty() && out.back().hole == hole)
                out.back().length = out.back().length + (stop - at);
            else
                out.push_back({ByteOffset(at), ByteCount(stop - at), hole});
            at = stop;
        }
        return out;
    }

  private:
    [[nodiscard]] std::uint64_t size_now() const {
        const std::lock_guard guard(disk_.mutex_);
        return disk_.state_.files.at(id_)->size();
    }
    // Without data: zeroes.
    [[nodiscard]] Status change(std::uint64_t offset, std::uint64_t length, Bytes data) {
        const std::lock_guard guard(disk_.mutex_);
        EVERSTEP_TRY(disk_.operation());
        Content& content = disk_.content(id_);
        if (offset + length > content.size()) {
            content.resize(offset + length);
            disk_.add({.kind = DiskOp::Kind::extend, .file = id_, .length = offset + length});
        }
        const auto at = content.begin() + static_cast<std::ptrdiff_t>(offset);
        if (data.empty())
            std::fill_n(at, length, std::byte{0});
        else
            std::copy(data.begin(), data.end(), at);
        disk_.add({.kind = DiskOp::Kind::write,
                   .file = id_,
                   .offset = offset,
                   .length = length,
                   .data = Content(data.begin(), data.end())});
        return {};
    }

    MemoryDisk& disk_;
    FileId id_;
    std::string path_;
    bool locked_;
};

MemoryDisk::MemoryDisk(DiskState state) : state_(std::move(state)) {
    if (!state_.files.empty()) next_ = state_.files.rbegin()->first + 1;
}

void MemoryDisk::interleave(const std::string& path) {
    {
        const std::lock_guard guard(mutex_);
        if (!before_change || interleaving_) return;
        interleaving_ = true;
    }
    before_change(path);
    const std::lock_guard guard(mutex_);
    interleaving_ = false;
}

Status MemoryDisk::operation() {
    if (operations++ < die_at) return {};
    return {ErrorCode::io, "the process has ended"};
}

Content& MemoryDisk::content(FileId file) {
    std::shared_ptr<Content>& own = owned_[file];
    std::shared_ptr<const Content>& now = state_.files.at(file);
    // Two owners are the two maps; a third is a state that was given out.
    if (own == nullptr || own != now || own.use_count() > 2) {
        own = std::make_shared<Content>(*now);
        now = own;
    }
    return *own;
}

Result<std::unique_ptr<io::File>> MemoryDisk::open(const std::string& path,
                                                   const io::OpenOptions& options) {
    const std::lock_guard guard(mutex_);
    const auto found = state_.names.find(path);
    FileId id = 0;
    if (options.mode == io::OpenMode::create) {
        if (found != state_.names.end()) return Status(ErrorCode::exists, path + ": exists");
        EVERSTEP_TRY(operation());
        id = next_++;
        const auto before = recycled ? recycled(path) : nullptr;
        state_.names[path] = id;
        state_.files[id] = before != nullptr ? before : std::make_shared<const Content>();
        add({.kind = DiskOp::Kind::create, .file = id, .data = *state_.files[id], .name = path});
    } else {
        if (found == state_.names.end()) return Status(ErrorCode::not_found, path + ": not found");
        id = found->second;
    }
    if (options.exclusive_lock && !locked_.insert(id).second)
        return Status(ErrorCode::busy, path + ": in use");
    return std::unique_ptr<io::File>(
        std::make_unique<File>(*this, id, path, options.exclusive_lock));
}

Status MemoryDisk::make_directory(const std::string&) {
    return {};
}

Status MemoryDisk::rename(const std::string& from, const std::string& to) {
    const std::lock_guard guard(mutex_);
    const auto found = state_.names.find(from);
    if (found == state_.names.end()) return {ErrorCode::not_found, from + ": not found"};
    EVERSTEP_TRY(operation());
    state_.names[to] = found->second;
    state_.names.erase(from);
    add({.kind = DiskOp::Kind::rename, .name = to, .from = from});
    return {};
}

Status MemoryDisk::remove(const std::string& path) {
    const std::lock_guard guard(mutex_);
    if (!state_.names.contains(path)) return {ErrorCode::not_found, path + ": not found"};
    EVERSTEP_TRY(operation());
    state_.names.erase(path);
    add({.kind = DiskOp::Kind::remove, .name = path});
    return {};
}

Status MemoryDisk::sync_directory(const std::string& path) {
    const std::lock_guard guard(mutex_);
    EVERSTEP_TRY(operation());
    if (!lying_directories) add({.kind = DiskOp::Kind::sync_directory, .name = path});
    return {};
}

Result<std::vector<std::string>> MemoryDisk::list(const std::string& path) const {
    const std::lock_guard guard(mutex_);
    std::vector<std::string> out;
    for (const auto& [name, id] : state_.names)
        if (directory_of(name) == path) out.push_back(name.substr(path.size() + 1));
    return out;
}

Result<bool> MemoryDisk::exists(const std::string& path) const {
    const std::lock_guard guard(mutex_);
    if (state_.names.contains(path)) return true;
    const auto inside = state_.names.lower_bound(path + "/");
    return inside != state_.names.end() && inside->first.starts_with(path + "/");
}

Result<ByteCount> MemoryDisk::free_bytes(const std::string&) const {
    return kFreeBytes;
}

void MemoryDisk::note(std::uint64_t number) {
    const std::lock_guard guard(mutex_);
    add({.kind = DiskOp::Kind::note, .length = number});
}

DiskState MemoryDisk::state() const {
    const std::lock_guard guard(mutex_);
    return state_;
}

std::vector<DiskOp> MemoryDisk::take_log() {
    const std::lock_guard guard(mutex_);
    return std::move(log_);
}

std::size_t MemoryDisk::log_size() const {
    const std::lock_guard guard(mutex_);
    return log_.size();
}

}  // namespace everstep::power
