// SealStage (walk, stage 3): gathers ordered writes into one frame and seals it: checksums, hash of
// the predecessor. Thread: the capture thread. Invariants: frames leave in LSN order, each chained
// to the one before; a write is in exactly one frame; no frame has more than
// kFramePiecesMax pieces of zeroes (an NBD request has at most 65).
#pragma once

#include <functional>

#include "common/base/frame.hpp"
#include "journal/history_types.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kFrameTargetBytes =
    256U << 10;  // a frame is sealed when it has grown to this

class SealStage {
  public:
    using Deliver = std::function<void(const FramePtr&)>;
    // `tip`: what the first frame continues. `after_branch`: it is the first of its timeline.
    SealStage(Uuid group, journal::Tip tip, bool after_branch, Deliver deliver);

    void push(const FrameEntry& entry,
              Bytes payload);  // seals first when it would not fit, after when it is full
    void seal();               // what is open, if anything
    // The next frame is the first behind a gap of some standby.
    void name_gap() { after_gap_ = true; }
    [[nodiscard]] bool empty() const { return builder_.empty(); }
    [[nodiscard]] const journal::Tip& tip() const { return tip_; }  // of what was sealed

  private:
    Uuid group_;
    journal::Tip tip_;
    bool after_branch_;
    bool after_gap_ = false;
    Lsn last_;
    WallTime step_time_;
    Deliver deliver_;
    std::uint64_t pieces_ = 0;  // of the open frame's zeroes
    FrameBuilder builder_;
};

}  // namespace everstep::daemon
