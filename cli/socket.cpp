#include "cli/socket.hpp"

#include "common/base/config.hpp"

namespace everstep::cli {
namespace {

// The host name is often the long one where the configuration has the short one.
const NodeConfig* node_of(const Config& config, const Invocation& invocation) {
    const NodeConfig* const node = config.node(invocation.node);
    if (node != nullptr || invocation.node_was_given) return node;
    return config.node(invocation.node.substr(0, invocation.node.find('.')));
}

}  // namespace

Result<NodeSocket> find_socket(const Invocation& invocation) {
    const Result<Config> config = load_config(invocation.config);
    if (!config.ok()) return config.status();
    if (const NodeConfig* const node = node_of(*config, invocation)) {
        return NodeSocket{node->name, node->state + "/admin.sock", invocation.config};
    }
    std::string names;
    for (const NodeConfig& node : config->nodes) {
        names += (names.empty() ? "" : ", ") + node.name;
    }
    const std::string asked = invocation.node_was_given
                                  ? "node " + invocation.node
                                  : "node called like this host, " + invocation.node;
    return Status(ErrorCode::usage, invocation.config + " has no " + asked + " (it has " + names +
                                        "); name one with --node or EVERSTEP_NODE");
}

}  // namespace everstep::cli
