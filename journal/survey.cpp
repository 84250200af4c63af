#include "journal/survey.hpp"

#include <algorithm>

namespace everstep::journal {
namespace {

// Of the trunk only the oldest are looked at, however long it is: writers wait meanwhile.
constexpr std::size_t kTrunkMax = 1024;

}  // namespace

Survey::Survey(const History& history, const SurveyFacts& facts)
    : history_(history), topology_(history.topology()), now_(facts.now) {
    for (const auto& segment : history_.segments())
        input_.bytes = input_.bytes + segment->redo.tail.end + segment->undo.tail.end;
    find_trunk(facts);
    find_holds(facts);
    find_sides(facts);
    find_kept();
    fill_trunk(facts);
}

// When its newest step came, or later: the segment behind it was begun then.
Age Survey::ended_at(const Segment& segment) const {
    if (segment.condensed()) return segment.begun_at;
    const auto& all = history_.segments();
    const auto next =
        std::upper_bound(all.begin(), all.end(), segment.number,
                         [](std::uint64_t n, const auto& one) { return n < one->number; });
    return next != all.end() && !(*next)->condensed() ? (*next)->begun_at : now_;
}

bool Survey::is_point(Position at, const TimelineId& timeline) const {
    return at.sub == 0 && history_.check_point({timeline, at.lsn}).ok();
}

// The line to the place goes through the part of the segment that is not the trunk's.
bool Survey::goes_beside(const Stretch& stretch, const Place& place) const {
    if (stretch.segment->last <= stretch.end) return false;
    for (const PathPart& part : topology_.path(place))
        if (part.timeline == stretch.segment->timeline) return stretch.end < part.to;
    return false;
}

void Survey::find_trunk(const SurveyFacts& facts) {
    trunk_end_ = history_.tip_place();
    for (const ReplicaState& replica : facts.replica) {
        const auto meet = topology_.meet(trunk_end_, {replica.line, replica.low});
        trunk_end_ = meet.value_or(place_of(history_.baseline().point));
    }
    limit_ = trunk_end_.at;
    const Position begin{history_.baseline().point.lsn, 0};
    for (const PathPart& part : topology_.path(trunk_end_)) {
        const Line* own = history_.line(part.timeline);
        if (own == nullptr || part.to < begin) continue;
        for (const Segment* segment : own->segments) {
            const Position end = std::min(segment->last, part.to);
            const bool empty = segment->first == segment->last;
            if (end < segment->first || (end == segment->first && !empty)) continue;
            if (trunk_.size() == kTrunkMax) return;
            const Position before = trunk_.empty() ? begin : trunk_.back().end;
            trunk_.push_back({segment, end, std::min(segment->first, before)});
        }
    }
}

void Survey::find_holds(const SurveyFacts& facts) {
    std::vector<Point> points = facts.holds;
    for (const ReplicaState& replica : facts.replica)
        if (replica.held) points.push_back(replica.held_at);
    if (history_.open_gap()) points.push_back(history_.open_gap()->from);
    for (const Point& point : points) {
        if (!topology_.knows(point.timeline)) continue;
        holds_.push_back(topology_.owner(place_of(point)));
        const auto meet = topology_.meet(holds_.back(), trunk_end_);
        if (meet) limit_ = std::min(limit_, meet->at);
    }
}

// What lies on no line that is in use.
void Survey::find_sides(const SurveyFacts& facts) {
    const auto use = [&](const Place& place) {
        for (const PathPart& part : topology_.path(place)) {
            const auto [at, fresh] = used_.emplace(part.timeline, part.to);
            if (!fresh) at->second = std::max(at->second, part.to);
        }
    };
    use(history_.tip_place());
    for (const ReplicaState& replica : facts.replica) use({replica.line, replica.high});
    for (const TimelineId& timeline : topology_.order()) {
        const Line* own = history_.line(timeline);
        if (own == nullptr || timeline == history_.tip_place().timeline) continue;
        const Position branch{topology_.find(timeline)->branch_lsn, 0};
        const auto at = used_.find(timeline);
        add_side(timeline, at != used_.end() ? std::max(at->second, branch) : branch, facts);
    }
}

// Where a gap is open a line may begin behind all that its parent has.
bool Survey::has_children(const TimelineId& timeline, Position after) const {
    return std::any_of(topology_.order().begin(), topology_.order().end(),
                       [&](const TimelineId& id) {
                           const TimelineInfo* info = topology_.find(id);
                           const Line* own = history_.line(id);
                           return info->parent == timeline && own != nullptr &&
                                  !own->segments.empty() && after < Position{info->branch_lsn, 0};
                       });
}

void Survey::add_side(const TimelineId& timeline, Position from, const SurveyFacts& facts) {
    SideLine side;
    side.condensed = true;
    const auto leaves = topology_.meet({timeline, from}, trunk_end_);
    for (const Segment* segment : history_.line(timeline)->segments) {
        if (segment->first < from) {
            side.with_trunk = side.with_trunk || from < segment->last;
            continue;
        }
        SideSegment one;
        one.number = segment->number;
        one.age = now_ - ended_at(*segment);
        one.keeps = has_children(timeline, segment->first);
        for (const auto& [name, mark] : history_.marks()) {
            const Place at = topology_.owner(place_of(mark.at));
            one.keeps = one.keeps || (mark.pinned && at.timeline == timeline &&
                                      segment->first < at.at && at.at <= segment->last);
        }
        side.condensed = side.condensed && segment->condensed();
        side.held = side.held || segment->number == facts.open_segment;
        side.segments.push_back(one);
    }
    if (side.segments.empty()) return;
    // What begins inside a gap has no first step to be condensed behind: it stays as it is.
    const Segment* first = history_.segment(side.segments.front().number);
    side.condensed = side.condensed || !is_point(first->first, timeline);
    for (const Place& hold : holds_) {
        const auto meet = topology_.meet(hold, history_.end_of(timeline));
        side.held = side.held || (meet && meet->timeline == timeline && from < meet->at);
    }
    const Place end = history_.end_of(timeline);
    const auto root = std::find_if(trunk_.begin(), trunk_.end(), [&](const Stretch& s) {
        return goes_beside(s, end) || (leaves && s.begin <= leaves->at && leaves->at < s.end);
    });
    side.root = static_cast<std::size_t>(root - trunk_.begin());
    branches_.push_back(topology_.owner({timeline, from}));
    input_.sides.push_back(std::move(side));
    side_lines_.push_back(timeline);
}

// Pinned marks, and where a side that has one leaves.
void Survey::find_kept() {
    for (const auto& [name, mark] : history_.marks())
        if (mark.pinned) kept_.push_back(topology_.owner(place_of(mark.at)));
    const std::vector<Place> pinned = kept_;
    for (const Place& pin : pinned) {
        const auto meet = topology_.meet(pin, trunk_end_);
        if (!meet || *meet == pin) continue;
        kept_.push_back(*meet);
        // And on the way there, where lines begin.
        for (const PathPart& part : topology_.path_behind(meet->at, pin))
            kept_.push_back(topology_.owner({part.timeline, part.to}));
    }
}

void Survey::fill_trunk(const SurveyFacts& facts) {
    std::uint32_t line = 0;
    for (std::size_t n = 0; n < trunk_.size(); ++n) {
        const Segment& segment = *trunk_[n].segment;
        const Position end = trunk_[n].end;
        if (n > 0 && trunk_[n - 1].segment->timeline != segment.timeline) ++line;
        TrunkSegment one;
        one.number = segment.number;
        one.line = line;
        one.bytes = ByteCount(segment.redo.tail.end + segment.undo.tail.end);
        one.age = now_ - ended_at(segment);
        one.condensed = segment.condensed();
        one.empty = segment.first == segment.last;
        one.ends_at_point = is_point(end, segment.timeline);
        const auto beside = [&](const Place& place) { return goes_beside(trunk_[n], place); };
        // Of a line in use that goes on in it.
        const auto used = used_.find(segment.timeline);
        const bool goes_on = end < segment.last && used != used_.end() && end < used->second;
        one.free = segment.redo.sealed && !goes_on && segment.number != facts.open_segment &&
                   end <= limit_ && std::none_of(holds_.begin(), holds_.end(), beside);
        one.keeps = std::any_of(kept_.begin(), kept_.end(), [&](const Place& kept) {
            if (beside(kept)) return true;
            return trunk_[n].begin <= kept.at && kept.at < end &&
                   topology_.leads_to(kept, trunk_end_);
        });
        input_.trunk.push_back(one);
    }
}

std::vector<std::uint64_t> Survey::dropped(const KeepAction& action) const {
    if (action.verb == KeepVerb::drop_side)
        return {input_.sides[action.side].segments.back().number};
    std::vector<std::uint64_t> numbers;
    for (std::size_t n = action.first; n <= action.last; ++n)
        numbers.push_back(input_.trunk[n].number);
    return numbers;
}

Point Survey::begin_behind(const KeepAction& action) const {
    const Stretch& last = trunk_[action.last];
    return {last.segment->timeline, last.end.lsn};
}

// The newest step on the timeline itself that is kept, or at which another line leaves.
Position Survey::needed_on(const TimelineId& timeline) const {
    Position needed;
    for (const std::vector<Place>* places : {&kept_, &branches_})
        for (const Place& place : *places)
            if (place.timeline == timeline) needed = std::max(needed, place.at);
    return std::min(needed, history_.end_of(timeline).at);
}

// Kept steps and the ends of gaps on the timeline, inside (from, to).
std::vector<Point> Survey::ends_between(const TimelineId& timeline, Position from,
                                        Position to) const {
    std::vector<Place> places = kept_;
    places.insert(places.end(), branches_.begin(), branches_.end());
    for (const GapRecord& record : history_.gaps()) {
        places.push_back(topology_.owner(place_of(record.gap.from)));
        if (!record.given_up) places.push_back(topology_.owner(place_of(record.gap.to)));
    }
    std::vector<Point> ends;
    for (const Place& place : places)
        if (place.timeline == timeline && from < place.at && place.at < to && place.at.sub == 0)
            ends.push_back({timeline, place.at.lsn});
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    return ends;
}

std::optional<CondensePlan> Survey::plan(const KeepAction& action) const {
    auto plan = action.verb == KeepVerb::condense_trunk ? plan_trunk(action) : plan_side(action);
    if (!plan || plan->ends.size() < 2) return std::nullopt;
    // A line that leaves inside a batch needs a step that cannot be read by itself.
    const bool all_points =
        std::all_of(plan->ends.begin(), plan->ends.end(), [&](const Point& end) {
            return is_point({end.lsn, 0}, end.timeline);
        });
    if (!all_points) return std::nullopt;
    return plan;
}

std::optional<CondensePlan> Survey::plan_trunk(const KeepAction& action) const {
    CondensePlan plan;
    std::size_t filled = action.first;  // empty ones may be of another line
    while (filled < action.last && input_.trunk[filled].empty) ++filled;
    const Stretch& first = trunk_[filled];
    const Stretch& last = trunk_[action.last];
    const TimelineId line = first.segment->timeline;
    for (std::size_t n = action.first; n <= action.last; ++n) {
        plan.numbers.push_back(input_.trunk[n].number);
        plan.ended_at = std::max(plan.ended_at, ended_at(*trunk_[n].segment));
    }
    // What of the timeline goes on beside the trunk, up to its newest kept step.
    const Position beside = needed_on(line);
    Position end = last.end;
    if (end < beside && end < last.segment->last) {
        end = beside;
        for (const Segment* segment : history_.line(line)->segments)
            if (last.segment->last <= segment->first && segment->first < beside)
                plan.numbers.push_back(segment->number);
    }
    plan.imaged_to = last.end;
    Position begin = trunk_[action.first].begin;
    if (action.first == 0) {
        plan.begins_history = true;
        Position kept = end;
        for (const Place& one : kept_)
            if (begin <= one.at && topology_.leads_to(one, {line, end}))
                kept = std::min(kept, one.at);
        begin = kept;
    }
    // A kept step before a hole has nothing behind it that could be condensed with it.
    if (begin < first.segment->first || !is_point(begin, line)) return std::nullopt;
    if (end.sub != 0 || end <= begin) return std::nullopt;
    plan.ends.push_back({line, begin.lsn});
    for (const Point& one : ends_between(line, begin, end)) plan.ends.push_back(one);
    if (begin < last.end && last.end < end) plan.ends.push_back({line, last.end.lsn});
    plan.ends.push_back({line, end.lsn});
    std::sort(plan.ends.begin(), plan.ends.end());
    plan.ends.erase(std::unique(plan.ends.begin(), plan.ends.end()), plan.ends.end());
    return plan;
}

std::optional<CondensePlan> Survey::plan_side(const KeepAction& action) const {
    CondensePlan plan;
    const TimelineId line = side_lines_[action.side];
    const Segment* first = nullptr;
    for (const SideSegment& one : input_.sides[action.side].segments) {
        const Segment* segment = history_.segment(one.number);
        if (first == nullptr) first = segment;
        plan.numbers.push_back(one.number);
        plan.ended_at = std::max(plan.ended_at, ended_at(*segment));
    }
    const Position begin = first->first;
    const Position end = needed_on(line);
    if (begin.sub != 0 || end.sub != 0 || end <= begin) return std::nullopt;
    plan.imaged_to = begin;
    plan.ends.push_back({line, begin.lsn});
    for (const Point& one : ends_between(line, begin, end)) plan.ends.push_back(one);
    plan.ends.push_back({line, end.lsn});
    return plan;
}

}  // namespace everstep::journal
