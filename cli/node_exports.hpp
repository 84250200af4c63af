// What `mount`, `backup` and `restore --from` ask of a node that has history: exports, and the way
// from one to this machine. Thread: the command line's; asking blocks.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/socket.hpp"
#include "common/base/config.hpp"
#include "common/base/value.hpp"

namespace everstep::cli {

using Arguments = std::map<std::string, std::string>;

// The node, and the groups whose exports it can be asked for.
struct HistoryNode {
    NodeSocket socket;
    std::vector<GroupConfig> groups;
    std::string on;  // --on

    // The last body of the answer. Errors are those of ask_node().
    [[nodiscard]] Result<Value> ask(const std::string& verb, Arguments arguments) const;
    // The same, with each body as it comes; an error from `on_body` ends the asking.
    [[nodiscard]] Status ask_each(const std::string& verb, Arguments arguments,
                                  const std::function<Status(const Value& body)>& on_body) const;
};

// usage: the configuration names no such node.
[[nodiscard]] Result<HistoryNode> find_history_node(const Invocation& invocation);
// Empty where it was not given.
[[nodiscard]] std::string argument(const Invocation& invocation, const std::string& key);
// usage: the group has several volumes, and none of them was named.
[[nodiscard]] Status check_volume(const HistoryNode& node, const Invocation& invocation);

// Of an export of one volume: the volume's name and the URI that serves it.
[[nodiscard]] Result<std::pair<std::string, std::string>> served_volume(const Value& told);
// io: the URI is a unix socket that is not on this machine, or not for this user.
[[nodiscard]] Status check_socket(const std::string& uri);
// io: that, or what is served there is another export, which says of itself another "description"
// than the node told.
[[nodiscard]] Status check_served(const Value& told, const std::string& uri);

}  // namespace everstep::cli
