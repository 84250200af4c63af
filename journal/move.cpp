// Moving the replica over history whose before-images are taken: Store's meet, plan, begin and end
// of a move.
#include <algorithm>

#include "journal/merged_file.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

// To whole 4 KiB blocks, but not beyond the volume.
void round_to_blocks(std::vector<GapExtent>& extents, const History& history) {
    for (GapExtent& e : extents) {
        const std::uint64_t first = e.offset.value() / kBlockBytes * kBlockBytes;
        const std::uint64_t end =
            std::min(history.volume_bytes(e.volume),
                     align_up(e.offset.value() + e.length.value(), kBlockBytes));
        e.offset = ByteOffset(first);
        e.length = ByteCount(end - first);
    }
    merge_extents(extents);
}

}  // namespace

Result<std::vector<GapExtent>> Store::Impl::touched(Position after, const Place& to,
                                                    Grain grain) const {
    while (true) {
        const std::uint64_t kept = kept_generation;
        auto extents = touched_once(after, to, grain);
        // Retention may have taken a segment away: then others say it.
        if (extents.ok() || kept_generation == kept) return extents;
    }
}

Result<std::vector<GapExtent>> Store::Impl::touched_once(Position after, const Place& to,
                                                         Grain grain) const {
    std::vector<PathRun> runs;
    {
        const std::shared_lock guard(mutex);
        if (grain == Grain::blocks) {
            runs = history.path_runs(after, to, History::Way::newer);
        } else {
            for (const PathSegment& part : history.path_segments(after, to))
                runs.push_back({part.segment, nullptr, part.after, part.to, part.segment->number});
        }
    }
    std::vector<GapExtent> extents;
    for (const PathRun& run : runs) {
        EVERSTEP_TRY(run.merged != nullptr ? add_merged(*run.merged, run, extents)
                                           : add_segment(run.number, run, extents));
        merge_extents(extents);
    }
    return extents;
}

Status Store::Impl::add_segment(std::uint64_t number, const PathRun& run,
                                std::vector<GapExtent>& extents) const {
    return with_index(number, [&](const RedoIndex& index) {
        const UnitSpan span = index.writes.between(run.after, run.to);
        for (std::uint32_t n = span.first; n < span.last; ++n) {
            const Unit& unit = index.writes.unit(n);
            extents.push_back({VolumeIndex(unit.volume), unit.offset, ByteCount(unit.length)});
        }
    });
}

// One that lies on the path as a whole says it all; of another one those that it covers are asked.
Status Store::Impl::add_merged(const MergedIndex& index, const PathRun& run,
                               std::vector<GapExtent>& extents) const {
    if (run.after <= index.first && index.last <= run.to) {
        const std::size_t before = extents.size();
        const auto pages = indexes.merged_pages(index.salt);
        if (pages.ok()) {
            MergedReader reader(*pages);
            while (const auto extent = reader.next())
                extents.push_back({extent->volume, ByteOffset(extent->first * kBlockBytes),
                                   ByteCount(extent->count * kBlockBytes)});
            if (reader.status().ok()) return {};
        }
        extents.resize(before);
        indexes.note_damaged(index);
    }
    const auto passes = [&](const auto& one) { return run.after < one.last && one.first < run.to; };
    for (const FixedSegment& segment : index.segments)
        if (passes(segment)) EVERSTEP_TRY(add_segment(segment.number, run, extents));
    for (const MergedIndexPtr& child : index.children)
        if (passes(*child)) EVERSTEP_TRY(add_merged(*child, run, extents));
    return {};
}

Position Store::passed(TimelineId line) const {
    const Impl& s = *impl_;
    const std::shared_lock guard(s.mutex);
    if (!s.history.topology().knows(line)) return {};
    return s.history.passed(line);
}

Result<Point> Store::meet(Point target) const {
    const Impl& s = *impl_;
    const std::shared_lock guard(s.mutex);
    EVERSTEP_TRY(s.require_history());
    const Topology& topology = s.history.topology();
    if (!topology.knows(target.timeline))
        return Status(ErrorCode::refused, "no timeline " + target.timeline.hex() + " is known");
    const auto meet = topology.meet(place_of(target), {s.replica.line, s.replica.high});
    if (!meet)
        return Status(ErrorCode::refused, "timeline " + target.timeline.hex() +
                                              " has nothing in common with the replica's line");
    return Point{meet->timeline, meet->at.lsn};
}

