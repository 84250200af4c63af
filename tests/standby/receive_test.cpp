// A receive session against a real standby, driven by a small sender.
#include <gtest/gtest.h>

#include "checks.hpp"
#include "common/net/worker_pool.hpp"
#include "sender.hpp"
#include "standby/receive_reads.hpp"

namespace everstep::standby::testing {
namespace {

class Receive : public ::testing::Test {
  protected:
    explicit Receive(const SceneOptions& options = {}) : scene(directory.path(), group, options) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, test_seed());
    }
    void SetUp() override { ASSERT_OK(scene.open()); }

    // A fresh pair: zeroes, history from step 0.
    void begin_pair() {
        sender = std::make_unique<Sender>(scene, *maker);
        const wire::Start start = sender->start(wire::StartMode::initial, maker->head_point());
        ASSERT_OK(sender->begin(start));
        EXPECT_TRUE(sender->session().initial());
        for (const FramePtr& frame : maker->content_frames()) ASSERT_OK(sender->frame(frame));
        wire::InitialEnd end;
        end.base = maker->head_point();
        ASSERT_OK(sender->control(end));
        ASSERT_TRUE(eventually([&] { return sender->last_ack().consistent; }));
        EXPECT_TRUE(sender->session().streaming());
    }
    FramePtr send() {
        const FramePtr frame = maker->frame();
        const Status status = sender->frame(frame);
        EXPECT_TRUE(status.ok()) << status.message();
        return frame;
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene;
    std::unique_ptr<HistoryMaker> maker;
    std::unique_ptr<Sender> sender;
};

TEST_F(Receive, InitialThenStream) {
    begin_pair();
    for (int i = 0; i < 40; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    ASSERT_TRUE(eventually([&] {
        const wire::Ack ack = sender->last_ack();
        return ack.applied == maker->head() && ack.consumed_bytes == sender->sent_bytes();
    }));
    for (const Point& point : maker->points()) {
        EXPECT_IMAGE(read_step(scene.standby(), point), maker->image(point)) << point.lsn.value();
    }
}

TEST_F(Receive, InitialSyncOfAPrimaryThatWritesMeanwhile) {
    for (int i = 0; i < 10; ++i) (void)maker->frame();
    sender = std::make_unique<Sender>(scene, *maker);
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::initial, maker->head_point())));
    const std::size_t pieces = maker->content_frames().size();
    for (std::size_t i = 0; i < pieces; ++i) {  // extents read one by one, each as of its moment
        ASSERT_OK(sender->frame(maker->content_frames()[i]));
        if (i % 2 == 0) send();
    }
    wire::InitialEnd end;
    end.base = maker->head_point();
    end.hash = maker->tip().hash;
    end.seq = maker->tip().seq;
    end.step_time_ns = maker->tip().step_time.time_since_epoch().count();
    EXPECT_FALSE(scene.store().has_history());
    const Lsn base = maker->head();
    ASSERT_OK(sender->control(end));
    for (int i = 0; i < 10; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    EXPECT_EQ(scene.store().baseline().lsn, base);
    for (Lsn lsn = base; lsn <= maker->head(); ++lsn) {
        EXPECT_IMAGE(read_step(scene.standby(), maker->point(lsn)),
                     maker->image(maker->point(lsn)));
    }
    EXPECT_FALSE(scene.store().view(maker->point(base - 1)).ok());
}

TEST_F(Receive, AnInitialEndThatIsNotWhatWasReceivedIsRefused) {
    sender = std::make_unique<Sender>(scene, *maker);
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::initial, maker->head_point())));
    send();
    wire::InitialEnd end;
    end.base = maker->head_point();
    end.seq = maker->tip().seq;
    EXPECT_EQ(sender->control(end).code(), ErrorCode::corrupt);
    EXPECT_FALSE(scene.store().has_history());
}

TEST_F(Receive, ASecondInitialSyncIsRefused) {
    begin_pair();
    sender->disconnect();
    sender->connect();
    const Status status =
        sender->begin(sender->start(wire::StartMode::initial, maker->head_point()));
    EXPECT_EQ(status.code(), ErrorCode::refused);
    EXPECT_NE(status.message().find("adopt"), std::string::npos) << status.message();
}

TEST_F(Receive, ReconnectingInTheMiddleLosesAndRepeatsNothing) {
    begin_pair();
    std::vector<FramePtr> frames;
    for (int i = 0; i < 60; ++i) {
        frames.push_back(send());
        if (i % 20 != 10) continue;
        sender->disconnect();
        if (i == 30) {
            scene.close();
            ASSERT_OK(scene.open());
        }
        sender->connect();
        const Point from = scene.store().durable().point;
        ASSERT_OK(sender->begin(sender->start(wire::StartMode::stream, from)));
        for (const FramePtr& frame : frames) {
            if (frame->header().last_lsn > from.lsn) ASSERT_OK(sender->frame(frame));
        }
    }
    ASSERT_TRUE(sender->acked(maker->head()));
    for (const Point& point : maker->points()) {
        EXPECT_IMAGE(read_step(scene.standby(), point), maker->image(point)) << point.lsn.value();
    }
}

