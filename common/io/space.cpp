#include "common/io/space.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/io/uring.hpp"

namespace everstep::io {
namespace {

constexpr std::size_t kZeroPieceBytes = 1U << 20;

[[nodiscard]] bool unsupported(int error) {
    return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENOTTY;
}

// 0 or errno.
[[nodiscard]] int fallocate_range(int fd, int mode, Range range) {
    while (::fallocate(fd, mode, static_cast<off_t>(range.offset),
                       static_cast<off_t>(range.count)) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

[[nodiscard]] Status write_zeroes(const OpenedFile& file, Range range) {
    // Never written to: pwrite() only reads it.
    alignas(4096) static std::array<std::byte, kZeroPieceBytes> zeroes{};
    while (range.count > 0) {
        Transfer piece{.offset = range.offset,
                       .data = zeroes.data(),
                       .size = std::min<std::uint64_t>(range.count, kZeroPieceBytes)};
        const std::uint64_t size = piece.size;
        if (const int error = single_transfer(file.fd, Direction::write, piece); error != 0)
            return status_from_errno(error, "write zeroes", *file.path);
        range = {range.offset + size, range.count - size};
    }
    return {};
}

// Writes zeroes into the holes of the range and behind the end of the file.
[[nodiscard]] Status fill_holes(const OpenedFile& file, Range range) {
    const auto extents = extents_of(file, range);
    if (!extents.ok()) return extents.status();
    std::uint64_t covered = range.offset;
    for (const DataExtent& extent : *extents) {
        const Range part{extent.offset.value(), extent.length.value()};
        if (extent.hole) EVERSTEP_TRY(write_zeroes(file, part));
        covered = part.end();
    }
    return write_zeroes(file, {covered, range.end() - covered});
}

[[nodiscard]] bool extents_known(int fd, std::uint64_t offset, int whence, std::uint64_t& found) {
    const off_t at = ::lseek(fd, static_cast<off_t>(offset), whence);
    if (at < 0) return false;
    found = static_cast<std::uint64_t>(at);
    return true;
}

}  // namespace

Result<ByteCount> size_of(const OpenedFile& file) {
    if (file.block_device) {
        std::uint64_t bytes = 0;
        if (::ioctl(file.fd, BLKGETSIZE64, &bytes) != 0)
            return status_from_errno(errno, "read the device's size", *file.path);
        return ByteCount(bytes);
    }
    struct stat facts {};
    if (::fstat(file.fd, &facts) != 0) return status_from_errno(errno, "fstat", *file.path);
    return ByteCount(static_cast<std::uint64_t>(facts.st_size));
}

Status allocate_range(const OpenedFile& file, Range range) {
    if (range.count == 0) return {};
    if (file.block_device) {
        const auto size = size_of(file);
        if (!size.ok()) return size.status();
        if (range.end() <= size->value()) return {};
        return status_from_errno(ENOSPC, "allocate behind the end of the device", *file.path);
    }
    const int error = fallocate_range(file.fd, 0, range);
    if (error == 0) return {};
    if (!unsupported(error)) return status_from_errno(error, "allocate", *file.path);
    return fill_holes(file, range);
}

Status zero_range(const OpenedFile& file, Range range) {
    if (range.count == 0) return {};
    int error = 0;
    if (file.block_device) {
        const std::array<std::uint64_t, 2> where{range.offset, range.count};
        if (::ioctl(file.fd, BLKZEROOUT, where.data()) != 0) error = errno;
    } else {
        error = fallocate_range(file.fd, FALLOC_FL_ZERO_RANGE, range);
    }
    if (error == 0) return {};
    if (!unsupported(error)) return status_from_errno(error, "zero a range", *file.path);
    return write_zeroes(file, range);
}

Status punch_range(const OpenedFile& file, Range range) {
    if (range.count == 0) return {};
    // On a block device the kernel frees the blocks only where they then read as zeroes.
    const int error = fallocate_range(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range);
    if (error == 0) return {};
    if (!unsupported(error)) return status_from_errno(error, "punch a hole", *file.path);
    const auto size = size_of(file);
    if (!size.ok()) return size.status();
    if (range.offset >= size->value()) return {};
    return zero_range(file, {range.offset, std::min(range.end(), size->value()) - range.offset});
}

Result<std::vector<DataExtent>> extents_of(const OpenedFile& file, Range range) {
    const auto size = size_of(file);
    if (!size.ok()) return size.status();
    const std::uint64_t end = std::min(range.end(), size->value());
    std::vector<DataExtent> extents;
    for (std::uint64_t at = range.offset; at < end;) {
        std::uint64_t data = at;
        if (!extents_known(file.fd, at, SEEK_DATA, data)) {
            // ENXIO: nothing but a hole up to the end. Anything else: this file cannot tell, so all
            // is data.
            const bool hole = errno == ENXIO;
            extents.push_back({ByteOffset(at), ByteCount(end - at), hole});
            break;
        }
        data = std::min(data, end);
        if (data > at) extents.push_back({ByteOffset(at), ByteCount(data - at), true});
        std::uint64_t hole = end;
        if (data < end && !extents_known(file.fd, data, SEEK_HOLE, hole)) hole = end;
        // A writer beside us may have punched `data` away since: the hole may begin at once.
        hole = std::min(hole, end);
        if (hole > data) extents.push_back({ByteOffset(data), ByteCount(hole - data), false});
        at = std::max(hole, data);
    }
    return extents;
}

}  // namespace everstep::io
