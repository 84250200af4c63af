// Batches of steps that belong together: no point lies inside, and nothing is lost by one. Lines
// that leave one, or a gap, while it is open.
#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

const TimelineId kLine = test_uuid(1);

TestWrite write(std::uint64_t sector, std::uint64_t count) {
    return {.volume = VolumeIndex(0),
            .offset = ByteOffset(sector * kSectorBytes),
            .length = ByteCount(count * kSectorBytes)};
}
TestWrite sync_write() {
    TestWrite none = write(0, 0);
    none.kind = EntryKind::sync;
    return none;
}

class Batch : public testing::Test {
  protected:
    Batch() : primary(lab.options.group, kLine, lab.options.volume_bytes) {
        lab.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        expect_ok(lab.store->begin_history({primary.timeline()}, base));
    }
    static void expect_ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    void put(const std::vector<TestWrite>& writes) {
        const FramePtr frame = primary.frame(writes);
        expect_ok(lab.store->append({&frame, 1}));
    }
    void put_batch(EntryKind kind) {
        const FramePtr frame = primary.batch_frame(kind);
        expect_ok(lab.store->append({&frame, 1}));
    }
    // Of a resync, at the newest step.
    void put_extent(const TestWrite& extent) {
        const Point tip = lab.store->tip().point;
        FrameEntry entry;
        entry.lsn = tip.lsn;
        entry.volume = extent.volume;
        entry.offset = extent.offset;
        entry.length = extent.length;
        FrameBuilder builder;
        builder.add(entry, content(extent, tip.lsn + 100, 1));
        FrameHeader header;
        header.kind = FrameKind::resync;
        header.group = lab.options.group;
        header.timeline = tip.timeline;
        header.first_lsn = header.last_lsn = tip.lsn;
        header.sub_first = 1;
        expect_ok(lab.store->append_resync(builder.seal(header)));
    }
    void sync() { expect_ok(lab.store->sync()); }
    static Point at(std::uint64_t lsn) { return {kLine, Lsn(lsn)}; }

    StoreLab lab;
    Primary primary;
};

TEST_F(Batch, ABatchHasNoPointInside) {
    put({write(0, 8), write(8, 8)});
    put_batch(EntryKind::batch_begin);
    put({write(16, 8)});
    sync();
    EXPECT_EQ(lab.store->consistent(), at(2));
    EXPECT_TRUE(lab.store->order_kept());
    lab.reopen();
    ASSERT_TRUE(lab.store->gap_open() && lab.store->gap_open()->batch);
    put_batch(EntryKind::batch_begin);  // a second one changes nothing
    put({write(24, 4)});
    put_batch(EntryKind::batch_end);
    put({write(30, 1)});
    sync();
    EXPECT_EQ(lab.store->consistent(), at(5));
    lab.reopen();
    ASSERT_EQ(lab.store->gaps().size(), 1U);
    const Gap batch = lab.store->gaps()[0];
    EXPECT_TRUE(batch.batch);
    EXPECT_EQ(batch.from, at(2));
    EXPECT_EQ(batch.to, at(4));
    EXPECT_EQ(batch.bytes, ByteCount(12 * kSectorBytes));
    EXPECT_EQ(lab.store->view(at(3)).status().code(), ErrorCode::refused);
    EXPECT_NE(lab.store->view(at(3)).status().message().find("inside a batch"), std::string::npos);
    for (const std::uint64_t lsn : {2, 4, 5})
        EXPECT_EQ(lab.compare(at(lsn), primary.image(Lsn(lsn))), "") << lsn;
    // Nothing in it: no trace is left.
    put_batch(EntryKind::batch_begin);
    put_batch(EntryKind::batch_end);
    put_batch(EntryKind::batch_end);
    sync();
    EXPECT_EQ(lab.store->gaps().size(), 1U);
    EXPECT_FALSE(lab.store->gap_open());
}

TEST_F(Batch, OrderLostInABatchIsAGapFromItsBeginning) {
    put({write(0, 8)});
    put_batch(EntryKind::batch_begin);
    put({write(8, 8)});
    expect_ok(lab.store->open_gap(at(2), "queue overflow"));
    sync();
    EXPECT_FALSE(lab.store->order_kept());
    EXPECT_EQ(lab.store->consistent(), at(1));
    put_batch(EntryKind::batch_end);  // not what ends it
    EXPECT_TRUE(lab.store->gap_open());
    put({sync_write()});
    expect_ok(lab.store->close_gap(at(3)));
    sync();
    lab.reopen();
    ASSERT_EQ(lab.store->gaps().size(), 1U);
    EXPECT_FALSE(lab.store->gaps()[0].batch);
    EXPECT_EQ(lab.store->gaps()[0].reason, "queue overflow");
    EXPECT_EQ(lab.store->gaps()[0].from, at(1));
}