TEST_F(Receive, FramesThatAreStoredAlreadyAreDropped) {
    begin_pair();
    std::vector<FramePtr> frames;
    for (int i = 0; i < 20; ++i) frames.push_back(send());
    ASSERT_TRUE(sender->acked(maker->head()));
    sender->disconnect();
    sender->connect();
    // The sender believes that the standby has less than it has.
    const Point from = maker->point(frames[4]->header().last_lsn);
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::stream, from)));
    for (std::size_t i = 5; i < frames.size(); ++i) ASSERT_OK(sender->frame(frames[i]));
    send();
    ASSERT_TRUE(sender->acked(maker->head()));
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST_F(Receive, AnotherContentForAStoredStepEndsTheSessionAndChangesNothing) {
    begin_pair();
    const FramePtr first = send();
    ASSERT_TRUE(sender->acked(maker->head()));
    const Lsn head = maker->head();
    HistoryMaker other(group, maker->sizes(), 99);
    sender->disconnect();
    sender->connect();
    wire::Start start = sender->start(wire::StartMode::stream, maker->point(Lsn(0)));
    ASSERT_OK(sender->begin(start));
    FrameBuilder builder;
    FrameEntry entry;
    entry.lsn = Lsn(1);
    entry.length = ByteCount(kSectorBytes);
    entry.kind = EntryKind::zero;
    entry.step_time = maker->tip().step_time;
    builder.add(entry, {});
    FrameHeader header = first->header();
    header.last_lsn = Lsn(1);
    const FramePtr forged = builder.seal(header);
    const Status now = sender->frame(forged);
    // Found by the store at the latest: then the session's next message gets it.
    EXPECT_TRUE(!now.ok() || eventually([&] { return !sender->control(wire::Keepalive{}).ok(); }));
    EXPECT_EQ(scene.store().tip().point.lsn, head);
    EXPECT_TRUE(scene.standby().failure().ok());
    EXPECT_IMAGE(read_step(scene.standby(), maker->head_point()), maker->now());
}

TEST_F(Receive, AHoleInTheStepsEndsTheSession) {
    begin_pair();
    send();
    (void)maker->frame();
    EXPECT_EQ(sender->frame(maker->frame()).code(), ErrorCode::corrupt);
    EXPECT_EQ(sender->control(wire::Keepalive{}).code(), ErrorCode::corrupt);  // over for good
}

TEST_F(Receive, AFrameThatContinuesAnotherOneEndsTheSession) {
    begin_pair();
    HistoryMaker other(group, maker->sizes(), 12345);
    send();
    FrameBuilder builder;
    FrameEntry entry;
    entry.lsn = maker->head() + 1;
    entry.length = ByteCount(kSectorBytes);
    entry.kind = EntryKind::zero;
    entry.step_time = maker->tip().step_time;
    builder.add(entry, {});
    FrameHeader header;
    header.group = group;
    header.timeline = maker->timeline().id;
    header.seq = maker->tip().seq + 1;
    header.first_lsn = header.last_lsn = maker->head() + 1;
    header.prev_hash = other.frame()->hash();
    const Status status = sender->frame(builder.seal(header));
    EXPECT_EQ(status.code(), ErrorCode::corrupt);
    EXPECT_NE(status.message().find(std::to_string(maker->head().value() + 1)), std::string::npos);
}

TEST_F(Receive, DamagedAndForeignFramesEndTheSession) {
    begin_pair();
    const FramePtr frame = maker->frame();
    std::vector<std::byte> bytes(frame->bytes().begin(), frame->bytes().end());
    bytes[bytes.size() / 2] ^= std::byte{1};
    EXPECT_EQ(sender->frame_bytes(bytes).code(), ErrorCode::corrupt);
    sender->disconnect();
    sender->connect();
    ASSERT_OK(sender->begin(sender->start(wire::StartMode::stream, scene.store().durable().point)));
    HistoryMaker foreign(Uuid::random(), maker->sizes(), 5);
    EXPECT_EQ(sender->frame(foreign.frame()).code(), ErrorCode::corrupt);
}

