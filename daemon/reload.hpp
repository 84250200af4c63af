// What another reading of the configuration changes for a node that runs (SIGHUP): what `ack` asks
// for, the limits and the times of groups are taken over, nodes that are not there any more are
// trusted no longer, everything else waits for a restart.
// Thread: pure; the node's loop owns both configurations.
#pragma once

#include <string>
#include <vector>

#include "common/base/config.hpp"

namespace everstep::daemon {

struct Reload {
    struct Key {
        std::string group;
        std::string text;  // "history.keep_bytes: 2GiB, was 1GiB"
    };
    std::vector<Key> taken;            // counts from now on
    std::vector<std::string> removed;  // nodes of what runs that the file does not have
    std::vector<std::string> restart;  // keys as in "group.db.ack": what runs has another value
};

// Takes what can be taken from `read` over into `running`, in place: nothing in it moves.
[[nodiscard]] Reload take_over(Config& running, const Config& read);

// Of a key of `Reload::restart` on node `self`: what makes it count; "it needs a restart", or the
// command.
[[nodiscard]] std::string what_takes(const std::string& key, const Config& running,
                                     const Config& read, const std::string& self);

}  // namespace everstep::daemon