// A takeover offers the step before a batch: its line has no batch, and the old one's has no point.
TEST_F(Batch, ALineThatLeavesWhereItBeganLeavesTheBatch) {
    put({write(0, 8), write(8, 8)});
    put_batch(EntryKind::batch_begin);
    put({write(16, 8), write(24, 4)});
    sync();
    Primary branch(primary, test_uuid(2), Lsn(2));
    expect_ok(lab.store->append_timeline(branch.timeline()));
    EXPECT_FALSE(lab.store->gap_open());
    const FramePtr frame = branch.frame({write(40, 8)});
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    const Point newest{test_uuid(2), Lsn(3)};
    for (int turn = 0; turn < 2; ++turn) {
        EXPECT_FALSE(lab.store->gap_open());
        EXPECT_EQ(lab.store->consistent(), newest);
        EXPECT_EQ(lab.compare(newest, branch.image(Lsn(3))), "");
        EXPECT_EQ(lab.compare(at(2), primary.image(Lsn(2))), "");
        for (const std::uint64_t lsn : {3, 4}) {
            const Status inside = lab.store->view(at(lsn)).status();
            EXPECT_EQ(inside.code(), ErrorCode::refused) << lsn;
            EXPECT_NE(inside.message().find("inside a batch"), std::string::npos) << lsn;
        }
        lab.reopen();
    }
}

// As a takeover in the middle of a resync does.
TEST_F(Batch, ALineThatLeavesWhereAGapBeganLeavesTheGap) {
    put({write(0, 8), write(8, 8)});
    expect_ok(lab.store->open_gap(at(2), "overflow"));
    FrameEntry entry;
    entry.lsn = Lsn(2);
    entry.offset = ByteOffset(30 * kSectorBytes);
    entry.length = ByteCount(kSectorBytes);
    FrameBuilder builder;
    builder.add(entry, Bytes(content(write(30, 1), Lsn(2), 1)));
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = lab.options.group;
    header.timeline = kLine;
    header.first_lsn = header.last_lsn = entry.lsn;
    header.sub_first = 1;
    expect_ok(lab.store->append_resync(builder.seal(header)));
    put({write(16, 8), write(24, 4)});
    Primary branch(primary, test_uuid(2), Lsn(2));
    expect_ok(lab.store->append_timeline(branch.timeline()));
    const FramePtr frame = branch.frame({write(40, 8)});
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    lab.reopen();
    EXPECT_FALSE(lab.store->gap_open());
    EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(2), Lsn(3)}));
    EXPECT_EQ(lab.compare({test_uuid(2), Lsn(3)}, branch.image(Lsn(3))), "");
    for (const std::uint64_t lsn : {3, 4}) EXPECT_FALSE(lab.store->view(at(lsn)).ok()) << lsn;
}

TEST_F(Batch, ALineFromAnotherOneLeavesTheBatch) {
    put({write(0, 8), write(8, 8), write(16, 8)});
    Primary side(primary, test_uuid(2), Lsn(1));
    expect_ok(lab.store->append_timeline(side.timeline()));
    for (const FramePtr& frame :
         {side.frame({write(24, 8)}), side.batch_frame(EntryKind::batch_begin),
          side.frame({write(32, 8), write(40, 8)})})
        expect_ok(lab.store->append({&frame, 1}));
    sync();
    Primary back(primary, test_uuid(3), Lsn(3));
    expect_ok(lab.store->append_timeline(back.timeline()));
    const FramePtr frame = back.frame({write(48, 8)});
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    lab.reopen();
    EXPECT_FALSE(lab.store->gap_open());
    EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(3), Lsn(4)}));
    EXPECT_EQ(lab.compare({test_uuid(3), Lsn(4)}, back.image(Lsn(4))), "");
    EXPECT_EQ(lab.compare({test_uuid(2), Lsn(2)}, side.image(Lsn(2))), "");
    for (const std::uint64_t lsn : {3, 4})
        EXPECT_FALSE(lab.store->view({test_uuid(2), Lsn(lsn)}).ok()) << lsn;
}

