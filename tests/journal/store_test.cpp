// What the store promises for frames, timelines, gaps, marks and steps.
#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

const TimelineId kLine = test_uuid(1);

TestWrite data(std::uint64_t sector, std::uint64_t count, std::uint64_t volume = 0) {
    return {.volume = VolumeIndex(volume),
            .offset = ByteOffset(sector * kSectorBytes),
            .length = ByteCount(count * kSectorBytes)};
}
TestWrite of_kind(EntryKind kind, std::uint64_t sector, std::uint64_t count) {
    TestWrite w = data(sector, count);
    w.kind = kind;
    return w;
}
TestWrite sync_step() {
    return of_kind(EntryKind::sync, 0, 0);
}

class StoreTest : public testing::Test {
  protected:
    explicit StoreTest(std::vector<ByteCount> sizes = {ByteCount(64 << 10)})
        : lab(sizes), primary(lab.options.group, kLine, sizes) {
        lab.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        expect_ok(lab.store->begin_history({primary.timeline()}, base));
    }
    static void expect_ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    FramePtr put(const std::vector<TestWrite>& writes) {
        FramePtr frame = primary.frame(writes);
        expect_ok(lab.store->append({&frame, 1}));
        return frame;
    }
    void sync() { expect_ok(lab.store->sync()); }
    static Point at(std::uint64_t lsn) { return {kLine, Lsn(lsn)}; }
    void expect_step(std::uint64_t lsn) {
        EXPECT_EQ(lab.compare(at(lsn), primary.image(Lsn(lsn))), "");
    }
    // A frame of resync extents, as the standby makes it from what it found different.
    FramePtr resync_frame(const TestWrite& write, std::uint64_t lsn_of_content) {
        FrameBuilder builder;
        FrameEntry entry;
        entry.lsn = lab.store->tip().point.lsn;
        entry.volume = write.volume;
        entry.kind = write.kind;
        entry.offset = write.offset;
        entry.length = write.length;
        builder.add(entry, write.kind == EntryKind::data ? content(write, Lsn(lsn_of_content), 1)
                                                         : std::vector<std::byte>());
        FrameHeader header;
        header.kind = FrameKind::resync;
        header.group = lab.options.group;
        header.timeline = lab.store->tip().point.timeline;
        header.first_lsn = header.last_lsn = entry.lsn;
        header.sub_first = 1;
        return builder.seal(header);
    }

    StoreLab lab;
    Primary primary;
};

TEST_F(StoreTest, DurableFollowsSyncAndSurvivesReopening) {
    put({data(0, 8), data(3, 1)});
    EXPECT_EQ(lab.store->tip().point, at(2));
    EXPECT_EQ(lab.store->durable().point, at(0));
    sync();
    EXPECT_EQ(lab.store->durable().point, at(2));
    lab.reopen();
    EXPECT_EQ(lab.store->durable(), primary.tip());
    EXPECT_EQ(lab.store->tip(), primary.tip());
    for (std::uint64_t n = 0; n <= 2; ++n) expect_step(n);
}

TEST_F(StoreTest, SameFrameAgainIsDropped) {
    const FramePtr frame = put({data(0, 8)});
    const ByteCount before = lab.store->stored_bytes();
    expect_ok(lab.store->append({&frame, 1}));
    EXPECT_EQ(lab.store->tip().point, at(1));
    EXPECT_EQ(lab.store->stored_bytes(), before);
}

TEST_F(StoreTest, OtherContentForAStoredStepIsRefusedWithBothHashes) {
    const FramePtr stored = put({data(0, 8)});
    Primary liar(lab.options.group, kLine, lab.options.volume_bytes);
    const FramePtr other = liar.frame({data(8, 8)});
    const Status status = lab.store->append({&other, 1});
    EXPECT_EQ(status.code(), ErrorCode::corrupt);
    EXPECT_NE(status.message().find("two contents"), std::string::npos);
    expect_step(1);
}

TEST_F(StoreTest, AFrameThatLeavesAHoleIsRefusedAndNothingOfItTaken) {
    put({data(0, 8)});
    const FramePtr second = primary.frame({data(8, 8)});
    const FramePtr third = primary.frame({data(16, 8)});
    EXPECT_EQ(lab.store->append({&third, 1}).code(), ErrorCode::refused);
    EXPECT_EQ(lab.store->tip().point, at(1));
    const std::vector<FramePtr> both{second, third};
    expect_ok(lab.store->append(both));
    expect_step(3);
}

