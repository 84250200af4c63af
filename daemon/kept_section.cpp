#include "daemon/kept_section.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "common/io/state_file.hpp"

namespace everstep::daemon {

namespace {

std::string path_of(const std::string& directory) {
    return directory + "/section";
}

// Volumes by their place: the canonical order is that of the keys.
struct Placed {
    VolumeConfig volume;
    std::size_t index = 0;
};

VolumeOnNode& on_node(VolumeConfig& volume, const std::string& node) {
    for (VolumeOnNode& one : volume.nodes)
        if (one.node == node) return one;
    volume.nodes.push_back({node, {}, {}, {}});
    return volume.nodes.back();
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
}

// "NAME.REST", NAME quoted where it holds a dot.
bool take_name(std::string_view& key, std::string& name) {
    const bool quoted = key.starts_with('"');
    const std::size_t end = quoted ? key.find('"', 1) : key.find('.');
    if (end == key.npos) return false;
    name = std::string(key.substr(quoted ? 1 : 0, quoted ? end - 1 : end));
    key.remove_prefix(std::min(key.size(), end + (quoted ? 2 : 1)));
    return true;
}

bool take_volume(std::vector<Placed>& volumes, std::string_view key, const std::string& value) {
    std::string name;
    if (!take_name(key, name)) return false;
    auto at = std::find_if(volumes.begin(), volumes.end(),
                           [&](const Placed& one) { return one.volume.name == name; });
    if (at == volumes.end()) {
        volumes.emplace_back();
        at = volumes.end() - 1;
        at->volume.name = name;
    }
    if (key == "index") {
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), at->index);
        return error == std::errc() && end == value.data() + value.size();
    }
    if (key == "size") {
        if (value.empty()) return true;
        const auto size = parse_byte_count(value);
        if (size.ok()) at->volume.size = *size;
        return size.ok();
    }
    std::string node;
    if (!take_name(key, node)) return false;
    VolumeOnNode& on = on_node(at->volume, node);
    if (key == "device") on.device = value;
    if (key == "capture") on.capture = value;
    if (key == "listen") on.listen = value;
    return true;
}

// Settings are left out, the limits of retention with them: what has left is kept.
bool take_key(GroupConfig& group, const std::string& key, const std::string& value) {
    if (key == "name") group.name = value;
    if (key == "primary") group.primary = value;
    if (key == "standbys") group.standbys = split(value);
    if (key != "segment_bytes") return true;
    const auto bytes = parse_byte_count(value);
    if (bytes.ok()) group.segment_bytes = *bytes;
    return bytes.ok();
}

}  // namespace

std::string pack_section(const GroupConfig& group) {
    std::string out;
    for (const auto& [key, value] : group.resolved()) out += key + ' ' + value + '\n';
    return out;
}

Result<GroupConfig> unpack_section(std::string_view text) {
    constexpr std::string_view kVolume = "volume.";
    GroupConfig group;
    std::vector<Placed> volumes;
    std::istringstream lines{std::string(text)};
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        const std::size_t space = std::min(line.find(' '), line.size());
        const std::string key = line.substr(0, space);
        const std::string value = line.substr(std::min(line.size(), space + 1));
        const bool taken =
            key.starts_with(kVolume)
                ? take_volume(volumes, std::string_view(key).substr(kVolume.size()), value)
                : take_key(group, key, value);
        if (!taken)
            return Status(ErrorCode::corrupt,
                          fmt::format("line {}: '{}' is not understood", number, line));
    }
    std::sort(volumes.begin(), volumes.end(),
              [](const Placed& a, const Placed& b) { return a.index < b.index; });
    for (Placed& one : volumes) group.volumes.push_back(std::move(one.volume));
    if (group.name.empty() || group.volumes.empty())
        return Status(ErrorCode::corrupt, "no group, or no volume of it, is named");
    return group;
}

Status keep_section(io::FileSystem& files, const std::string& directory, const GroupConfig& group) {
    const std::string text = pack_section(group);
    const Result<std::string> there = io::load_state(files, path_of(directory));
    if (there.ok() && *there == text) return {};
    EVERSTEP_TRY(files.make_directory(directory));
    return io::save_state(files, path_of(directory), text);
}

Result<GroupConfig> kept_section(io::FileSystem& files, const std::string& directory) {
    const Result<std::string> text = io::load_state(files, path_of(directory));
    if (!text.ok()) return text.status();
    Result<GroupConfig> group = unpack_section(*text);
    if (!group.ok()) return group.status().with_context(path_of(directory));
    return group;
}

}  // namespace everstep::daemon
