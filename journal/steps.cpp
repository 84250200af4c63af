// Listing steps, and finding them by number, time and flush mark. What a step is lies in its
// frame's entries, which are read from the redo file and checked again; the rest of the frame is
// not read.
#include <algorithm>

#include "common/base/checksum.hpp"
#include "common/base/config.hpp"
#include "common/base/frame_format.hpp"
#include "journal/step_filter.hpp"

namespace everstep::journal {
namespace {

StepInfo to_step(const TimelineId& timeline, const FrameEntry& entry) {
    StepInfo step;
    step.timeline = timeline;
    step.lsn = entry.lsn;
    step.wall = entry.wall;
    step.step_time = entry.step_time;
    step.volume = entry.volume;
    step.offset = entry.offset;
    step.length = entry.length;
    step.kind = entry.kind;
    step.fua = entry.fua;
    return step;
}

bool any_between(const std::vector<Lsn>& sorted, Lsn first, Lsn last) {
    const auto found = std::lower_bound(sorted.begin(), sorted.end(), first);
    return found != sorted.end() && *found <= last;
}

}  // namespace

Result<std::vector<FrameEntry>> Store::Impl::read_entries(const FrameRef& frame) const {
    const auto file = cache.get(FileKind::redo, frame.segment);
    if (!file.ok()) return file.status();
    const std::string place = (*file)->path() + ": offset " + std::to_string(frame.at.value());
    std::array<std::byte, kFrameHeaderBytes> header_bytes{};
    EVERSTEP_TRY((*file)->read_at(frame.at, header_bytes));
    FrameHeader header;
    frame_format::HeaderExtra extra;
    if (const Status s = frame_format::unpack_header(header_bytes, header, extra); !s.ok())
        return s.with_context(place);
    const std::uint64_t entries_bytes = std::uint64_t{header.entry_count} * kFrameEntryBytes;
    if (kFrameHeaderBytes + std::uint64_t{header.body_bytes} != frame.bytes ||
        extra.payload_bytes + entries_bytes != header.body_bytes)
        return Status(ErrorCode::corrupt, place + ": the frame's header changed its length");
    std::vector<std::byte> packed(entries_bytes);
    EVERSTEP_TRY((*file)->read_at(frame.at + kFrameHeaderBytes + extra.payload_bytes, packed));
    if (crc32c(packed) != extra.entries_crc)
        return Status(ErrorCode::corrupt, place + ": the frame's entries fail their checksum");
    std::vector<FrameEntry> entries(header.entry_count);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const Bytes one = Bytes(packed).subspan(i * kFrameEntryBytes, kFrameEntryBytes);
        if (const Status s = frame_format::unpack_entry(one, entries[i]); !s.ok())
            return s.with_context(place);
    }
    return entries;
}

// The steps of one frame that lie in (after, to], newest first, until `each` says false.
Status Store::Impl::steps_of(const FrameRef& frame, const StepRange& range,
                             const std::function<bool(const StepInfo&)>& each) const {
    const auto entries = read_entries(frame);
    if (!entries.ok()) return entries.status();
    const auto flushes = flushes_in(range.path, frame.first, std::min(frame.last, range.to));
    if (!flushes.ok()) return flushes.status();
    for (auto e = entries->rbegin(); e != entries->rend(); ++e) {
        if (!takes_lsn(e->kind) || range.to < e->lsn) continue;
        if (e->lsn <= range.after) break;
        StepInfo step = to_step(range.timeline, *e);
        if (!range.filter.takes(step)) continue;
        step.flush = std::binary_search(flushes->begin(), flushes->end(), e->lsn);
        if (!each(step)) break;
    }
    return {};
}

