// Which admin socket a command talks to: that of the node in the configuration. Reads the
// configuration file.
#pragma once

#include <string>

#include "cli/options.hpp"
#include "common/base/status.hpp"

namespace everstep::cli {

struct NodeSocket {
    std::string node;
    std::string path;    // STATE/admin.sock
    std::string config;  // for the advice when nobody answers there
};

// usage: the configuration names no such node (says which it does).
[[nodiscard]] Result<NodeSocket> find_socket(const Invocation& invocation);

}  // namespace everstep::cli
