#include "daemon/capture.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

struct HandClock : Clock {
    WallTime now{std::chrono::seconds(1'000'000)};
    [[nodiscard]] WallTime wall() const override { return now; }
    [[nodiscard]] std::chrono::nanoseconds boot() const override { return now.time_since_epoch(); }
};

TEST(Capture, AWriteBearsTheTimeAtWhichItWasDone) {
    net::Loop loop;
    HandClock clock;
    CaptureOptions options;
    options.group = Uuid::random();
    options.tip.point.timeline = TimelineId(Uuid::random().bytes());
    options.clock = &clock;
    std::vector<WallTime> times;
    Capture capture(
        loop, options,
        [&](const FramePtr& frame) {
            for (const FrameEntry& entry : frame->entries()) {
                EXPECT_EQ(entry.wall, entry.step_time);
                times.push_back(entry.step_time);
            }
        },
        [](const std::string&, const std::string&) {});
    const std::vector<std::byte> payload(kSectorBytes);
    CapturedWrite write;
    write.kind = EntryKind::data;
    write.length = ByteCount(payload.size());
    write.payload = payload;
    std::vector<WallTime> wanted;
    for (int i = 0; i < 3; ++i) {  // the first, too: long after the serving began
        clock.now += std::chrono::seconds(10);
        capture.captured(write);
        wanted.push_back(clock.now);
        capture.end_of_batch();
    }
    capture.seal();
    EXPECT_EQ(times, wanted);
}

TEST(Capture, ABatchIsSealedBetweenItsEntries) {
    net::Loop loop;
    HandClock clock;
    CaptureOptions options;
    options.group = Uuid::random();
    options.tip.point.timeline = TimelineId(Uuid::random().bytes());
    options.clock = &clock;
    std::vector<std::pair<EntryKind, Lsn>> entries;
    Capture capture(
        loop, options,
        [&](const FramePtr& frame) {
            Buffer copy;
            copy.append(frame->bytes());
            EXPECT_TRUE(SealedFrame::parse(std::move(copy)).ok());
            for (const FrameEntry& entry : frame->entries())
                entries.emplace_back(entry.kind, entry.lsn);
        },
        [](const std::string&, const std::string&) {});
    CapturedWrite write;
    write.kind = EntryKind::zero;
    write.length = ByteCount(kSectorBytes);
    capture.captured(write);
    capture.begin_batch();
    EXPECT_EQ(capture.sealed().point.lsn, Lsn(1));
    capture.captured(write);
    capture.captured(write);
    capture.end_batch();
    using Entry = std::pair<EntryKind, Lsn>;
    EXPECT_EQ(entries, (std::vector<Entry>{{EntryKind::zero, Lsn(1)},
                                           {EntryKind::batch_begin, Lsn(1)},
                                           {EntryKind::zero, Lsn(2)},
                                           {EntryKind::zero, Lsn(3)},
                                           {EntryKind::batch_end, Lsn(3)}}));
}

struct Answered : BlockSink {
    void complete(std::uint64_t token, const Status& status) override {
        EXPECT_TRUE(status.ok());
        tokens.push_back(token);
    }
    std::vector<std::uint64_t> tokens;
};

// A standby that is compared is whole behind the batch's end only: what waited for it in the batch
// would wait for ever.
TEST(Capture, InABatchNoAnswerWaitsForAStandby) {
    net::Loop loop;
    HandClock clock;
    CaptureOptions options;
    options.group = Uuid::random();
    options.tip.point.timeline = TimelineId(Uuid::random().bytes());
    options.clock = &clock;
    Capture capture(
        loop, options, [](const FramePtr&) {}, [](const std::string&, const std::string&) {});
    Answered sink;
    CapturedWrite write;
    write.kind = EntryKind::zero;
    write.length = ByteCount(kSectorBytes);
    capture.answer(capture.captured(write), sink, 1);
    capture.begin_batch();
    capture.answer(capture.captured(write), sink, 2);
    EXPECT_EQ(sink.tokens, (std::vector<std::uint64_t>{2}));
    capture.end_batch();
    capture.answer(capture.captured(write), sink, 3);
    EXPECT_EQ(sink.tokens, (std::vector<std::uint64_t>{2}));
    capture.gate().release(Lsn(3));
    EXPECT_EQ(sink.tokens, (std::vector<std::uint64_t>{2, 1, 3}));
}

}  // namespace
}  // namespace everstep::daemon
