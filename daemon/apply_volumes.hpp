// What a node finds of the volumes that its file adds to a group that runs, before anything is
// changed (`everstep group apply`). Looks at the disk; the node's loop.
#pragma once

#include <string>
#include <vector>

#include "common/base/config.hpp"

namespace everstep::daemon {

struct NewVolume {
    std::string name;
    std::string problem{};  // not empty: it cannot be added here, why
    ByteCount size{};       // of the device that is there, else as configured
    bool operator==(const NewVolume&) const = default;
};

[[nodiscard]] std::vector<NewVolume> look_at_new_volumes(const Config& read,
                                                         const GroupConfig& running,
                                                         const std::string& node);

}  // namespace everstep::daemon
