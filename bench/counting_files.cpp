#include "bench/counting_files.hpp"

namespace everstep::bench {
namespace {

class CountingFile final : public io::File {
  public:
    CountingFile(std::unique_ptr<io::File> under, Traffic& traffic)
        : under_(std::move(under)), traffic_(traffic) {}
    [[nodiscard]] const std::string& path() const override { return under_->path(); }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        for (const io::ReadOp& op : ops) traffic_.read += op.to.size();
        return under_->read(ops);
    }
    void will_read(ByteOffset offset, ByteCount count) const override {
        under_->will_read(offset, count);
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp> ops) override {
        for (const io::WriteOp& op : ops) traffic_.written += op.from.size();
        return under_->write(ops);
    }
    [[nodiscard]] Status sync() override { return under_->sync(); }
    [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override {
        return under_->allocate(offset, count);
    }
    [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override {
        return under_->zero(offset, count);
    }
    [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override {
        return under_->punch(offset, count);
    }
    [[nodiscard]] Status resize(ByteCount size) override { return under_->resize(size); }
    [[nodiscard]] Result<ByteCount> size() const override { return under_->size(); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                              ByteCount length) const override {
        return under_->extents(offset, length);
    }

  private:
    std::unique_ptr<io::File> under_;
    Traffic& traffic_;
};

}  // namespace

Result<std::unique_ptr<io::File>> CountingFiles::open(const std::string& path,
                                                      const io::OpenOptions& options) {
    auto file = under_.open(path, options);
    if (!file.ok()) return file.status();
    return std::unique_ptr<io::File>(std::make_unique<CountingFile>(std::move(*file), traffic));
}

}  // namespace everstep::bench
