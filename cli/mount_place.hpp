// The way from an export to a directory, on this machine: nbdfuse makes a file of the NBD disk, a
// loop device makes a block device of the file (or of one partition in it), mount shows its file
// system. One directory of its own under /run, named after the directory that is mounted on, is
// all that is written down; the rest is read from the kernel, so that detach() needs to know
// nothing of what was done, and may be called again.
//
// Thread: the command line's; all of it blocks.
// Invariants: a place belongs to one directory; whoever made it exclusively is the only one that
// mounts there. A program that ends half way leaves what detach() takes down.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "cli/disk_layout.hpp"
#include "cli/mount_table.hpp"

namespace everstep::cli {

inline constexpr Tool kNbdfuse{"nbdfuse", "libnbd-bin"};
inline constexpr Tool kLosetup{"losetup", "mount"};
inline constexpr Tool kMount{"mount", "mount"};
inline constexpr Tool kUmount{"umount", "mount"};

class MountPlace {
  public:
    // For an absolute path without links in it. too_large: it is too long to name a place.
    [[nodiscard]] static Result<MountPlace> of(const std::string& directory,
                                               const std::string& root = "/run/everstep/mounts");
    // exists: a mount of the directory is there, or was left.
    [[nodiscard]] Status make() const;
    [[nodiscard]] bool is_there() const;

    // The disk at `uri` as file(), when it returns.
    [[nodiscard]] Status attach_file(const std::string& uri) const;
    // file(), or this part of it, as a block device; gives its path.
    [[nodiscard]] Result<std::string> attach_loop(const std::optional<Partition>& part) const;
    [[nodiscard]] Status mount(const std::string& device, const std::string& type,
                               bool writable) const;
    // busy: it is in use, or mounted in another directory too; nothing was changed. refused:
    // something else is mounted over it. Other errors say what is left.
    [[nodiscard]] Status unmount() const;
    // Whatever of it is there, the mount first; then the place is gone too. As unmount().
    [[nodiscard]] Status detach() const;

    [[nodiscard]] const std::string& directory() const { return directory_; }
    [[nodiscard]] std::string file() const { return place_ + "/disk"; }

  private:
    MountPlace(std::string directory, std::string place)
        : directory_(std::move(directory)), place_(std::move(place)) {}
    [[nodiscard]] std::string log() const { return place_ + "/log"; }
    [[nodiscard]] Status detach_loops() const;
    [[nodiscard]] Status detach_file() const;
    [[nodiscard]] Status end_servers() const;

    std::string directory_;
    std::string place_;
};

// The processes of nbdfuse that serve this file.
[[nodiscard]] std::vector<int> servers_of(const std::string& file,
                                          const std::string& processes = "/proc");

}  // namespace everstep::cli
