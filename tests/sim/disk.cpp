#include "tests/sim/disk.hpp"

namespace everstep::sim {

using power::DiskOp;
using power::DiskState;

class SimDisk::File final : public io::File {
  public:
    File(const SimDisk& disk, std::unique_ptr<io::File> file)
        : disk_(disk), file_(std::move(file)) {}
    [[nodiscard]] const std::string& path() const override { return file_->path(); }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        EVERSTEP_TRY(disk_.turn(path(), false));
        return file_->read(ops);
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp> ops) override {
        // One by one: the machine may end between two.
        for (const io::WriteOp& op : ops) {
            EVERSTEP_TRY(disk_.turn(path(), true));
            EVERSTEP_TRY(grows(op.offset.value() + op.from.size()));
            EVERSTEP_TRY(file_->write({&op, 1}));
        }
        return {};
    }
    [[nodiscard]] Status sync() override {
        EVERSTEP_TRY(failed_);
        failed_ = disk_.turn(path(), true);
        EVERSTEP_TRY(failed_);
        return file_->sync();
    }
    [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override {
        EVERSTEP_TRY(disk_.turn(path(), true));
        EVERSTEP_TRY(grows(offset.value() + count.value()));
        return file_->allocate(offset, count);
    }
    [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override {
        EVERSTEP_TRY(disk_.turn(path(), true));
        EVERSTEP_TRY(grows(offset.value() + count.value()));
        return file_->zero(offset, count);
    }
    [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override {
        EVERSTEP_TRY(disk_.turn(path(), true));
        return file_->punch(offset, count);
    }
    [[nodiscard]] Status resize(ByteCount size) override {
        EVERSTEP_TRY(disk_.turn(path(), true));
        EVERSTEP_TRY(grows(size.value()));
        return file_->resize(size);
    }
    [[nodiscard]] Result<ByteCount> size() const override { return file_->size(); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset offset,
                                                              ByteCount length) const override {
        return file_->extents(offset, length);
    }

  private:
    // A full disk: nothing new.
    [[nodiscard]] Status grows(std::uint64_t end) const {
        if (!disk_.faults.full) return {};
        const auto size = file_->size();
        if (!size.ok() || end <= size->value()) return size.status();
        probe("a full disk");
        return {ErrorCode::no_space, path() + ": no space left"};
    }
    const SimDisk& disk_;
    std::unique_ptr<io::File> file_;
    Status failed_;
};

SimDisk::SimDisk(World& world, DiskState state, Catalogues catalogues)
    : world_(world), begin_(state), memory_(std::move(state)), catalogues_(std::move(catalogues)) {}

Status SimDisk::turn(const std::string& path, bool changes) const {
    // Most operations are of the page cache.
    if (changes || world_.one_in(8)) world_.sleep(world_.between(Time(0), faults.slow_most));
    auto& self = const_cast<SimDisk&>(*this);
    if (changes && ends_in != 0 && --self.ends_in == 0 && ends) ends();
    const bool here = !faults.error_in.empty() && path.find(faults.error_in) != path.npos;
    if (!changes || !here || !world_.one_in(faults.error_one_in)) return {};
    probe("an error of a disk");
    world_.trace("disk error: " + path);
    return {ErrorCode::io, path + ": an error of the simulated disk"};
}

Result<std::unique_ptr<io::File>> SimDisk::open(const std::string& path,
                                                const io::OpenOptions& options) {
    EVERSTEP_TRY(turn(path, options.mode == io::OpenMode::create));
    if (options.mode == io::OpenMode::create && faults.full)
        return Status(ErrorCode::no_space, path + ": no space left");
    auto file = memory_.open(path, options);
    if (!file.ok()) return file.status();
    return std::unique_ptr<io::File>(std::make_unique<File>(*this, std::move(*file)));
}

Status SimDisk::make_directory(const std::string& path) {
    return memory_.make_directory(path);
}
Status SimDisk::rename(const std::string& from, const std::string& to) {
    EVERSTEP_TRY(turn(to, true));
    return memory_.rename(from, to);
}
Status SimDisk::remove(const std::string& path) {
    EVERSTEP_TRY(turn(path, true));
    return memory_.remove(path);
}
Status SimDisk::sync_directory(const std::string& path) {
    EVERSTEP_TRY(turn(path, true));
    return memory_.sync_directory(path);
}
Result<std::vector<std::string>> SimDisk::list(const std::string& path) const {
    return memory_.list(path);
}
Result<bool> SimDisk::exists(const std::string& path) const {
    return memory_.exists(path);
}
Result<ByteCount> SimDisk::free_bytes(const std::string& path) const {
    if (faults.full) return ByteCount(0);
    return memory_.free_bytes(path);
}

DiskState SimDisk::after_cut(const power::Choice& choice) {
    for (DiskOp& op : memory_.take_log()) log_.push_back(std::move(op));
    power::PowerCut cut(begin_);
    for (const DiskOp& op : log_) cut.pass(op);
    return cut.after(choice);
}

DiskState SimDisk::after_loss(const std::string& in, const power::Choice& choice) {
    const DiskState lost = after_cut(choice);
    DiskState state = memory_.state();
    for (const auto& [name, id] : state.names) {
        const auto found = lost.files.find(id);
        if (name.find(in) != name.npos && found != lost.files.end())
            state.files[id] = found->second;
    }
    return state;
}

}  // namespace everstep::sim
