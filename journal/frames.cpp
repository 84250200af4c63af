// Finding frames: by number, by LSN, by time. Only what grows is looked up under the lock.
#include <algorithm>

#include "journal/store_impl.hpp"

namespace everstep::journal {

namespace {

// `fetch` gives what of a sealed segment is not in memory.
template <class Part, class Fetch>
Status with_part(const Store::Impl& s, std::uint64_t number, Fetch fetch, const Look<Part>& look) {
    std::shared_ptr<const Part> part;
    std::uint64_t salt = 0;
    {
        const std::shared_lock guard(s.mutex);
        const Segment* segment = s.history.segment(number);
        if (segment == nullptr)
            return {ErrorCode::refused, "segment " + std::to_string(number) + " is not kept"};
        part = segment->index;
        salt = segment->redo.salt;
        if (!segment->redo.sealed) {
            look(*part);
            return {};
        }
    }
    if (part == nullptr) {
        const auto kept = (s.indexes.*fetch)(number, salt);
        if (!kept.ok()) return kept.status();
        part = *kept;
    }
    look(*part);
    return {};
}

}  // namespace

Status Store::Impl::with_index(std::uint64_t number, const Look<RedoIndex>& look) const {
    return with_part(*this, number, &IndexCache::redo, look);
}

Status Store::Impl::with_lists(std::uint64_t number, const Look<RedoLists>& look) const {
    return with_part(*this, number, &IndexCache::lists, look);
}

std::vector<std::uint64_t> Store::Impl::segments_to(const TimelineId& timeline, Lsn lsn) const {
    std::vector<std::uint64_t> numbers;
    const Line* own = history.line(timeline);
    if (own == nullptr) return numbers;
    for (std::size_t n = own->begun_by(lsn); n > 0; --n)
        if (own->segments[n - 1]->summary.frames > 0)
            numbers.push_back(own->segments[n - 1]->number);
    return numbers;
}

Result<std::optional<FrameRef>> Store::Impl::frame_of_seq(const TimelineId& timeline,
                                                          FrameSeq seq) const {
    std::optional<std::uint64_t> number;
    {
        const std::shared_lock guard(mutex);
        const Line* own = history.line(timeline);
        if (own == nullptr) return std::optional<FrameRef>();
        const auto found =
            std::partition_point(own->segments.begin(), own->segments.end(),
                                 [&](const Segment* s) { return s->summary.seq_last < seq; });
        if (found != own->segments.end()) number = (*found)->number;
    }
    std::optional<FrameRef> frame;
    if (!number) return frame;
    EVERSTEP_TRY(with_lists(*number, [&](const RedoLists& index) {
        const auto found =
            std::lower_bound(index.frames.begin(), index.frames.end(), seq,
                             [](const FrameRef& f, FrameSeq wanted) { return f.seq < wanted; });
        if (found != index.frames.end() && found->seq == seq) frame = *found;
    }));
    return frame;
}

Result<FrameAt> Store::Impl::frame_at(const Point& point) const {
    std::vector<std::uint64_t> numbers;
    Lsn lsn;
    {
        const std::shared_lock guard(mutex);
        const Place place = history.topology().owner(place_of(point));
        lsn = place.at.lsn;
        numbers = segments_to(place.timeline, lsn);
    }
    FrameAt out;
    for (const std::uint64_t number : numbers) {
        EVERSTEP_TRY(with_lists(number, [&](const RedoLists& index) {
            // Behind it: the first frame all of whose steps lie behind the LSN (a frame without
            // steps lies behind its last).
            auto behind = std::partition_point(
                index.frames.begin(), index.frames.end(),
                [&](const FrameRef& f) { return f.has_steps() ? f.first <= lsn : f.last <= lsn; });
            if (behind != index.frames.begin() && !out.chain) out.chain = *(behind - 1);
            while (behind != index.frames.begin() && !(behind - 1)->has_steps()) --behind;
            if (behind != index.frames.begin()) out.holds = *(behind - 1);
        }));
        if (out.holds) break;
    }
    if (out.holds && out.holds->last < lsn) out.holds.reset();  // a hole of a gap
    return out;
}

Result<std::optional<FrameRef>> Store::Impl::stored_frame(const SealedFrame& frame,
                                                          const Chain& chain) const {
    const FrameHeader& header = frame.header();
    const Point& tip = chain.tip.point;
    // What continues the receiving line is new: the common case, without a look-up.
    const bool behind_tip = header.timeline == tip.timeline && chain.tip.seq < header.seq;
    if (!behind_tip) {
        auto same = frame_of_seq(header.timeline, header.seq);
        if (!same.ok() || *same) return same;
    }
    std::optional<FrameRef> none;
    if (tip.lsn < header.first_lsn || header.last_lsn < header.first_lsn) return none;
    {
        const std::shared_lock guard(mutex);
        if (!history.topology().knows(header.timeline)) return none;
        const Place first{header.timeline, {header.first_lsn, 0}};
        if (history.topology().owner(first).timeline != header.timeline ||
            history.line(header.timeline) == nullptr)
            return none;
    }
    const auto at = frame_at({header.timeline, header.first_lsn});
    if (!at.ok()) return at.status();
    return at->holds;
}

Result<std::optional<FrameRef>> Store::Impl::frame_at_time(const PathPart& part,
                                                           WallTime time) const {
    std::vector<std::uint64_t> numbers;
    {
        const std::shared_lock guard(mutex);
        numbers = segments_to(part.timeline, part.to.lsn);
        std::erase_if(numbers, [&](std::uint64_t number) {
            const RedoSummary& summary = history.segment(number)->summary;
            return !summary.has_steps || time < summary.step_first;
        });
    }
    std::optional<FrameRef> frame;
    for (const std::uint64_t number : numbers) {
        EVERSTEP_TRY(with_lists(number, [&](const RedoLists& index) {
            auto behind = std::partition_point(
                index.frames.begin(), index.frames.end(),
                [&](const FrameRef& f) { return f.step_first <= time && f.first <= part.to.lsn; });
            while (behind != index.frames.begin() && !(behind - 1)->has_steps()) --behind;
            if (behind != index.frames.begin()) frame = *(behind - 1);
        }));
        if (frame) break;
    }
    return frame;
}

}  // namespace everstep::journal