TEST_F(StoreTest, AWriteBeyondItsVolumeIsRefused) {
    Primary wide(lab.options.group, kLine, {ByteCount(1 << 20)});
    const FramePtr frame = wide.frame({data(2000, 8)});
    EXPECT_EQ(lab.store->append({&frame, 1}).code(), ErrorCode::corrupt);
}

TEST_F(StoreTest, BeforeImagesAreTakenOnceAndBackAndForwardIsIdentical) {
    put({data(0, 8), data(9, 2), data(0, 1), of_kind(EntryKind::zero, 8, 16)});
    sync();
    expect_ok(lab.apply_all(at(4)));
    const Image head = lab.replica.volumes[0];
    EXPECT_GT(lab.replica.asked, 0U);
    for (const std::uint64_t back : {2U, 0U, 3U, 1U}) {
        expect_ok(lab.go_to(at(back)));
        EXPECT_EQ(lab.replica.volumes[0], primary.image(Lsn(back))[0]);
        expect_ok(lab.go_to(at(4)));
        EXPECT_EQ(lab.replica.volumes[0], head);
    }
    expect_ok(lab.go_to(at(0)));
    lab.replica.asked = 0;
    while (lab.store->replica().high != Position{Lsn(4), 0}) expect_ok(lab.apply_batch(at(4)));
    EXPECT_EQ(lab.replica.asked, 0U) << "a before-image was taken again";
    EXPECT_EQ(lab.replica.volumes[0], head);
}

TEST_F(StoreTest, CrashBetweenBeforeImageAndReplicaWriteKeepsEveryStep) {
    put({data(0, 8), data(4, 8), data(20, 3)});
    sync();
    expect_ok(lab.apply_batch(at(3), ByteCount(1 << 20),
                              false));  // half written
    lab.reopen();
    EXPECT_EQ(lab.store->replica().low, (Position{Lsn(0), 0}));
    EXPECT_EQ(lab.store->replica().high, (Position{Lsn(3), 0}));
    for (std::uint64_t n = 0; n <= 3; ++n) expect_step(n);
    expect_ok(lab.redo());
    EXPECT_EQ(lab.replica.volumes[0], primary.image(Lsn(3))[0]);
    for (std::uint64_t n = 0; n <= 3; ++n) expect_step(n);
}

TEST_F(StoreTest, ApplyNeverPassesDurable) {
    put({data(0, 8), data(1, 1)});
    sync();
    put({data(2, 8)});
    EXPECT_EQ(lab.store->next_batch(at(3), ByteCount(1 << 20))->to, (Position{Lsn(2), 0}));
    expect_ok(lab.apply_all(at(3)));
    EXPECT_EQ(lab.store->replica().high, (Position{Lsn(2), 0}));
}

TEST_F(StoreTest, LowIsStoredWithTheNextBatchOrWhenAsked) {
    put({data(0, 8)});
    sync();
    expect_ok(lab.apply_all(at(1)));
    expect_ok(lab.store->sync_low());
    lab.reopen();
    EXPECT_EQ(lab.store->replica().low, (Position{Lsn(1), 0}));
    EXPECT_EQ(lab.store->replica().high, (Position{Lsn(1), 0}));
}

TEST_F(StoreTest, HeldSurvivesARestart) {
    put({data(0, 8), data(1, 8)});
    sync();
    expect_ok(lab.apply_all(at(2)));
    expect_ok(lab.go_to(at(1)));
    expect_ok(lab.store->set_held(true, at(1)));
    lab.reopen();
    EXPECT_TRUE(lab.store->replica().held);
    EXPECT_EQ(lab.store->replica().held_at, at(1));
    EXPECT_EQ(lab.store->replica().high, (Position{Lsn(1), 0}));
    expect_step(2);
}

