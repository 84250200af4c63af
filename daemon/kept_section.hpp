// The group's section of the configuration as this node last ran it, kept beside its state: a node
// that is no member any more finds its replica by it, and its history stays readable. One small
// state file, STATE/groups/GROUP/section: "KEY VALUE" lines, as GroupConfig::canonical() has them.
// Thread: the node's loop; blocks on the disk.
#pragma once

#include "common/base/config.hpp"
#include "common/io/file.hpp"

namespace everstep::daemon {

// Durable when it returns ok; nothing is written where it is there already.
[[nodiscard]] Status keep_section(io::FileSystem& files, const std::string& directory,
                                  const GroupConfig& group);
// not_found: none was kept. Only what a node needs to open its history is in it.
[[nodiscard]] Result<GroupConfig> kept_section(io::FileSystem& files, const std::string& directory);
[[nodiscard]] Result<GroupConfig> unpack_section(std::string_view text);
[[nodiscard]] std::string pack_section(const GroupConfig& group);

}  // namespace everstep::daemon
