// AckGate: holds the answers of writes and flushes until enough standbys have answered (DESIGN.md
// 6, `ack`). Thread: the capture thread. Invariants: an answer leaves in LSN order and never before
// its LSN is released; nothing is ever dropped.
#pragma once

#include <deque>

#include "common/base/block_device.hpp"

namespace everstep::daemon {

class AckGate {
  public:
    // Answers `token` now where `lsn` is released already, else when it is.
    void hold(Lsn lsn, BlockSink& sink, std::uint64_t token);
    void release(Lsn upto);  // never goes back
    // What is answered from now on waits to be released anew, whatever its LSN.
    void hold_all() { released_ = Lsn(); }
    // Everything held is answered with this error; the gate stays shut (the group stops or was
    // fenced).
    void fail(const Status& error);
    [[nodiscard]] std::size_t held() const { return held_.size(); }

  private:
    struct Held {
        Lsn lsn;
        BlockSink* sink;
        std::uint64_t token;
    };
    std::deque<Held> held_;
    Lsn released_;
    Status failed_;
};

}  // namespace everstep::daemon
