// A volume with its write-intent map: DirectVolume, IntentGate and the map together.
#include "daemon/intent_gate.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "daemon/direct_volume.hpp"
#include "tests/daemon/scratch.hpp"
#include "tests/power/memory_disk.hpp"

namespace everstep::daemon {
namespace {

using power::MemoryDisk;
constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kVolumeBytes = 64 * kMiB;

struct HandClock : Clock {
    std::chrono::nanoseconds now{std::chrono::seconds(1000)};
    [[nodiscard]] WallTime wall() const override { return WallTime(now); }
    [[nodiscard]] std::chrono::nanoseconds boot() const override { return now; }
};

class Answers final : public BlockSink {
  public:
    void complete(std::uint64_t token, const Status& status) override {
        codes[token] = status.code();
    }
    std::map<std::uint64_t, ErrorCode> codes;
};

class IntentGateTest : public testing::Test {
  protected:
    IntentGateTest() {
        EXPECT_TRUE(disk_.make_directory("/state").ok());
        const auto device = disk_.open("/device", {io::OpenMode::create, false, false});
        EXPECT_TRUE((*device)->resize(ByteCount(kVolumeBytes)).ok());
        CaptureOptions options;
        options.group = Uuid::random();
        options.tip.point.timeline = TimelineId(Uuid::random().bytes());
        options.clock = &clock_;
        capture_ = std::make_unique<Capture>(
            loop_, options, [](const FramePtr&) {}, [](const std::string&, const std::string&) {});
        capture_->gate().release(Lsn(UINT64_MAX));
        std::vector<std::string> report;
        auto map = IntentMap::open(disk_, place_, {IntentBegin::all_clear, Lsn(0)}, report);
        EXPECT_TRUE(map.ok()) << map.status().message();
        make_volume(gate(std::move(*map)));
    }
    std::unique_ptr<IntentGate> gate(std::unique_ptr<IntentMap> map) {
        return std::make_unique<IntentGate>(
            loop_, std::move(map), clock_,
            [this](const Status&, std::function<void(Status)> done) { lost_.push_back(done); });
    }
    void make_volume(std::unique_ptr<IntentGate> gate) {
        volume_.reset();
        auto device = disk_.open("/device", {io::OpenMode::read_write, false, false});
        EXPECT_TRUE(device.ok()) << device.status().message();
        volume_ = std::make_unique<DirectVolume>(
            loop_, *capture_, DirectVolume::Place{VolumeIndex(0), ByteCount(kVolumeBytes)},
            DirectVolume::Device{std::move(*device), std::move(gate)});
        EXPECT_TRUE(volume_->start().ok());
    }
    ~IntentGateTest() override { volume_.reset(); }

    void submit(BlockOp op, std::uint64_t offset, std::uint64_t length, std::uint64_t token) {
        std::vector<std::byte> data(length, static_cast<std::byte>(token));
        BlockRequest request;
        request.op = op;
        request.offset = offset;
        request.length = length;
        request.token = token;
        if (op == BlockOp::write) request.data = data;
        volume_->submit(request, answers_);
        volume_->end_of_batch();
        std::fill(data.begin(), data.end(), std::byte{0xee});  // the client's memory is used again
    }
    void write(std::uint64_t offset, std::uint64_t token) {
        submit(BlockOp::write, offset, 4096, token);
    }
    // The loop runs until it is so.
    void until(const std::function<bool()>& so) {
        net::Timer timer(loop_);
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        bool late = false;
        timer.every(std::chrono::milliseconds(1), [&] {
            late = std::chrono::steady_clock::now() > end;
            if (so() || late) loop_.stop();
        });
        loop_.run();
        ASSERT_FALSE(late);
    }
    void until_answered(std::uint64_t token) {
        until([&] { return answers_.codes.contains(token); });
    }
    [[nodiscard]] std::uint64_t marked(std::size_t standby = 0) const {
        std::uint64_t bytes = 0;
        for (const journal::GapExtent& one : volume_->may_differ(standby))
            bytes += one.length.value();
        return bytes / kMiB;
    }
    [[nodiscard]] std::byte device_at(std::uint64_t offset) {
        std::vector<std::byte> one(512);
        EXPECT_TRUE(volume_->read_now(ByteOffset(offset), one).ok());
        return one[0];
    }
    void flush(std::uint64_t token) {
        submit(BlockOp::flush, 0, 0, token);
        until_answered(token);
    }
    void known_durable(Lsn lsn) { volume_->known_durable({lsn, Lsn()}); }

