// What lies on a disk: its partitions, as partx lists them, and the file system that blkid sees.
// The tools read the disk; this reads them. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/tool.hpp"
#include "common/base/types.hpp"

namespace everstep::cli {

inline constexpr Tool kPartx{"partx", "util-linux"};
inline constexpr Tool kBlkid{"blkid", "util-linux"};

struct Partition {
    std::uint64_t number = 0;
    ByteOffset offset;
    ByteCount bytes;
    bool operator==(const Partition&) const = default;
};

// Of `partx --pairs --output NR,START,SECTORS,TYPE`, in its order; without those that only hold
// others (extended ones). A line that is not understood is left out.
[[nodiscard]] std::vector<Partition> parse_partitions(std::string_view text);
// Of `blkid -o export`: "KEY=VALUE" lines.
[[nodiscard]] std::map<std::string, std::string> parse_probe(std::string_view text);

// The partition `number` of the disk in `file`. usage: there is none; which there are.
[[nodiscard]] Result<Partition> find_partition(const std::string& file, std::uint64_t number);
// The type of the file system on `device`, as mount wants it. not_found: there is none; what blkid
// saw instead, and which partitions there are.
[[nodiscard]] Result<std::string> find_file_system(const std::string& device);

}  // namespace everstep::cli
