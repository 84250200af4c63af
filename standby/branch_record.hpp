// What is kept of a branch beside its store: where it begins, how it is served, how it last
// stopped. One small state file (common/io/state_file.hpp), text, "key = value" lines.
// Thread: the loop's; saving blocks on the disk.
#pragma once

#include <string>
#include <vector>

#include "common/base/types.hpp"
#include "common/io/file.hpp"

namespace everstep::standby {

struct BranchRecord {
    std::string id;                    // the export's
    Point base;                        // the step below its own writes
    std::vector<std::string> volumes;  // that are served
    std::string socket;                // that was asked for; empty: one in the node's directory
    std::string tcp;                   // HOST:PORT to serve on instead; empty: a socket
    std::string mount;                 // the directory that it was made for; empty: none
    bool clean = false;                // the last stop was; consumed when it is opened
    bool operator==(const BranchRecord&) const = default;
};

[[nodiscard]] std::string pack_branch(const BranchRecord& record);
[[nodiscard]] Result<BranchRecord> unpack_branch(std::string_view text);  // corrupt names the line

// Of the branch in this directory. not_found: there is none; what else is there is left over.
[[nodiscard]] Result<BranchRecord> load_branch(io::FileSystem& files, const std::string& directory);
[[nodiscard]] Status save_branch(io::FileSystem& files, const std::string& directory,
                                 const BranchRecord& record);

}  // namespace everstep::standby
