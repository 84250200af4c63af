// GroupContext: what the parts of one group on this node share. Owned by the group; everything in
// it lives as long. Thread: the node's loop.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "common/base/clock.hpp"
#include "common/base/config.hpp"
#include "common/io/state_file.hpp"
#include "common/net/stream.hpp"
#include "daemon/compression.hpp"
#include "daemon/events.hpp"
#include "daemon/group_record.hpp"

namespace everstep::daemon {

struct GroupContext {
    net::Loop* loop = nullptr;
    io::FileSystem* files = nullptr;
    const Clock* clock = nullptr;
    const Config* config = nullptr;
    const GroupConfig* group = nullptr;
    std::string node;
    Uuid node_id;
    Uuid boot;              // io::machine_boot()
    std::string directory;  // of the group's state
    std::shared_ptr<net::TlsContext> tls;
    Events* events = nullptr;
    // Nodes that the newest configuration does not have: no link of theirs stays. The node's.
    const std::set<std::string>* removed = nullptr;
    std::shared_ptr<CompressionControl> compression = std::make_shared<CompressionControl>();
    GroupRecord record;
    std::string left;  // not empty: this node is no member any more, why; its history stays

    void event(const std::string& kind, const std::string& text) const {
        events->add(group->name, kind, text);
    }
    // Durable when it returns ok.
    [[nodiscard]] Status save() const {
        return io::save_state(*files, directory + "/group", pack_record(record))
            .with_context("group " + group->name);
    }
    // ok, or why this node speaks with no node of that name any more.
    [[nodiscard]] Status trusts(const std::string& peer) const {
        if (removed == nullptr || !removed->contains(peer)) return {};
        return {ErrorCode::refused, "the configuration has no node " + peer + " any more"};
    }
    // The other members of the group.
    [[nodiscard]] std::vector<std::string> peers() const {
        std::vector<std::string> names;
        for (const std::string& name : group->members()) {
            if (name != node) names.push_back(name);
        }
        return names;
    }
};

// What a node says that is no member any more.
[[nodiscard]] inline std::string left_text(const GroupContext& context) {
    return "node " + context.node + " is no member of group " + context.group->name +
           " any more: it takes no part; its history stays readable until " + context.directory +
           " is deleted, with this node stopped";
}

// Of the branches over the group's history on this node.
[[nodiscard]] inline std::string branches_directory(const GroupContext& context) {
    return context.directory + "/branches";
}

}  // namespace everstep::daemon