// A takeover to the step before a batch: what was written of it stays behind, without a point; what
// is written from there on lies in no batch.
TEST_F(Batch, ALineFromTheStepBeforeABatchIsNotInside) {
    put({write(0, 8), write(8, 8)});
    put_batch(EntryKind::batch_begin);
    put({write(16, 8), write(0, 2)});
    sync();
    Primary next(primary, test_uuid(2), Lsn(2));
    expect_ok(lab.store->append_timeline(next.timeline()));
    const FramePtr frame = next.frame({write(40, 8), write(16, 4)});
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    for (int turn = 0; turn < 2; ++turn) {
        EXPECT_FALSE(lab.store->gap_open());
        EXPECT_TRUE(lab.store->order_kept());
        EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(2), Lsn(4)}));
        for (const std::uint64_t lsn : {3, 4}) {
            EXPECT_EQ(lab.store->view(at(lsn)).status().code(), ErrorCode::refused) << lsn;
            EXPECT_EQ(lab.compare({test_uuid(2), Lsn(lsn)}, next.image(Lsn(lsn))), "") << lsn;
        }
        EXPECT_EQ(lab.compare(at(2), primary.image(Lsn(2))), "");
        lab.reopen();
    }
    // A batch of its own is one.
    const FramePtr begin = next.batch_frame(EntryKind::batch_begin);
    const FramePtr end = next.batch_frame(EntryKind::batch_end, {write(1, 1), write(2, 2)});
    expect_ok(lab.store->append(std::vector<FramePtr>{begin, end}));
    sync();
    EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(2), Lsn(6)}));
    EXPECT_TRUE(lab.store->view({test_uuid(2), Lsn(4)}).ok());
    EXPECT_FALSE(lab.store->view({test_uuid(2), Lsn(5)}).ok());
    expect_ok(lab.go_to({test_uuid(2), Lsn(6)}));
    EXPECT_EQ(lab.replica.volumes, next.image(Lsn(6)));
}

// The same in the middle of a resync: its extents stay behind, too.
TEST_F(Batch, ALineFromTheStepBeforeAGapIsNotInside) {
    put({write(0, 8), write(8, 8)});
    expect_ok(lab.store->open_gap(at(2), "overflow"));
    put_extent(write(50, 3));
    put({write(2, 2)});
    put_extent(write(20, 3));
    sync();
    expect_ok(lab.apply_all(at(3)));
    Primary next(primary, test_uuid(2), Lsn(2));
    expect_ok(lab.store->append_timeline(next.timeline()));
    const FramePtr frame = next.frame({write(30, 4)});
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    for (int turn = 0; turn < 2; ++turn) {
        EXPECT_FALSE(lab.store->gap_open());
        EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(2), Lsn(3)}));
        EXPECT_EQ(lab.store->view(at(3)).status().code(), ErrorCode::refused);
        EXPECT_EQ(lab.compare(at(2), primary.image(Lsn(2))), "");
        EXPECT_EQ(lab.compare({test_uuid(2), Lsn(3)}, next.image(Lsn(3))), "");
        lab.reopen();
    }
    expect_ok(lab.go_to({test_uuid(2), Lsn(3)}));
    EXPECT_EQ(lab.replica.volumes, next.image(Lsn(3)));
}

TEST_F(Batch, ALineFromASideLineLeavesABatchBehind) {
    put({write(0, 8), write(8, 8), write(3, 3)});
    Primary second(primary, test_uuid(2), Lsn(1));
    expect_ok(lab.store->append_timeline(second.timeline()));
    const FramePtr begin = second.batch_frame(EntryKind::batch_begin, {write(16, 8)});
    const FramePtr inside = second.frame({write(24, 8)});
    expect_ok(lab.store->append(std::vector<FramePtr>{begin, inside}));
    sync();
    ASSERT_TRUE(lab.store->gap_open());
    Primary third(primary, test_uuid(3), Lsn(3));
    expect_ok(lab.store->append_timeline(third.timeline()));
    const FramePtr frame = third.frame({write(40, 8)});
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    for (int turn = 0; turn < 2; ++turn) {
        EXPECT_FALSE(lab.store->gap_open());
        EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(3), Lsn(4)}));
        EXPECT_EQ(lab.compare({test_uuid(2), Lsn(2)}, second.image(Lsn(2))), "");
        EXPECT_EQ(lab.store->view({test_uuid(2), Lsn(3)}).status().code(), ErrorCode::refused);
        EXPECT_EQ(lab.compare({test_uuid(3), Lsn(4)}, third.image(Lsn(4))), "");
        lab.reopen();
    }
}

}  // namespace
}  // namespace everstep::journal::lab