TEST_F(Receive, AWriteBeyondItsVolumeEndsTheSession) {
    begin_pair();
    HistoryMaker larger(group, {ByteCount(1U << 20), ByteCount(1U << 20)}, 8);
    FrameBuilder builder;
    FrameEntry entry;
    entry.lsn = Lsn(1);
    entry.offset = ByteOffset(1U << 20);
    entry.length = ByteCount(kSectorBytes);
    entry.kind = EntryKind::zero;
    builder.add(entry, {});
    FrameHeader header;
    header.group = group;
    header.timeline = maker->timeline().id;
    header.seq = FrameSeq(1);
    header.first_lsn = header.last_lsn = Lsn(1);
    const Status status = sender->frame(builder.seal(header));
    EXPECT_EQ(status.code(), ErrorCode::corrupt);
    EXPECT_NE(status.message().find("beyond volume"), std::string::npos) << status.message();
}

TEST_F(Receive, FalseClaimsOfStartAreRefusedByName) {
    begin_pair();
    send();
    ASSERT_TRUE(sender->acked(maker->head()));
    const wire::Start good = sender->start(wire::StartMode::stream, scene.store().durable().point);
    const auto refused = [&](const wire::Start& start, const std::string& part) {
        sender->disconnect();
        sender->connect();
        const Status status = sender->begin(start);
        EXPECT_FALSE(status.ok()) << part;
        EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
    };
    wire::Start bad = good;
    bad.group_id = Uuid::random();
    refused(bad, group.hex());
    bad = good;
    bad.volumes[1].size = ByteCount(4096);
    refused(bad, "volume log: found 4096");
    bad = good;
    bad.volumes.pop_back();
    refused(bad, "found 1 volumes");
    bad = good;
    bad.volumes[0].name = "other";
    refused(bad, "other");
    bad = good;
    bad.timelines.clear();
    refused(bad, "no timeline");
    bad = good;
    bad.timelines[0].id = Uuid::random();
    refused(bad, "adopt");
    bad = good;
    bad.timelines[0].branch_lsn = Lsn(3);
    refused(bad, "branch");
    bad = good;
    bad.from.lsn = maker->head() + 100;
    refused(bad, std::to_string(bad.from.lsn.value()));
    bad = good;
    bad.timelines.push_back(
        {Uuid::random(), maker->timeline().id, Lsn(1000), {}, FrameSeq(1), 2, "alpha"});
    refused(bad, "1000");
    // Nothing of it harmed what is here.
    sender->disconnect();
    sender->connect();
    ASSERT_OK(sender->begin(good));
    send();
    ASSERT_TRUE(sender->acked(maker->head()));
}

TEST_F(Receive, MessagesOutOfTurnEndTheSession) {
    sender = std::make_unique<Sender>(scene, *maker);
    EXPECT_EQ(sender->frame(maker->frame()).code(), ErrorCode::corrupt);
    sender->disconnect();
    sender->connect();
    EXPECT_EQ(sender->control(wire::InitialEnd{}).code(), ErrorCode::corrupt);
    sender->disconnect();
    sender->connect();
    EXPECT_EQ(sender->control(wire::Ack{}).code(), ErrorCode::corrupt);
    sender->disconnect();
    sender->connect();
    EXPECT_EQ(sender->control(wire::Goodbye{}).code(), ErrorCode::closed);
}