TEST_F(StoreTest, AMoveThatWasKilledGoesOnAfterReopening) {
    put({data(0, 8), data(8, 8), data(0, 3)});
    sync();
    expect_ok(lab.apply_all(at(3)));
    const auto plan = lab.store->plan_move(at(1));
    ASSERT_TRUE(plan.ok());
    expect_ok(lab.store->begin_move(*plan));
    lab.replica.write(VolumeIndex(0), ByteOffset(8 * kSectorBytes),
                      Bytes(primary.image(Lsn(1))[0]).subspan(8 * kSectorBytes, 4096));
    lab.reopen();
    for (std::uint64_t n = 0; n <= 3; ++n) expect_step(n);
    expect_ok(lab.move(at(1)));  // planned again from [1, 3]
    EXPECT_EQ(lab.replica.volumes[0], primary.image(Lsn(1))[0]);
    EXPECT_EQ(lab.store->replica().low, lab.store->replica().high);
}

TEST_F(StoreTest, BranchInsideAFrameKeepsTheRestOnTheOldLine) {
    put({data(0, 8), data(0, 4), data(2, 8), data(1, 1)});
    sync();
    Primary branch(primary, test_uuid(2), Lsn(2));
    expect_ok(lab.store->append_timeline(branch.timeline()));
    EXPECT_EQ(lab.store->tip().point, (Point{test_uuid(2), Lsn(2)}));
    const FramePtr frame = branch.frame({data(5, 9), data(0, 1)});
    EXPECT_TRUE(frame->header().after_branch);
    expect_ok(lab.store->append({&frame, 1}));
    sync();
    lab.reopen();
    for (std::uint64_t n = 0; n <= 4; ++n) {
        expect_step(n);
        EXPECT_EQ(lab.compare({test_uuid(2), Lsn(n)}, branch.image(Lsn(n))), "");
    }
    expect_ok(lab.apply_all({test_uuid(2), Lsn(4)}));
    EXPECT_EQ(lab.replica.volumes[0], branch.image(Lsn(4))[0]);
    expect_ok(lab.go_to(at(4)));
    EXPECT_EQ(lab.replica.volumes[0], primary.image(Lsn(4))[0]);
    EXPECT_FALSE(lab.store->view({test_uuid(2), Lsn(5)}).ok());
}

TEST_F(StoreTest, ABranchFromAnotherHistoryIsRefused) {
    put({data(0, 8)});
    TimelineInfo stranger = Primary(primary, test_uuid(2), Lsn(1)).timeline();
    stranger.branch_hash[0] ^= 1;
    EXPECT_EQ(lab.store->append_timeline(stranger).code(), ErrorCode::corrupt);
    stranger.parent = test_uuid(77);
    EXPECT_EQ(lab.store->append_timeline(stranger).code(), ErrorCode::refused);
}

TEST_F(StoreTest, PointsInsideAGapAreRefusedAndStepsAreListed) {
    put({data(0, 8), data(8, 8)});
    expect_ok(lab.store->open_gap(at(2), "queue overflow"));
    sync();
    EXPECT_EQ(lab.store->consistent(), at(2));
    primary.skip_to(Lsn(10));
    expect_ok(lab.store->append_resync(resync_frame(data(30, 4), 7)));
    put({data(16, 8)});  // step 11
    expect_ok(lab.store->append_resync(resync_frame(data(40, 2), 9)));
    sync();
    EXPECT_EQ(lab.store->consistent(), at(2));
    EXPECT_EQ(lab.store->view(at(11)).status().code(), ErrorCode::refused);
    lab.reopen();
    ASSERT_TRUE(lab.store->gap_open().has_value());
    EXPECT_EQ(lab.store->gap_open()->from, at(2));
    put({sync_step()});  // step 12, which ends nothing by itself
    sync();
    EXPECT_EQ(lab.store->consistent(), at(2));
    EXPECT_EQ(lab.store->close_gap(at(2)).code(), ErrorCode::corrupt);
    EXPECT_EQ(lab.store->close_gap(at(13)).code(), ErrorCode::corrupt);
    lab.reopen();
    expect_ok(lab.store->close_gap(at(12)));
    sync();
    EXPECT_EQ(lab.store->consistent(), at(12));
    lab.reopen();
    EXPECT_FALSE(lab.store->gap_open());
    ASSERT_EQ(lab.store->gaps().size(), 1U);
    EXPECT_EQ(lab.store->gaps()[0].to, at(12));
    EXPECT_EQ(lab.store->gaps()[0].bytes, ByteCount(6 * kSectorBytes));
    EXPECT_EQ(lab.store->gaps()[0].extents.size(), 2U);
    const Status inside = lab.store->view(at(5)).status();
    EXPECT_EQ(inside.code(), ErrorCode::refused);
    EXPECT_NE(inside.message().find("step:2 and step:12"), std::string::npos) << inside.message();
    EXPECT_TRUE(lab.store->view(at(2)).ok());

    std::vector<std::uint64_t> listed;
    const auto view = lab.store->view(at(12));
    ASSERT_TRUE(view.ok());
    expect_ok(lab.store->each_step(*view, Lsn(0), {}, [&](const StepInfo& s) {
        listed.push_back(s.lsn.value());
        return true;
    }));
    EXPECT_EQ(listed, (std::vector<std::uint64_t>{12, 11, 2, 1}));
    // The content at the end: frames and resync extents in their order.
    expect_ok(lab.apply_all(at(12)));
    Image wanted = primary.image(Lsn(2))[0];
    const auto lay = [&](const TestWrite& w, std::uint64_t lsn) {
        const auto bytes = content(w, Lsn(lsn), 1);
        std::copy(bytes.begin(), bytes.end(),
                  wanted.begin() + static_cast<std::ptrdiff_t>(w.offset.value()));
    };
    lay(data(30, 4), 7);
    lay(data(16, 8), 11);
    lay(data(40, 2), 9);
    EXPECT_EQ(lab.replica.volumes[0], wanted);
    expect_ok(lab.go_to(at(2)));
    EXPECT_EQ(lab.replica.volumes[0], primary.image(Lsn(2))[0]);
}

