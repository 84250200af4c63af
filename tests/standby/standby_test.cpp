// The standby as a whole: own frames of a promoted node, failures, what is refused at the opening.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "checks.hpp"
#include "faulty_files.hpp"
#include "standby/replica.hpp"

namespace everstep::standby::testing {
namespace {

std::unique_ptr<HistoryMaker> maker_for(const Scene& scene, Uuid group, std::uint64_t seed) {
    std::vector<ByteCount> sizes;
    for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
    return std::make_unique<HistoryMaker>(group, sizes, seed);
}

Status append_local(Scene& scene, const FramePtr& frame) {
    std::promise<Status> done;
    scene.standby().append_local(frame, [&](const Status& status) { done.set_value(status); });
    return done.get_future().get();
}

Status sync_local(Scene& scene) {
    std::promise<Status> done;
    scene.standby().sync_local([&](const Status& status) { done.set_value(status); });
    return done.get_future().get();
}

TEST(Standby, OwnFramesAreReadableWhenAppendedAndDurableWhenSynced) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene(directory.path(), group);
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, test_seed());
    ASSERT_OK(scene.begin(maker->timeline()));
    for (int i = 0; i < 50; ++i) {
        ASSERT_OK(append_local(scene, maker->frame()));
        EXPECT_EQ(scene.store().tip().point, maker->head_point());
        EXPECT_IMAGE(read_step(scene.standby(), maker->head_point()), maker->now());
        if (i % 7 != 0) continue;
        ASSERT_OK(sync_local(scene));
        EXPECT_EQ(scene.store().durable().point, maker->head_point());
    }
    scene.close();
    ASSERT_OK(scene.open());
    EXPECT_EQ(scene.store().durable().point, maker->head_point());
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST(Standby, ASmallOwnFrameIsTakenByItsCallerWhereNothingWaits) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene(directory.path(), group);
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, test_seed());
    ASSERT_OK(scene.begin(maker->timeline()));
    for (int i = 0; i < 20; ++i) {
        ASSERT_OK(sync_local(scene));  // behind it the stage has nothing to do
        std::thread::id taken;
        scene.standby().append_local(maker->frame(), [&](const Status& status) {
            EXPECT_TRUE(status.ok()) << status.message();
            taken = std::this_thread::get_id();
        });
        ASSERT_EQ(taken, std::this_thread::get_id());
        EXPECT_EQ(scene.store().tip().point, maker->head_point());
    }
}

// Whoever takes a frame, the caller or the journal thread, they are stored in their order, over
// many small segments, beside syncs and tasks of other threads.
TEST(Standby, OwnFramesKeepTheirOrderWhoeverTakesThem) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene(directory.path(), group, {.segment_bytes = ByteCount(1U << 20)});
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, test_seed());
    ASSERT_OK(scene.begin(maker->timeline()));
    std::atomic<bool> ended{false};
    std::thread other([&] {
        for (int i = 0; !ended; ++i) {
            EXPECT_TRUE(sync_local(scene).ok());
            std::promise<Status> done;
            scene.standby().journal_task([](journal::Store&) { return Status(); },
                                         [&](const Status& status) { done.set_value(status); });
            EXPECT_TRUE(done.get_future().get().ok());
        }
    });
    std::vector<Lsn> told;
    std::mutex mutex;
    for (int i = 0; i < 400; ++i) {
        const FramePtr frame = maker->frame();
        scene.standby().append_local(frame,
                                     [&, last = frame->header().last_lsn](const Status& status) {
                                         EXPECT_TRUE(status.ok()) << status.message();
                                         const std::lock_guard guard(mutex);
                                         told.push_back(last);
                                     });
    }
    ASSERT_OK(append_local(scene, maker->frame()));
    ended = true;
    other.join();
    ASSERT_OK(sync_local(scene));
    EXPECT_EQ(told.size(), 400U);
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    EXPECT_EQ(scene.store().durable().point, maker->head_point());
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST(Standby, OwnFramesWithoutASyncAreDurableSoonAfter) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene(directory.path(), group);
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, test_seed());
    ASSERT_OK(scene.begin(maker->timeline()));
    ASSERT_OK(append_local(scene, maker->frame()));
    EXPECT_TRUE(scene.wait_durable(maker->head()));
}

