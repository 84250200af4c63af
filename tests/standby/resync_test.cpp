// Resync: order was lost, content is compared and journaled, live frames in between; the gap ends
// at the sync step that ResyncEnd names.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "checks.hpp"
#include "sender.hpp"

namespace everstep::standby::testing {
namespace {

class Resync : public ::testing::Test {
  protected:
    Resync() : scene(directory.path(), group), random(test_seed()) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, random());
    }
    void SetUp() override {
        ASSERT_OK(scene.open());
        ASSERT_OK(scene.begin(maker->timeline()));
        sender = std::make_unique<Sender>(scene, *maker);
        ASSERT_OK(sender->begin(sender->start(wire::StartMode::stream, maker->head_point())));
        for (int i = 0; i < 15; ++i) send();
        ASSERT_TRUE(sender->acked(maker->head()));
        ASSERT_TRUE(scene.wait_applied(maker->head()));
    }
    void send(const Shape& shape = {}) {
        const Status status = sender->frame(maker->frame(shape));
        ASSERT_TRUE(status.ok()) << status.message();
    }
    void end_resync(const Shape& shape = {.sync_step = true}) {
        send(shape);
        sync_point = maker->head_point();
        ASSERT_OK(sender->control(wire::ResyncEnd{sync_point}));
    }
    void reconnect() {
        sender->disconnect();
        sender->connect();
    }
    // The whole content, live frames in between; without the sync step.
    void copy(bool first_after_gap) {
        const std::size_t pieces = maker->content_frames().size();
        for (std::size_t i = 0; i < pieces; ++i) {
            ASSERT_OK(sender->frame(maker->content_frames()[i]));
            if (i % 3 != 0) continue;
            send({.after_gap = first_after_gap});
            first_after_gap = false;
        }
    }
    void check_end(Point before) {
        ASSERT_TRUE(eventually([&] { return sender->last_ack().consistent; }));
        ASSERT_TRUE(eventually([&] { return sender->last_ack().applied == maker->head(); }));
        EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
        EXPECT_IMAGE(read_step(scene.standby(), maker->head_point()), maker->now());
        EXPECT_IMAGE(read_step(scene.standby(), before), maker->image(before));
        ASSERT_FALSE(scene.store().gaps().empty());
        const journal::Gap gap = scene.store().gaps().back();
        EXPECT_EQ(gap.from.lsn, before.lsn);
        EXPECT_EQ(gap.to, sync_point);
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene;
    std::mt19937_64 random;
    std::unique_ptr<HistoryMaker> maker;
    std::unique_ptr<Sender> sender;
    Point sync_point;
};

TEST_F(Resync, OnTheSameTimelineWithLiveFramesBetween) {
    const Point before = maker->head_point();
    maker->lose_writes(20, maker->head() + 40);
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    EXPECT_TRUE(sender->session().resync());
    copy(true);
    EXPECT_FALSE(sender->last_ack().consistent);
    EXPECT_EQ(scene.store().consistent(), before);
    end_resync();
    for (int i = 0; i < 5; ++i) send();
    check_end(before);
    EXPECT_FALSE(scene.store().view({before.timeline, sync_point.lsn - 1}).ok());
    // The whole way back over the gap and forward again.
    const Result<Value> back = scene.rewind(before);
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(back->at("gaps").as_list()->size(), 1U);
    EXPECT_IMAGE(read_files(scene.volumes()), maker->image(before));
    const Result<Value> forward = scene.resume();
    ASSERT_TRUE(forward.ok()) << forward.status().message();
    EXPECT_EQ(forward->at("gaps").as_list()->size(), 1U);
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST_F(Resync, OnANewTimelineBehindWhatTheStandbyHas) {
    const Point before = maker->head_point();
    (void)maker->branch(Lsn(before.lsn.value()));
    maker->lose_writes(5, maker->head());
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    copy(true);
    end_resync();
    check_end(before);
}

TEST_F(Resync, OnANewTimelineFromBeforeWhatTheStandbyHasKeepsItsSteps) {
    const Point head = maker->head_point();
    const Point branch = maker->point(Lsn(head.lsn.value() - 4));
    (void)maker->branch(branch.lsn);
    maker->lose_writes(5, branch.lsn);
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, branch)));
    copy(true);
    end_resync();
    check_end(branch);
    EXPECT_IMAGE(read_step(scene.standby(), head), maker->image(head));
}

