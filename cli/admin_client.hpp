// A request to a node over its admin socket, and the replies to it (docs/admin.md).
// Thread: the caller's; blocks. What the node sends is checked like any bytes from outside.
#pragma once

#include <chrono>
#include <functional>

#include "cli/socket.hpp"
#include "proto/messages.hpp"

namespace everstep::cli {

// A node that says nothing for `silence` is asked on a second connection whether it is alive, and
// has `proof` to answer that; a long command may take as long as it likes.
struct AskLimits {
    std::chrono::milliseconds silence{5000};
    std::chrono::milliseconds proof{5000};
};
// takeover and adopt may hold the node's loop while they drop or open a store.
[[nodiscard]] AskLimits limits_of(const wire::AdminRequest& request);

// Calls `on_body` for each reply in its order, with `last` for the final one; an error from it ends
// the asking. unreachable: nobody serves the socket, the node ended the connection before its
// last reply, or it does not answer any more; says what to do. Any other error is the node's
// answer, with its code.
[[nodiscard]] Status ask_node(const NodeSocket& socket, const wire::AdminRequest& request,
                              const std::function<Status(const Value& body, bool last)>& on_body,
                              const AskLimits& limits);

}  // namespace everstep::cli
