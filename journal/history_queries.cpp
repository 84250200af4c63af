#include <algorithm>

#include "journal/history.hpp"

namespace everstep::journal {
namespace {

std::string kind_of(const Gap& gap) {
    return gap.batch ? "batch" : "gap";
}

}  // namespace

Segment* History::segment(std::uint64_t number) const {
    const auto found = std::lower_bound(
        segments_.begin(), segments_.end(), number,
        [](const std::unique_ptr<Segment>& s, std::uint64_t n) { return s->number < n; });
    return found != segments_.end() && (*found)->number == number ? found->get() : nullptr;
}

std::size_t Line::begun_by(Lsn lsn) const {
    const auto behind = std::partition_point(segments.begin(), segments.end(),
                                             [&](const Segment* s) { return s->first.lsn <= lsn; });
    return static_cast<std::size_t>(behind - segments.begin());
}

const Line* History::line(const TimelineId& timeline) const {
    const auto found = lines_.find(timeline);
    return found == lines_.end() ? nullptr : &found->second;
}

Place History::end_of(const TimelineId& timeline) const {
    const Line* own = line(timeline);
    const TimelineInfo* info = topology_.find(timeline);
    Position end{info->branch_lsn, 0};
    const Place oldest = topology_.owner(place_of(baseline_.step.point));
    if (timeline == oldest.timeline) end = std::max(end, oldest.at);
    if (own != nullptr)
        for (const Segment* s : own->segments) end = std::max(end, s->last);
    return {timeline, end};
}

std::string History::name_of(const Point& point) const {
    const std::string step = "step:" + std::to_string(point.lsn.value());
    if (!topology_.knows(point.timeline) || topology_.leads_to(place_of(point), tip_place()))
        return step;
    return "t:" + point.timeline.hex().substr(0, 8) + "@" + step;
}

bool History::timelines_known() const {
    const auto gap_known = [&](const Gap& gap) {
        return topology_.knows(gap.from.timeline) &&
               (gap.to.timeline.nil() || topology_.knows(gap.to.timeline));
    };
    return topology_.knows(baseline_.step.point.timeline) &&
           topology_.knows(chain_.tip.point.timeline) && (!open_gap_ || gap_known(*open_gap_)) &&
           std::all_of(
               gaps_.begin(), gaps_.end(),
               [&](const GapRecord& g) { return topology_.knows(g.line) && gap_known(g.gap); }) &&
           std::all_of(marks_.begin(), marks_.end(),
                       [&](const auto& mark) { return topology_.knows(mark.second.at.timeline); });
}

const GapRecord* History::closed_gap_around(const Place& place) const {
    for (const GapRecord& g : gaps_) {
        const Place from = topology_.owner(place_of(g.gap.from));
        if (from == place || !topology_.leads_to(from, place)) continue;
        const Place end = topology_.owner({g.line, {g.line_end, 0}});
        if (!topology_.leads_to(place, end)) continue;
        if (g.given_up || place != end) return &g;
    }
    return nullptr;
}

Status History::check_point(const Point& point) const {
    const std::string name = "step " + std::to_string(point.lsn.value());
    if (!begun()) return {ErrorCode::refused, name + ": there is no history yet"};
    if (!topology_.knows(point.timeline))
        return {ErrorCode::refused, name + ": no timeline " + point.timeline.hex() + " is known"};
    const Place place = topology_.owner(place_of(point));
    const Place oldest = topology_.owner(place_of(baseline_.step.point));
    if (!topology_.leads_to(oldest, place))
        return {ErrorCode::refused, name + " lies before history; the oldest point is " +
                                        name_of(baseline_.step.point)};
    const Place end = end_of(place.timeline);
    if (place.at.lsn > end.at.lsn)
        return {ErrorCode::refused, name + " lies behind the head; the newest point is " +
                                        name_of({end.timeline, end.at.lsn})};
    if (const GapRecord* gap = closed_gap_around(place)) {
        const std::string after = gap->given_up ? "" : " and " + name_of(gap->gap.to);
        return {ErrorCode::refused, name + " lies inside a " + kind_of(gap->gap) + " (" +
                                        gap->gap.reason + "); the nearest points are " +
                                        name_of(gap->gap.from) + after};
    }
    if (const auto thinned = thinned_around(place))
        return {ErrorCode::refused, name +
                                        " is thinned: only kept steps are left there; the "
                                        "nearest points are " +
                                        name_of(thinned->from) + " and " + name_of(thinned->to)};
    if (open_gap_) {
        const Place from = topology_.owner(place_of(open_gap_->from));
        if (from != place && topology_.leads_to(from, place) &&
            topology_.leads_to(place, tip_place()))
            return {ErrorCode::refused, name + " lies inside a " + kind_of(*open_gap_) +
                                            " that is still open (" + open_gap_->reason +
                                            "); the nearest point is " + name_of(open_gap_->from)};
    }
    return {};
}

std::vector<PathSegment> History::path_segments(Position after, const Place& place) const {
    std::vector<PathSegment> out;
    for (const PathPart& part : topology_.path_behind(after, place)) {
        const Line* own = line(part.timeline);
        if (own == nullptr) continue;
        const auto first =
            std::partition_point(own->segments.begin(), own->segments.end(),
                                 [&](const Segment* s) { return s->last <= part.after; });
        for (auto s = first; s != own->segments.end() && (*s)->first < part.to; ++s)
            if ((*s)->first < (*s)->last) out.push_back({*s, part.after, part.to});
    }
    return out;
}

// No point, but what the compare of a resync reads; it may lie in a hole.
bool History::in_open_gap(const Place& place) const {
    if (!open_gap_) return false;
    const Place own = topology_.owner(place);
    return topology_.leads_to(topology_.owner(place_of(open_gap_->from)), own) &&
           topology_.leads_to(own, tip_place());
}

Result<History::Ways> History::ways(const Place& point, const ReplicaState& replica) const {
    if (!reachable(point) && !in_open_gap(point))
        return Status(ErrorCode::refused,
                      "step " + std::to_string(point.at.lsn.value()) + " is not kept any more");
    const Place high{replica.line, replica.high};
    const auto meet = topology_.meet(point, high);
    if (!meet)
        return Status(ErrorCode::refused, "timelines " + point.timeline.hex() + " and " +
                                              replica.line.hex() + " have no common ancestor");
    Ways ways;
    ways.newer = path_runs(std::min(replica.low, meet->at), point, Way::newer);
    std::reverse(ways.newer.begin(), ways.newer.end());
    ways.undone = path_runs(meet->at, high, Way::undone);
    return ways;
}

Position History::passed(const TimelineId& timeline) const {
    Position passed{baseline_.step.point.lsn, 0};
    for (const PathPart& part : topology_.path(end_of(timeline))) {
        const Line* own = line(part.timeline);
        if (own == nullptr) continue;
        for (const Segment* s : own->segments) {
            if (part.to <= s->first) break;
            const Position wanted = std::min(part.to, s->last);
            if (s->imaged_to < wanted) return std::max(passed, std::min(s->imaged_to, part.to));
            passed = std::max(passed, wanted);
        }
    }
    return passed;
}

}  // namespace everstep::journal
