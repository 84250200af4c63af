// Retention on a store: what goes, what stays, and that what went does not come back.
#include <algorithm>

#include "tests/journal/keep_lab.hpp"

namespace everstep::journal::lab {
namespace {

using std::chrono::hours;

const KeepLimits kDay{.keep_time = hours(24)};
const KeepLimits kForced{.force = true};

std::size_t files_named(const StoreLab& lab, const std::string& prefix) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(lab.options.directory))
        count += entry.path().filename().string().starts_with(prefix) ? 1U : 0U;
    return count;
}

// A resync compares with it; that it is no point is another matter.
TEST(KeepTest, TheTipInAHoleOfAnOpenGapIsRead) {
    StoreLab lab;
    lab.open();
    Primary primary(lab.options.group, test_uuid(1), lab.options.volume_bytes);
    Tip base;
    base.point = {test_uuid(1), Lsn(0)};
    ASSERT_TRUE(lab.store->begin_history({primary.timeline()}, base).ok());
    const FramePtr frame = primary.frame(
        {{.volume = VolumeIndex(0), .offset = ByteOffset(0), .length = ByteCount(kBlockBytes)}});
    ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
    ASSERT_TRUE(lab.store->open_gap({test_uuid(1), Lsn(1)}, "the backlog was dropped").ok());
    TimelineInfo branch;
    branch.id = test_uuid(2);
    branch.parent = test_uuid(1);
    branch.branch_lsn = Lsn(4);  // three steps of it were never here
    ASSERT_TRUE(lab.store->append_timeline(branch).ok());
    EXPECT_TRUE(lab.read(lab.store->view_at_tip(), VolumeIndex(0)) == primary.image(Lsn(1))[0]);
    EXPECT_FALSE(lab.store->view({branch.id, Lsn(4)}).ok());
}

TEST(KeepTest, TheBaselineIsAPointAtTheBranchOfItsTimelineToo) {
    StoreLab anew;
    anew.open();
    const TimelineInfo first = root_timeline(test_uuid(1));
    TimelineInfo second;
    second.id = test_uuid(2);
    second.parent = first.id;
    second.branch_lsn = Lsn(7);
    Tip base;
    base.point = {second.id, Lsn(7)};
    ASSERT_TRUE(anew.store->begin_history({first, second}, base).ok());
    const std::vector<Image> empty{Image(anew.options.volume_bytes[0].value())};
    EXPECT_EQ(anew.compare(base.point, empty), "");
    EXPECT_EQ(anew.compare({first.id, Lsn(7)}, empty), "");
}

TEST(KeepTest, TheOldestGoesByAgeAndStaysGone) {
    KeepLab lab;
    lab.begin();
    lab.take_some(12);
    lab.clock.boot_now += hours(20);
    lab.take_some(12);
    EXPECT_EQ(lab.keep(kDay), 0U);
    const std::size_t before = files_named(lab, "redo-");
    lab.clock.boot_now += hours(5);
    EXPECT_GT(lab.keep(kDay), 0U);
    const Lsn oldest = lab.store->baseline().lsn;
    EXPECT_GT(oldest, Lsn(10));
    EXPECT_LE(oldest, Lsn(24));
    EXPECT_LT(files_named(lab, "redo-"), before);
    EXPECT_FALSE(lab.has(oldest - 1));
    EXPECT_NE(lab.refusal(oldest - 1).find("step:" + std::to_string(oldest.value())),
              std::string::npos);
    const std::size_t points = lab.check_all();
    EXPECT_EQ(points, 48 - oldest.value() + 1);
    lab.reopen();
    EXPECT_EQ(lab.store->baseline().lsn, oldest);
    EXPECT_EQ(lab.check_all(), points);
    lab.take_some(3);
    lab.reopen();
    EXPECT_EQ(lab.check_all(), points + 6);
}

