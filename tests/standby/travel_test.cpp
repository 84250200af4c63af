// Apply, rewind and resume against an independent model: the image at every step, through the
// reading function and in the raw files, back and forward in random order, while writes go on,
// across branches and after restarts.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "checks.hpp"

namespace everstep::standby::testing {
namespace {

struct World {
    explicit World(std::uint64_t seed, SceneOptions options = {})
        : group(Uuid::random()), scene(directory.path(), group, options), random(seed) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, seed);
    }
    void push(std::size_t frames) {
        for (std::size_t i = 0; i < frames; ++i) scene.push(maker->frame());
    }
    TempDirectory directory;
    Uuid group;
    Scene scene;
    std::mt19937_64 random;
    std::unique_ptr<HistoryMaker> maker;
};

std::vector<Point> shuffled(World& world, std::vector<Point> points) {
    std::shuffle(points.begin(), points.end(), world.random);
    return points;
}

TEST(Travel, EveryStepReadsAsTheModel) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.push(60);
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
    for (const Point& point : world.maker->points()) {
        EXPECT_IMAGE(read_step(world.scene.standby(), point), world.maker->image(point))
            << point.lsn.value();
    }
}

TEST(Travel, RewindPutsTheRawImageAtTheStepBackAndForward) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.push(40);
    ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
    std::vector<Point> points = shuffled(world, world.maker->points());
    points.resize(std::min<std::size_t>(points.size(), 40));
    points.push_back(world.maker->point(Lsn(0)));
    points.push_back(world.maker->head_point());
    for (const Point& to : points) {
        const Result<Value> moved = world.scene.rewind(to);
        ASSERT_TRUE(moved.ok()) << moved.status().message();
        EXPECT_EQ(moved->at("lsn").number(), to.lsn.value());
        EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->image(to));
        EXPECT_EQ(world.scene.standby().applied(), to.lsn);
        const Point other = world.maker->points()[world.random() % world.maker->points().size()];
        EXPECT_IMAGE(read_step(world.scene.standby(), other), world.maker->image(other));
    }
    ASSERT_TRUE(world.scene.resume().ok());
    EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
}

// A second later each time it is asked.
class RunningClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return system_clock().wall(); }
    [[nodiscard]] std::chrono::nanoseconds boot() const override {
        return std::chrono::seconds(++asked_);
    }

  private:
    mutable std::atomic<std::int64_t> asked_{0};
};

// Each part of the way grows to its whole; gives their units, one behind the other.
std::vector<std::string> parts_told(const std::vector<Value>& told) {
    std::vector<std::string> units;
    std::uint64_t before = 0;
    std::uint64_t total = 0;
    for (const Value& one : told) {
        const std::string unit = one.at("unit").text();
        if (units.empty() || units.back() != unit) {
            EXPECT_EQ(before, total) << "the part before came to its end";
            units.push_back(unit);
            before = 0;
            total = one.at("total").number();
        }
        EXPECT_EQ(one.at("total").number(), total);
        EXPECT_GT(one.at("done").number(), before);
        before = one.at("done").number();
    }
    EXPECT_EQ(before, total);
    return units;
}

TEST(Travel, AMoveTellsHowFarItIs) {
    const RunningClock clock;
    World world(test_seed(), {.clock = &clock});
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.push(20);
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    const Lsn applied = world.maker->head();
    std::vector<Value> told;
    ASSERT_TRUE(world.scene.rewind(world.maker->point(Lsn(3)), true, &told).ok());
    EXPECT_TRUE(told.empty()) << "nothing moves";
    ASSERT_TRUE(world.scene.rewind(world.maker->point(Lsn(3)), false, &told).ok());
    EXPECT_EQ(parts_told(told), std::vector<std::string>{"bytes"});
    EXPECT_GT(told.size(), 1U);
    world.push(20);
    ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
    told.clear();
    ASSERT_TRUE(world.scene.resume(&told).ok());
    EXPECT_EQ(parts_told(told), (std::vector<std::string>{"bytes", "steps"}));
    EXPECT_EQ(told.back().at("total").number(), world.maker->head() - Lsn(3));
    EXPECT_GT(world.maker->head(), applied);
    EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
}

TEST(Travel, DryRunMovesNothingAndForetellsAMoveBack) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.push(20);
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    const Point to = world.maker->point(Lsn(5));
    const Result<Value> dry = world.scene.rewind(to, true);
    ASSERT_TRUE(dry.ok()) << dry.status().message();
    EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
    EXPECT_FALSE(world.scene.store().replica().held);
    const Result<Value> done = world.scene.rewind(to);
    ASSERT_TRUE(done.ok());
    EXPECT_EQ(dry->at("blocks").number(), done->at("blocks").number());
    EXPECT_EQ(dry->at("from").number(), world.maker->head().value());
    // Forward again is foretold, too.
    const Result<Value> forward = world.scene.rewind(world.maker->head_point(), true);
    ASSERT_TRUE(forward.ok()) << forward.status().message();
    EXPECT_GT(forward->at("blocks").number(), 0U);
}

