// What recognises a file or block device again: identify().
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "common/io/posix_file.hpp"

namespace everstep::io {
namespace {

// The first line of a file of /sys without blanks around it; empty when there is none.
[[nodiscard]] std::string sys_text(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos) return {};
    return line.substr(first, line.find_last_not_of(" \t") - first + 1);
}

// Where the kinds of disks keep what names them for ever; a loop device is named by its file.
[[nodiscard]] std::string disk_serial(const std::string& disk) {
    constexpr std::array kNames{"/wwid",   "/device/wwid",   "/dm/uuid",          "/md/uuid",
                                "/serial", "/device/serial", "/loop/backing_file"};
    for (const char* name : kNames)
        if (std::string text = sys_text(disk + name); !text.empty()) return text;
    return {};
}

[[nodiscard]] std::string serial_of(unsigned device_major, unsigned device_minor) {
    const std::string node =
        "/sys/dev/block/" + std::to_string(device_major) + ":" + std::to_string(device_minor);
    const std::string partition = sys_text(node + "/partition");
    if (partition.empty()) return disk_serial(node);
    // A partition shares its disk's serial: its number and place tell it from its neighbours.
    const std::string disk = disk_serial(node + "/..");
    if (disk.empty()) return {};
    return disk + "/partition " + partition + "@" + sys_text(node + "/start");
}

[[nodiscard]] std::uint64_t device_number(std::uint32_t device_major, std::uint32_t device_minor) {
    return makedev(device_major, device_minor);
}

[[nodiscard]] Result<FileIdentity> identify_device(const std::string& path,
                                                   const struct statx& facts) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return status_from_errno(errno, "open", path);
    const auto size = size_of({fd.get(), true, &path});
    if (!size.ok()) return size.status();
    FileIdentity identity;
    identity.size_bytes = size->value();
    identity.serial = serial_of(facts.stx_rdev_major, facts.stx_rdev_minor);
    // The inode and birth of a device node belong to this boot. With a serial even the number is
    // only chance.
    if (identity.serial.empty())
        identity.device = device_number(facts.stx_rdev_major, facts.stx_rdev_minor);
    return identity;
}

}  // namespace

Result<FileIdentity> identify(const std::string& path) {
    struct statx facts {};
    if (::statx(AT_FDCWD, path.c_str(), AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS | STATX_BTIME,
                &facts) != 0)
        return status_from_errno(errno, "statx", path);
    if (S_ISBLK(facts.stx_mode)) return identify_device(path, facts);
    if (!S_ISREG(facts.stx_mode))
        return Status(ErrorCode::usage, path + ": neither a file nor a block device");
    FileIdentity identity;
    identity.device = device_number(facts.stx_dev_major, facts.stx_dev_minor);
    identity.inode = facts.stx_ino;
    identity.size_bytes = facts.stx_size;
    if ((facts.stx_mask & STATX_BTIME) != 0)
        identity.birth_ns = facts.stx_btime.tv_sec * 1'000'000'000 + facts.stx_btime.tv_nsec;
    return identity;
}

}  // namespace everstep::io