TEST(KeepTest, BytesBoundWhatIsStored) {
    KeepLab lab;
    lab.begin();
    lab.take_some(60);
    const KeepLimits limits{.keep_bytes = ByteCount(400 << 10)};
    EXPECT_GT(lab.keep(limits), 0U);
    EXPECT_LE(lab.store->stored_bytes(), limits.keep_bytes);
    EXPECT_GT(lab.check_all(), 10U);
}

TEST(KeepTest, NoClockStepExpiresAnything) {
    KeepLab lab;
    lab.begin();
    lab.take_some(12);
    lab.clock.boot_now += hours(1);
    for (const hours step : {hours(200'000), hours(-300'000), hours(1)}) {
        lab.clock.wall_now += step;
        EXPECT_EQ(lab.keep(kDay), 0U);
        lab.reopen();  // at a restart
        EXPECT_EQ(lab.keep(kDay), 0U);
        lab.clock.boot_now = hours(0);  // of the machine
        lab.reopen();
        EXPECT_EQ(lab.keep(kDay), 0U);
        lab.clock.boot_now = hours(5000);  // long up before this run
        lab.reopen();
        EXPECT_EQ(lab.keep(kDay), 0U);
    }
    EXPECT_EQ(lab.check_all(), 25U);
}

TEST(KeepTest, AgeIsSummedOverRuns) {
    KeepLab lab;
    lab.begin();
    lab.take_some(24);
    for (int run = 0; run < 5; ++run) {
        EXPECT_EQ(lab.keep(kDay), 0U) << run;
        lab.clock.boot_now += hours(5);
        ASSERT_TRUE(lab.store->keep_age().ok());
        lab.store.reset();
        lab.clock.boot_now = hours(1000 * run);  // the time between does not count
        lab.open();
    }
    EXPECT_EQ(lab.store->age(), hours(25));
    EXPECT_GT(lab.keep(kDay), 0U);
}

TEST(KeepTest, WhatIsNotAppliedDurablyStays) {
    KeepLab lab;
    lab.begin();
    for (int n = 0; n < 20; ++n) {
        const FramePtr frame = lab.primary.frame({KeepLab::write(n)});
        ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
    }
    ASSERT_TRUE(lab.store->sync().ok());
    EXPECT_EQ(lab.keep(kForced), 0U);
    ASSERT_TRUE(lab.apply_all(lab.store->durable().point).ok());
    ASSERT_TRUE(lab.store->sync_low().ok());
    EXPECT_GT(lab.keep(kForced), 0U);
    EXPECT_TRUE(lab.has(lab.primary.head()));
    lab.check_all();
}

TEST(KeepTest, AHeldReplicaKeepsItsStepAndTheWayBack) {
    KeepLab lab;
    lab.begin();
    lab.take_some(24);
    ASSERT_TRUE(lab.store->set_held(true, {kKeepLine, Lsn(20)}).ok());
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(20)}).ok());
    lab.keep(kForced);
    EXPECT_FALSE(lab.has(Lsn(1)));
    EXPECT_TRUE(lab.has(Lsn(20)));
    lab.reopen();
    lab.keep(kForced);
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(48)}).ok());
    EXPECT_EQ(lab.replica.volumes, lab.primary.image(Lsn(48)));
    ASSERT_FALSE(lab.store->set_held(true, {kKeepLine, Lsn(1)}).ok());
}

TEST(KeepTest, AHoldKeepsItsStepUntilItEnds) {
    KeepLab lab;
    lab.begin();
    lab.take_some(24);
    auto hold = lab.store->hold({kKeepLine, Lsn(20)}, HoldKind::passing);
    ASSERT_TRUE(hold.ok());
    const auto view = lab.store->view({kKeepLine, Lsn(20)});
    ASSERT_TRUE(view.ok());
    lab.keep(kForced);
    EXPECT_TRUE(lab.has(Lsn(20)));
    EXPECT_FALSE((*hold)->ended);
    EXPECT_EQ(lab.store->end_holds(HoldKind::lasting), 0U);
    EXPECT_EQ(lab.store->end_holds(HoldKind::passing), 1U);
    EXPECT_TRUE((*hold)->ended);
    lab.keep(kForced);
    EXPECT_FALSE(lab.has(Lsn(20)));
    // What still reads there is refused, never answered with something else.
    Image image(lab.options.volume_bytes[0].value());
    const Status read = lab.store->read(*view, lab.replica, VolumeIndex(0), ByteOffset(0), image);
    EXPECT_EQ(read.code(), ErrorCode::refused) << read.message();
    EXPECT_FALSE(lab.store->touched(*view, lab.store->view_at_tip()).ok());
}