TEST(Travel, WhileHeldJournalingGoesOnAndTheReplicaStays) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.push(20);
    ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
    const Point to = world.maker->point(Lsn(world.maker->head().value() / 2));
    ASSERT_TRUE(world.scene.rewind(to).ok());
    for (int i = 0; i < 20; ++i) {
        world.push(2);
        const Point back = world.maker->points()[world.random() % world.maker->points().size()];
        if (back.lsn <= world.scene.store().durable().point.lsn) {
            ASSERT_TRUE(world.scene.rewind(back).ok());
            EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->image(back));
        }
    }
    ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
    for (const Point& point : shuffled(world, world.maker->points())) {
        EXPECT_IMAGE(read_step(world.scene.standby(), point), world.maker->image(point))
            << point.lsn.value();
    }
    ASSERT_TRUE(world.scene.resume().ok());
    EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
    EXPECT_EQ(world.scene.standby().applied(), world.maker->head());
}

TEST(Travel, HeldSurvivesARestartAndSoDoesEveryStep) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    for (int round = 0; round < 5; ++round) {
        world.push(15);
        ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
        const auto points = world.maker->points();
        const Point to = points[world.random() % points.size()];
        ASSERT_TRUE(world.scene.rewind(to).ok());
        world.scene.close();
        EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->image(to));
        ASSERT_OK(world.scene.open());
        EXPECT_TRUE(world.scene.store().replica().held);
        EXPECT_EQ(world.scene.store().replica().held_at, to);
        for (const Point& point : points) {
            ASSERT_EQ(
                difference(read_step(world.scene.standby(), point), world.maker->image(point)), "")
                << "round " << round << " step " << point.lsn.value();
        }
        ASSERT_TRUE(world.scene.resume().ok());
        world.scene.close();
        EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
        ASSERT_OK(world.scene.open());
        EXPECT_FALSE(world.scene.store().replica().held);
    }
}

TEST(Travel, BranchesKeepTheOldLineReachableBothWays) {
    World world(test_seed());
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    for (int round = 0; round < 5; ++round) {
        world.push(12);
        ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
        const std::uint64_t head = world.maker->head().value();
        const journal::TimelineInfo next =
            world.maker->branch(Lsn(head - world.random() % std::min<std::uint64_t>(head, 30)));
        ASSERT_OK(world.scene.task(
            [next](journal::Store& store) { return store.append_timeline(next); }));
        world.push(4);
        ASSERT_TRUE(world.scene.wait_durable(world.maker->head()));
        ASSERT_TRUE(eventually([&] {
            const journal::ReplicaState at = world.scene.store().replica();
            return at.line == world.maker->timeline().id && at.low.lsn == world.maker->head();
        }));
        EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->now());
        std::vector<Point> points = shuffled(world, world.maker->points());
        for (const Point& point : points) {
            ASSERT_EQ(
                difference(read_step(world.scene.standby(), point), world.maker->image(point)), "")
                << "round " << round << " step " << point.lsn.value();
        }
        points.resize(std::min<std::size_t>(points.size(), 12));
        for (const Point& to : points) {
            const Result<Value> moved = world.scene.rewind(to);
            ASSERT_TRUE(moved.ok()) << moved.status().message();
            ASSERT_EQ(difference(read_files(world.scene.volumes()), world.maker->image(to)), "")
                << "round " << round << " step " << to.lsn.value();
        }
        if (round % 2 == 0) {
            world.scene.close();
            ASSERT_OK(world.scene.open());
        }
        ASSERT_TRUE(world.scene.resume().ok());
        ASSERT_EQ(difference(read_files(world.scene.volumes()), world.maker->now()), "");
    }
}

TEST(Travel, SegmentsOfManySizesAreCrossedBothWays) {
    const std::uint64_t seed = test_seed();
    World world(seed, {.files = nullptr, .segment_bytes = ByteCount(256U << 10)});
    ASSERT_OK(world.scene.open());
    ASSERT_OK(world.scene.begin(world.maker->timeline()));
    world.push(150);
    ASSERT_TRUE(world.scene.wait_applied(world.maker->head()));
    std::vector<Point> points = shuffled(world, world.maker->points());
    points.resize(25);
    for (const Point& to : points) {
        ASSERT_TRUE(world.scene.rewind(to).ok());
        EXPECT_IMAGE(read_files(world.scene.volumes()), world.maker->image(to));
    }
}

}  // namespace
}  // namespace everstep::standby::testing
