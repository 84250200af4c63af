#include "faulty_files.hpp"

#include <chrono>
#include <thread>

namespace everstep::standby::testing {
namespace {

class FaultyFile final : public io::File {
  public:
    FaultyFile(std::unique_ptr<io::File> under, std::shared_ptr<Faults> faults)
        : under_(std::move(under)), faults_(std::move(faults)) {}
    const std::string& path() const override { return under_->path(); }
    Status read(std::span<const io::ReadOp> ops) const override {
        ++faults_->reads;
        while (faults_->reads_waiting) std::this_thread::sleep_for(std::chrono::microseconds(200));
        --faults_->reads;
        return under_->read(ops);
    }
    Status write(std::span<const io::WriteOp> ops) override {
        if (faults_->full) return no_room();
        return failing() ? error("write") : under_->write(ops);
    }
    Status sync() override { return failing() ? error("sync") : under_->sync(); }
    Status allocate(ByteOffset offset, ByteCount count) override {
        return faults_->full ? no_room() : under_->allocate(offset, count);
    }
    Status zero(ByteOffset offset, ByteCount count) override {
        return failing() ? error("zero") : under_->zero(offset, count);
    }
    Status punch(ByteOffset offset, ByteCount count) override {
        return failing() ? error("punch") : under_->punch(offset, count);
    }
    Status resize(ByteCount size) override { return under_->resize(size); }
    Result<ByteCount> size() const override { return under_->size(); }
    Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                ByteCount length) const override {
        return under_->extents(offset, length);
    }

  private:
    bool failing() const {
        ++faults_->waiters;
        while (faults_->waiting) std::this_thread::sleep_for(std::chrono::microseconds(200));
        --faults_->waiters;
        return faults_->failing;
    }
    Status error(const std::string& what) const {
        return {ErrorCode::io, path() + ": " + what + ": injected fault"};
    }
    Status no_room() const { return {ErrorCode::no_space, path() + ": injected: no room"}; }
    std::unique_ptr<io::File> under_;
    std::shared_ptr<Faults> faults_;
};

}  // namespace

Result<std::unique_ptr<io::File>> FaultyFiles::open(const std::string& path,
                                                    const io::OpenOptions& options) {
    if (is_closed(path)) return Status(ErrorCode::io, path + ": open: injected fault");
    auto file = under_.open(path, options);
    if (!file.ok() || path.find(part_) == std::string::npos) return file;
    return std::unique_ptr<io::File>(std::make_unique<FaultyFile>(std::move(*file), faults_));
}

}  // namespace everstep::standby::testing
