// ExportIds: the numbers of a node's exports, growing from 1. The number that a branch has had is
// given to no other export, also when the branch and the daemon are gone: who drops it by its
// number means this one. One small state file; without it the numbers begin behind what is there.
// Thread: the node's loop; blocks on the disk.
#pragma once

#include <cstdint>
#include <string>

#include "common/io/file.hpp"

namespace everstep::daemon {

class ExportIds {
  public:
    ExportIds(io::FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
    // What was given before. corrupt, version, or of the disk: names the file.
    [[nodiscard]] Status load();
    // It is taken.
    void know(std::uint64_t id);
    // For what ends with the daemon.
    [[nodiscard]] std::string next() { return std::to_string(++last_); }
    // For what outlives it: durable before it is given.
    [[nodiscard]] Result<std::string> next_lasting();

  private:
    io::FileSystem& files_;
    std::string path_;
    std::uint64_t last_ = 0;
};

}  // namespace everstep::daemon
