#include "standby/time_travel.hpp"

#include "standby/paths.hpp"

namespace everstep::standby {
namespace {

// Fewer bytes say little about how fast a move is.
constexpr std::uint64_t kMeasuredBytesMin = 1 << 20;
constexpr std::uint64_t kSampleBytes = 16 << 20;

}  // namespace

Result<Value> TimeTravel::rewind(Point target, bool dry_run) {
    began_ = clock_.boot();
    const Result<journal::View> view = store_.view(target);
    if (!view.ok()) return view.status();
    const journal::ReplicaState at = store_.replica();
    const Point from{at.line, at.low.lsn};
    if (dry_run) return foresee(from, target);
    EVERSTEP_TRY(store_.set_held(true, target));
    mover_.reset_figures();
    EVERSTEP_TRY(mover_.reach(target));
    return moved(from, target);
}

Result<Value> TimeTravel::resume(bool dry_run) {
    began_ = clock_.boot();
    const journal::ReplicaState at = store_.replica();
    const Point from{at.line, at.low.lsn};
    const Point goal = store_.durable().point;
    // While a gap is open its end is no point: as far as the durable positions go, then.
    const bool exact = store_.view(goal).ok();
    if (dry_run) return foresee(from, exact ? goal : store_.consistent());
    EVERSTEP_TRY(store_.set_held(false, {}));
    mover_.reset_figures();
    if (exact) {
        EVERSTEP_TRY(mover_.reach(goal));
    } else {
        while (!mover_.to_end()) {
            const Result<bool> more = mover_.towards(goal, false);
            if (!more.ok()) return more.status();
            if (!*more) break;
        }
    }
    return moved(from, goal);
}

// What is read has to be written, too: as long again.
Result<Value> TimeTravel::foresee(Point from, Point target) {
    const auto extents = mover_.foresee(target);
    if (!extents.ok()) return extents.status();
    const MoveFigures figures = figures_of(*extents);
    Value value = body(from, target, figures);
    double rate = bytes_per_second_;
    if (rate == 0 && figures.bytes > 0) {
        const double before = seconds();
        const auto read = mover_.read_some(target, *extents, kSampleBytes);
        if (!read.ok()) return read.status();
        const double took = seconds() - before;
        if (took > 0) rate = static_cast<double>(*read) / took / 2;
    }
    const bool known = rate > 0 || figures.bytes == 0;
    const double about = rate > 0 ? static_cast<double>(figures.bytes) / rate : 0;
    value.set("about_seconds", known ? Value(about) : Value());
    return value;
}

Value TimeTravel::moved(Point from, Point to) {
    const MoveFigures figures = mover_.figures();
    const double took = seconds();
    if (figures.bytes >= kMeasuredBytesMin && took > 0)
        bytes_per_second_ = static_cast<double>(figures.bytes) / took;
    return body(from, to, figures);
}

Value TimeTravel::body(Point from, Point to, MoveFigures figures) const {
    Value gaps = Value::list();
    const journal::View from_view = view_or_tip(store_, from);
    const journal::View to_view = view_or_tip(store_, to);
    for (const journal::Gap& gap : gaps_on_way(store_, from_view, to_view))
        gaps.push(gap_value(gap));
    Value value = Value::map();
    value.set("lsn", to.lsn.value());
    value.set("timeline", to.timeline.hex());
    value.set("from", from.lsn.value());
    value.set("blocks", figures.blocks);
    value.set("bytes", figures.bytes);
    value.set("seconds", seconds());
    value.set("gaps", std::move(gaps));
    return value;
}

Value gap_value(const journal::Gap& gap) {
    Value value = Value::map();
    value.set("from", gap.from.lsn.value());
    value.set("to", gap.to.timeline.nil() ? Value() : Value(gap.to.lsn.value()));
    value.set("reason", gap.reason);
    value.set("batch", gap.batch);
    value.set("bytes", gap.bytes.value());
    return value;
}

}  // namespace everstep::standby