TEST_F(StoreTest, AGapOnANewTimelineBeyondWhatIsStored) {
    put({data(0, 8), data(8, 8)});
    expect_ok(lab.store->open_gap(at(2), "the primary stopped uncleanly"));
    TimelineInfo next;
    next.id = test_uuid(2);
    next.parent = kLine;
    next.branch_lsn = Lsn(7);
    next.branch_seq = FrameSeq(5);
    next.number = 2;
    expect_ok(lab.store->append_timeline(next));
    EXPECT_EQ(lab.store->tip().point, (Point{test_uuid(2), Lsn(7)}));
    expect_ok(lab.store->append_resync(resync_frame(data(50, 3), 6)));
    FrameBuilder builder;
    FrameEntry entry;
    entry.kind = EntryKind::sync;
    entry.lsn = Lsn(8);
    entry.step_time = primary.tip().step_time;
    builder.add(entry, {});
    FrameHeader header;
    header.group = lab.options.group;
    header.timeline = test_uuid(2);
    header.seq = FrameSeq(6);
    header.first_lsn = header.last_lsn = Lsn(8);
    header.after_branch = true;
    const FramePtr frame = builder.seal(header);
    expect_ok(lab.store->append({&frame, 1}));
    expect_ok(lab.store->close_gap({test_uuid(2), Lsn(8)}));
    sync();
    lab.reopen();
    EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(2), Lsn(8)}));
    EXPECT_FALSE(lab.store->view(at(5)).ok());
    EXPECT_FALSE(lab.store->view({test_uuid(2), Lsn(7)}).ok());
    EXPECT_TRUE(lab.store->view(at(2)).ok());
    Image wanted = primary.image(Lsn(2))[0];
    const auto bytes = content(data(50, 3), Lsn(6), 1);
    std::copy(bytes.begin(), bytes.end(), wanted.begin() + 50 * 512);
    EXPECT_EQ(lab.compare({test_uuid(2), Lsn(8)}, {wanted}), "");
    expect_ok(lab.apply_all({test_uuid(2), Lsn(8)}));
    EXPECT_EQ(lab.replica.volumes[0], wanted);
}

TEST_F(StoreTest, AGapBeginsOnlyAtTheTip) {
    put({data(0, 8), data(8, 8)});
    EXPECT_EQ(lab.store->open_gap(at(1), "older").code(), ErrorCode::refused);
    const FramePtr resync = resync_frame(data(0, 1), 1);
    EXPECT_EQ(lab.store->append_resync(resync).code(), ErrorCode::refused);
    // The order that is supported: the timeline that branches there first, then the gap.
    Primary branch(primary, test_uuid(2), Lsn(1));
    expect_ok(lab.store->append_timeline(branch.timeline()));
    expect_ok(lab.store->open_gap(at(1), "the line went another way"));
    EXPECT_TRUE(lab.store->gap_open());
}

