// When a standby is compared by itself: after its time, over restarts, whatever the clock does.
#include "daemon/verify_schedule.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kWeek = hours(7 * 24);
constexpr WallTime kStart{seconds(1'790'000'000)};

class VerifyScheduleTest : public testing::Test {
  protected:
    // Of one standby that was compared then.
    [[nodiscard]] bool due(std::optional<WallTime> verified, seconds every = kWeek) const {
        return schedule_.due(every, now_, {{"beta", verified}}).size() == 1;
    }
    void pass(nanoseconds time) {
        now_.wall += time;
        now_.boot += time;
    }
    VerifySchedule schedule_;
    VerifySchedule::Now now_{kStart, hours(1)};
};

TEST_F(VerifyScheduleTest, OneIsDueWhenItsTimeHasPassedAndNotBefore) {
    const WallTime verified = now_.wall;
    EXPECT_FALSE(due(verified));
    pass(kWeek - seconds(1));
    EXPECT_FALSE(due(verified));
    pass(seconds(1));
    EXPECT_TRUE(due(verified));
    EXPECT_FALSE(due(verified, 2 * kWeek));  // another setting counts at once
}

TEST_F(VerifyScheduleTest, OneThatWasNeverComparedIsDueAtOnce) {
    EXPECT_TRUE(due(std::nullopt));
}

TEST_F(VerifyScheduleTest, OffIsNever) {
    EXPECT_FALSE(due(std::nullopt, seconds(0)));
    EXPECT_FALSE(due(now_.wall - 100 * kWeek, seconds(0)));
}

TEST_F(VerifyScheduleTest, EachStandbyHasItsOwnTime) {
    const auto names = schedule_.due(
        kWeek, now_,
        {{"beta", now_.wall - kWeek}, {"gamma", now_.wall - hours(1)}, {"delta", std::nullopt}});
    EXPECT_EQ(names, (std::vector<std::string>{"beta", "delta"}));
}

TEST_F(VerifyScheduleTest, AClockThatWasSetBackPutsItOffByNoMoreThanItsTime) {
    EXPECT_FALSE(due(now_.wall + hours(1)));
    EXPECT_TRUE(due(now_.wall + kWeek));
    EXPECT_TRUE(due(now_.wall + 1000 * kWeek));
}

TEST_F(VerifyScheduleTest, ATryThatFailedIsRepeatedLater) {
    schedule_.failed("beta", now_.boot);
    EXPECT_FALSE(due(std::nullopt));
    now_.wall += 2 * kWeek;  // the wall clock alone does not count
    EXPECT_FALSE(due(std::nullopt));
    now_.boot += kVerifyRetry;
    EXPECT_TRUE(due(std::nullopt));
    schedule_.failed("beta", now_.boot);
    schedule_.done("beta");  // at a command
    EXPECT_TRUE(due(std::nullopt));
}

TEST_F(VerifyScheduleTest, TheRateIsAQuarterOfTheTimeWithinItsBounds) {
    constexpr ByteCount kNoLimit{0};
    EXPECT_EQ(VerifySchedule::rate(ByteCount(10ULL << 30), kWeek, kNoLimit), kVerifyRateMin);
    const ByteCount all(604'800ULL * (50ULL << 20));
    EXPECT_EQ(VerifySchedule::rate(all, kWeek, kNoLimit), ByteCount(200ULL << 20));
    EXPECT_EQ(VerifySchedule::rate(all, kWeek, ByteCount(8ULL << 20)), ByteCount(8ULL << 20));
    EXPECT_EQ(VerifySchedule::rate(ByteCount(0), seconds(1), kNoLimit), kVerifyRateMin);
}

}  // namespace
}  // namespace everstep::daemon