TEST(KeepTest, BehindAPinnedMarkOnlyKeptStepsAreLeft) {
    KeepLab lab;
    lab.begin();
    lab.take_some(40);
    lab.pin("before", Lsn(17));
    lab.pin("after", Lsn(33));
    const std::uint64_t before = lab.store->stored_bytes().value();
    EXPECT_GT(lab.keep(kForced), 0U);
    EXPECT_LT(lab.store->stored_bytes().value(), before);
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(lab.store->baseline().lsn, Lsn(17));
        EXPECT_TRUE(lab.has(Lsn(17)) && lab.has(Lsn(33)) && lab.has(Lsn(80)));
        EXPECT_FALSE(lab.has(Lsn(16)) || lab.has(Lsn(18)) || lab.has(Lsn(32)));
        EXPECT_NE(lab.refusal(Lsn(20)).find("nearest points are step:17 and step:"),
                  std::string::npos)
            << lab.refusal(Lsn(20));
        const auto thinned = lab.store->thinned();
        ASSERT_FALSE(thinned.empty());
        EXPECT_EQ(thinned.front().from, (Point{kKeepLine, Lsn(17)}));
        EXPECT_LT(lab.check_all(), 20U);
        const auto view = lab.store->view({kKeepLine, Lsn(33)});
        ASSERT_TRUE(view.ok());
        const auto step = lab.store->step(*view, Lsn(33));
        ASSERT_TRUE(step.ok()) << step.status().message();
        EXPECT_EQ(step->length, ByteCount(kBlockBytes));
        const auto tip = lab.store->tip_at({kKeepLine, Lsn(33)});
        ASSERT_TRUE(tip.ok());
        EXPECT_EQ(tip->step_time, step->step_time);
        std::vector<Lsn> listed;
        ASSERT_TRUE(lab.store
                        ->each_step(lab.store->view_at_tip(), Lsn(0), {},
                                    [&](const StepInfo& s) {
                                        listed.push_back(s.lsn);
                                        return true;
                                    })
                        .ok());
        EXPECT_TRUE(std::is_sorted(listed.rbegin(), listed.rend()));
        EXPECT_EQ(std::count(listed.begin(), listed.end(), Lsn(33)), 1);
        EXPECT_EQ(std::count(listed.begin(), listed.end(), Lsn(18)), 0);
        lab.reopen();
    }
    // The replica goes there and back.
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(17)}).ok());
    EXPECT_EQ(lab.replica.volumes, lab.primary.image(Lsn(17)));
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(33)}).ok());
    EXPECT_EQ(lab.replica.volumes, lab.primary.image(Lsn(33)));
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(80)}).ok());
    EXPECT_EQ(lab.replica.volumes, lab.primary.image(Lsn(80)));
    // Without the pins it goes like the rest.
    ASSERT_TRUE(lab.store->drop_mark("before").ok());
    ASSERT_TRUE(lab.store->drop_mark("after").ok());
    ASSERT_TRUE(lab.store->sync_low().ok());
    lab.keep(kForced);
    EXPECT_FALSE(lab.has(Lsn(33)));
    EXPECT_TRUE(lab.store->thinned().empty());
    lab.check_all();
}