TEST(Standby, AnErrorOfTheReplicaStopsApplyingButNotJournaling) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    FaultyFiles files(io::system_files(), "data.img");
    Scene scene(directory.path(), group, {.files = &files, .segment_bytes = ByteCount(1U << 20)});
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, test_seed());
    ASSERT_OK(scene.begin(maker->timeline()));
    scene.push(maker->frame());
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    const Lsn applied = maker->head();
    files.fail(true);
    for (int i = 0; i < 30; ++i) scene.push(maker->frame());
    ASSERT_TRUE(scene.wait_durable(maker->head()));
    ASSERT_TRUE(eventually([&] { return !scene.failed().ok(); }));
    EXPECT_NE(scene.failed().message().find("data.img"), std::string::npos);
    EXPECT_FALSE(scene.standby().failure().ok());
    EXPECT_TRUE(scene.standby().journal_failure().ok());
    EXPECT_LT(scene.standby().applied(), maker->head());
    const Result<Value> rewound = scene.rewind(maker->point(applied));
    ASSERT_FALSE(rewound.ok());
    scene.push(maker->frame());
    ASSERT_TRUE(scene.wait_durable(maker->head()));
    for (const Point& point : maker->points()) {
        EXPECT_IMAGE(read_step(scene.standby(), point), maker->image(point)) << point.lsn.value();
    }
    scene.close();
    files.fail(false);
    ASSERT_OK(scene.open());
    ASSERT_TRUE(scene.wait_applied(maker->head()));
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
}

TEST(Standby, AnErrorOfTheStoreEndsEverythingDurable) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    FaultyFiles files(io::system_files(), "/store/");
    Scene scene(directory.path(), group, {.files = &files, .segment_bytes = ByteCount(1U << 20)});
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, test_seed());
    ASSERT_OK(scene.begin(maker->timeline()));
    scene.push(maker->frame());
    ASSERT_TRUE(scene.wait_durable(maker->head()));
    const Lsn durable = maker->head();
    files.fail(true);
    scene.push(maker->frame());
    ASSERT_TRUE(eventually([&] { return !scene.standby().journal_failure().ok(); }));
    EXPECT_FALSE(scene.standby().journal_failure().ok());
    EXPECT_EQ(scene.store().durable().point.lsn, durable);
    EXPECT_GT(scene.standby().queued_bytes(), 0U);
    EXPECT_FALSE(append_local(scene, maker->frame()).ok());
    EXPECT_FALSE(sync_local(scene).ok());
    EXPECT_FALSE(scene.task([](journal::Store&) { return Status(); }).ok());
}

TEST(Standby, AnotherSizeOfAVolumeIsRefusedByName) {
    const TempDirectory directory;
    std::ofstream(directory.path() + "/log.img") << "four";
    Scene scene(directory.path(), Uuid::random());
    const Status status = scene.open();
    ASSERT_FALSE(status.ok());
    for (const char* part : {"volume log", "log.img", "found 4 bytes", "wanted 34304"}) {
        EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
    }
}

TEST(Standby, HistoryWithoutItsReplicaIsRefusedAndNothingIsMade) {
    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene(directory.path(), group);
    ASSERT_OK(scene.open());
    const auto maker = maker_for(scene, group, 1);
    ASSERT_OK(scene.begin(maker->timeline()));
    scene.close();
    std::filesystem::remove(directory.path() + "/data.img");
    for (int i = 0; i < 2; ++i) {
        const Status status = scene.open();
        ASSERT_FALSE(status.ok());
        EXPECT_NE(status.message().find("volume data"), std::string::npos) << status.message();
        EXPECT_FALSE(std::filesystem::exists(directory.path() + "/data.img"));
    }
}

TEST(Standby, TheReplicaIsLocked) {
    const TempDirectory directory;
    const std::vector<VolumeFile> volumes = {
        {"data", directory.path() + "/data.img", ByteCount(1U << 20)}};
    const auto first = Replica::open(io::system_files(), volumes);
    ASSERT_TRUE(first.ok()) << first.status().message();
    const auto second = Replica::open(io::system_files(), volumes);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), ErrorCode::busy) << second.status().message();
    EXPECT_NE(second.status().message().find("volume data"), std::string::npos);
}

TEST(Standby, AReadPastAVolumesEndIsZeroes) {
    const TempDirectory directory;
    const std::vector<VolumeFile> volumes = {
        {"data", directory.path() + "/data.img", ByteCount(3 * kSectorBytes)}};
    auto replica = Replica::open(io::system_files(), volumes);
    ASSERT_TRUE(replica.ok()) << replica.status().message();
    EXPECT_TRUE((*replica)->made(VolumeIndex(0)));
    const std::vector<std::byte> ones(3 * kSectorBytes, std::byte{1});
    const io::WriteOp op{ByteOffset(0), ones};
    ASSERT_OK((*replica)->write(VolumeIndex(0), {&op, 1}));
    ASSERT_OK((*replica)->sync());
    std::vector<std::byte> block(kBlockBytes, std::byte{7});
    ASSERT_OK((*replica)->read(VolumeIndex(0), ByteOffset(0), block));
    EXPECT_EQ(block[3 * kSectorBytes - 1], std::byte{1});
    EXPECT_EQ(block[3 * kSectorBytes], std::byte{0});
    EXPECT_EQ(block.back(), std::byte{0});
}

}  // namespace
}  // namespace everstep::standby::testing