// What of a timeline has steps in the range, newest first. A segment that could not be condensed
// may stand before some that were.
std::vector<StepHolder> Store::Impl::step_holders(const StepRange& range) const {
    std::vector<StepHolder> out;
    const std::shared_lock guard(mutex);
    const Line* own = history.line(range.timeline);
    if (own == nullptr) return out;
    for (std::size_t n = own->begun_by(range.to); n > 0; --n) {
        const Segment& segment = *own->segments[n - 1];
        if (segment.last.lsn <= range.after) break;
        StepHolder one{.segment = segment.number, .kept = {}};
        // A segment's first end is what lies before it.
        for (std::size_t end = segment.ends.size(); end > 1; --end) {
            const KeptStep& step = segment.ends[end - 1];
            const Lsn lsn = step.tip.step.point.lsn;
            if (step.info && range.after < lsn && lsn <= range.to) one.kept.push_back(*step.info);
        }
        if (segment.summary.frames > 0 || !one.kept.empty()) out.push_back(std::move(one));
    }
    return out;
}

// The same for what lies on one timeline.
Status Store::Impl::steps_on(const StepRange& range,
                             const std::function<bool(const StepInfo&)>& each) const {
    bool more = true;
    const auto until = [&](const StepInfo& step) { return more = each(step); };
    for (StepHolder& holder : step_holders(range)) {
        for (StepInfo& step : holder.kept) {
            if (!range.filter.takes(step)) continue;
            const auto flushes = flushes_in(range.path, step.lsn, step.lsn);
            if (!flushes.ok()) return flushes.status();
            step.flush = !flushes->empty();
            if (!until(step)) return {};
        }
        if (!holder.kept.empty()) continue;  // it has no frames
        const auto steps =
            range.filter.any() ? steps_written(*this, holder.segment, range.filter) : std::nullopt;
        if (steps && steps->empty()) continue;
        std::vector<FrameRef> frames;
        EVERSTEP_TRY(
            with_lists(holder.segment, [&](const RedoLists& lists) { frames = lists.frames; }));
        for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
            if (!frame->has_steps() || range.to < frame->first) continue;
            if (frame->last <= range.after) return {};
            if (steps && !any_between(*steps, frame->first, frame->last)) continue;
            EVERSTEP_TRY(steps_of(*frame, range, until));
            if (!more) return {};
        }
    }
    return {};
}

Status Store::each_step(const View& view, Lsn after, const StepFilter& filter,
                        const std::function<bool(const StepInfo&)>& each) const {
    const Impl& s = *impl_;
    const std::uint64_t kept = s.kept_generation;
    StepRange range;
    range.filter = filter;
    {
        const std::shared_lock guard(s.mutex);
        range.path = s.history.topology().path({view.timeline, view.at});
    }
    bool more = true;
    const auto until = [&](const StepInfo& step) { return more = each(step); };
    for (auto part = range.path.rbegin(); part != range.path.rend(); ++part) {
        if (!more || part->to.lsn <= after) break;
        range.timeline = part->timeline;
        range.after = std::max(after, part->after.lsn);
        range.to = part->to.lsn;
        const Status listed = s.steps_on(range, until);
        if (listed.ok()) continue;
        // Retention may have taken away what was not listed yet: then history begins here.
        return s.kept_generation == kept ? listed : Status();
    }
    return {};
}

Result<StepInfo> Store::step(const View& view, Lsn lsn) const {
    const Impl& s = *impl_;
    Status missing(ErrorCode::not_found,
                   "step " + std::to_string(lsn.value()) + " is not stored on this path");
    if (view.at.lsn < lsn || lsn == Lsn(0)) return missing;
    std::optional<StepInfo> found;
    StepRange range{.timeline = {}, .after = lsn - 1, .to = lsn, .path = {}, .filter = {}};
    {
        const std::shared_lock guard(s.mutex);
        range.path = s.history.topology().path({view.timeline, view.at});
        range.timeline = s.history.topology().owner({view.timeline, {lsn, 0}}).timeline;
    }
    EVERSTEP_TRY(s.steps_on(range, [&](const StepInfo& step) {
        found = step;
        return false;
    }));
    if (!found) return missing;
    return *found;
}