TEST(KeepTest, ASideWithAPinnedMarkKeepsTheWayToIt) {
    KeepLab lab;
    lab.begin();
    lab.take_some(30);
    lab.pin("there", Lsn(50));
    // The line goes on from step 30; what was behind it is a side now.
    Primary other(lab.primary, test_uuid(2), Lsn(30));
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(30)}).ok());
    ASSERT_TRUE(lab.store->append_timeline(other.timeline()).ok());
    for (int n = 0; n < 20; ++n) {
        const FramePtr frame = other.frame({KeepLab::write(n % 29)});
        ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
    }
    ASSERT_TRUE(lab.settle().ok());
    lab.keep(kForced);
    for (int round = 0; round < 2; ++round) {
        EXPECT_TRUE(lab.has(Lsn(30)) && lab.has(Lsn(50)));
        EXPECT_FALSE(lab.has(Lsn(60)) || lab.has(Lsn(51)) || lab.has(Lsn(49)) || lab.has(Lsn(1)));
        EXPECT_EQ(lab.compare({kKeepLine, Lsn(30)}, lab.primary.image(Lsn(30))), "");
        EXPECT_EQ(lab.compare({kKeepLine, Lsn(50)}, lab.primary.image(Lsn(50))), "");
        EXPECT_EQ(lab.compare({test_uuid(2), Lsn(50)}, other.image(Lsn(50))), "");
        lab.reopen();
    }
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(50)}).ok());
    EXPECT_EQ(lab.replica.volumes, lab.primary.image(Lsn(50)));
    ASSERT_TRUE(lab.go_to({test_uuid(2), Lsn(50)}).ok());
    EXPECT_EQ(lab.replica.volumes, other.image(Lsn(50)));
    ASSERT_TRUE(lab.store->drop_mark("there").ok());
    ASSERT_TRUE(lab.store->sync_low().ok());
    lab.keep(kForced);
    EXPECT_FALSE(lab.has(Lsn(50)));
    EXPECT_EQ(lab.compare({test_uuid(2), Lsn(50)}, other.image(Lsn(50))), "");
}

// Steps come newest first, each is found by its number and its time, and what it chains to comes in
// the same order.
void check_listing(const Store& store, const Point& at) {
    const View view = *store.view(at);
    Lsn last = at.lsn + 1;
    FrameSeq seq{UINT64_MAX};
    const Status listed = store.each_step(view, Lsn(0), {}, [&](const StepInfo& step) {
        EXPECT_LT(step.lsn.value(), last.value());
        last = step.lsn;
        const auto found = store.step(view, step.lsn);
        EXPECT_TRUE(found.ok() && found->lsn == step.lsn) << step.lsn.value();
        const auto at_time = store.step_at_time(view, step.step_time);
        EXPECT_TRUE(at_time.ok() && *at_time == step.lsn) << step.lsn.value();
        const Point point{step.timeline, step.lsn};
        for (const auto& tip : {store.tip_at(point), store.stream_tip_at(point)})
            EXPECT_TRUE(tip.ok() && tip->seq <= seq) << step.lsn.value();
        seq = store.tip_at(point)->seq;
        return true;
    });
    EXPECT_TRUE(listed.ok()) << listed.message();
    EXPECT_GT(at.lsn, last);
}

