// SealStage (walk, stage 3): gathers ordered writes into one frame and seals it: compression,
// decided once for all who get the frame, checksums, hash of the predecessor. Thread: the capture
// thread. Invariants: frames leave in LSN order, each chained to the one before; a write is in
// exactly one frame; no frame has more than kFramePiecesMax pieces of zeroes (an NBD request has at
// most 65).
#pragma once

#include <functional>

#include "daemon/compression.hpp"
#include "journal/history_types.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kFrameTargetBytes =
    256U << 10;  // a frame is sealed when it has grown to this

class SealStage {
  public:
    using Deliver = std::function<void(const FramePtr&)>;
    // `tip`: what the first frame continues. `after_branch`: it is the first of its timeline.
    SealStage(Uuid group, journal::Tip tip, bool after_branch, Deliver deliver);

    // Seals first when it would not fit; behind it when it is full, unless that takes its time:
    // then full() says so, and the next push() seals first.
    void push(const FrameEntry& entry, Bytes payload);
    void seal();  // what is open, if anything
    void compress(std::shared_ptr<CompressionControl> control, const Clock& clock) {
        CompressionFigures& figures = control->writes();
        compressor_.emplace(std::move(control), clock, figures);
    }
    [[nodiscard]] bool compresses() const { return compressor_ && !compressor_->off(); }
    [[nodiscard]] bool full() const { return builder_.size_bytes() >= kFrameTargetBytes; }
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
    std::optional<FrameCompressor> compressor_;
};

}  // namespace everstep::daemon