// The primary went on from a step that this standby never was at: a gap of its own lies over it.
TEST_F(Resync, ALineThatLeavesInsideAClosedGapSaysWhatToDo) {
    const Point before = maker->head_point();
    maker->lose_writes(20, maker->head() + 40);
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    copy(true);
    end_resync();
    check_end(before);
    // Where nothing came, and where a frame of the stream ended.
    for (const Lsn lsn : {before.lsn + 10, sync_point.lsn - 1}) {
        reconnect();
        const Point inside{before.timeline, lsn};
        wire::Start start = sender->start(wire::StartMode::resync, inside);
        wire::Timeline next = start.timelines.back();
        next.id = TimelineId::random();
        next.parent = inside.timeline;
        next.branch_lsn = inside.lsn;
        start.timelines.push_back(next);
        const Status refused = sender->begin(start);
        EXPECT_EQ(refused.code(), ErrorCode::refused);
        EXPECT_NE(refused.message().find("`everstep adopt GROUP --from NODE`"), std::string::npos)
            << refused.message();
    }
    EXPECT_FALSE(scene.store().gap_open().has_value());
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST_F(Resync, InterruptedItBeginsAnewAndTheLastConsistentStepStays) {
    const Point before = maker->head_point();
    (void)maker->branch(before.lsn);
    maker->lose_writes(20, maker->head());
    for (int attempt = 0; attempt < 4; ++attempt) {
        reconnect();
        ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
        copy(true);
        // As a session leaves it that broke before the end was said.
        if (attempt > 1) send({.sync_step = true});
        ASSERT_TRUE(sender->acked(maker->head()));
        if (attempt % 2 == 1) {
            sender->disconnect();
            scene.close();
            ASSERT_OK(scene.open());
            sender->connect();
        }
        EXPECT_TRUE(scene.store().gap_open().has_value());
        EXPECT_EQ(scene.store().consistent(), before);
        EXPECT_IMAGE(read_step(scene.standby(), before), maker->image(before));
        // What is held back may be asked for again: rewinding to the consistent step and on works,
        // too.
        if (attempt == 2) {
            ASSERT_TRUE(scene.rewind(before).ok());
            EXPECT_IMAGE(read_files(scene.volumes()), maker->image(before));
            ASSERT_TRUE(scene.resume().ok());
        }
    }
    reconnect();
    wire::Start plain = sender->start(wire::StartMode::stream, scene.store().durable().point);
    EXPECT_EQ(sender->begin(plain).code(), ErrorCode::refused);
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    copy(true);
    end_resync();
    check_end(before);
}

TEST_F(Resync, ANewTimelineFromInsideTheGapGoesBackToTheGapsBeginning) {
    const Point before = maker->head_point();
    (void)maker->branch(before.lsn);
    maker->lose_writes(10, maker->head());
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    copy(true);
    ASSERT_TRUE(eventually([&] { return sender->last_ack().applied == maker->head(); }));
    // The primary stops uncleanly again and knows only a step inside the gap.
    (void)maker->branch(maker->head() - 2);
    maker->lose_writes(3, maker->head());
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    EXPECT_EQ(scene.store().consistent(), before);
    copy(true);
    end_resync();
    check_end(before);
    ASSERT_TRUE(scene.rewind(before).ok());
    EXPECT_IMAGE(read_files(scene.volumes()), maker->image(before));
    ASSERT_TRUE(scene.resume().ok());
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST_F(Resync, OverTwoTimelinesThatBeganWhileThisNodeWasAway) {
    const Point before = maker->head_point();
    (void)maker->branch(before.lsn);
    for (int i = 0; i < 3; ++i) (void)maker->frame();
    (void)maker->branch(maker->head());
    maker->lose_writes(5, maker->head());
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    EXPECT_EQ(scene.store().consistent(), before);
    copy(true);
    end_resync();
    check_end(before);
}

// The primary stopped uncleanly twice, and gave out no step in between.
TEST_F(Resync, OverTwoTimelinesThatBeganAtTheSameStep) {
    const Point before = maker->head_point();
    (void)maker->branch(before.lsn);
    maker->lose_writes(5, maker->head());
    reconnect();
    wire::Start start = sender->start(wire::StartMode::resync, before);
    wire::Timeline between = start.timelines.back();
    between.id = Uuid::random();
    start.timelines.back().parent = between.id;
    start.timelines.insert(start.timelines.end() - 1, between);
    ASSERT_OK(sender->begin(start));
    EXPECT_TRUE(scene.store().gap_open().has_value());
    copy(true);
    const Point inside = maker->head_point();
    EXPECT_EQ(scene.store().consistent(), before);
    end_resync();
    check_end(before);
    EXPECT_FALSE(scene.store().view(inside).ok());
}

TEST_F(Resync, EqualContentIsNotJournaled) {
    const Point before = maker->head_point();
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    for (const FramePtr& frame : maker->content_frames()) ASSERT_OK(sender->frame(frame));
    end_resync({.sync_step = true, .after_gap = true});
    check_end(before);
    EXPECT_EQ(scene.store().gaps().back().bytes.value(), 0U);
}

TEST_F(Resync, DamageOfTheOwnHistoryIsAFailureOfThisNode) {
    const Point before = maker->head_point();
    sender->disconnect();
    // A standby that begins anew has no frames in memory.
    scene.close();
    ASSERT_OK(scene.open());
    // The image stands at the first step: what lies behind it is read from frames.
    ASSERT_TRUE(scene.rewind(maker->point(Lsn(0))).ok());
    constexpr std::uint64_t kSegmentHeaderBytes = 4096;
    for (const auto& file : std::filesystem::recursive_directory_iterator(directory.path())) {
        if (!file.path().filename().string().starts_with("redo-")) continue;
        const std::uint64_t end = file.file_size();
        std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekp(kSegmentHeaderBytes);
        for (std::uint64_t at = kSegmentHeaderBytes; at < end; ++at) bytes.put('?');
    }
    sender->connect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    for (const FramePtr& frame : maker->content_frames()) {
        if (!sender->frame(frame).ok()) break;  // the session has heard of it
    }
    ASSERT_TRUE(eventually([&] { return !scene.failed().ok(); }));
    EXPECT_EQ(scene.standby().journal_failure().code(), ErrorCode::corrupt);
    EXPECT_NE(scene.failed().message().find("redo-"), std::string::npos)
        << scene.failed().message();
}

TEST_F(Resync, ExtentsOlderThanTheStreamEndTheSession) {
    const Point before = maker->head_point();
    maker->lose_writes(3, maker->head() + 10);
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    const std::vector<FramePtr> old = maker->content_frames();
    ASSERT_OK(sender->frame(old[0]));
    send({.after_gap = true});
    EXPECT_EQ(sender->frame(old[1]).code(), ErrorCode::corrupt);
}

// The session ends when it hears of it; what it had pushed before must change nothing.
TEST_F(Resync, BehindExtentsThatWereRefusedNothingIsTaken) {
    const Point before = maker->head_point();
    maker->lose_writes(3, maker->head() + 10);
    reconnect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
    FrameBuilder builder;
    FrameEntry entry;
    entry.volume = VolumeIndex(77);
    entry.length = ByteCount(4096);
    entry.kind = EntryKind::zero;
    builder.add(entry, {});
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = scene.standby().options().group;
    header.timeline = before.timeline;
    header.sub_first = 1;
    const auto broken = std::make_shared<bool>(false);
    std::atomic<int> refused{0};
    const auto count = [&](const Status& status) { refused += status.ok() ? 0 : 1; };
    scene.standby().push_resync(builder.seal(header), broken, count);
    scene.standby().push_resync(maker->content_frames()[0], broken, count);
    ASSERT_TRUE(eventually([&] { return refused == 2; }));
    EXPECT_TRUE(*broken);
    EXPECT_TRUE(scene.store().gap_open().has_value());
    EXPECT_TRUE(scene.standby().failure().ok()) << "it is the sender's fault";
}

TEST_F(Resync, AnEndThatCannotBeEndsTheSession) {
    const Point before = maker->head_point();
    EXPECT_EQ(sender->control(wire::ResyncEnd{before}).code(), ErrorCode::corrupt);
    for (const std::int64_t off : {0, 1000}) {
        reconnect();
        ASSERT_OK(sender->begin(sender->start(wire::StartMode::resync, before)));
        ASSERT_OK(sender->control(
            wire::ResyncEnd{{before.timeline, before.lsn + static_cast<std::uint64_t>(off)}}));
        ASSERT_TRUE(eventually(
            [&] { return sender->control(wire::Keepalive{}).code() == ErrorCode::corrupt; }));
        EXPECT_TRUE(scene.store().gap_open().has_value());
    }
}

}  // namespace
}  // namespace everstep::standby::testing
