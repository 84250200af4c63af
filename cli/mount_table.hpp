// What the kernel says is mounted, and which file lies behind which loop device. Nothing of a mount
// is written down that can be read here. Reads /proc and /sys; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace everstep::cli {

struct MountEntry {
    std::string device;  // "MAJOR:MINOR"
    std::string point;   // where
    std::string type;    // of the file system
    std::string source;
    bool operator==(const MountEntry&) const = default;
};

struct LoopDevice {
    std::string path;    // "/dev/loop0"
    std::string device;  // "7:0"
    std::string file;
    bool operator==(const LoopDevice&) const = default;
};

// In the order in which they were mounted: what lies on top of another comes later. A line that is
// not understood is left out.
[[nodiscard]] std::vector<MountEntry> parse_mounts(std::string_view mountinfo);
[[nodiscard]] std::vector<MountEntry> current_mounts();
// The last one at `point`; nullptr: none.
[[nodiscard]] const MountEntry* mount_at(const std::vector<MountEntry>& mounts,
                                         const std::string& point);
// Over this file, in the directory that sysfs has at /sys/block.
[[nodiscard]] std::vector<LoopDevice> loops_over(const std::string& file,
                                                 const std::string& blocks = "/sys/block");

}  // namespace everstep::cli
