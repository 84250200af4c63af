#include "standby/move.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"
#include "standby/paths.hpp"

namespace everstep::standby {
namespace {

constexpr std::uint64_t kCopyPieceBytes = 1ULL << 20;

std::uint64_t blocks_of(std::uint64_t bytes) {
    return (bytes + kBlockBytes - 1) / kBlockBytes;
}

Status left_for_takeover() {
    return {ErrorCode::closed, "this node takes over: the replica goes to the newest step instead"};
}

}  // namespace

MoveFigures figures_of(const std::vector<journal::GapExtent>& extents) {
    MoveFigures figures;
    VolumeIndex volume{~0ULL};
    std::uint64_t counted_to = 0;  // block, in `volume`
    for (const journal::GapExtent& extent : extents) {
        if (extent.volume != volume) counted_to = 0;
        volume = extent.volume;
        const std::uint64_t end = blocks_of(extent.offset.value() + extent.length.value());
        const std::uint64_t start = std::max(extent.offset.value() / kBlockBytes, counted_to);
        if (end <= start) continue;
        figures.blocks += end - start;
        counted_to = end;
    }
    figures.bytes = figures.blocks * kBlockBytes;
    return figures;
}

Mover::Mover(journal::Store& store, Replica& replica, Hooks hooks, ByteCount move_bytes)
    : store_(store),
      replica_(replica),
      hooks_(std::move(hooks)),
      writer_(store, replica),
      move_bytes_(move_bytes.value()) {
    publish();
}

void Mover::publish() {
    if (!store_.has_history()) return;
    applied_.store(store_.replica().low.lsn.value(), std::memory_order_release);
    if (hooks_.moved) hooks_.moved();
}

Status Mover::redo() {
    const auto batches = store_.redo_batches();
    if (!batches.ok()) return batches.status();
    for (const journal::ApplyBatch& batch : *batches) {
        EVERSTEP_TRY(writer_.write(batch.units));
        EVERSTEP_TRY(replica_.sync());
        EVERSTEP_TRY(store_.end_batch(batch));
    }
    const journal::ReplicaState at = store_.replica();
    if (at.low != at.high) {
        return {
            ErrorCode::corrupt,
            fmt::format("replica: stands between step {} and step {} after what lies between was "
                        "written again",
                        at.low.lsn.value(), at.high.lsn.value())};
    }
    publish();
    return {};
}

Result<bool> Mover::towards(Point goal, bool exact) {
    const auto back = way_back(goal, exact);
    if (!back.ok()) return back.status();
    if (back->has_value()) {
        EVERSTEP_TRY(move_to(**back));
        return true;
    }
    const auto batch = store_.next_batch(goal, kApplyBatchBytesMax);
    if (!batch.ok()) return batch.status();
    if (batch->empty()) return false;
    EVERSTEP_TRY(apply(*batch));
    return true;
}

// Where the replica has to go back to before it can go forward to the goal; none when it lies on
// the goal's path.
Result<std::optional<Point>> Mover::way_back(Point goal, bool exact) const {
    using Answer = std::optional<Point>;
    const journal::ReplicaState at = store_.replica();
    EVERSTEP_ASSERT(at.low == at.high, "a replica that stands between two positions; redo() first");
    const bool at_step = at.low.sub == 0;
    if (at.line == goal.timeline && goal.lsn >= at.low.lsn &&
        (at_step || !exact || goal.lsn > at.low.lsn)) {
        return Answer();
    }
    const Result<Point> meet = store_.meet(goal);
    if (!meet.ok()) return meet.status();
    if (meet->lsn == at.low.lsn) {
        if (at_step) return Answer();
        // Behind the step lie extents of a gap, or pieces of the line's next write: the goal's path
        // has them only if it goes on along this line.
        const journal::View view = view_or_tip(store_, goal);
        const bool goes_on =
            std::any_of(view.path.begin(), view.path.end(), [&](const auto& stretch) {
                return stretch.timeline == at.line && stretch.to > at.low.lsn;
            });
        if (goes_on) return Answer();
    }
    const Result<Point> target = viewable(*meet);
    if (!target.ok()) return target.status();
    return Answer(*target);
}

// A branch point inside a gap is no point that can be read: the gap's beginning is.
Result<Point> Mover::viewable(Point meet) const {
    const Result<journal::View> view = store_.view(meet);
    if (view.ok()) return meet;
    std::vector<journal::Gap> gaps = store_.gaps();
    if (std::optional<journal::Gap> open = store_.gap_open()) gaps.push_back(*open);
    for (auto gap = gaps.rbegin(); gap != gaps.rend(); ++gap) {
        if (gap->from.lsn > meet.lsn || !store_.view(gap->from).ok()) continue;
        const Result<Point> ancestor = store_.meet(gap->from);
        if (ancestor.ok() && ancestor->lsn == gap->from.lsn) return gap->from;
    }
    return view.status();
}

Status Mover::reach(Point target) {
    const Lsn begun = store_.replica().low.lsn;
    bool passed_tried = false;
    for (;;) {
        if (asked(hooks_.leaving)) return left_for_takeover();
        if (asked(hooks_.stopping)) {
            return {ErrorCode::closed, "the standby stops; it goes on when it is started again"};
        }
        const auto back = way_back(target, true);
        if (!back.ok()) return back.status();
        if (!back->has_value() && !passed_tried) {
            passed_tried = true;
            const Result<bool> moved = over_passed(target);
            if (!moved.ok()) return moved.status();
            if (*moved) continue;
        }
        const Result<bool> more = towards(target, true);
        if (!more.ok()) return more.status();
        if (!*more) break;
        const Lsn now = store_.replica().low.lsn;
        if (hooks_.going && begun <= now && begun < target.lsn)
            hooks_.going({now - begun, target.lsn - begun, "steps"});
    }
    const journal::ReplicaState at = store_.replica();
    if (at.low.lsn == target.lsn && at.low.sub == 0) return {};
    return {ErrorCode::refused,
            fmt::format("step {}: the newest durable step is {}; the replica stands there",
                        target.lsn.value(), at.low.lsn.value())};
}

// Forward over history whose before-images are all taken: only what differs is written.
Result<bool> Mover::over_passed(Point target) {
    const journal::ReplicaState at = store_.replica();
    const Position passed = store_.passed(target.timeline);
    const Position stop = std::min(passed, Position{target.lsn, 0});
    if (stop <= at.low || stop.sub != 0) return false;
    const Result<journal::View> view = store_.view(target);
    if (!view.ok()) return view.status();
    const Point point = point_on(*view, stop.lsn);
    if (!store_.view(point).ok()) return false;  // inside a gap: batches go through it
    EVERSTEP_TRY(move_to(point));
    return true;
}

Status Mover::finish_step() {
    for (;;) {
        const journal::ReplicaState at = store_.replica();
        if (at.low.sub == 0) return {};
        const std::optional<journal::Gap> gap = store_.gap_open();
        if (gap && !gap->batch && gap->from.lsn <= at.low.lsn) return {};
        const auto batch = store_.next_batch({at.line, at.low.lsn + 1}, kApplyBatchBytesMax);
        if (!batch.ok()) return batch.status();
        if (batch->empty()) return {};
        EVERSTEP_TRY(apply(*batch));
    }
}

Status Mover::apply(const journal::ApplyBatch& batch) {
    EVERSTEP_TRY(store_.begin_batch(batch, replica_));
    EVERSTEP_TRY(writer_.write(batch.units));
    EVERSTEP_TRY(replica_.sync());
    EVERSTEP_TRY(store_.end_batch(batch));
    figures_.bytes += batch.bytes.value();
    figures_.blocks += blocks_of(batch.bytes.value());
    publish();
    return {};
}

Status Mover::move_to(Point target) {
    const Result<journal::View> view = store_.view(target);
    if (!view.ok()) return view.status();
    const auto plan = store_.plan_move(target);
    if (!plan.ok()) return plan.status();
    EVERSTEP_TRY(store_.begin_move(*plan));
    publish();
    EVERSTEP_TRY(carry_out(*plan, *view));
    EVERSTEP_TRY(replica_.sync());
    EVERSTEP_TRY(store_.end_move(*plan));
    const MoveFigures moved = figures_of(plan->extents);
    figures_.blocks += moved.blocks;
    figures_.bytes += moved.bytes;
    publish();
    return {};
}

Status Mover::carry_out(const journal::MovePlan& plan, const journal::View& view) {
    content_.reserve(move_bytes_);
    content_.clear();
    wanted_.clear();
    const std::uint64_t piece_bytes = std::min<std::uint64_t>(kCopyPieceBytes, move_bytes_);
    VolumeIndex volume;
    MoveProgress progress;
    for (const journal::GapExtent& extent : plan.extents) progress.total += extent.length.value();
    const auto copy_wanted = [&]() -> Status {
        progress.done += content_.size();
        EVERSTEP_TRY(copy(view, volume));
        if (hooks_.going && progress.done > 0) hooks_.going(progress);
        return {};
    };
    for (const journal::GapExtent& extent : plan.extents) {
        if (extent.volume != volume) EVERSTEP_TRY(copy_wanted());
        volume = extent.volume;
        for (std::uint64_t at = 0; at < extent.length.value(); at += piece_bytes) {
            if (asked(hooks_.leaving)) return left_for_takeover();
            const std::uint64_t piece = std::min(extent.length.value() - at, piece_bytes);
            if (content_.size() + piece > move_bytes_) EVERSTEP_TRY(copy_wanted());
            wanted_.push_back({extent.offset + at, content_.extend(piece)});
        }
    }
    return copy_wanted();
}

Status Mover::copy(const journal::View& view, VolumeIndex volume) {
    EVERSTEP_TRY(store_.read(view, replica_, volume, wanted_));
    ops_.clear();
    for (const auto& [offset, content] : wanted_) {
        if (is_zero(content))
            EVERSTEP_TRY(replica_.zero(volume, offset, ByteCount(content.size())));
        else
            ops_.push_back({offset, content});
    }
    EVERSTEP_TRY(replica_.write(volume, ops_));
    wanted_.clear();
    content_.clear();
    return {};
}

Result<std::vector<journal::GapExtent>> Mover::foresee(Point target) const {
    const Result<Point> meet = store_.meet(target);
    if (!meet.ok()) return meet.status();
    if (meet->lsn == target.lsn) {
        auto plan = store_.plan_move(target);
        if (!plan.ok()) return plan.status();
        return std::move(plan->extents);
    }
    const journal::ReplicaState at = store_.replica();
    const Result<journal::View> to = store_.view(target);
    if (!to.ok()) return to.status();
    return store_.touched(view_or_tip(store_, {at.line, at.low.lsn}), *to);
}

Result<std::uint64_t> Mover::read_some(Point target, std::span<const journal::GapExtent> extents,
                                       std::uint64_t most) const {
    const Result<journal::View> view = store_.view(target);
    if (!view.ok()) return view.status();
    std::uint64_t done = 0;
    Buffer content;
    content.reserve(most + kCopyPieceBytes);
    VolumeIndex volume;
    std::vector<io::ReadOp> wanted;
    for (const journal::GapExtent& extent : extents) {
        if (done >= most) break;
        if (extent.volume != volume) {
            EVERSTEP_TRY(store_.read(*view, replica_, volume, wanted));
            wanted.clear();
        }
        volume = extent.volume;
        const std::uint64_t count = std::min(extent.length.value(), kCopyPieceBytes);
        wanted.push_back({extent.offset, content.extend(count)});
        done += count;
    }
    EVERSTEP_TRY(store_.read(*view, replica_, volume, wanted));
    return done;
}

}  // namespace everstep::standby
