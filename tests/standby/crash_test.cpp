// kill -9 of the process at random moments: in the middle of appends, batches, rewinds and resumes.
// (What survives is what the kernel has; loss of its cache is another test's.)
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <future>

#include "checks.hpp"

namespace everstep::standby::testing {
namespace {

constexpr int kRounds = 20;
constexpr std::size_t kFramesARound = 60;

struct Told {  // by the child, through a pipe
    std::uint64_t durable = 0;
};

class CrashWorld {
  public:
    explicit CrashWorld(std::uint64_t seed) : random(seed) {
        const Scene scene(directory.path(), group);
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, seed);
    }

    // In the child: sends what is not durable yet, moves the replica about, until it is killed.
    [[noreturn]] void live(int pipe_end, std::uint64_t seed) {
        std::mt19937_64 dice(seed);
        Scene scene(directory.path(), group);
        if (!scene.open().ok()) ::_exit(2);
        if (!scene.store().has_history() && !scene.begin(maker->timeline()).ok()) ::_exit(3);
        const auto tell = [&] {
            const Told told{scene.store().durable().point.lsn.value()};
            if (::write(pipe_end, &told, sizeof told) != sizeof told) ::_exit(4);
        };
        const Lsn had = scene.store().tip().point.lsn;
        for (const FramePtr& frame : frames) {
            if (frame->header().last_lsn <= had) continue;
            scene.push(frame);
            tell();
            if (dice() % 4 != 0) continue;
            const std::uint64_t newest = scene.store().durable().point.lsn.value();
            if (dice() % 3 == 0) {
                scene.thread().on(
                    [&] { scene.standby().resume(false, [](const Result<Value>&) {}); });
            } else {
                const Point to = maker->point(Lsn(dice() % (newest + 1)));
                scene.thread().on(
                    [&] { scene.standby().rewind(to, false, [](const Result<Value>&) {}); });
            }
        }
        for (;;) tell();
    }

    // Runs a child and kills it; gives what it had called durable.
    std::uint64_t one_life() {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        const std::uint64_t child_seed = random();
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ends[0]);
            live(ends[1], child_seed);
        }
        ::close(ends[1]);
        const auto end =
            std::chrono::steady_clock::now() + std::chrono::milliseconds(random() % 250);
        Told told;
        std::uint64_t durable = 0;
        bool killed = false;
        while (::read(ends[0], &told, sizeof told) == sizeof told) {
            durable = told.durable;
            if (!killed && std::chrono::steady_clock::now() > end) {
                ::kill(child, SIGKILL);
                killed = true;
            }
        }
        ::close(ends[0]);
        int status = 0;
        ::waitpid(child, &status, 0);
        EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
        return durable;
    }

    TempDirectory directory;
    Uuid group = Uuid::random();
    std::mt19937_64 random;
    std::unique_ptr<HistoryMaker> maker;
    std::vector<FramePtr> frames;
};

TEST(Crash, EveryDurableStepIsThereAndRightAfterEachKill) {
    CrashWorld world(test_seed());
    for (int round = 0; round < kRounds; ++round) {
        for (std::size_t i = 0; i < kFramesARound; ++i)
            world.frames.push_back(world.maker->frame());
        const std::uint64_t durable = world.one_life();
        Scene scene(world.directory.path(), world.group);
        ASSERT_OK(scene.open());
        if (!scene.store().has_history()) {
            ASSERT_EQ(durable, 0U);
            continue;
        }
        const Lsn head = scene.store().durable().point.lsn;
        ASSERT_GE(head.value(), durable) << "round " << round;
        std::vector<Point> points = world.maker->points();
        std::erase_if(points, [&](const Point& point) { return point.lsn > head; });
        std::shuffle(points.begin(), points.end(), world.random);
        points.resize(std::min<std::size_t>(points.size(), 150));
        for (const Point& point : points) {
            ASSERT_EQ(difference(read_step(scene.standby(), point), world.maker->image(point)), "")
                << "round " << round << " step " << point.lsn.value();
        }
        if (scene.store().replica().held) {
            const Point held = scene.store().replica().held_at;
            ASSERT_TRUE(eventually([&] {
                const journal::ReplicaState at = scene.store().replica();
                return at.low == at.high && at.low == Position{held.lsn, 0};
            }));
            EXPECT_IMAGE(read_files(scene.volumes()), world.maker->image(held));
        }
        if (round % 2 == 0) {
            ASSERT_TRUE(scene.resume().ok());
            EXPECT_IMAGE(read_files(scene.volumes()), world.maker->image(world.maker->point(head)));
        }
    }
}

}  // namespace
}  // namespace everstep::standby::testing