TEST_F(Receive, ANewTimelineFromAnEarlierStepIsFollowedAndTheOldLineStays) {
    begin_pair();
    for (int i = 0; i < 10; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    const Point old_head = maker->head_point();
    sender->disconnect();
    (void)maker->branch(Lsn(old_head.lsn.value() / 2));
    sender->connect();
    ASSERT_OK(sender->begin(
        sender->start(wire::StartMode::stream, maker->point(Lsn(old_head.lsn.value() / 2)))));
    for (int i = 0; i < 3; ++i) send();
    ASSERT_TRUE(eventually([&] {
        const wire::Ack ack = sender->last_ack();
        return ack.timeline == maker->timeline().id && ack.applied == maker->head();
    }));
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
    EXPECT_IMAGE(read_step(scene.standby(), old_head), maker->image(old_head));
}

TEST_F(Receive, ReadsOfAStepAreAnswered) {
    begin_pair();
    for (int i = 0; i < 10; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    const Point at = maker->point(Lsn(3));
    const std::uint64_t size = maker->sizes()[0].value();
    const auto [reply, data] = sender->read({.id = 7,
                                             .at = at,
                                             .volume = VolumeIndex(0),
                                             .offset = ByteOffset(0),
                                             .length = ByteCount(size)});
    EXPECT_EQ(reply.id, 7U);
    EXPECT_EQ(reply.error, ErrorCode::ok) << reply.message;
    const std::vector<std::byte> found = reply.zero ? std::vector<std::byte>(size) : data;
    EXPECT_EQ(found, maker->image(at)[0]);
    const auto zero = sender->read({.id = 8,
                                    .at = maker->point(Lsn(0)),
                                    .volume = VolumeIndex(1),
                                    .offset = ByteOffset(0),
                                    .length = ByteCount(kSectorBytes)});
    EXPECT_TRUE(zero.first.zero);
    const auto bad = sender->read({.id = 9,
                                   .at = at,
                                   .volume = VolumeIndex(1),
                                   .offset = ByteOffset(0),
                                   .length = ByteCount(1U << 20)});
    EXPECT_EQ(bad.first.error, ErrorCode::usage);
    const auto later = sender->read({.id = 10,
                                     .at = {at.timeline, Lsn(10000)},
                                     .volume = VolumeIndex(0),
                                     .offset = ByteOffset(0),
                                     .length = ByteCount(kSectorBytes)});
    EXPECT_EQ(later.first.error, ErrorCode::refused);
}

TEST_F(Receive, APeerThatAsksAndDoesNotReadIsAnsweredUpToTheBound) {
    begin_pair();
    for (int i = 0; i < 10; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    sender->stop_reading();
    wire::ReadRequest request;
    request.at = maker->head_point();
    request.length = maker->sizes()[0];
    for (std::size_t i = 0; i < kReadsMax; ++i) ASSERT_OK(sender->control(request));
    // Every read that was begun has ended, and so have those that it could have begun.
    for (std::size_t i = 0; i < 2 * kReadsMax; ++i) {
        std::atomic<std::size_t> passed = 0;
        for (std::size_t n = 0; n < kReaderThreads; ++n)
            scene.standby().readers().post([&] { ++passed; });
        ASSERT_TRUE(eventually([&] { return passed == kReaderThreads; }));
        scene.thread().on([] {});
    }
    EXPECT_GE(sender->data_messages(), kReadAnswerBytesMax / wire::kDataBytesMax);
    EXPECT_LE(sender->queued_bytes(), kReadAnswerBytesMax + kReadsAtOnce * wire::kDataBytesMax);
    // One that reads again gets all of it.
    ASSERT_TRUE(eventually([&] {
        sender->drain();
        return sender->data_messages() == kReadsMax;
    }));
}

TEST_F(Receive, APeerThatAsksForMoreReadsThanMayWaitLosesItsSession) {
    begin_pair();
    for (int i = 0; i < 10; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    sender->stop_reading();
    wire::ReadRequest request;
    request.at = maker->head_point();
    request.length = maker->sizes()[0];
    Status status;
    for (std::size_t i = 0; i < 3 * kReadsMax && status.ok(); ++i)
        status = sender->control(request);
    EXPECT_EQ(status.code(), ErrorCode::too_large) << status.message();
}

class TurnedClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return system_clock().wall(); }
    [[nodiscard]] std::chrono::nanoseconds boot() const override {
        return system_clock().boot() + std::chrono::seconds(ahead.load());
    }
    std::atomic<std::int64_t> ahead{0};
};

TurnedClock turned;

class ReceiveReadHold : public Receive {
  protected:
    ReceiveReadHold() : Receive({.clock = &turned, .segment_bytes = ByteCount(64U << 10)}) {}
    void pass(std::chrono::seconds time) {
        turned.ahead += time.count();
        ASSERT_OK(sender->control(wire::Keepalive{}));
    }
};

TEST_F(ReceiveReadHold, AStepThatIsReadStaysForAWhileAndNotForEver) {
    begin_pair();
    for (int i = 0; i < 100; ++i) send();
    ASSERT_TRUE(sender->acked(maker->head()));
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    const Point at = maker->point(Lsn(maker->head().value() / 2));
    wire::ReadRequest request;
    request.at = at;
    request.length = ByteCount(kSectorBytes);
    const auto read = [&] { return sender->read(request).first.error; };
    ASSERT_EQ(read(), ErrorCode::ok);
    journal::KeepLimits little;
    little.keep_bytes = ByteCount(1);
    scene.standby().set_limits(little, ByteCount(0));
    ASSERT_TRUE(eventually([&] { return scene.store().baseline().lsn > Lsn(0); }));
    pass(kReadHold);
    EXPECT_EQ(read(), ErrorCode::ok);
    pass(kReadHold);  // behind the newest read, which began it anew
    EXPECT_EQ(read(), ErrorCode::ok);
    pass(kReadHold + std::chrono::seconds(1));
    EXPECT_TRUE(eventually([&] { return scene.store().baseline().lsn > at.lsn; }));
    EXPECT_EQ(read(), ErrorCode::refused);
    EXPECT_IMAGE(read_step(scene.standby(), maker->head_point()), maker->now());
}

}  // namespace
}  // namespace everstep::standby::testing
