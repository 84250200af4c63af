#include "daemon/seal.hpp"

namespace everstep::daemon {

SealStage::SealStage(Uuid group, journal::Tip tip, bool after_branch, Deliver deliver)
    : group_(group),
      tip_(tip),
      after_branch_(after_branch),
      last_(tip.point.lsn),
      step_time_(tip.step_time),
      deliver_(std::move(deliver)),
      builder_(kFrameTargetBytes) {}

void SealStage::push(const FrameEntry& entry, Bytes payload) {
    const bool zeroes = entry.kind == EntryKind::zero || entry.kind == EntryKind::discard;
    const std::uint64_t pieces = zeroes ? journal::zero_pieces(entry.offset, entry.length) : 0;
    if (full() || !builder_.fits(payload.size()) || pieces_ + pieces > journal::kFramePiecesMax)
        seal();
    pieces_ += pieces;
    if (takes_lsn(entry.kind)) {
        EVERSTEP_ASSERT(entry.lsn == last_ + 1, "LSNs are consecutive");
        last_ = entry.lsn;
        step_time_ = entry.step_time;
    }
    builder_.add(entry, payload);
    if (full() && !compresses()) seal();
}

void SealStage::seal() {
    if (builder_.empty()) return;
    FrameHeader header;
    header.kind = FrameKind::writes;
    header.group = group_;
    header.timeline = tip_.point.timeline;
    header.seq = tip_.seq + 1;
    header.first_lsn = tip_.point.lsn + 1;
    header.last_lsn = last_;
    header.after_branch = after_branch_;
    header.after_gap = after_gap_;
    header.prev_hash = tip_.hash;
    const FramePtr frame =
        compressor_ ? compressor_->seal(builder_, header) : builder_.seal(header);
    tip_.point.lsn = last_;
    tip_.seq = header.seq;
    tip_.hash = frame->hash();
    tip_.step_time = step_time_;
    after_branch_ = false;
    after_gap_ = false;
    pieces_ = 0;
    deliver_(frame);
}

}  // namespace everstep::daemon
