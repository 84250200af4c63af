#include "journal/redo_scan.hpp"

namespace everstep::journal {
namespace {

Status unreadable() {
    return {ErrorCode::corrupt, "the record passes its checksum but makes no sense"};
}

}  // namespace

RedoScan::RedoScan(const IndexedFile& of)
    : history_({of.volume_bytes.begin(), of.volume_bytes.end()}), number_(of.segment) {}

Status RedoScan::take(const ScannedRecord& record) {
    switch (record.envelope.kind) {
        case RecordKind::head:
            return take_head(record);
        case RecordKind::frame:
        case RecordKind::resync:
            return take_frame(record);
        case RecordKind::gap_open:
            if (const auto gap = unpack_gap_open(record.body)) history_.take_gap_open(*gap);
            return {};
        case RecordKind::gap:
            if (const auto gap = unpack_gap(record.body)) history_.take_gap(*gap);
            return {};
        case RecordKind::timeline:
            return take_timeline(record);
        case RecordKind::condensed:
            return take_condensed(record);
        case RecordKind::images:
        case RecordKind::kept:
        case RecordKind::mark:
        case RecordKind::unmark:
        case RecordKind::position:
        case RecordKind::footer:
            return {};  // not in the index
    }
    return unreadable();
}

Status RedoScan::take_head(const ScannedRecord& record) {
    const auto head = unpack_head(record.body);
    if (!head || begun()) return unreadable();
    EVERSTEP_TRY(history_.take_head(*head));
    auto segment = std::make_unique<Segment>();
    segment->number = number_;
    segment->timeline = head->chain.tip.point.timeline;
    segment->first = segment->last = head->chain.position();
    segment_ = &history_.take_segment(std::move(segment));
    return {};
}

Status RedoScan::take_timeline(const ScannedRecord& record) {
    const auto timeline = unpack_timeline(record.body);
    if (!timeline || timeline->id.nil()) return unreadable();
    if (!history_.topology().knows(timeline->id)) history_.take_timeline(*timeline);
    return {};
}

Status RedoScan::take_condensed(const ScannedRecord& record) {
    const auto body = unpack_condensed(record.body);
    if (!body || !begun() || segment_->condensed() ||
        body->ends.front().tip.step.point != Point{segment_->timeline, segment_->first.lsn})
        return unreadable();
    history_.take_condensed(*segment_, *body);
    return {};
}

Status RedoScan::take_frame(const ScannedRecord& record) {
    Buffer bytes;
    bytes.append(record.body);
    const auto frame = SealedFrame::parse(std::move(bytes));
    if (!frame.ok()) return frame.status();
    if (!begun() || !history_.topology().knows(segment_->timeline)) return unreadable();
    if (record.envelope.kind == RecordKind::resync && segment_->condensed())
        return history_.take_condensed_frame(*segment_, **frame, record.body_at) ? Status()
                                                                                 : unreadable();
    if (record.envelope.kind == RecordKind::resync) {
        EVERSTEP_TRY(history_.check_resync(**frame));
        history_.take_resync(*segment_, **frame, record.body_at);
        return {};
    }
    EVERSTEP_TRY(history_.check_frame(**frame, history_.chain(), {}).status());
    history_.take_frame(*segment_, **frame, record.body_at);
    return {};
}

}  // namespace everstep::journal
