#include "daemon/standby_changes.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// A free bit where there is one: what is left of its marks counts for nothing, all of them are set
// for a standby that joins.
void take_bits(std::vector<std::string>& bits, const std::vector<std::string>& standbys) {
    for (std::string& bit : bits)
        if (!contains(standbys, bit)) bit.clear();
    for (const std::string& name : standbys) {
        if (contains(bits, name)) continue;
        const auto free = std::find(bits.begin(), bits.end(), std::string());
        if (free == bits.end()) {
            bits.push_back(name);
        } else {
            *free = name;
        }
    }
}

}  // namespace

StandbyChanges take_standbys(GroupRecord& record, const std::vector<std::string>& standbys) {
    StandbyChanges changes;
    for (const auto& [name, peer] : record.peers)
        if (!contains(standbys, name)) changes.removed.push_back(name);
    for (const std::string& name : changes.removed) record.peers.erase(name);
    for (const std::string& name : standbys) {
        if (record.peers.contains(name)) continue;
        changes.added.push_back(name);
        PeerRecord& peer = record.peers[name];
        peer.joining = true;
        peer.compare = "it was added to the group";
    }
    if (record.intent) take_bits(record.intent->standbys, standbys);
    return changes;
}

bool knows_standbys(const GroupRecord& record) {
    return record.role == wire::Role::primary && !record.timelines.empty() && !record.unserved;
}

std::vector<std::string> told_behind(const GroupRecord& record) {
    std::vector<std::string> texts;
    for (const auto& [name, peer] : record.peers)
        if (peer.behind_since)
            texts.push_back(
                fmt::format("{} is behind since step {}, as was recorded; writes are "
                            "acknowledged without it until it has caught up",
                            name, peer.behind_since->value()));
    return texts;
}

std::size_t bit_in(const std::vector<std::string>& bits, const std::string& standby) {
    return static_cast<std::size_t>(std::find(bits.begin(), bits.end(), standby) - bits.begin());
}

}  // namespace everstep::daemon