// An unclean start of the primary: steps are lost, and the line goes on on another timeline behind
// a gap. A mark that was pinned before it does not keep all that comes after.
TEST(KeepTest, BehindAGapOntoAnotherLineHistoryStaysBounded) {
    KeepLab lab;
    lab.begin();
    lab.take_some(20);
    lab.pin("there", Lsn(10));
    ASSERT_TRUE(lab.store->sync().ok());
    const Lsn from = lab.primary.head();
    ASSERT_TRUE(lab.store->open_gap({kKeepLine, from}, "lost").ok());
    (void)lab.primary.frame({KeepLab::write(30)});  // never came
    Primary next(lab.primary, test_uuid(2), lab.primary.head());
    ASSERT_TRUE(lab.store->append_timeline(next.timeline()).ok());
    FrameBuilder builder;
    FrameEntry entry;
    entry.lsn = next.head();
    entry.offset = ByteOffset(30 * kBlockBytes);
    entry.length = ByteCount(kBlockBytes);
    builder.add(entry, Bytes(next.now[0]).subspan(entry.offset.value(), kBlockBytes));
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = lab.options.group;
    header.timeline = test_uuid(2);
    header.first_lsn = header.last_lsn = entry.lsn;
    header.sub_first = 1;
    ASSERT_TRUE(lab.store->append_resync(builder.seal(header)).ok());
    TestWrite sync_step;
    sync_step.kind = EntryKind::sync;
    const FramePtr end = next.frame({sync_step});
    ASSERT_TRUE(lab.store->append({&end, 1}).ok());
    const Lsn consistent = next.head();
    ASSERT_TRUE(lab.store->close_gap({test_uuid(2), consistent}).ok());

    std::vector<std::uint64_t> bytes;
    for (int round = 0; round < 5; ++round) {
        for (int n = 0; n < 60; ++n) {
            const std::uint64_t at = next.head().value();
            const FramePtr frame = next.frame({KeepLab::write(at * 7 % 29)});
            ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
        }
        ASSERT_TRUE(lab.settle().ok());
        EXPECT_GT(lab.keep(kForced), 0U) << round;
        bytes.push_back(lab.store->stored_bytes().value());
        lab.reopen();
        EXPECT_TRUE(lab.has(Lsn(10)));
        EXPECT_EQ(lab.compare({kKeepLine, Lsn(10)}, lab.primary.image(Lsn(10))), "");
        std::size_t found = 0;
        for (Lsn lsn = consistent; lsn <= next.head(); lsn = lsn + 1) {
            if (!lab.store->view({test_uuid(2), lsn}).ok()) continue;
            ++found;
            EXPECT_EQ(lab.compare({test_uuid(2), lsn}, next.image(lsn)), "") << lsn.value();
        }
        EXPECT_LT(found, 60U);
        check_listing(*lab.store, {test_uuid(2), next.head()});
    }
    // What is kept is a few images' worth, however much came.
    EXPECT_LT(bytes.back(), 2 * bytes.front());
    ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(10)}).ok());
    EXPECT_EQ(lab.replica.volumes, lab.primary.image(Lsn(10)));
    ASSERT_TRUE(lab.go_to({test_uuid(2), next.head()}).ok());
    EXPECT_EQ(lab.replica.volumes, next.image(next.head()));
}

TEST(KeepTest, FilesAreUsedAgainAndTheirOldRecordsAreNot) {
    KeepLab lab;
    lab.begin();
    lab.take_some(20);
    lab.keep(kForced);
    EXPECT_GT(files_named(lab, "pool-"), 0U);
    const std::size_t waiting = files_named(lab, "pool-");
    lab.take_some(4);
    EXPECT_LT(files_named(lab, "pool-"), waiting);
    const std::size_t points = lab.check_all();
    lab.reopen();
    EXPECT_TRUE(lab.report.empty()) << lab.report.front();
    EXPECT_EQ(lab.check_all(), points);
    ASSERT_TRUE(lab.store->free_pool().ok());
    EXPECT_EQ(files_named(lab, "pool-"), 0U);
    ASSERT_TRUE(lab.store->make_spare().ok());
    EXPECT_EQ(files_named(lab, "pool-"), 1U);
    lab.reopen();
    lab.take_some(4);
    EXPECT_EQ(files_named(lab, "pool-"), 0U);
    EXPECT_EQ(lab.check_all(), points + 8);
}

TEST(KeepTest, UnpinnedMarksGoWithTheirStep) {
    KeepLab lab;
    lab.begin();
    lab.take_some(20);
    Mark mark;
    mark.name = "soon-gone";
    mark.at = {kKeepLine, Lsn(3)};
    ASSERT_TRUE(lab.store->put_mark(mark).ok());
    lab.keep(kForced);
    EXPECT_TRUE(lab.store->marks().empty());
    lab.reopen();
    EXPECT_TRUE(lab.store->marks().empty());
}

}  // namespace
}  // namespace everstep::journal::lab
