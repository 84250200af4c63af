// The apply thread is told to leave what it does: a takeover in the middle of a rewind, a stop in
// the middle of a write that has many positions.
#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "checks.hpp"
#include "faulty_files.hpp"

namespace everstep::standby::testing {
namespace {

struct World {
    explicit World(std::uint64_t seed, ByteCount data_bytes = ByteCount(96U << 10))
        : files(io::system_files(), "data.img"),
          group(Uuid::random()),
          scene(directory.path(), group,
                {.files = &files, .segment_bytes = ByteCount(1U << 20), .data_bytes = data_bytes}) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, seed);
    }
    // A rewind that stands in the middle of its first write to a volume, then a takeover.
    void release_in_rewind(const Point& to) {
        files.hold(true);
        std::future<Result<Value>> moved =
            std::async(std::launch::async, [&] { return scene.rewind(to); });
        ASSERT_TRUE(eventually([&] { return files.holds(); }));
        ASSERT_TRUE(scene.store().replica().held);
        ASSERT_OK(scene.release([&] { files.hold(false); }));
        EXPECT_EQ(moved.get().status().code(), ErrorCode::closed);
        EXPECT_FALSE(scene.store().replica().held);
    }
    void check_all() {
        ASSERT_TRUE(scene.wait_applied(maker->head()));
        EXPECT_OK(scene.failed());
        EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
        for (const Point& point : maker->points())
            EXPECT_IMAGE(read_step(scene.standby(), point), maker->image(point))
                << point.lsn.value();
    }
    static void EXPECT_OK(const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

    TempDirectory directory;
    FaultyFiles files;
    Uuid group;
    Scene scene;
    std::unique_ptr<HistoryMaker> maker;
};

TEST(Leave, TakeoverInAMoveBackLeavesItAndEveryStepIsRight) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    for (int i = 0; i < 40; ++i) world.scene.push(world.maker->frame());
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    world.release_in_rewind(world.maker->point(Lsn(2)));
    world.check_all();
    // What was left is no hindrance to a later move, nor to an opening.
    ASSERT_TRUE(world.scene.rewind(world.maker->point(Lsn(7))).ok());
    EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->image(world.maker->point(Lsn(7))));
    world.scene.close();
    ASSERT_OK(world.scene.open());
    ASSERT_TRUE(world.scene.resume().ok());
    world.check_all();
}

TEST(Leave, TakeoverInARewindOverNewStepsLeavesItBetweenTwoBatches) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.scene.push(world.maker->frame());
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    ASSERT_TRUE(world.scene.rewind(world.maker->point(Lsn(1))).ok());
    for (int i = 0; i < 400; ++i) world.scene.push(world.maker->frame());
    ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
    world.release_in_rewind(world.maker->head_point());
    world.check_all();
}

TEST(Leave, StopWithAMoveLeftEndsAtAStep) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    for (int i = 0; i < 40; ++i) world.scene.push(world.maker->frame());
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    world.release_in_rewind(world.maker->point(Lsn(2)));
    world.scene.close();
    ASSERT_OK(world.scene.open());
    EXPECT_EQ(world.scene.store().replica().low, world.scene.store().replica().high);
    world.check_all();
}

FramePtr one_entry(const HistoryMaker& maker, const journal::Tip& behind, FrameEntry entry,
                   Bytes payload) {
    FrameBuilder builder;
    FrameHeader header;
    header.group = maker.group();
    header.timeline = maker.timeline().id;
    header.seq = behind.seq + 1;
    header.first_lsn = header.last_lsn = behind.point.lsn + 1;
    header.prev_hash = behind.hash;
    entry.lsn = header.first_lsn;
    entry.volume = VolumeIndex(0);
    entry.step_time = entry.wall = kFirstTime + std::chrono::seconds(entry.lsn.value());
    builder.add(entry, payload);
    return builder.seal(header);
}

bool first_byte_is(const std::string& path, std::uint64_t offset, char wanted) {
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    return file.get() == static_cast<unsigned char>(wanted);
}

// A long discard is a position for each 64 MiB: the files of a stopped standby hold all or nothing.
TEST(Leave, StopInALongDiscardFinishesTheStep) {
    constexpr std::uint64_t kPieces = 5;
    constexpr std::uint64_t kPiece = 64ULL << 20;
    World world(1, ByteCount(kPieces * kPiece));
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    const std::vector<std::byte> data(kSectorBytes, std::byte{'x'});
    journal::Tip tip = world.maker->tip();
    for (std::uint64_t i = 0; i <= kPieces; ++i) {
        FrameEntry entry;
        const bool last = i == kPieces;
        entry.kind = last ? EntryKind::discard : EntryKind::data;
        entry.offset = ByteOffset(last ? 0 : i * kPiece);
        entry.length = ByteCount(last ? kPieces * kPiece : kSectorBytes);
        if (last) {
            ASSERT_TRUE(world.scene.wait_applied(tip.point.lsn));
            world.files.hold(true);
        }
        const FramePtr frame = one_entry(*world.maker, tip, entry, last ? Bytes() : Bytes(data));
        tip = {{tip.point.timeline, tip.point.lsn + 1}, frame->hash(), tip.seq + 1, {}};
        world.scene.push(frame);
    }
    ASSERT_TRUE(eventually([&] { return world.files.holds(); }));
    std::thread stop([&] { world.scene.close(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // so that it was told to stop
    world.files.hold(false);
    stop.join();
    const std::string& path = world.scene.volumes()[0].path;
    for (std::uint64_t i = 0; i < kPieces; ++i)
        EXPECT_TRUE(first_byte_is(path, i * kPiece, 0)) << "piece " << i;
    ASSERT_OK(world.scene.open());
    EXPECT_EQ(world.scene.store().replica().low, (Position{tip.point.lsn, 0}));
}

}  // namespace
}  // namespace everstep::standby::testing
