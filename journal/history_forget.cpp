// History: what is kept, what is forgotten, and what of it is left between (DESIGN.md 7,
// Retention). The same functions work on a store that drops something and on one that is opened.
#include <algorithm>
#include <unordered_set>

#include "journal/history.hpp"

namespace everstep::journal {
namespace {

Position end_position(const KeptStep& end) {
    return {end.tip.step.point.lsn, 0};
}

// The condensed segment around a position: it lies behind the segment's first and at most at its
// last.
const Segment* condensed_around(const Line* line, Position at) {
    if (line == nullptr) return nullptr;
    const auto found = std::partition_point(line->segments.begin(), line->segments.end(),
                                            [&](const Segment* s) { return s->last < at; });
    const bool around = found != line->segments.end() && (*found)->first <= at;
    return around && (*found)->condensed() ? *found : nullptr;
}

}  // namespace

void History::take_condensed(Segment& segment, const CondensedBody& body) {
    segment.ends = body.ends;
    segment.last = end_position(body.ends.back());
    segment.imaged_to = std::min(body.imaged_to, segment.last);
    segment.begun_at = body.age;
    take_ends(segment);
}

void History::take_ends(Segment& segment) {
    segment.summary = {};
    segment.summary.seq_last = segment.ends.back().tip.stream_seq;
    segment.summary.step_first = segment.ends.front().tip.step.step_time;
    for (const KeptStep& end : segment.ends)
        for (const VolumeIndex volume : end.flushed)
            note_flush(segment, {end.tip.step.point.lsn, volume});
}

bool History::take_condensed_frame(Segment& segment, const SealedFrame& frame, ByteOffset at) {
    const FrameHeader& header = frame.header();
    const bool known =
        std::any_of(segment.ends.begin(), segment.ends.end(), [&](const KeptStep& end) {
            return end.tip.step.point.lsn == header.first_lsn && end_position(end) < segment.last;
        });
    if (header.kind != FrameKind::resync || !known || header.sub_first == 0 ||
        !check_ranges(frame).ok())
        return false;
    Unit unit;
    unit.lsn = header.first_lsn;
    unit.sub = header.sub_first - 1;
    const auto count = static_cast<std::uint32_t>(segment.index->writes.unit_count());
    if (count > 0 &&
        !(segment.index->writes.unit(count - 1).position() < Position{unit.lsn, unit.sub + 1}))
        return false;
    for (const FrameEntry& entry : frame.entries()) {
        unit.volume = static_cast<std::uint16_t>(entry.volume.value());
        unit.zero = entry.kind == EntryKind::zero;
        if (!unit.zero && entry.kind != EntryKind::data) return false;
        const auto add = [&](ByteOffset offset, ByteCount length, bool) {
            unit.offset = offset;
            unit.length = static_cast<std::uint32_t>(length.value());
            unit.payload_at = unit.zero ? ByteOffset() : at + entry.payload_offset;
            unit.crc = entry.payload_crc;
            unit.sub += 1;
            segment.index->writes.add(unit, frame.stored(entry));
        };
        if (unit.zero)
            for_each_zero_piece(entry.offset, entry.length, add);
        else
            add(entry.offset, entry.length, true);
    }
    return true;
}

History::Segments History::forget(const std::vector<std::uint64_t>& numbers,
                                  const KeptTip& baseline) {
    const std::unordered_set<std::uint64_t> all(numbers.begin(), numbers.end());
    for (auto& [timeline, own] : lines_)
        if (std::erase_if(own.segments, [&](const Segment* s) { return all.contains(s->number); }) >
            0)
            settle_merged(own);
    Segments out;
    for (auto& segment : segments_)
        if (all.contains(segment->number)) out.push_back(std::move(segment));
    std::erase(segments_, nullptr);
    baseline_ = baseline;
    return out;
}

void History::settle() {
    std::erase_if(marks_, [&](const auto& mark) { return !reachable(place_of(mark.second.at)); });
    const Place oldest = topology_.owner(place_of(baseline_.step.point));
    std::erase_if(gaps_, [&](const GapRecord& gap) {
        const Place from = topology_.owner(place_of(gap.gap.from));
        const Place end = end_of(gap.line);
        return !topology_.leads_to(oldest, from) || end.at <= from.at;
    });
}

bool History::reachable(const Place& place) const {
    const Place own = topology_.owner(place);
    const Place oldest = topology_.owner(place_of(baseline_.step.point));
    if (!topology_.leads_to(oldest, own)) return false;
    const Line* lies_on = line(own.timeline);
    const TimelineInfo* info = topology_.find(own.timeline);
    Position end{info->branch_lsn, 0};
    if (own.timeline == oldest.timeline) end = std::max(end, oldest.at);
    if (lies_on != nullptr && !lies_on->segments.empty())
        end = std::max(end, lies_on->segments.back()->last);
    return own.at <= end && !thinned_around(own);
}

std::optional<Thinned> History::thinned_around(const Place& place) const {
    const Segment* segment = condensed_around(line(place.timeline), place.at);
    if (segment == nullptr) return std::nullopt;
    const auto behind =
        std::partition_point(segment->ends.begin(), segment->ends.end(),
                             [&](const KeptStep& end) { return end_position(end) < place.at; });
    if (behind == segment->ends.begin() || behind == segment->ends.end() ||
        end_position(*behind) == place.at)
        return std::nullopt;
    return Thinned{(behind - 1)->tip.step.point, behind->tip.step.point};
}

const KeptStep* History::kept_step(const Place& place) const {
    const Segment* segment = condensed_around(line(place.timeline), place.at);
    if (segment == nullptr) return nullptr;
    const auto found =
        std::find_if(segment->ends.begin(), segment->ends.end(),
                     [&](const KeptStep& end) { return end_position(end) == place.at; });
    return found == segment->ends.end() ? nullptr : &*found;
}

std::optional<KeptTip> History::kept_tip_at(const Place& place) const {
    if (const KeptStep* end = kept_step(place)) return end->tip;
    if (topology_.same(place, place_of(baseline_.step.point))) return baseline_;
    return std::nullopt;
}

KeptBody History::kept(Age age) const {
    KeptBody out;
    out.age = age;
    out.baseline = baseline_;
    std::vector<std::uint64_t> numbers;
    for (const auto& segment : segments_)
        (is_condensed(segment->number) ? out.condensed : numbers).push_back(segment->number);
    out.segments = runs_of(numbers);
    return out;
}

}  // namespace everstep::journal
