// The journal thread's half of Store: frames, timelines, gaps and marks into the open redo file
// (walk, stage 6).
#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

std::string step_name(Lsn lsn) {
    return "step " + std::to_string(lsn.value());
}

// ok when the stored history and the timeline's own claim about its branch point agree.
Status check_branch(const Store::Impl& store, const TimelineInfo& timeline) {
    const History& history = store.history;
    const Point branch{timeline.parent, timeline.branch_lsn};
    if (!history.topology().knows(timeline.parent))
        return {ErrorCode::refused, "timeline " + timeline.id.hex() + " branched from timeline " +
                                        timeline.parent.hex() + ", which is not known"};
    const Place tip = history.tip_place();
    const bool in_gap = history.open_gap().has_value();
    if (in_gap && branch.timeline == tip.timeline && branch.lsn > tip.at.lsn) return {};
    if (!in_gap || !history.topology().leads_to(place_of(branch), tip))
        EVERSTEP_TRY(history.check_point(branch));
    // The baseline came as a whole, without its frame.
    const auto at = store.frame_at(branch);
    if (!at.ok()) return at.status();
    if (!at->holds || at->holds->hash == timeline.branch_hash) return {};
    return {ErrorCode::corrupt, "timeline " + timeline.id.hex() + " branched at " +
                                    step_name(branch.lsn) + " from a frame with hash " +
                                    hex(timeline.branch_hash) + ", stored is " +
                                    hex(at->holds->hash)};
}

}  // namespace

Status Store::Impl::require_history() const {
    if (history.begun()) return {};
    return {ErrorCode::refused, options.directory + ": the store has no history yet"};
}

Result<History::Verdict> Store::Impl::judge(const SealedFrame& frame, const Chain& chain) const {
    for (const Pending& p : pending)
        if (p.frame->header().seq == frame.header().seq && p.frame->hash() == frame.hash())
            return History::Verdict::stored;
    if (frame.header().group != options.group)
        return Status(ErrorCode::refused, "a frame of group " + frame.header().group.hex() +
                                              ", the store is of group " + options.group.hex());
    const auto stored = stored_frame(frame, chain);
    if (!stored.ok()) return stored.status();
    return history.check_frame(frame, chain, *stored);
}

// Makes sure that a record of this body fits the open redo file; may seal it and begin the next
// segment.
Status Store::Impl::make_room(std::uint64_t body_bytes) {
    if (redo != nullptr && redo->fits(body_bytes)) return {};
    EVERSTEP_TRY(commit_frames());
    EVERSTEP_TRY(seal_redo());
    NewSegment begin;
    begin.head = history.head();
    begin.body_bytes = body_bytes;
    return begin_segment(begin);
}

Status Store::Impl::stage_frame(const FramePtr& frame) {
    EVERSTEP_TRY(make_room(frame->bytes().size()));
    const ByteOffset at = redo->stage_borrowed(RecordKind::frame, frame->bytes(), frame->crc());
    pending.push_back({frame, at});
    return redo->staged_bytes() < kAppendBytes ? Status() : commit_frames();
}

Status Store::Impl::commit_frames() {
    if (pending.empty()) return {};
    const Status written = redo->write(synced_soon);
    if (!written.ok()) {
        pending.clear();
        return written;
    }
    for (const Pending& p : pending) recent.add(open_segment->number, p.at, p.frame);
    const std::unique_lock guard(mutex);
    for (const Pending& p : pending) history.take_frame(*open_segment, *p.frame, p.at);
    open_segment->redo.tail = redo->tail();
    pending.clear();
    return {};
}

Status Store::Impl::write_record(RecordKind kind, Bytes body) {
    EVERSTEP_TRY(make_room(body.size()));
    redo->stage(kind, body);
    EVERSTEP_TRY(redo->write());
    const std::unique_lock guard(mutex);
    open_segment->redo.tail = redo->tail();
    return {};
}

Status Store::Impl::sync_redo() {
    if (redo == nullptr || redo->clean()) return {};
    const Durable reached = now();
    EVERSTEP_TRY(redo->sync());
    const std::unique_lock guard(mutex);
    durable = reached;
    return {};
}

Status Store::Impl::record_position_in_redo(const PositionBody& position) {
    const std::lock_guard writer(writer_mutex);
    EVERSTEP_TRY(write_record(RecordKind::position, pack_position(position)));
    return sync_redo();
}

Status Store::begin_history(const std::vector<TimelineInfo>& timelines, const Tip& base) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    if (s.history.begun())
        return {ErrorCode::exists, s.options.directory + ": the store has a history already"};
    bool based = false;
    Topology check;
    for (const TimelineInfo& t : timelines) {
        if (t.id.nil() || check.knows(t.id) || (&t != timelines.data() && !check.knows(t.parent)))
            return {ErrorCode::usage, "begin_history: timelines are not in order, parents first"};
        check.add(t);
        if (t.id == base.point.timeline && base.point.lsn < t.branch_lsn)
            return {ErrorCode::corrupt, "the history cannot begin at " + step_name(base.point.lsn) +
                                            " of timeline " + t.id.hex() + ", which branched at " +
                                            step_name(t.branch_lsn)};
        based = based || t.id == base.point.timeline;
    }
    if (!based)
        return {ErrorCode::usage, "begin_history: the base lies on a timeline that is not given"};
    NewSegment begin;
    begin.head.baseline = base;
    begin.head.chain.tip = base;
    begin.begun = timelines;
    begin.position.emplace();
    ReplicaState& state = begin.position->state;
    state.line = base.point.timeline;
    state.low = state.high = {base.point.lsn, 0};
    const ReplicaState recorded = state;
    EVERSTEP_TRY(s.begin_segment(begin));
    const std::unique_lock guard(s.mutex);
    s.replica = s.recorded = recorded;
    return {};
}