TEST_F(StoreTest, GoingBackBeforeAnOpenGapGivesItUp) {
    put({data(0, 8), data(8, 8), data(1, 1)});
    expect_ok(lab.store->open_gap(at(3), "overflow"));
    put({data(2, 2), data(3, 3)});
    Primary branch(primary, test_uuid(2), Lsn(2));
    expect_ok(lab.store->append_timeline(branch.timeline()));
    sync();
    lab.reopen();
    EXPECT_FALSE(lab.store->gap_open());
    EXPECT_TRUE(lab.store->view(at(3)).ok());
    EXPECT_FALSE(lab.store->view(at(4)).ok());
    EXPECT_FALSE(lab.store->view(at(5)).ok());
    EXPECT_TRUE(lab.store->view({test_uuid(2), Lsn(2)}).ok());
    EXPECT_EQ(lab.store->consistent(), (Point{test_uuid(2), Lsn(2)}));
}

TEST_F(StoreTest, MarksAreUniqueDurableAndTravelInTheStream) {
    put({data(0, 8), data(8, 8)});
    Mark mark;
    mark.name = "before-upgrade";
    mark.at = at(1);
    mark.pinned = true;
    expect_ok(lab.store->put_mark(mark));
    EXPECT_EQ(lab.store->put_mark(mark).code(), ErrorCode::exists);
    Mark second = mark;
    second.name = "gone";
    expect_ok(lab.store->put_mark(second));
    expect_ok(lab.store->drop_mark("gone"));
    EXPECT_EQ(lab.store->drop_mark("gone").code(), ErrorCode::not_found);
    sync();
    lab.reopen();
    ASSERT_EQ(lab.store->marks().size(), 1U);
    EXPECT_EQ(lab.store->marks()[0].name, "before-upgrade");
    EXPECT_TRUE(lab.store->marks()[0].pinned);
    EXPECT_EQ(lab.store->marks()[0].at, at(1));
}

TEST_F(StoreTest, FlushMarksTimesAndSteps) {
    put({data(0, 8), data(8, 8), data(16, 8)});
    const FramePtr flush = primary.flush_frame(VolumeIndex(0), Lsn(2));
    expect_ok(lab.store->append({&flush, 1}));
    TestWrite fua = data(3, 1);
    fua.fua = true;
    put({fua, data(4, 1)});
    sync();
    lab.reopen();
    EXPECT_EQ(lab.store->tip(), primary.tip());
    const View view = *lab.store->view(at(5));
    EXPECT_EQ(*lab.store->flush_before(view, std::nullopt), Lsn(4));
    EXPECT_EQ(*lab.store->flush_before(*lab.store->view(at(3)), VolumeIndex(0)), Lsn(2));
    EXPECT_EQ(*lab.store->flush_before(*lab.store->view(at(1)), std::nullopt), std::nullopt);
    const auto second = lab.store->step(view, Lsn(2));
    ASSERT_TRUE(second.ok());
    EXPECT_TRUE(second->flush);
    EXPECT_EQ(second->offset, ByteOffset(8 * kSectorBytes));
    EXPECT_FALSE(lab.store->step(view, Lsn(1))->flush);
    EXPECT_EQ(lab.store->step(view, Lsn(0)).status().code(), ErrorCode::not_found);
    for (std::uint64_t n = 1; n <= 5; ++n) {
        const WallTime time = lab.store->step(view, Lsn(n))->step_time;
        EXPECT_EQ(*lab.store->step_at_time(view, time), Lsn(n));
        EXPECT_EQ(*lab.store->step_at_time(view, time - std::chrono::nanoseconds(1)), Lsn(n - 1));
    }
    EXPECT_EQ(lab.store->step_at_time(view, WallTime(std::chrono::seconds(-1))).status().code(),
              ErrorCode::refused);
    const auto tip = lab.store->tip_at(at(2));
    ASSERT_TRUE(tip.ok());
    EXPECT_EQ(tip->seq, FrameSeq(1));
    EXPECT_EQ(lab.store->tip_at(at(3))->seq, FrameSeq(1));
    EXPECT_EQ(lab.store->stream_tip_at(at(3))->seq, FrameSeq(2));  // one without steps
}

