#include "standby/time_travel.hpp"

#include "standby/paths.hpp"

namespace everstep::standby {

Result<Value> TimeTravel::rewind(Point target, bool dry_run) {
    began_ = clock_.boot();
    const Result<journal::View> view = store_.view(target);
    if (!view.ok()) return view.status();
    const journal::ReplicaState at = store_.replica();
    const Point from{at.line, at.low.lsn};
    if (dry_run) {
        const Result<MoveFigures> figures = mover_.foresee(target);
        if (!figures.ok()) return figures.status();
        return body(from, target, *figures);
    }
    EVERSTEP_TRY(store_.set_held(true, target));
    mover_.reset_figures();
    EVERSTEP_TRY(mover_.reach(target));
    return body(from, target, mover_.figures());
}

Result<Value> TimeTravel::resume() {
    began_ = clock_.boot();
    const journal::ReplicaState at = store_.replica();
    const Point from{at.line, at.low.lsn};
    const Point goal = store_.durable().point;
    EVERSTEP_TRY(store_.set_held(false, {}));
    mover_.reset_figures();
    // While a gap is open its end is no point: as far as the durable positions go, then.
    const bool exact = store_.view(goal).ok();
    if (exact) {
        EVERSTEP_TRY(mover_.reach(goal));
    } else {
        while (!mover_.to_end()) {
            const Result<bool> more = mover_.towards(goal, false);
            if (!more.ok()) return more.status();
            if (!*more) break;
        }
    }
    return body(from, goal, mover_.figures());
}

Value TimeTravel::body(Point from, Point to, MoveFigures figures) const {
    Value gaps = Value::list();
    const journal::View from_view = view_or_tip(store_, from);
    const journal::View to_view = view_or_tip(store_, to);
    for (const journal::Gap& gap : gaps_on_way(store_, from_view, to_view))
        gaps.push(gap_value(gap));
    const std::chrono::duration<double> seconds = clock_.boot() - began_;
    Value value = Value::map();
    value.set("lsn", to.lsn.value());
    value.set("timeline", to.timeline.hex());
    value.set("from", from.lsn.value());
    value.set("blocks", figures.blocks);
    value.set("bytes", figures.bytes);
    value.set("seconds", seconds.count());
    value.set("gaps", std::move(gaps));
    return value;
}

Value gap_value(const journal::Gap& gap) {
    Value value = Value::map();
    value.set("from", gap.from.lsn.value());
    value.set("to", gap.to.timeline.nil() ? Value() : Value(gap.to.lsn.value()));
    value.set("reason", gap.reason);
    value.set("bytes", gap.bytes.value());
    return value;
}

}  // namespace everstep::standby