bool Store::fits(const SealedFrame& frame) const {
    const std::lock_guard writer(impl_->writer_mutex);
    return impl_->redo != nullptr && impl_->redo->fits(frame.bytes().size());
}

Status Store::append(std::span<const FramePtr> frames, bool synced_soon) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    s.synced_soon = synced_soon;
    Chain chain = s.history.chain();
    Status refused;
    for (const FramePtr& frame : frames) {
        const auto verdict = s.judge(*frame, chain);
        if (!verdict.ok()) {
            refused = verdict.status();
            break;
        }
        if (*verdict == History::Verdict::stored) continue;
        EVERSTEP_TRY(s.stage_frame(frame));
        chain = History::behind(chain, *frame);
    }
    EVERSTEP_TRY(s.commit_frames());
    return refused;
}

Status Store::append_resync(const FramePtr& frame) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    EVERSTEP_TRY(s.history.check_resync(*frame));
    EVERSTEP_TRY(s.make_room(frame->bytes().size()));
    const ByteOffset at = s.redo->stage_borrowed(RecordKind::resync, frame->bytes(), frame->crc());
    EVERSTEP_TRY(s.redo->write());
    s.recent.add(s.open_segment->number, at, frame);
    const std::unique_lock guard(s.mutex);
    s.history.take_resync(*s.open_segment, *frame, at);
    s.open_segment->redo.tail = s.redo->tail();
    return {};
}

Status Store::append_timeline(const TimelineInfo& timeline) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    if (const TimelineInfo* known = s.history.topology().find(timeline.id)) {
        if (*known == timeline && s.history.chain().tip.point.timeline == timeline.id) return {};
        return {ErrorCode::exists, "timeline " + timeline.id.hex() +
                                       " is known already and is not the receiving line"};
    }
    if (timeline.id.nil()) return {ErrorCode::usage, "a timeline without an id"};
    EVERSTEP_TRY(check_branch(s, timeline));
    const Place branch{timeline.parent, {timeline.branch_lsn, 0}};
    const auto before = tip_at({timeline.parent, timeline.branch_lsn});
    NewSegment begin;
    begin.head = s.history.head_after(branch);
    begin.begun.push_back(timeline);
    Chain& chain = begin.head.chain;
    chain.tip.point = {timeline.id, timeline.branch_lsn};
    chain.tip.hash = timeline.branch_hash;
    chain.tip.seq = timeline.branch_seq;
    if (before.ok()) chain.tip.step_time = before->step_time;
    chain.sub = 0;
    chain.may_jump = begin.head.open_gap && !begin.head.open_gap->batch;
    EVERSTEP_TRY(s.seal_redo());
    return s.begin_segment(begin);
}

Status Store::open_gap(Point from, const std::string& reason) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    const Point tip = s.history.chain().tip.point;
    if (!s.history.open_gap()) {
        if (!s.history.topology().knows(from.timeline) ||
            !s.history.topology().same(place_of(from), place_of(tip)))
            return {ErrorCode::refused,
                    "a gap begins at the newest step of the receiving line, which is " +
                        step_name(tip.lsn) + ", not at " + step_name(from.lsn) +
                        ": steps behind it would be lost; append the timeline that branches there"};
    }
    Gap gap;
    gap.from = from;
    gap.reason = reason;
    EVERSTEP_TRY(s.write_record(RecordKind::gap_open, pack_gap_open(gap)));
    const std::unique_lock guard(s.mutex);
    s.history.take_gap_open(gap);
    return {};
}

Status Store::close_gap(Point at) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    const std::optional<Gap>& gap = s.history.open_gap();
    if (!gap) return {ErrorCode::refused, "no gap is open that could end at " + step_name(at.lsn)};
    const Point tip = s.history.chain().tip.point;
    if (at.timeline != tip.timeline || at.lsn > tip.lsn || at.lsn <= gap->from.lsn)
        return {ErrorCode::corrupt, "the gap behind " + step_name(gap->from.lsn) +
                                        " cannot end at " + step_name(at.lsn) + " of timeline " +
                                        at.timeline.hex() + "; the newest step is " +
                                        step_name(tip.lsn)};
    // What the gap came to, in a record of its own: it outlives the segments in which it lies.
    const GapRecord closed = s.history.gap_closed_at(at);
    EVERSTEP_TRY(s.write_record(RecordKind::gap, pack_gap(closed)));
    const std::unique_lock guard(s.mutex);
    s.history.take_gap(closed);
    return {};
}

Status Store::put_mark(const Mark& mark) {
    EVERSTEP_TRY(check_mark_name(mark.name));
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    if (s.history.marks().contains(mark.name))
        return {ErrorCode::exists, "mark " + mark.name + ": the name is taken"};
    EVERSTEP_TRY(s.history.check_point(mark.at));
    EVERSTEP_TRY(s.write_record(RecordKind::mark, pack_mark_record(mark)));
    const std::unique_lock guard(s.mutex);
    s.history.take_mark(mark);
    return {};
}

Status Store::drop_mark(const std::string& name) {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    EVERSTEP_TRY(s.require_history());
    if (!s.history.marks().contains(name))
        return {ErrorCode::not_found, "mark " + name + ": there is none of this name"};
    EVERSTEP_TRY(s.write_record(RecordKind::unmark, pack_name(name)));
    const std::unique_lock guard(s.mutex);
    s.history.drop_mark(name);
    return {};
}

Status Store::sync() {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    return s.sync_redo();
}

}  // namespace everstep::journal