TEST_F(StoreTest, PointsOutsideHistoryAreRefusedWithTheNearest) {
    put({data(0, 8)});
    const Status after = lab.store->view(at(2)).status();
    EXPECT_EQ(after.code(), ErrorCode::refused);
    EXPECT_NE(after.message().find("step:1"), std::string::npos);
    EXPECT_EQ(lab.store->view({test_uuid(9), Lsn(0)}).status().code(), ErrorCode::refused);
}

TEST_F(StoreTest, AStoreThatWasWipedIsEmptyAndTakesANewHistory) {
    put({data(0, 8)});
    sync();
    EXPECT_EQ(Store::wipe(io::system_files(), lab.options.directory).code(), ErrorCode::busy);
    lab.store.reset();
    expect_ok(Store::wipe(io::system_files(), lab.options.directory));
    lab.open();
    EXPECT_FALSE(lab.store->has_history());
    Tip base;
    base.point = {kLine, Lsn(100)};
    expect_ok(lab.store->begin_history({primary.timeline()}, base));
    lab.reopen();
    EXPECT_EQ(lab.store->baseline(), (Point{kLine, Lsn(100)}));
    EXPECT_FALSE(lab.store->view(at(99)).ok());
}

class LongZeroes : public StoreTest {
  protected:
    LongZeroes() : StoreTest({ByteCount(kPieceBytesMax * 4)}) {}
};

TEST_F(LongZeroes, AreAppliedInPiecesThatCountOnlyWhenTheLastIsIn) {
    const std::uint64_t sectors = kPieceBytesMax * 4 / kSectorBytes;
    put({data(4, 4), of_kind(EntryKind::discard, 1, sectors - 1), data(8, 1)});
    sync();
    EXPECT_EQ(lab.store->next_batch(at(3), ByteCount(1))->to, (Position{Lsn(1), 0}));
    expect_ok(lab.apply_batch(at(3), ByteCount(1)));
    std::vector<Position> reached;
    while (lab.store->replica().high != Position{Lsn(3), 0}) {
        expect_ok(lab.apply_batch(at(3), ByteCount(1)));
        reached.push_back(lab.store->replica().high);
    }
    EXPECT_EQ(reached, (std::vector<Position>{
                           {Lsn(1), 1}, {Lsn(1), 2}, {Lsn(1), 3}, {Lsn(2), 0}, {Lsn(3), 0}}));
    EXPECT_LT(lab.store->stored_bytes(), ByteCount(1 << 20))
        << "before-images of holes carry no data";
    lab.reopen();
    const auto view = lab.store->view(at(1));
    ASSERT_TRUE(view.ok());
    std::vector<std::byte> found(8 * kSectorBytes);
    expect_ok(lab.store->read(*view, lab.replica, VolumeIndex(0), ByteOffset(0), found));
    EXPECT_TRUE(std::equal(found.begin(), found.end(), primary.image(Lsn(1))[0].begin()));
    const auto status =
        lab.store->block_status(*lab.store->view(at(2)), lab.replica, VolumeIndex(0), ByteOffset(0),
                                ByteCount(kPieceBytesMax * 4), 8);
    ASSERT_TRUE(status.ok()) << status.status().message();
    EXPECT_TRUE(status->back().zero);
}

class LargeWrites : public StoreTest {
  protected:
    LargeWrites() : StoreTest({ByteCount(8 << 20)}) {}
};

TEST_F(LargeWrites, ARecordLargerThanASegmentGetsOneOfItsOwnAndSmallReadsOfItAreChecked) {
    put({data(3, 5000)});
    put({data(100, 200), data(1, 1)});
    sync();
    lab.reopen();
    const View view = *lab.store->view(at(1));
    for (const std::uint64_t sector : {3ULL, 130ULL, 131ULL, 2600ULL, 5002ULL}) {
        std::vector<std::byte> found(kSectorBytes);
        expect_ok(lab.store->read(view, lab.replica, VolumeIndex(0),
                                  ByteOffset(sector * kSectorBytes), found));
        EXPECT_TRUE(std::equal(
            found.begin(), found.end(),
            primary.image(Lsn(1))[0].begin() + static_cast<std::ptrdiff_t>(sector * kSectorBytes)));
    }
    for (std::uint64_t n = 0; n <= 3; ++n) expect_step(n);
    expect_ok(lab.apply_all(at(3)));
    for (std::uint64_t n = 0; n <= 3; ++n) expect_step(n);
}

}  // namespace
}  // namespace everstep::journal::lab
