// ReceiveOrder: does a frame continue what was received (walk, stage 5: in order, once)? Pure; the
// loop's thread.
// Invariants: positions only grow along the session's path; a frame that is refused changes
// nothing.
#pragma once

#include "standby/receive_start.hpp"

namespace everstep::standby {

class ReceiveOrder {
  public:
    ReceiveOrder() = default;
    ReceiveOrder(Expected expected, std::vector<journal::TimelineInfo> path)
        : expected_(expected), path_(std::move(path)) {}
    // corrupt: names what was found and wanted.
    [[nodiscard]] Status take_writes(const SealedFrame& frame);
    // Extents of a resync or an initial sync: as of the newest step received.
    [[nodiscard]] Status take_extents(const SealedFrame& frame);
    // The end of an initial sync: the base is what was received.
    [[nodiscard]] Status take_base(const journal::Tip& base);
    [[nodiscard]] const journal::Tip& tip() const { return expected_.tip; }

  private:
    [[nodiscard]] Result<journal::Tip> before(const SealedFrame& frame) const;

    Expected expected_;
    std::vector<journal::TimelineInfo> path_;
};

}  // namespace everstep::standby
