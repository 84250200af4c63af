// A BlockingStream with a limit on silence, for the command line.
// Thread: the caller's; blocks.
#pragma once

#include <chrono>
#include <functional>

#include "common/net/stream.hpp"

namespace everstep::net {

struct Patience {
    std::chrono::milliseconds limit{0};  // 0: none. Of connecting, of a write, and of silence
    // Asked each time that nothing came for `limit` while it reads: ok = wait on, else read() gives
    // its error.
    std::function<Status()> on_silence{};
};

// As BlockingStream::connect(). unreachable: nobody takes the connection within the limit.
[[nodiscard]] Result<std::unique_ptr<BlockingStream>> connect_with(const std::string& unix_path,
                                                                   Patience patience);

}  // namespace everstep::net
