#include "standby/receive_order.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"

namespace everstep::standby {
namespace {

Status corrupt(const FrameHeader& frame, std::string why) {
    return {ErrorCode::corrupt, fmt::format("frame {} (steps {} to {}): {}", frame.seq.value(),
                                            frame.first_lsn.value(), frame.last_lsn.value(), why)};
}

}  // namespace

// What the frame has to continue: the tip, or, on the path's next timeline, its branch point. That
// may lie inside the last frame, which was sent whole: who follows the branch goes on from the
// branch point.
Result<journal::Tip> ReceiveOrder::before(const SealedFrame& frame) const {
    const FrameHeader& header = frame.header();
    journal::Tip tip = expected_.tip;
    if (header.timeline == tip.point.timeline) return tip;
    auto next = std::find_if(path_.begin(), path_.end(), [&](const journal::TimelineInfo& one) {
        return one.parent == tip.point.timeline;
    });
    // Timelines without a step of their own are passed over.
    while (next != path_.end() && tip.point.lsn >= next->branch_lsn &&
           tip.hash == next->branch_hash) {
        tip.point = {next->id, next->branch_lsn};
        if (next->id == header.timeline) return tip;
        ++next;
    }
    return corrupt(header, fmt::format("is of timeline {}, wanted {}", header.timeline.hex(),
                                       expected_.tip.point.timeline.hex()));
}

Status ReceiveOrder::take_writes(const SealedFrame& frame) {
    const FrameHeader& header = frame.header();
    const Result<journal::Tip> tip = before(frame);
    if (!tip.ok()) return tip.status();
    // A frame again: the store has it and compares it.
    if (expected_.exact && header.seq <= tip->seq) return {};
    if (expected_.anything && header.first_lsn <= tip->point.lsn) {
        return corrupt(header, fmt::format("begins behind step {}, found {}",
                                           tip->point.lsn.value(), header.first_lsn.value()));
    }
    if (!expected_.anything && header.first_lsn != tip->point.lsn + 1) {
        return corrupt(header, fmt::format("found step {}, wanted {}", header.first_lsn.value(),
                                           tip->point.lsn.value() + 1));
    }
    if (expected_.exact && header.seq != tip->seq + 1) {
        return corrupt(header, fmt::format("found number {}, wanted {}", header.seq.value(),
                                           tip->seq.value() + 1));
    }
    if (expected_.exact && header.prev_hash != tip->hash) {
        return corrupt(
            header, fmt::format("continues {}, wanted {}", hex(header.prev_hash), hex(tip->hash)));
    }
    expected_.tip.point = {header.timeline, header.last_lsn};
    expected_.tip.seq = header.seq;
    expected_.tip.hash = frame.hash();
    expected_.exact = true;
    expected_.anything = false;
    return {};
}

Status ReceiveOrder::take_extents(const SealedFrame& frame) {
    const FrameHeader& header = frame.header();
    const Result<journal::Tip> line = before(frame);
    if (!line.ok()) return line.status();
    const bool jumps = expected_.anything && header.last_lsn >= line->point.lsn;
    if (header.last_lsn != line->point.lsn && !jumps) {
        return corrupt(header,
                       fmt::format("extents as of step {}, but the stream stands at step {}",
                                   header.last_lsn.value(), line->point.lsn.value()));
    }
    expected_.tip.point = {header.timeline, header.last_lsn};
    expected_.anything = false;
    return {};
}

Status ReceiveOrder::take_base(const journal::Tip& base) {
    const journal::Tip& tip = expected_.tip;
    const bool same_step = base.point == tip.point;
    const bool same_frame = base.hash == tip.hash && base.seq == tip.seq;
    if ((!expected_.anything && !same_step) || (expected_.exact && !same_frame)) {
        return {
            ErrorCode::corrupt,
            fmt::format(
                "InitialEnd: base step {} with hash {}, but the stream stands at step {} with {}",
                base.point.lsn.value(), hex(base.hash), tip.point.lsn.value(), hex(tip.hash))};
    }
    expected_ = {base, true, false};
    return {};
}

}  // namespace everstep::standby
