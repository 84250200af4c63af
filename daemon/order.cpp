#include "daemon/order.hpp"

namespace everstep::daemon {

StepClock::Change OrderStage::tick() {
    wall_ = clock_.wall();
    return step_clock_.read(wall_, clock_.boot());
}

FrameEntry OrderStage::push(const CapturedWrite& write) {
    EVERSTEP_ASSERT(takes_lsn(write.kind), "only writes take an LSN");
    ++newest_;
    FrameEntry entry;
    entry.lsn = newest_;
    entry.offset = write.offset;
    entry.length = write.length;
    entry.wall = wall_;
    entry.step_time = step_clock_.now();
    entry.volume = write.volume;
    entry.kind = write.kind;
    entry.fua = write.fua;
    return entry;
}

FrameEntry OrderStage::behind(Lsn lsn, EntryKind kind, VolumeIndex volume) const {
    EVERSTEP_ASSERT(!takes_lsn(kind) && lsn <= newest_, "a mark lies behind a step that exists");
    FrameEntry entry;
    entry.lsn = lsn;
    entry.wall = wall_;
    entry.step_time = step_clock_.now();
    entry.volume = volume;
    entry.kind = kind;
    return entry;
}

}  // namespace everstep::daemon
