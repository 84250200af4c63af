#include "daemon/reload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace everstep::daemon {
namespace {

using Keys = std::map<std::string, std::string>;  // key, value

// Of a group; "x." stands for all of a table.
constexpr std::array<std::string_view, 14> kLive = {
    "ack",         "ack_standbys", "on_standby_loss", "standby_timeout", "start_wait",
    "queue_bytes", "spool_bytes",  "rate_limit",      "keepalive.",      "sync_rate",
    "max_resync",  "verify_every", "compression",     "history."};

bool live(const std::string& key) {
    return std::any_of(kLive.begin(), kLive.end(), [&](std::string_view one) {
        return one.ends_with('.') ? key.starts_with(one) : key == one;
    });
}

Keys keys_of(const NodeConfig& node) {
    return {{"address", node.address},
            {"certificate", node.certificate},
            {"key", node.key},
            {"metrics", node.metrics},
            {"state", node.state}};
}

Keys keys_of(const GroupConfig& group) {
    const auto all = group.canonical();
    return {all.begin(), all.end()};
}

// Keys whose values are not the same, or that only one of them has.
std::vector<std::string> differences(const Keys& a, const Keys& b) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : a)
        if (const auto found = b.find(key); found == b.end() || found->second != value)
            keys.push_back(key);
    for (const auto& [key, value] : b)
        if (!a.contains(key)) keys.push_back(key);
    return keys;
}

// Sections of one kind by name: `both` gets those that stand in both, of the others the name is
// told.
template <class Sections, class Both>
void compare(Sections& running, const Sections& read, std::vector<std::string>& names, Both both) {
    const auto find = [](auto& all, const std::string& name) {
        return std::find_if(all.begin(), all.end(),
                            [&](const auto& one) { return one.name == name; });
    };
    for (auto& one : running) {
        const auto found = find(read, one.name);
        if (found == read.end())
            names.push_back(one.name);
        else
            both(one, *found);
    }
    for (const auto& one : read)
        if (find(running, one.name) == running.end()) names.push_back(one.name);
}

void tell(std::vector<std::string>& restart, const std::string& prefix,
          const std::vector<std::string>& names) {
    for (const std::string& name : names) restart.push_back(prefix + name);
}

void take_group(GroupConfig& running, const GroupConfig& read, Reload& out) {
    const Keys before = keys_of(running);
    const Keys after = keys_of(read);
    const bool same_standbys = running.standbys == read.standbys;  // whom `ack_standbys` counts
    for (const std::string& key : differences(before, after)) {
        if (live(key) && (same_standbys || key != "ack_standbys"))
            out.taken.push_back(
                {running.name, fmt::format("{}: {}, was {}", key, after.at(key), before.at(key))});
        else
            out.restart.push_back(fmt::format("group.{}.{}", running.name, key));
    }
    running.ack = read.ack;
    if (same_standbys) running.ack_standbys = read.ack_standbys;
    running.on_standby_loss = read.on_standby_loss;
    running.standby_timeout = read.standby_timeout;
    running.start_wait = read.start_wait;
    running.queue_bytes = read.queue_bytes;
    running.spool_bytes = read.spool_bytes;
    running.rate_limit = read.rate_limit;
    running.keepalive = read.keepalive;
    running.sync_rate = read.sync_rate;
    running.max_resync = read.max_resync;
    running.verify_every = read.verify_every;
    running.keep_time = read.keep_time;
    running.keep_bytes = read.keep_bytes;
    running.reserve_bytes = read.reserve_bytes;
    running.compression = read.compression;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// A key of a group that goes with its members, or of a node that is, or becomes, one of them.
bool goes_with_members(const std::string& key, const GroupConfig& running, const GroupConfig& read,
                       const std::string& self) {
    const std::string prefix = fmt::format("group.{}.", read.name);
    if (key == prefix + "standbys" || key == prefix + "ack_standbys") return true;
    std::vector<std::string> all = read.members();
    for (const std::string& name : running.members())
        if (!contains(all, name)) all.push_back(name);
    for (const std::string& name : all) {
        const bool stays = contains(running.members(), name) && contains(read.members(), name);
        const bool moved = name != self && key == fmt::format("node.{}.address", name);
        if (moved || (!stays && key == "node." + name)) return true;
        const std::string quoted = name.find('.') == name.npos ? name : '"' + name + '"';
        if (!stays && key.starts_with(prefix + "volume.") &&
            key.find('.' + quoted + '.') != key.npos)
            return true;
    }
    return false;
}

}  // namespace

Reload take_over(Config& running, const Config& read) {
    Reload out;
    if (running.ca != read.ca) out.restart.emplace_back("tls.ca");
    std::vector<std::string> nodes;
    compare(running.nodes, read.nodes, nodes, [&](NodeConfig& one, const NodeConfig& other) {
        tell(out.restart, fmt::format("node.{}.", one.name),
             differences(keys_of(one), keys_of(other)));
    });
    for (const std::string& name : nodes) {
        if (running.node(name) != nullptr)
            out.removed.push_back(name);
        else
            out.restart.push_back("node." + name);
    }
    std::vector<std::string> groups;
    compare(running.groups, read.groups, groups,
            [&](GroupConfig& one, const GroupConfig& other) { take_group(one, other, out); });
    tell(out.restart, "group.", groups);
    return out;
}

std::string what_takes(const std::string& key, const Config& running, const Config& read,
                       const std::string& self) {
    for (const GroupConfig& group : read.groups) {
        const GroupConfig* const runs = running.group(group.name);
        if (runs != nullptr && goes_with_members(key, *runs, group, self))
            return "`everstep group apply " + group.name + "` takes it over";
    }
    return "it needs a restart";
}

}  // namespace everstep::daemon