    HandClock clock_;
    MemoryDisk disk_;
    net::Loop loop_;
    IntentPlace place_{"/state/data", Uuid::random(), VolumeIndex(0), ByteCount(kVolumeBytes), 2};
    std::unique_ptr<Capture> capture_;
    std::unique_ptr<DirectVolume> volume_;
    Answers answers_;
    std::vector<std::function<void(Status)>> lost_;
};

TEST_F(IntentGateTest, TheFirstWriteOfARegionWaitsForItsMark) {
    write(0, 1);
    EXPECT_FALSE(answers_.codes.contains(1));
    EXPECT_EQ(device_at(0), std::byte{0});
    until_answered(1);
    EXPECT_EQ(answers_.codes[1], ErrorCode::ok);
    EXPECT_EQ(device_at(0), std::byte{1});
    write(8192, 2);  // marked: at once
    EXPECT_EQ(answers_.codes[2], ErrorCode::ok);
    EXPECT_EQ(marked(), 1U);
    EXPECT_EQ(capture_->newest(), Lsn(2));
}

// In the log of the disk each write to the device lies behind a sync of the map.
TEST_F(IntentGateTest, AWriteToTheDeviceLiesBehindTheSyncOfItsMark) {
    static_cast<void>(disk_.take_log());
    for (std::uint64_t n = 0; n < 40; ++n) write(n * 3 % 64 * kMiB, n + 1);
    until([&] { return answers_.codes.size() == 40; });
    std::set<std::uint64_t> in_file;
    std::set<std::uint64_t> durable;
    for (const power::DiskOp& op : disk_.take_log()) {
        if (op.kind == power::DiskOp::Kind::sync) durable = in_file;
        if (op.kind != power::DiskOp::Kind::write) continue;
        if (op.length != kIntentPageBytes || op.data.size() != kIntentPageBytes) continue;
        if (std::memcmp(op.data.data(), "EVINTENT", 8) == 0) {
            in_file.clear();
            for (std::uint64_t region = 0; region < 64; ++region)
                if (op.data[64 + region * 4] != std::byte{0}) in_file.insert(region);
        } else {
            EXPECT_TRUE(durable.contains(op.offset / kMiB)) << op.offset / kMiB;
        }
    }
    EXPECT_GE(durable.size(), 40U);
}

TEST_F(IntentGateTest, WritesToMarkedRegionsPassThoseThatWait) {
    write(0, 1);
    until_answered(1);
    write(5 * kMiB, 2);
    write(4096, 3);
    EXPECT_TRUE(answers_.codes.contains(3));
    EXPECT_FALSE(answers_.codes.contains(2));
    until_answered(2);
}

TEST_F(IntentGateTest, AMarkGoesWhenTheStandbyHasItAndTheDeviceWasFlushed) {
    write(0, 1);
    until_answered(1);
    known_durable(Lsn(1));  // not idle yet
    EXPECT_EQ(marked(), 1U);
    clock_.now += kIntentIdle;
    known_durable(Lsn(0));
    flush(2);
    EXPECT_EQ(marked(), 1U);
    known_durable(Lsn(1));
    until([&] { return marked(0) == 0; });
    EXPECT_EQ(marked(1), 1U);
    write(0, 3);  // standby 0 does not know this one
    EXPECT_FALSE(answers_.codes.contains(3));
    until_answered(3);
    EXPECT_EQ(marked(0), 1U);
}

TEST_F(IntentGateTest, AMapThatIsLostLetsWritesGoOnWhenThatIsRecorded) {
    write(0, 1);
    until_answered(1);
    disk_.fail_sync_at = disk_.syncs;
    write(7 * kMiB, 2);
    until([&] { return lost_.size() == 1; });
    write(9 * kMiB, 3);
    write(4096, 4);
    EXPECT_TRUE(answers_.codes.contains(4));
    EXPECT_FALSE(answers_.codes.contains(3));
    lost_[0](Status());
    EXPECT_EQ(answers_.codes[2], ErrorCode::ok);
    EXPECT_EQ(answers_.codes[3], ErrorCode::ok);
    EXPECT_EQ(marked(), kVolumeBytes / kMiB);
    write(11 * kMiB, 5);
    EXPECT_EQ(answers_.codes[5], ErrorCode::ok);
    EXPECT_EQ(lost_.size(), 1U);
}

TEST_F(IntentGateTest, WhereNotEvenThatCanBeRecordedWritesFailAndAreTriedAgain) {
    write(0, 1);
    until_answered(1);
    disk_.fail_sync_at = disk_.syncs;
    write(7 * kMiB, 2);
    until([&] { return lost_.size() == 1; });
    lost_[0](Status(ErrorCode::io, "no"));
    EXPECT_EQ(answers_.codes[2], ErrorCode::io);
    EXPECT_EQ(device_at(7 * kMiB), std::byte{0});
    write(4096, 3);
    EXPECT_EQ(answers_.codes[3], ErrorCode::ok);
    write(7 * kMiB, 4);
    until([&] { return lost_.size() == 2; });
    lost_[1](Status());
    EXPECT_EQ(answers_.codes[4], ErrorCode::ok);
}

// No mark of it may go, though the syncs behind it say ok, and no stop is clean.
TEST_F(IntentGateTest, BehindAFailedFlushMarksStay) {
    write(0, 1);
    until_answered(1);
    disk_.fail_sync_at = disk_.syncs;
    flush(2);
    EXPECT_EQ(answers_.codes[2], ErrorCode::io);
    disk_.fail_sync_at = MemoryDisk::kNever;
    flush(3);
    EXPECT_EQ(answers_.codes[3], ErrorCode::ok);
    clock_.now += kIntentIdle;
    known_durable(Lsn(1));
    flush(4);
    EXPECT_EQ(marked(), 1U);
    EXPECT_FALSE(volume_->sync().ok());
}

TEST_F(IntentGateTest, AMapThatCannotBeOpenedIsGivenUpBeforeTheFirstWrite) {
    auto none = gate(nullptr);
    none->unopened(Status(ErrorCode::io, "no such disk"));
    make_volume(std::move(none));
    ASSERT_EQ(lost_.size(), 1U);
    EXPECT_EQ(marked(), kVolumeBytes / kMiB);
    write(0, 1);
    EXPECT_FALSE(answers_.codes.contains(1));
    lost_[0](Status(ErrorCode::io, "no"));  // nor can that be recorded
    EXPECT_EQ(answers_.codes[1], ErrorCode::io);
    EXPECT_EQ(device_at(0), std::byte{0});
    write(0, 2);  // asked again
    ASSERT_EQ(lost_.size(), 2U);
    lost_[1](Status());
    EXPECT_EQ(answers_.codes[2], ErrorCode::ok);
    write(kMiB, 3);
    EXPECT_EQ(answers_.codes[3], ErrorCode::ok);
    EXPECT_EQ(marked(), kVolumeBytes / kMiB);
}

TEST_F(IntentGateTest, WhatWaitsAtTheEndIsNotWritten) {
    write(0, 1);
    volume_->detach();
    EXPECT_EQ(answers_.codes[1], ErrorCode::closed);
    EXPECT_EQ(device_at(0), std::byte{0});
    write(kMiB, 2);
    EXPECT_EQ(answers_.codes[2], ErrorCode::closed);
    EXPECT_EQ(device_at(kMiB), std::byte{0});
}

// As for a restore: its clients are gone, and it is in no step behind that.
TEST_F(IntentGateTest, WhatWaitsIsDroppedAndTheNextWritesGoOn) {
    write(0, 1);
    volume_->drop_waiting();
    EXPECT_EQ(answers_.codes[1], ErrorCode::closed);
    write(kMiB, 2);
    until_answered(2);
    EXPECT_EQ(answers_.codes[2], ErrorCode::ok);
    EXPECT_EQ(device_at(0), std::byte{0});
    EXPECT_EQ(capture_->newest(), Lsn(1));
}

TEST_F(IntentGateTest, ALongDiscardIsMarkedAsAWhole) {
    submit(BlockOp::trim, 3 * kMiB - 512, 20 * kMiB, 1);
    until_answered(1);
    EXPECT_EQ(marked(), 21U);
}

}  // namespace
}  // namespace everstep::daemon
