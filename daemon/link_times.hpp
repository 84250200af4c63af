// The times of a link whose two nodes may have read different configurations, as while they are
// told of another `keepalive` one after the other. Pure; any thread. Invariant: what one end sends
// is never rarer than what either end waits for.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/base/config.hpp"

namespace everstep::daemon {

// `theirs`: the other node's section, canonical; what cannot be read of it counts as `own`.
[[nodiscard]] KeepaliveConfig link_times(
    const KeepaliveConfig& own, const std::vector<std::pair<std::string, std::string>>& theirs);

}  // namespace everstep::daemon
