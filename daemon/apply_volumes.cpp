#include "daemon/apply_volumes.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "common/io/file.hpp"

namespace everstep::daemon {

namespace {

bool known(const GroupConfig& running, const std::string& name) {
    return std::any_of(running.volumes.begin(), running.volumes.end(),
                       [&](const VolumeConfig& one) { return one.name == name; });
}

NewVolume look_at(const Config& read, const GroupConfig& group, const VolumeConfig& volume,
                  const std::string& node) {
    NewVolume found{volume.name};
    if (volume.size) found.size = *volume.size;
    Config alone = read;
    GroupConfig with = group;
    with.volumes = {volume};
    alone.groups = {with};
    if (const Status good = check_volumes(alone, node); !good.ok()) found.problem = good.message();
    const auto identity = io::identify(volume.on(node)->device);
    if (!identity.ok() || identity->size_bytes == 0) return found;
    found.size = ByteCount(identity->size_bytes);
    const bool other = volume.size && *volume.size != found.size;
    if (found.problem.empty() && (other || found.size.value() % kSectorBytes != 0))
        found.problem = fmt::format(
            "{}: found {} bytes, wanted {}", volume.on(node)->device, found.size.value(),
            other ? format_byte_count(*volume.size) + " as in `size`" : "whole sectors");
    return found;
}

}  // namespace

std::vector<NewVolume> look_at_new_volumes(const Config& read, const GroupConfig& running,
                                           const std::string& node) {
    std::vector<NewVolume> found;
    const GroupConfig* group = read.group(running.name);
    if (group == nullptr) return found;
    for (const VolumeConfig& volume : group->volumes)
        if (!known(running, volume.name) && volume.on(node) != nullptr)
            found.push_back(look_at(read, *group, volume, node));
    return found;
}

}  // namespace everstep::daemon