Result<MovePlan> Store::plan_move(Point target) const {
    const Impl& s = *impl_;
    std::shared_lock guard(s.mutex);
    EVERSTEP_TRY(s.require_history());
    const Topology& topology = s.history.topology();
    if (!topology.knows(target.timeline))
        return Status(ErrorCode::refused, "no timeline " + target.timeline.hex() + " is known");
    const Place to = place_of(target);
    const Place owner = topology.owner(to);
    if (s.history.end_of(owner.timeline).at < owner.at)
        return Status(ErrorCode::refused,
                      "step " + std::to_string(target.lsn.value()) + " is not stored");
    if (!s.history.reachable(to))
        return Status(ErrorCode::refused,
                      "step " + std::to_string(target.lsn.value()) + " is not kept any more");
    const Place here{s.replica.line, s.replica.high};
    MovePlan plan;
    plan.from = s.replica.high;
    plan.to = to.at;
    plan.line = s.replica.line;
    Place newest = here;
    if (!topology.leads_to(to, here)) {
        if (!topology.leads_to(here, to))
            return Status(ErrorCode::refused, "step " + std::to_string(target.lsn.value()) +
                                                  " lies on another line than the replica: move to "
                                                  "their meeting point first");
        if (s.history.passed(target.timeline) < to.at)
            return Status(ErrorCode::refused, "step " + std::to_string(target.lsn.value()) +
                                                  " was never applied: its before-images are not "
                                                  "taken yet");
        plan.line = target.timeline;
        newest = to;
    }
    const Position oldest = std::min(s.replica.low, to.at);
    guard.unlock();
    auto extents = s.touched(oldest, newest, Grain::blocks);
    if (!extents.ok()) return extents.status();
    plan.extents = std::move(*extents);
    round_to_blocks(plan.extents, s.history);
    for (const GapExtent& e : plan.extents) plan.bytes = plan.bytes + e.length.value();
    return plan;
}

Status Store::begin_move(const MovePlan& plan) {
    Impl& s = *impl_;
    s.on_apply_thread();
    const std::lock_guard position_guard(s.position_mutex);
    PositionBody position;
    position.moving = true;
    position.state = s.replica;
    position.state.line = plan.line;
    position.state.low = std::min(s.replica.low, plan.to);
    position.state.high = std::max(s.replica.high, plan.to);
    EVERSTEP_TRY(s.record_position_in_redo(position));
    const std::unique_lock guard(s.mutex);
    s.replica = s.recorded = position.state;
    s.move_generation += 1;
    return {};
}

Status Store::end_move(const MovePlan& plan) {
    Impl& s = *impl_;
    s.on_apply_thread();
    const std::lock_guard position_guard(s.position_mutex);
    PositionBody position;
    position.state = s.replica;
    position.state.line = plan.line;
    position.state.low = position.state.high = plan.to;
    EVERSTEP_TRY(s.record_position_in_redo(position));
    const std::unique_lock guard(s.mutex);
    s.replica = s.recorded = position.state;
    return {};
}

Status Store::set_held(bool held, Point at) {
    Impl& s = *impl_;
    s.on_apply_thread();
    const std::lock_guard position_guard(s.position_mutex);
    if (held) {
        const std::shared_lock guard(s.mutex);
        EVERSTEP_TRY(s.history.check_point(at));
    }
    PositionBody position;
    position.state = s.replica;
    position.state.held = held;
    position.state.held_at = held ? at : Point();
    EVERSTEP_TRY(s.record_position_in_redo(position));
    const std::unique_lock guard(s.mutex);
    s.replica = s.recorded = position.state;
    return {};
}

Result<std::vector<GapExtent>> Store::touched(const View& a, const View& b) const {
    const Impl& s = *impl_;
    const Place left{a.timeline, a.at};
    const Place right{b.timeline, b.at};
    std::optional<Place> meet;
    {
        const std::shared_lock guard(s.mutex);
        meet = s.history.topology().meet(left, right);
    }
    if (!meet) return Status(ErrorCode::refused, "the two points have no common ancestor");
    {
        const std::shared_lock guard(s.mutex);
        if (!s.history.reachable(left) || !s.history.reachable(right))
            return Status(ErrorCode::refused, "one of the two points is not kept any more");
    }
    auto extents = s.touched(meet->at, left, Grain::blocks);
    if (!extents.ok()) return extents;
    const auto others = s.touched(meet->at, right, Grain::blocks);
    if (!others.ok()) return others;
    extents->insert(extents->end(), others->begin(), others->end());
    round_to_blocks(*extents, s.history);
    return extents;
}

}  // namespace everstep::journal
