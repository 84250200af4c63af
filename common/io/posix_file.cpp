#include "common/io/posix_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/io/transfer_faults.hpp"

namespace everstep::io {
namespace {

constexpr std::uint64_t kDirectAlignment = 4096;

[[nodiscard]] bool aligned(const Transfer& transfer) {
    const std::uint64_t bits = (transfer.offset + transfer.done) | (transfer.size - transfer.done) |
                               reinterpret_cast<std::uintptr_t>(transfer.data + transfer.done);
    return bits % kDirectAlignment == 0;
}

[[nodiscard]] Transfer to_transfer(const ReadOp& op) {
    return {.offset = op.offset.value(), .data = op.to.data(), .size = op.to.size()};
}
[[nodiscard]] Transfer to_transfer(const WriteOp& op) {
    // The kernel only reads it: Direction::write.
    return {.offset = op.offset.value(),
            .data = const_cast<std::byte*>(op.from.data()),
            .size = op.from.size()};
}

// One range without a hole, whose begin and end are aligned.
[[nodiscard]] bool joined(std::span<const WriteOp> ops) {
    if (ops.empty() || ops.front().offset.value() % kDirectAlignment != 0) return false;
    ByteOffset end = ops.front().offset;
    for (const WriteOp& op : ops) {
        if (op.offset != end) return false;
        end = end + op.from.size();
    }
    return end.value() % kDirectAlignment == 0;
}

[[nodiscard]] std::string place(const Transfer& transfer) {
    return std::to_string(transfer.size) + " bytes at offset " + std::to_string(transfer.offset);
}

[[nodiscard]] int access_of(OpenMode mode) {
    switch (mode) {
        case OpenMode::read_only:
            return O_RDONLY;
        case OpenMode::read_write:
            return O_RDWR;
        case OpenMode::create:
            return O_RDWR;
    }
    return O_RDONLY;
}

[[nodiscard]] Status in_use(const std::string& path) {
    return {ErrorCode::busy, path + ": in use by another process, or mounted"};
}

[[nodiscard]] bool is_file(const struct stat& facts) {
    return S_ISREG(facts.st_mode) || S_ISBLK(facts.st_mode);
}
[[nodiscard]] Status no_file(const std::string& path) {
    return {ErrorCode::usage, path + ": neither a file nor a block device"};
}

[[nodiscard]] Result<UniqueFd> open_fd(const std::string& path, int flags) {
    int fd = -1;
    do {
        fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0) return UniqueFd(fd);
    if (errno == EEXIST) return Status(ErrorCode::exists, path + ": exists already");
    if (errno == EBUSY) return in_use(path);
    if (errno == ENXIO) return no_file(path);  // a socket
    return status_from_errno(errno, "open", path);
}

}  // namespace

void File::will_read(ByteOffset /*offset*/, ByteCount /*count*/) const {}

Status File::read_at(ByteOffset offset, MutableBytes to) const {
    const ReadOp op{offset, to};
    return read({&op, 1});
}

Status File::write_at(ByteOffset offset, Bytes from) {
    const WriteOp op{offset, from};
    return write({&op, 1});
}

Result<std::unique_ptr<File>> PosixFile::open(const std::string& path, const OpenOptions& options) {
    const bool only_read = options.mode == OpenMode::read_only && !options.exclusive_lock;
    struct stat facts {};
    // What is not only read is looked at before it is opened, which may do something to it.
    const bool there = !only_read && ::stat(path.c_str(), &facts) == 0;
    if (!there && !only_read && options.mode != OpenMode::create)
        return status_from_errno(errno, "open", path);
    if (there && !is_file(facts)) return no_file(path);

    const int access = access_of(options.mode);
    int flags = access;
    if (only_read) flags |= O_NONBLOCK;  // a FIFO would hang; of a file it changes nothing
    if (options.mode == OpenMode::create) flags |= O_CREAT | O_EXCL;
    if (there && S_ISBLK(facts.st_mode) && options.exclusive_lock) flags |= O_EXCL;
    auto fd = open_fd(path, flags);
    if (!fd.ok()) return fd.status();
    if (only_read && ::fstat(fd->get(), &facts) != 0) return status_from_errno(errno, "open", path);
    if (only_read && !is_file(facts)) return no_file(path);
    const bool block_device = (there || only_read) && S_ISBLK(facts.st_mode);
    std::unique_ptr<PosixFile> file(
        new PosixFile(path, std::move(*fd), {block_device, options.gather && options.direct}));
    if (options.exclusive_lock) EVERSTEP_TRY(file->lock());
    if (options.direct) file->direct_fd_ = file->open_direct(access);
    if (options.once) file->once_fd_ = file->open_direct(O_RDONLY);
    return std::unique_ptr<File>(std::move(file));
}

Status PosixFile::lock() const {
    while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno == EWOULDBLOCK) return in_use(path_);
        return status_from_errno(errno, "lock", path_);
    }
    return {};
}

// Through /proc, so that it is the same inode even when the path was replaced meanwhile. Without it
// (a file system without O_DIRECT, no /proc) everything is buffered.
UniqueFd PosixFile::open_direct(int access) const {
    if (transfer_faults() != nullptr && transfer_faults()->no_direct) return {};
    const std::string same = "/proc/self/fd/" + std::to_string(fd_.get());
    return UniqueFd(::open(same.c_str(), access | O_DIRECT | O_CLOEXEC));
}

Status PosixFile::read(std::span<const ReadOp> ops) const {
    return transfer(Direction::read, ops);
}

