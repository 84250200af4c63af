#include "journal/tool/scratch_files.hpp"

#include <algorithm>
#include <cstring>

namespace everstep::journal::tool {
namespace {

class ScratchFile final : public io::File {
  public:
    ScratchFile(std::string path, std::unique_ptr<io::File> below, std::uint64_t size)
        : path_(std::move(path)), below_(std::move(below)), below_size_(size), size_(size) {}
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        for (const io::ReadOp& op : ops) EVERSTEP_TRY(read_one(op.offset.value(), op.to));
        return {};
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp> ops) override {
        for (const io::WriteOp& op : ops) {
            const std::uint64_t at = op.offset.value();
            if (holds(at, op.from)) continue;
            changes_.push_back({at, op.from.size(), {op.from.begin(), op.from.end()}});
            size_ = std::max(size_, at + op.from.size());
        }
        return {};
    }
    [[nodiscard]] Status sync() override { return {}; }
    [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override {
        size_ = std::max(size_, offset.value() + count.value());
        return {};
    }
    [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override {
        changes_.push_back({offset.value(), count.value(), {}});
        return allocate(offset, count);
    }
    [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override {
        changes_.push_back({offset.value(), count.value(), {}});
        return {};
    }
    [[nodiscard]] Status resize(ByteCount size) override {
        below_size_ = std::min(below_size_, size.value());
        size_ = size.value();
        return {};
    }
    [[nodiscard]] Result<ByteCount> size() const override { return ByteCount(size_); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                              ByteCount length) const override {
        return std::vector<io::DataExtent>{{offset, length, false}};
    }

  private:
    struct Change {
        std::uint64_t at = 0;
        std::uint64_t length = 0;
        std::vector<std::byte> bytes;  // empty: zeroes
    };
    [[nodiscard]] Status read_one(std::uint64_t at, MutableBytes to) const {
        if (at > size_ || to.size() > size_ - at)
            return {ErrorCode::corrupt, path_ + ": read " + std::to_string(to.size()) +
                                            " bytes at offset " + std::to_string(at) +
                                            ": the file ends at " + std::to_string(size_)};
        std::memset(to.data(), 0, to.size());
        const std::uint64_t there =
            std::min<std::uint64_t>(to.size(), below_size_ - std::min(below_size_, at));
        if (there > 0) EVERSTEP_TRY(below_->read_at(ByteOffset(at), to.first(there)));
        for (const Change& change : changes_) {
            const std::uint64_t first = std::max(at, change.at);
            const std::uint64_t end = std::min(at + to.size(), change.at + change.length);
            if (first >= end) continue;
            if (change.bytes.empty())
                std::memset(to.data() + (first - at), 0, end - first);
            else
                std::memcpy(to.data() + (first - at), change.bytes.data() + (first - change.at),
                            end - first);
        }
        return {};
    }
    // What recovery writes again, to make it durable, is there already.
    [[nodiscard]] bool holds(std::uint64_t at, Bytes bytes) const {
        std::vector<std::byte> found(bytes.size());
        return read_one(at, found).ok() && std::equal(bytes.begin(), bytes.end(), found.begin());
    }

    std::string path_;
    std::unique_ptr<io::File> below_;
    std::uint64_t below_size_;  // how much of the file below is still seen
    std::uint64_t size_;
    std::vector<Change> changes_;  // the newest last
};

}  // namespace

Result<std::unique_ptr<io::File>> ScratchFiles::open(const std::string& path,
                                                     const io::OpenOptions& options) {
    if (options.mode == io::OpenMode::create)
        return std::unique_ptr<io::File>(std::make_unique<ScratchFile>(path, nullptr, 0));
    auto file = below_.open(path, {});
    if (!file.ok() || options.mode == io::OpenMode::read_only) return file;
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    return std::unique_ptr<io::File>(
        std::make_unique<ScratchFile>(path, std::move(*file), size->value()));
}

}  // namespace everstep::journal::tool