// The newest step at or before the time that condensed segments keep of a part of a path.
std::optional<Lsn> Store::Impl::kept_at_time(const PathPart& part, WallTime time) const {
    std::optional<Lsn> newest;
    const std::shared_lock guard(mutex);
    const Line* own = history.line(part.timeline);
    if (own == nullptr) return newest;
    for (const Segment* segment : own->segments)
        for (const KeptStep& end : segment->ends)
            if (end.tip.step.step_time <= time && end.tip.step.point.lsn <= part.to.lsn)
                newest = std::max(newest.value_or(Lsn(0)), end.tip.step.point.lsn);
    return newest;
}

Result<Lsn> Store::step_at_time(const View& view, WallTime time) const {
    const Impl& s = *impl_;
    Tip oldest;
    std::vector<PathPart> path;
    {
        const std::shared_lock guard(s.mutex);
        EVERSTEP_TRY(s.require_history());
        oldest = s.history.baseline();
        path = s.history.topology().path({view.timeline, view.at});
    }
    for (auto part = path.rbegin(); part != path.rend(); ++part) {
        std::optional<Lsn> newest = s.kept_at_time(*part, time);
        const auto frame = s.frame_at_time(*part, time);
        if (!frame.ok()) return frame.status();
        // Condensed segments may stand on both sides of those that have frames.
        if (*frame && newest.value_or(Lsn(0)) < (*frame)->last) {
            const auto entries = s.read_entries(**frame);
            if (!entries.ok()) return entries.status();
            for (const FrameEntry& e : *entries)
                if (takes_lsn(e.kind) && e.lsn <= part->to.lsn && e.step_time <= time)
                    newest = std::max(newest.value_or(Lsn(0)), e.lsn);
        }
        if (newest) return *newest;
    }
    if (oldest.step_time <= time) return oldest.point.lsn;
    return Status(ErrorCode::refused, format_time(time) +
                                          " lies before history; the oldest time is " +
                                          format_time(oldest.step_time));
}

Result<Tip> Store::tip_at(Point at) const {
    return impl_->tip_at(at, false);
}

Result<Tip> Store::stream_tip_at(Point at) const {
    return impl_->tip_at(at, true);
}

Result<Tip> Store::Impl::tip_at(Point at, bool newest_frame) const {
    Tip tip;
    bool newest = false;
    std::optional<KeptTip> kept;
    {
        const std::shared_lock guard(mutex);
        EVERSTEP_TRY(require_history());
        const Topology& topology = history.topology();
        if (!topology.knows(at.timeline))
            return Status(ErrorCode::refused, "no timeline " + at.timeline.hex() + " is known");
        const Place place = topology.owner(place_of(at));
        newest = topology.same(place, place_of(history.chain().tip.point));
        kept = history.kept_tip_at(place);
        if (newest)
            tip = history.chain().tip;
        else if (kept)
            tip = kept->step;
    }
    tip.point = at;
    if (newest && newest_frame) return tip;
    const auto found = frame_at(at);
    if (!found.ok()) return found.status();
    const std::optional<FrameRef>& named = newest_frame ? found->chain : found->holds;
    if (kept) {
        tip.hash = newest_frame ? kept->stream_hash : kept->step.hash;
        tip.seq = newest_frame ? kept->stream_seq : kept->step.seq;
    }
    // A frame may be older than what is kept: one of a segment that could not be condensed.
    if (named && (!kept || tip.seq < named->seq)) {
        tip.hash = named->hash;
        tip.seq = named->seq;
    }
    if (newest || kept) return tip;
    if (!found->holds)
        return Status(ErrorCode::refused,
                      "step " + std::to_string(at.lsn.value()) + " is not stored");
    tip.step_time = found->holds->step_last;
    if (found->holds->last == at.lsn) return tip;
    const auto entries = read_entries(*found->holds);
    if (!entries.ok()) return entries.status();
    for (const FrameEntry& e : *entries)
        if (takes_lsn(e.kind) && e.lsn == at.lsn) tip.step_time = e.step_time;
    return tip;
}

}  // namespace everstep::journal
