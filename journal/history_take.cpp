#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/history.hpp"

namespace everstep::journal {
namespace {

std::string number(std::uint64_t value) {
    return std::to_string(value);
}

bool has_data(EntryKind kind) {
    return kind == EntryKind::data || kind == EntryKind::reread;
}
bool has_zeroes(EntryKind kind) {
    return kind == EntryKind::zero || kind == EntryKind::discard;
}

const FrameEntry* newest_step(const SealedFrame& frame) {
    const auto& entries = frame.entries();
    const auto found = std::find_if(entries.rbegin(), entries.rend(),
                                    [](const FrameEntry& e) { return takes_lsn(e.kind); });
    return found == entries.rend() ? nullptr : &*found;
}

Status refused(const SealedFrame& frame, const std::string& why) {
    return {ErrorCode::refused, "frame " + number(frame.header().seq.value()) + " (steps " +
                                    number(frame.header().first_lsn.value()) + " to " +
                                    number(frame.header().last_lsn.value()) + ") " + why};
}

}  // namespace

void merge_extents(std::vector<GapExtent>& extents) {
    std::sort(extents.begin(), extents.end(), [](const GapExtent& a, const GapExtent& b) {
        return std::tie(a.volume, a.offset) < std::tie(b.volume, b.offset);
    });
    std::size_t kept = 0;
    for (const GapExtent& e : extents) {
        if (kept > 0) {
            GapExtent& last = extents[kept - 1];
            const std::uint64_t end = last.offset.value() + last.length.value();
            if (last.volume == e.volume && e.offset.value() <= end) {
                const std::uint64_t longer = std::max(end, e.offset.value() + e.length.value());
                last.length = ByteCount(longer - last.offset.value());
                continue;
            }
        }
        extents[kept++] = e;
    }
    extents.resize(kept);
}

Status History::check_ranges(const SealedFrame& frame) const {
    std::uint64_t pieces = 0;
    for (const FrameEntry& entry : frame.entries()) {
        if (entry.volume.value() >= volume_bytes_.size())
            return {ErrorCode::corrupt, "step " + number(entry.lsn.value()) + " is on volume " +
                                            number(entry.volume.value()) + " of " +
                                            number(volume_bytes_.size())};
        if (!has_data(entry.kind) && !has_zeroes(entry.kind)) continue;
        const std::uint64_t size = volume_bytes(entry.volume);
        const std::uint64_t offset = entry.offset.value();
        const std::uint64_t length = entry.length.value();
        const bool data_fits = !has_data(entry.kind) || length >= entry.payload_bytes;
        if (offset % kSectorBytes != 0 || length % kSectorBytes != 0 || length == 0 ||
            offset > size || length > size - offset || !data_fits)
            return {ErrorCode::corrupt, "step " + number(entry.lsn.value()) + ": offset " +
                                            number(offset) + " length " + number(length) +
                                            " on a volume of " + number(size) + " bytes"};
        if (has_zeroes(entry.kind)) pieces += zero_pieces(entry.offset, entry.length);
        if (pieces > kFramePiecesMax)
            return {ErrorCode::too_large, "step " + number(entry.lsn.value()) +
                                              ": the zeroes of its frame have more than " +
                                              number(kFramePiecesMax) + " pieces"};
    }
    return {};
}

Result<History::Verdict> History::check_frame(const SealedFrame& frame, const Chain& chain,
                                              const std::optional<FrameRef>& stored) const {
    const FrameHeader& header = frame.header();
    if (header.kind != FrameKind::writes)
        return Status(ErrorCode::corrupt, "a frame of another kind where write frames are wanted");
    if (stored) {
        if (stored->hash == frame.hash()) return Verdict::stored;
        return Status(ErrorCode::corrupt,
                      "timeline " + header.timeline.hex() + " step " +
                          number(header.first_lsn.value()) + " has two contents: stored frame " +
                          hex(stored->hash) + ", received frame " + hex(frame.hash()));
    }
    EVERSTEP_TRY(check_continues(frame, chain));
    EVERSTEP_TRY(check_ranges(frame));
    return Verdict::take;
}

Status History::check_continues(const SealedFrame& frame, const Chain& chain) const {
    const FrameHeader& header = frame.header();
    const Tip& tip = chain.tip;
    if (header.timeline != tip.point.timeline)
        return refused(frame, "is of timeline " + header.timeline.hex() +
                                  ", the receiving line is " + tip.point.timeline.hex());
    if (chain.may_jump) {
        if (header.first_lsn <= tip.point.lsn || header.seq <= tip.seq)
            return refused(frame, "does not lie behind step " + number(tip.point.lsn.value()) +
                                      ", frame " + number(tip.seq.value()));
    } else {
        if (header.first_lsn != tip.point.lsn + 1)
            return refused(frame, "does not continue step " + number(tip.point.lsn.value()));
        if (header.seq != tip.seq + 1)
            return refused(frame, "does not continue frame " + number(tip.seq.value()));
        if (header.prev_hash != tip.hash)
            return {ErrorCode::corrupt, "frame " + number(header.seq.value()) +
                                            " names another predecessor: found " +
                                            hex(header.prev_hash) + ", stored " + hex(tip.hash)};
    }
    const TimelineInfo* timeline = topology_.find(header.timeline);
    if (header.after_branch && header.first_lsn != timeline->branch_lsn + 1)
        return refused(frame, "says that it begins its timeline, which branched at step " +
                                  number(timeline->branch_lsn.value()));
    WallTime newest = tip.step_time;
    for (const FrameEntry& entry : frame.entries()) {
        if (!takes_lsn(entry.kind)) continue;
        if (entry.step_time < newest)
            return {ErrorCode::corrupt,
                    "step " + number(entry.lsn.value()) + ": its step time goes back"};
        newest = entry.step_time;
    }
    return {};
}

Status History::check_resync(const SealedFrame& frame) const {
    if (frame.header().kind != FrameKind::resync)
        return {ErrorCode::corrupt, "a frame of another kind where resync frames are wanted"};
    if (!open_gap_) return {ErrorCode::refused, "a resync frame, but no gap is open"};
    for (const FrameEntry& entry : frame.entries())
        if (!has_data(entry.kind) && !has_zeroes(entry.kind))
            return {ErrorCode::corrupt, "a resync frame holds an entry of kind " +
                                            std::string(entry_kind_name(entry.kind))};
    return check_ranges(frame);
}

Chain History::behind(Chain chain, const SealedFrame& frame) {
    chain.tip.seq = frame.header().seq;
    chain.tip.hash = frame.hash();
    chain.may_jump = false;
    if (const FrameEntry* step = newest_step(frame)) {
        chain.tip.point.lsn = step->lsn;
        chain.tip.step_time = step->step_time;
        chain.sub = 0;
    }
    return chain;
}

Segment& History::take_segment(std::unique_ptr<Segment> segment) {
    segment->summary.seq_last = chain_.tip.seq;
    segment->summary.step_first = chain_.tip.step_time;
    Segment& taken = insert(std::move(segment));
    if (taken.condensed()) take_ends(taken);
    return taken;
}

Segment& History::take_known(std::unique_ptr<Segment> segment) {
    Segment& taken = insert(std::move(segment));
    note_reach(lines_[taken.timeline], taken);
    return taken;
}

Segment& History::insert(std::unique_ptr<Segment> segment) {
    Segment& taken = *segment;
    auto& own = lines_[taken.timeline].segments;
    // An empty one stands before one that begins at the same position.
    own.insert(std::upper_bound(own.begin(), own.end(), &taken,
                                [](const Segment* a, const Segment* b) {
                                    return std::tie(a->first, a->last) <
                                           std::tie(b->first, b->last);
                                }),
               &taken);
    if (own.back() != &taken) settle_merged(lines_[taken.timeline]);
    segments_.insert(std::upper_bound(segments_.begin(), segments_.end(), taken.number,
                                      [](std::uint64_t n, const std::unique_ptr<Segment>& s) {
                                          return n < s->number;
                                      }),
                     std::move(segment));
    return taken;
}

void History::take_frame(Segment& segment, const SealedFrame& frame, ByteOffset at) {
    const WallTime before = chain_.tip.step_time;
    bool stepped = false;
    WallTime step_first = before;
    for (const FrameEntry& entry : frame.entries()) {
        if (takes_lsn(entry.kind)) {
            if (!stepped) step_first = entry.step_time;
            stepped = true;
            take_step(segment, frame, entry, at);
        } else if (entry.kind == EntryKind::flush) {
            note_flush(segment, {entry.lsn, entry.volume});
        } else if (entry.kind == EntryKind::mark) {
            take_stream_mark(frame, entry);
        } else {
            take_batch_end_or_begin(entry.kind, {frame.header().timeline, entry.lsn});
        }
    }
    chain_ = behind(chain_, frame);
    segment.last = std::max(segment.last, chain_.position());
    segment.index->frames.push_back({.seq = frame.header().seq,
                                     .hash = frame.hash(),
                                     .first = frame.header().first_lsn,
                                     .last = frame.header().last_lsn,
                                     .step_first = step_first,
                                     .step_last = chain_.tip.step_time,
                                     .segment = segment.number,
                                     .at = at,
                                     .bytes = static_cast<std::uint32_t>(frame.bytes().size())});
    RedoSummary& summary = segment.summary;
    summary.seq_last = frame.header().seq;
    summary.frames += 1;
    if (stepped && !summary.has_steps) summary.step_first = step_first;
    summary.has_steps = summary.has_steps || stepped;
}

void History::take_step(Segment& segment, const SealedFrame& frame, const FrameEntry& entry,
                        ByteOffset at) {
    if (chain_.tip.point.lsn + 1 != entry.lsn) chain_.sub = 0;
    add_units(segment, entry, frame.stored(entry), at + entry.payload_offset);
    if (open_gap_ && open_gap_->batch && entry.length != ByteCount(0)) {
        open_gap_->bytes = open_gap_->bytes + entry.length.value();
        note_gap_extent({entry.volume, entry.offset, entry.length});
    }
    chain_.tip.point.lsn = entry.lsn;
    chain_.sub = 0;
    if (entry.fua) note_flush(segment, {entry.lsn, entry.volume});
}

// The units of one step: one, or for a long zero its pieces, of which the last one counts at the
// step itself.
void History::add_units(Segment& segment, const FrameEntry& entry, const StoredPayload& payload,
                        ByteOffset payload_at) {
    Unit unit;
    unit.volume = static_cast<std::uint16_t>(entry.volume.value());
    if (has_data(entry.kind)) {
        unit.lsn = entry.lsn;
        unit.offset = entry.offset;
        unit.length = static_cast<std::uint32_t>(entry.length.value());
        unit.payload_at = payload_at;
        unit.crc = entry.payload_crc;
        segment.index->writes.add(unit, payload);
    } else if (has_zeroes(entry.kind)) {
        unit.zero = true;
        std::uint32_t sub = chain_.sub;
        for_each_zero_piece(entry.offset, entry.length,
                            [&](ByteOffset offset, ByteCount length, bool last) {
                                unit.offset = offset;
                                unit.length = static_cast<std::uint32_t>(length.value());
                                unit.lsn = last ? entry.lsn : entry.lsn - 1;
                                unit.sub = last ? 0 : ++sub;
                                segment.index->writes.add(unit, {});
                            });
    }
}

void History::take_resync(Segment& segment, const SealedFrame& frame, ByteOffset at) {
    EVERSTEP_ASSERT(open_gap_.has_value(), "resync extents lie in an open gap");
    Unit unit;
    unit.lsn = chain_.tip.point.lsn;
    for (const FrameEntry& entry : frame.entries()) {
        unit.volume = static_cast<std::uint16_t>(entry.volume.value());
        unit.zero = has_zeroes(entry.kind);
        open_gap_->bytes = open_gap_->bytes + entry.length.value();
        note_gap_extent({entry.volume, entry.offset, entry.length});
        const auto add = [&](ByteOffset offset, ByteCount length, bool) {
            unit.offset = offset;
            unit.length = static_cast<std::uint32_t>(length.value());
            unit.payload_at = unit.zero ? ByteOffset() : at + entry.payload_offset;
            unit.crc = entry.payload_crc;
            unit.sub = ++chain_.sub;
            segment.index->writes.add(unit, frame.stored(entry));
        };
        if (unit.zero)
            for_each_zero_piece(entry.offset, entry.length, add);
        else
            add(entry.offset, entry.length, true);
    }
    segment.last = chain_.position();
}

void History::note_gap_extent(const GapExtent& extent) {
    open_gap_->extents.push_back(extent);
    if (open_gap_->extents.size() > 2 * kGapExtentsMax) coarsen(open_gap_->extents, kGapExtentsMax);
}

// Where order is lost already the resync that follows covers the batch, and ends behind it.
void History::take_batch_end_or_begin(EntryKind kind, const Point& at) {
    if (kind == EntryKind::batch_begin) {
        if (open_gap_) return;
        open_gap_ = Gap{};
        open_gap_->from = at;
        open_gap_->reason = "restore";
        open_gap_->batch = true;
    } else if (open_gap_ && open_gap_->batch) {
        if (open_gap_->from != at) gaps_.push_back(gap_closed_at(at));
        open_gap_.reset();
    }
}

void History::take_gap_open(const Gap& gap) {
    if (!open_gap_) open_gap_ = gap;
    if (std::exchange(open_gap_->batch, false)) open_gap_->reason = gap.reason;
    chain_.may_jump = true;
}

void History::take_gap(const GapRecord& gap) {
    if (open_gap_ && open_gap_->from == gap.gap.from) open_gap_.reset();
    const bool known = std::any_of(gaps_.begin(), gaps_.end(), [&](const GapRecord& g) {
        return g.gap.from == gap.gap.from && g.gap.to == gap.gap.to;
    });
    if (!known) gaps_.push_back(gap);
}

// An open gap goes on with a line that leaves inside it, or beyond what is stored. One that leaves
// at its beginning, before it or from another line gives it up: what it leaves behind is no point.
HeadBody History::head_after(const Place& branch) const {
    HeadBody out = head();
    if (!open_gap_) return out;
    const Place tip = tip_place();
    const Place from = topology_.owner(place_of(open_gap_->from));
    const Place start = topology_.owner(branch);
    const bool beyond = topology_.leads_to(tip, start);
    const bool on_line = beyond || topology_.leads_to(start, tip);
    if (!beyond) {
        GapRecord record;
        record.gap = *open_gap_;
        record.line = tip.timeline;
        record.line_end = tip.at.lsn;
        record.given_up = true;
        coarsen(record.gap.extents, kGapExtentsMax);
        out.gaps.push_back(std::move(record));
    }
    if (!on_line || topology_.leads_to(start, from)) out.open_gap.reset();
    return out;
}

Status History::take_head(const HeadBody& head) {
    const bool goes_on =
        !cut_ && begun() && head.chain.tip.point.timeline == chain_.tip.point.timeline;
    if (goes_on && !(head.chain == chain_))
        return {ErrorCode::corrupt,
                "its head continues step " + number(head.chain.tip.point.lsn.value()) +
                    ", the segments before it end at step " + number(chain_.tip.point.lsn.value())};
    for (const TimelineInfo& t : head.timelines) {
        if (t.id.nil()) return {ErrorCode::corrupt, "its head names a timeline without an id"};
        if (!topology_.knows(t.id)) topology_.add(t);
    }
    cut_ = false;
    baseline_ = kept_tip(head.baseline);
    chain_ = head.chain;
    gaps_ = head.gaps;
    open_gap_ = head.open_gap;
    marks_.clear();
    for (const Mark& mark : head.marks) marks_[mark.name] = mark;
    return {};
}

// Joins neighbours until at most `extents_max` are left: fewer and larger, never beyond a volume's
// end.
void History::coarsen(std::vector<GapExtent>& extents, std::size_t extents_max) const {
    merge_extents(extents);
    for (std::uint64_t granule = 1ULL << 20; extents.size() > extents_max; granule *= 4) {
        for (GapExtent& e : extents) {
            const std::uint64_t first = e.offset.value() / granule * granule;
            const std::uint64_t end = std::min(
                volume_bytes(e.volume), align_up(e.offset.value() + e.length.value(), granule));
            e.offset = ByteOffset(first);
            e.length = ByteCount(end - first);
        }
        merge_extents(extents);
    }
}

GapRecord History::gap_closed_at(const Point& at) const {
    GapRecord record;
    record.gap = *open_gap_;
    record.gap.to = at;
    record.line = at.timeline;
    record.line_end = at.lsn;
    coarsen(record.gap.extents, kGapExtentsMax);
    return record;
}

void History::note_flush(Segment& segment, const FlushMark& mark) {
    std::vector<FlushMark>& flushes = segment.index->flushes;
    const auto place = std::upper_bound(flushes.begin(), flushes.end(), mark);
    if (place != flushes.begin() && *(place - 1) == mark) return;
    flushes.insert(place, mark);
    RedoSummary& summary = segment.summary;
    if (flushes.size() == 1 || mark.lsn < summary.flush_first) summary.flush_first = mark.lsn;
    const auto same = std::find_if(summary.flushes_newest.begin(), summary.flushes_newest.end(),
                                   [&](const FlushMark& m) { return m.volume == mark.volume; });
    if (same == summary.flushes_newest.end())
        summary.flushes_newest.push_back(mark);
    else
        same->lsn = std::max(same->lsn, mark.lsn);
    note_reach(lines_[segment.timeline], segment);
}

// The newest segment of its line holds the marks that came last.
void History::note_reach(Line& line, const Segment& segment) {
    const Lsn lsn = segment.summary.flush_first;
    if (segment.summary.flushes_newest.empty() || segment.first.lsn < lsn) return;
    const auto holder = std::find(line.segments.rbegin(), line.segments.rend(), &segment);
    const auto at = static_cast<std::size_t>(line.segments.rend() - holder);  // 1 = the first
    const std::size_t owner = lsn == Lsn(0) ? 0 : line.begun_by(lsn - 1);     // 0 = before them all
    line.flush_reach = std::max(line.flush_reach, at - std::min(at, owner));
}

// A mark that came in the stream. If a mark of this name stands at another step, both stay: the
// newcomer gets a number behind its name.
void History::take_stream_mark(const SealedFrame& frame, const FrameEntry& entry) {
    const auto body = unpack_mark(frame.stored(entry).stored());
    if (!body.ok()) return;  // cannot be: parse() and the builder check it
    Mark mark;
    mark.at = {frame.header().timeline, entry.lsn};
    mark.consistency = body->consistency;
    mark.pinned = body->pinned;
    mark.made = entry.step_time;
    mark.name = body->name;
    for (int n = 2; marks_.contains(mark.name) && marks_[mark.name].at != mark.at; ++n)
        mark.name = body->name + "-" + std::to_string(n);
    marks_[mark.name] = mark;
}

HeadBody History::head() const {
    HeadBody head;
    head.baseline = baseline_.step;
    head.chain = chain_;
    for (const TimelineId& id : topology_.order()) head.timelines.push_back(*topology_.find(id));
    for (const auto& [name, mark] : marks_) head.marks.push_back(mark);
    head.gaps = gaps_;
    head.open_gap = open_gap_;
    return head;
}

}  // namespace everstep::journal
