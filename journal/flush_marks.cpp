// Finding flush marks. A mark lies in the segment that was open when it came, which may be one
// behind the step that it marks: Line::flush_reach says how far.
#include <algorithm>

#include "journal/store_impl.hpp"

namespace everstep::journal {

// The segments of a line that may hold marks of steps in [first, last], oldest first.
std::vector<const Segment*> Store::Impl::flush_holders(const TimelineId& timeline, Lsn first,
                                                       Lsn last) const {
    std::vector<const Segment*> out;
    const Line* own = history.line(timeline);
    if (own == nullptr) return out;
    const auto begin = std::partition_point(own->segments.begin(), own->segments.end(),
                                            [&](const Segment* s) { return s->last.lsn < first; });
    const std::size_t end = std::min(own->segments.size(), own->begun_by(last) + own->flush_reach);
    for (auto n = static_cast<std::size_t>(begin - own->segments.begin()); n < end; ++n) {
        const RedoSummary& summary = own->segments[n]->summary;
        if (!summary.flushes_newest.empty() && summary.flush_first <= last)
            out.push_back(own->segments[n]);
    }
    return out;
}

Result<std::vector<Lsn>> Store::Impl::flushes_in(const std::vector<PathPart>& path, Lsn first,
                                                 Lsn last) const {
    std::vector<std::uint64_t> numbers;
    {
        const std::shared_lock guard(mutex);
        for (const PathPart& part : path)
            if (first <= part.to.lsn)
                for (const Segment* segment : flush_holders(part.timeline, first, last))
                    numbers.push_back(segment->number);
    }
    std::vector<Lsn> marks;
    for (const std::uint64_t number : numbers)
        EVERSTEP_TRY(with_lists(number, [&](const RedoLists& index) {
            auto mark = std::lower_bound(index.flushes.begin(), index.flushes.end(),
                                         FlushMark{first, VolumeIndex(0)});
            for (; mark != index.flushes.end() && mark->lsn <= last; ++mark)
                marks.push_back(mark->lsn);
        }));
    std::sort(marks.begin(), marks.end());
    return marks;
}

namespace {

bool wanted(const FlushMark& mark, const std::optional<VolumeIndex>& volume) {
    return !volume || mark.volume == *volume;
}

// What the summary knows: the newest mark of the segment, if that lies at or before `limit`.
std::optional<Lsn> newest_of(const RedoSummary& summary, const std::optional<VolumeIndex>& volume) {
    std::optional<Lsn> newest;
    for (const FlushMark& mark : summary.flushes_newest)
        if (wanted(mark, volume) && (!newest || *newest < mark.lsn)) newest = mark.lsn;
    return newest;
}

std::optional<Lsn> newest_in(const RedoLists& index, const std::optional<VolumeIndex>& volume,
                             Lsn limit) {
    auto mark = std::partition_point(index.flushes.begin(), index.flushes.end(),
                                     [&](const FlushMark& f) { return f.lsn <= limit; });
    while (mark != index.flushes.begin())
        if (--mark; wanted(*mark, volume)) return mark->lsn;
    return std::nullopt;
}

}  // namespace

// A mark may lie in a segment that is kept though its step is not.
Result<std::optional<Lsn>> Store::flush_before(const View& view,
                                               std::optional<VolumeIndex> volume) const {
    const Impl& s = *impl_;
    Position limit = view.at;
    while (true) {
        const auto found = s.flush_before({view.timeline, limit}, volume);
        if (!found.ok() || !*found) return found;
        const std::shared_lock guard(s.mutex);
        if (s.history.reachable({view.timeline, {**found, 0}})) return found;
        if (**found == Lsn(0)) return std::optional<Lsn>();
        limit = {**found - 1, 0};
    }
}

Result<std::optional<Lsn>> Store::Impl::flush_before(
    const Place& at, const std::optional<VolumeIndex>& volume) const {
    std::optional<Lsn> newest;
    struct Holder {
        std::uint64_t number;
        Lsn first;
        Lsn limit;
        std::optional<Lsn> whole;  // its newest mark, if all of them lie at or before the limit
    };
    std::vector<Holder> holders;  // newest first
    {
        const std::shared_lock guard(mutex);
        if (!history.begun()) return newest;
        const auto path = history.topology().path(at);
        for (auto part = path.rbegin(); part != path.rend(); ++part) {
            const auto found = flush_holders(part->timeline, Lsn(0), part->to.lsn);
            for (auto segment = found.rbegin(); segment != found.rend(); ++segment) {
                const auto mark = newest_of((*segment)->summary, volume);
                if (!mark) continue;
                holders.push_back({(*segment)->number, (*segment)->first.lsn, part->to.lsn,
                                   *mark <= part->to.lsn ? mark : std::nullopt});
            }
        }
    }
    // Marks of a segment may lie before it, but those of the segments before it never behind it.
    for (const Holder& holder : holders) {
        if (newest && holder.limit <= *newest) break;
        std::optional<Lsn> mark = holder.whole;
        if (!mark)
            EVERSTEP_TRY(with_lists(holder.number, [&](const RedoLists& index) {
                mark = newest_in(index, volume, holder.limit);
            }));
        if (mark && (!newest || *newest < *mark)) newest = mark;
        if (newest && holder.first <= *newest) break;
    }
    return newest;
}

}  // namespace everstep::journal
