// Lines, and order that is lost.
#include "tests/journal/model_world.hpp"

namespace everstep::journal::lab {

void ModelWorld::branch() {
    sync();
    const Point from = random_point();
    // On the timeline itself: a branch from an ancestor's step is that ancestor's.
    if (from.lsn < lines_[number_of(from.timeline)]->timeline().branch_lsn) return;
    begin_line(from.lsn, from.timeline);
}

// The node serves from a step on: its own writes are there at once, and the replica follows.
void ModelWorld::takeover() {
    const std::size_t before = lines_.size();
    branch();
    if (failed() || lines_.size() == before) return;
    resume();
    for (int n = 0; n < 3 && !failed(); ++n) {
        append();
        const View tip = lab_.store->view_at_tip();
        for (std::size_t v = 0; v < kSizes.size(); ++v)
            ASSERT_TRUE(lab_.read(tip, VolumeIndex(v)) == line().now[v]) << "read at the tip";
    }
    sync();
    if (!failed()) go_to(durable());
}

void ModelWorld::begin_line(Lsn branch, TimelineId from) {
    const std::size_t parent = number_of(from);
    auto line = std::make_unique<Primary>(
        *lines_[parent], test_uuid(static_cast<std::uint8_t>(lines_.size() + 1)), branch);
    check(lab_.store->append_timeline(line->timeline()), "append_timeline");
    note_came();
    for (Lsn lsn(0); lsn <= branch; ++lsn) {
        const auto came = came_.find({from, lsn});
        if (came != came_.end()) came_[{line->timeline().id, lsn}] = came->second;
        if (gone_.contains({from, lsn})) gone_.insert({line->timeline().id, lsn});
    }
    const std::vector<NoPoints> known = no_points_;
    for (NoPoints none : known) {
        if (none.line != parent || none.from >= branch) continue;
        none.line = lines_.size();
        no_points_.push_back(none);
    }
    lines_.push_back(std::move(line));
    receiving_ = lines_.size() - 1;
}

// Steps are lost, or lost and a new line begins; what they changed comes by resync, between new
// frames.
void ModelWorld::lose_order() {
    sync();
    const Lsn from = line().head();
    no_points_.push_back({receiving_, from, Lsn(UINT64_MAX)});
    check(lab_.store->open_gap({line().timeline().id, from}, "lost"), "open_gap");
    std::vector<TestWrite> lost;
    for (std::uint64_t n = 1 + pick(4); n > 0; --n) {
        lost.push_back(random_write());
        (void)line().frame({lost.back()});
    }
    if (pick(3) == 0) begin_line(line().head(), line().timeline().id);
    lost_writes(lost);
    if (!failed()) end_gap();
}

void ModelWorld::lost_writes(const std::vector<TestWrite>& lost) {
    for (const TestWrite& write : lost) {
        if (write.kind != EntryKind::sync) resync(write);
        amid();
        if (failed()) return;
    }
}

// What may happen while no point can be added.
void ModelWorld::amid() {
    if (pick(3) == 0) append();
    if (pick(3) == 0) sync();
    if (pick(3) == 0) apply();
    if (pick(6) == 0) crash();
    if (pick(6) == 0) keep();
    if (pick(6) == 0) rewind();
    if (pick(6) == 0) resume();
}

void ModelWorld::put_batch(EntryKind kind) {
    const FramePtr frame = line().batch_frame(kind);
    check(lab_.store->append({&frame, 1}), "append");
    kept_.push_back(frame);
}

// Steps that belong together, on one line or over a start of it; perhaps order is lost meanwhile.
void ModelWorld::write_batch() {
    sync();
    const Lsn from = line().head();
    put_batch(EntryKind::batch_begin);
    no_points_.push_back({receiving_, from, Lsn(UINT64_MAX)});
    for (std::uint64_t n = 1 + pick(4); n > 0; --n) {
        append();
        amid();
        if (failed()) return;
    }
    if (pick(4) == 0) {
        sync();
        begin_line(line().head(), line().timeline().id);
        put_batch(EntryKind::batch_begin);  // as a primary's start does
        append();
    }
    sync();
    ASSERT_TRUE(lab_.store->order_kept());
    if (pick(4) == 0) {
        check(lab_.store->open_gap({line().timeline().id, line().head()}, "lost"), "open_gap");
        ASSERT_FALSE(lab_.store->order_kept());
        const TestWrite lost = random_write();
        (void)line().frame({lost});
        (void)line().batch_frame(EntryKind::batch_end);
        lost_writes({lost});
        if (!failed()) end_gap();
        return;
    }
    put_batch(EntryKind::batch_end);
    for (NoPoints& none : no_points_)
        if (none.line == receiving_ && none.to == Lsn(UINT64_MAX)) none.to = line().head();
    sync();
    ASSERT_FALSE(lab_.store->gap_open());
    ASSERT_EQ(lab_.store->consistent(), (Point{line().timeline().id, line().head()}));
}

// A takeover in the middle of a batch or a resync: another line goes on, from the step before it or
// from any other. What came inside stays without a point.
void ModelWorld::leave_gap() {
    sync();
    const Point from{line().timeline().id, line().head()};
    no_points_.push_back({receiving_, from.lsn, Lsn(UINT64_MAX)});
    if (pick(2) == 0) {
        put_batch(EntryKind::batch_begin);
        for (std::uint64_t n = pick(4); n > 0 && !failed(); --n) {
            append();
            amid();
        }
    } else {
        check(lab_.store->open_gap(from, "lost"), "open_gap");
        const TestWrite lost = random_write();
        (void)line().frame({lost});
        lost_writes({lost});
    }
    if (failed()) return;
    sync();
    Point start = pick(2) == 0 ? from : random_point();
    if (start.lsn < lines_[number_of(start.timeline)]->timeline().branch_lsn) start = from;
    begin_line(start.lsn, start.timeline);
    ASSERT_FALSE(lab_.store->gap_open());
    append();
    sync();
    ASSERT_EQ(lab_.store->consistent(), (Point{line().timeline().id, line().head()}));
    if (!failed()) check_points();
    if (!failed()) resume();
}

void ModelWorld::end_gap() {
    TestWrite sync_step;
    sync_step.kind = EntryKind::sync;
    const FramePtr end = line().frame({sync_step});
    check(lab_.store->append({&end, 1}), "append");
    kept_.push_back(end);
    const Lsn to = line().head();
    if (pick(2) == 0) append();  // steps behind the end, before it is said
    check(lab_.store->close_gap({line().timeline().id, to}), "close_gap");
    for (NoPoints& none : no_points_)
        if (none.line == receiving_ && none.to == Lsn(UINT64_MAX)) none.to = to;
    sync();
    ASSERT_EQ(lab_.store->consistent(), (Point{line().timeline().id, line().head()}));
}

// What the primary's device holds in the range now.
void ModelWorld::resync(const TestWrite& write) {
    FrameEntry entry;
    entry.lsn = lab_.store->tip().point.lsn;
    entry.volume = write.volume;
    entry.offset = write.offset;
    entry.length = write.length;
    FrameBuilder builder;
    builder.add(entry, Bytes(line().now[write.volume.value()])
                           .subspan(write.offset.value(), write.length.value()));
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = lab_.options.group;
    header.timeline = lab_.store->tip().point.timeline;
    header.first_lsn = header.last_lsn = entry.lsn;
    header.sub_first = 1;
    Packer* const packer = line().packs ? any_packer(pick(100)) : nullptr;
    check(lab_.store->append_resync(builder.seal(header, packer)), "append_resync");
}

}  // namespace everstep::journal::lab
