#include "daemon/intent_gate.hpp"

#include <utility>

namespace everstep::daemon {

IntentGate::IntentGate(net::Loop& loop, std::unique_ptr<IntentMap> map, const Clock& clock,
                       Lost lost)
    : map_(std::move(map)),
      clock_(clock),
      lost_(std::move(lost)),
      alive_(std::make_shared<IntentGate*>(this)),
      // The map outlives the worker: it is given up only while no sync is asked for.
      syncs_(loop, [map = map_.get()] { return map->sync(); }) {}

IntentGate::~IntentGate() {
    *alive_ = nullptr;
}

void IntentGate::wait(IntentMap::Range range, std::function<void(const Status&)> write) {
    if (!ended_.ok() || given_up_) {
        write(ended_);
        return;
    }
    if (map_) map_->mark(range, clock_.boot());
    waiting_.push_back({range, std::move(write)});
    sync();
}

void IntentGate::unopened(const Status& why) {
    unopened_ = why;
    sync();
}

void IntentGate::sync() {
    if (syncing_) return;
    syncing_ = true;
    if (!map_) {
        lose(unopened_);
        return;
    }
    Result<IntentMap::Marks> marks = map_->write_out();
    if (!marks.ok()) {
        lose(marks.status());
        return;
    }
    syncs_.request([alive = alive_, marks = std::move(*marks)](const Status& status) {
        if (*alive != nullptr) (*alive)->synced(marks, status);
    });
}

void IntentGate::synced(const IntentMap::Marks& marks, const Status& status) {
    if (!status.ok()) {
        lose(status);
        return;
    }
    syncing_ = false;
    map_->synced(marks);
    run_ready();
    if (waiting_.empty()) return;
    for (const Waiting& one : waiting_) map_->mark(one.range, clock_.boot());
    sync();
}

// Until it is answered nothing else is tried: syncing_ stays.
void IntentGate::lose(const Status& why) {
    lost_(why, [alive = alive_, why](const Status& status) {
        if (*alive == nullptr) return;
        IntentGate& self = **alive;
        self.syncing_ = false;
        if (status.ok()) {
            self.given_up_ = true;
            self.map_.reset();
        } else if (self.map_) {
            self.map_->rewrite();
        }
        self.run_all(status.ok() ? Status() : why);
    });
}

void IntentGate::run_ready() {
    std::vector<Waiting> still;
    for (Waiting& one : std::exchange(waiting_, {})) {
        if (map_ && !map_->covers(one.range)) {
            still.push_back(std::move(one));
        } else {
            one.write({});
        }
    }
    still.insert(still.end(), std::make_move_iterator(waiting_.begin()),
                 std::make_move_iterator(waiting_.end()));
    waiting_ = std::move(still);
}

void IntentGate::run_all(const Status& status) {
    for (const Waiting& one : std::exchange(waiting_, {})) one.write(status);
}

void IntentGate::end(const Status& why) {
    ended_ = why;
    run_all(why);
}

void IntentGate::written(IntentMap::Range range, Lsn lsn) {
    if (map_) map_->written(range, lsn, clock_.boot());
}

std::optional<std::vector<journal::GapExtent>> IntentGate::marked(std::size_t standby) const {
    if (!map_) return std::nullopt;
    return map_->marked(standby);
}

// Not waited for: the standby is compared as a whole again as long as the record says why.
void IntentGate::mark_all(std::size_t standby) {
    if (map_) map_->mark_all(standby);
}

void IntentGate::set_standbys(std::size_t standbys) {
    if (map_) map_->set_standbys(standbys);
}

IntentClear IntentGate::clear_of(std::size_t standby, Lsn durable, Lsn flushed) const {
    const bool many = map_->regions_marked() > kIntentManyRegions;
    return {standby, durable, flushed, clock_.boot(), many ? kIntentIdleMany : kIntentIdle};
}

bool IntentGate::any_to_clear(std::span<const Lsn> durable) const {
    for (std::size_t standby = 0; map_ && standby < durable.size(); ++standby)
        if (durable[standby] != Lsn() &&
            map_->any_to_clear(clear_of(standby, durable[standby], Lsn())))
            return true;
    return false;
}

void IntentGate::clear(std::span<const Lsn> durable, Lsn flushed) {
    if (!map_) return;
    std::size_t gone = 0;
    for (std::size_t standby = 0; standby < durable.size(); ++standby)
        if (durable[standby] != Lsn())
            gone += map_->clear(clear_of(standby, durable[standby], flushed));
    if (gone > 0 && !syncing_) sync();
}

}  // namespace everstep::daemon
