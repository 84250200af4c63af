#include "daemon/step_clock.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kStart{1'700'000'000s};

TEST(StepClock, FollowsASteadyWallClock) {
    StepClock clock{WallTime()};
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(clock.read(kStart + i * 1s, i * 1s), StepClock::Change::none);
        EXPECT_EQ(clock.now(), kStart + i * 1s);
    }
}

TEST(StepClock, NeverGoesBackWhenTheWallClockDoes) {
    StepClock clock{WallTime()};
    clock.read(kStart, 0s);
    EXPECT_EQ(clock.read(kStart - 3600s, 1s), StepClock::Change::wall_jumped);
    EXPECT_EQ(clock.now(), kStart + 1s);
}

TEST(StepClock, FollowsBootTimeFromAJumpUntilTheWallIsSteady) {
    StepClock clock{WallTime()};
    clock.read(kStart, 0s);
    EXPECT_EQ(clock.read(kStart + 3600s, 1s), StepClock::Change::wall_jumped);
    for (int i = 2; i < 61; ++i) {
        EXPECT_EQ(clock.read(kStart + 3599s + i * 1s, i * 1s), StepClock::Change::none) << i;
        EXPECT_EQ(clock.now(), kStart + i * 1s);
    }
    EXPECT_EQ(clock.read(kStart + 3599s + 61s, 61s), StepClock::Change::wall_steady);
    EXPECT_EQ(clock.now(), kStart + 3599s + 61s);
}

TEST(StepClock, RunsAtHalfRateWhileAheadOfASteadyWall) {
    StepClock clock{kStart + 10s};  // the path's newest step came from a node whose clock was ahead
    clock.read(kStart, 0s);
    EXPECT_EQ(clock.now(), kStart + 10s);
    clock.read(kStart + 4s, 4s);
    EXPECT_EQ(clock.now(), kStart + 12s);
    clock.read(kStart + 30s, 30s);
    EXPECT_EQ(clock.now(), kStart + 30s);
}

}  // namespace
}  // namespace everstep::daemon