Status PosixFile::read_once(std::span<const ReadOp> ops) const {
    std::vector<ReadOp> others;
    for (const ReadOp& op : ops) {
        Transfer transfer = to_transfer(op);
        const bool past_cache = once_fd_.valid() && op.to.size() >= kOnceBytesMin &&
                                aligned(transfer) && !is_cached(fd_.get(), transfer);
        // What could not be had so, or not all of it, is read as everything else.
        if (past_cache && single_transfer(once_fd_.get(), Direction::read, transfer) == 0 &&
            transfer.complete())
            continue;
        others.push_back(op);
    }
    return others.empty() ? Status() : read(others);
}

void PosixFile::will_read(ByteOffset offset, ByteCount count) const {
    // Refused: it comes when it is read.
    static_cast<void>(::posix_fadvise(fd_.get(), static_cast<off_t>(offset.value()),
                                      static_cast<off_t>(count.value()), POSIX_FADV_WILLNEED));
}

Status PosixFile::write(std::span<const WriteOp> ops) {
    EVERSTEP_TRY(sync_failure());
    if (!kind_.gather || !joined(ops)) return transfer(Direction::write, ops);
    const int fd = direct_fd_.valid() ? direct_fd_.get() : fd_.get();
    return gathered_write(fd, direct_fd_.valid(), ops, [&](Transfer& transfer) {
        return finish(Direction::write, transfer, fd);
    });
}

Status PosixFile::write_cached(std::span<const WriteOp> ops) {
    EVERSTEP_TRY(sync_failure());
    for (const WriteOp& op : ops) {
        Transfer transfer = to_transfer(op);
        EVERSTEP_TRY(finish(Direction::write, transfer, fd_.get()));
    }
    return {};
}

template <class Op>
Status PosixFile::transfer(Direction direction, std::span<const Op> ops) const {
    const bool direct = direct_fd_.valid() && std::all_of(ops.begin(), ops.end(), [](const Op& op) {
                            return aligned(to_transfer(op));
                        });
    const int fd = direct ? direct_fd_.get() : fd_.get();
    std::array<Transfer, kRingDepth> transfers;
    while (!ops.empty()) {
        const std::size_t count = std::min(ops.size(), kRingDepth);
        std::transform(ops.begin(), ops.begin() + static_cast<std::ptrdiff_t>(count),
                       transfers.begin(), [](const Op& op) { return to_transfer(op); });
        EVERSTEP_TRY(run(direction, {transfers.data(), count}, fd));
        ops = ops.subspan(count);
    }
    return {};
}

Status PosixFile::run(Direction direction, std::span<Transfer> transfers, int fd) const {
    // What lies in the page cache comes quicker one by one, and what does not is on its way then.
    // Writes to it the ring would give to a worker thread each.
    const bool direct = fd == direct_fd_.get();
    const bool cached = direction == Direction::read && !direct && cached_read(fd, transfers);
    const bool ring_pays = !cached && (direction == Direction::read || direct);
    if (ring_pays && transfers.size() >= kBatchOpsMin) batch_transfer(fd, direction, transfers);
    for (Transfer& transfer : transfers) EVERSTEP_TRY(finish(direction, transfer, fd));
    return {};
}

Status PosixFile::finish(Direction direction, Transfer& transfer, int fd) const {
    int error = 0;
    if (fd == direct_fd_.get() && aligned(transfer))
        error = single_transfer(fd, direction, transfer);
    // EINVAL: this device wants a coarser alignment. A short transfer may have lost its alignment.
    // Both go on through the page cache.
    if (error == 0 || error == EINVAL) error = single_transfer(fd_.get(), direction, transfer);
    if (error != 0) {
        const std::string verb = direction == Direction::read ? "read " : "write ";
        return status_from_errno(error, verb + place(transfer), path_);
    }
    if (transfer.complete()) return {};
    return {ErrorCode::corrupt, path_ + ": wanted " + place(transfer) + ", found " +
                                    std::to_string(transfer.done) + " before the end of the file"};
}

Status PosixFile::sync_failure() const {
    const std::lock_guard guard(mutex_);
    return failure_;
}

Status PosixFile::sync() {
    EVERSTEP_TRY(sync_failure());
    int result = 0;
    do {
        result = ::fdatasync(fd_.get());
    } while (result != 0 && errno == EINTR);
    if (result == 0) return {};
    const std::lock_guard guard(mutex_);
    failure_ = status_from_errno(errno, "sync", path_);
    return failure_;
}

Status PosixFile::allocate(ByteOffset offset, ByteCount count) {
    EVERSTEP_TRY(sync_failure());
    return allocate_range(opened(), {offset.value(), count.value()});
}

Status PosixFile::zero(ByteOffset offset, ByteCount count) {
    EVERSTEP_TRY(sync_failure());
    return zero_range(opened(), {offset.value(), count.value()});
}

Status PosixFile::punch(ByteOffset offset, ByteCount count) {
    EVERSTEP_TRY(sync_failure());
    return punch_range(opened(), {offset.value(), count.value()});
}

Status PosixFile::resize(ByteCount size) {
    EVERSTEP_TRY(sync_failure());
    if (kind_.block_device) {
        const auto now = size_of(opened());
        if (!now.ok()) return now.status();
        if (*now == size) return {};
        return {ErrorCode::usage, path_ + ": a block device of " + std::to_string(now->value()) +
                                      " bytes cannot be resized to " +
                                      std::to_string(size.value())};
    }
    while (::ftruncate(fd_.get(), static_cast<off_t>(size.value())) != 0)
        if (errno != EINTR) return status_from_errno(errno, "resize", path_);
    return {};
}

Result<std::vector<DataExtent>> PosixFile::extents(ByteOffset offset, ByteCount length) const {
    return extents_of(opened(), {offset.value(), length.value()});
}

}  // namespace everstep::io
