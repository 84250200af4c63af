// Batches of steps that belong together: no point lies inside, and nothing is lost by one.
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

}  // namespace
}  // namespace everstep::journal::lab
