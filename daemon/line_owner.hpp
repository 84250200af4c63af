// Whose line a node is on: what an operator is told to take. Pure; any thread.
#pragma once

#include <algorithm>
#include <string>

#include "proto/messages.hpp"

namespace everstep::daemon {

// The node that began the newest timeline of `node`, whose state this is: that one serves it, or
// did last. `node` itself where that is not known.
[[nodiscard]] inline std::string line_owner(const std::string& node,
                                            const wire::GroupState& state) {
    const auto newest =
        std::find_if(state.timelines.begin(), state.timelines.end(),
                     [&](const wire::Timeline& one) { return one.id == state.head.timeline; });
    const bool known = newest != state.timelines.end() && !newest->node.empty();
    return state.role != wire::Role::primary && known ? newest->node : node;
}

}  // namespace everstep::daemon
