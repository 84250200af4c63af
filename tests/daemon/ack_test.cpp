#include <gtest/gtest.h>

#include "daemon/ack_gate.hpp"
#include "daemon/ack_policy.hpp"

namespace everstep::daemon {
namespace {

using namespace std::chrono_literals;

class Answers final : public BlockSink {
  public:
    void complete(std::uint64_t token, const Status& status) override {
        (status.ok() ? good : bad).push_back(token);
    }
    std::vector<std::uint64_t> good;
    std::vector<std::uint64_t> bad;
};

TEST(AckGate, AnswersInLsnOrderAndNeverBeforeRelease) {
    AckGate gate;
    Answers answers;
    gate.hold(Lsn(1), answers, 11);
    gate.hold(Lsn(3), answers, 13);
    gate.hold(Lsn(2), answers, 12);  // a flush that was submitted behind step 2
    EXPECT_TRUE(answers.good.empty());
    gate.release(Lsn(2));
    EXPECT_EQ(answers.good, (std::vector<std::uint64_t>{11, 12}));
    gate.release(Lsn(1));  // never goes back
    gate.hold(Lsn(2), answers, 22);
    EXPECT_EQ(answers.good.back(), 22U);
    gate.release(Lsn(9));
    EXPECT_EQ(answers.good.back(), 13U);
}

TEST(AckGate, WhatIsAnsweredBehindHoldAllIsReleasedAnew) {
    AckGate gate;
    Answers answers;
    gate.release(Lsn(UINT64_MAX));  // `local`
    gate.hold(Lsn(1), answers, 1);
    gate.hold_all();
    gate.hold(Lsn(1), answers, 2);  // a flush of what was answered before
    gate.hold(Lsn(2), answers, 3);
    EXPECT_EQ(answers.good, (std::vector<std::uint64_t>{1}));
    gate.release(Lsn(1));
    EXPECT_EQ(answers.good, (std::vector<std::uint64_t>{1, 2}));
}

TEST(AckGate, AFailedGateAnswersEverythingWithTheError) {
    AckGate gate;
    Answers answers;
    gate.hold(Lsn(1), answers, 1);
    gate.fail(Status(ErrorCode::closed, "the end"));
    gate.hold(Lsn(1), answers, 2);
    gate.release(Lsn(5));
    EXPECT_EQ(answers.bad, (std::vector<std::uint64_t>{1, 2}));
    EXPECT_TRUE(answers.good.empty());
}

GroupConfig config(AckLevel level, LossPolicy loss, std::uint32_t needed = 0) {
    GroupConfig group;
    group.ack = level;
    group.on_standby_loss = loss;
    group.ack_standbys = needed;
    group.standby_timeout = 5000ms;
    return group;
}

TEST(AckPolicy, LocalReleasesEverything) {
    const AckPolicy policy(config(AckLevel::local, LossPolicy::continue_alone), {"b"});
    EXPECT_EQ(policy.released(Lsn(7)), Lsn(7));
    EXPECT_EQ(policy.in_force(), AckLevel::local);
}

TEST(AckPolicy, DurableReleasesWhatEveryStandbyHas) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b", "c"});
    policy.answered("b", Lsn(9), 1s);
    EXPECT_EQ(policy.released(Lsn(10)), Lsn(0));
    policy.answered("c", Lsn(4), 1s);
    EXPECT_EQ(policy.released(Lsn(10)), Lsn(4));
}

TEST(AckPolicy, OneOfTwoIsEnoughWhenOneIsAsked) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone, 1), {"b", "c"});
    policy.answered("b", Lsn(9), 1s);
    EXPECT_EQ(policy.released(Lsn(10)), Lsn(9));
}

TEST(AckPolicy, ALossCountsOnlyAfterItWasConfirmed) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    EXPECT_TRUE(policy.overdue(Lsn(0), 100s).empty());
    EXPECT_TRUE(policy.overdue(Lsn(3), 104s).empty());
    ASSERT_EQ(policy.overdue(Lsn(3), 106s), std::vector<std::string>{"b"});
    EXPECT_EQ(policy.released(Lsn(3)), Lsn(0));
    policy.confirm_lost("b");
    EXPECT_EQ(policy.released(Lsn(3)), Lsn(3));
    EXPECT_EQ(policy.in_force(), AckLevel::local);
    EXPECT_TRUE(policy.arrived(Lsn(3), 106s).empty());
    policy.answered("b", Lsn(3), 107s);
    ASSERT_EQ(policy.arrived(Lsn(3), 107s), std::vector<std::string>{"b"});
    policy.confirm_arrived("b", 107s);
    EXPECT_EQ(policy.in_force(), AckLevel::durable);
    EXPECT_EQ(policy.released(Lsn(8)), Lsn(3));
}

// It gets on all the time, and every answer waits for the end of its way.
TEST(AckPolicy, OneThatIsFarBehindWhereAckIsSwitchedIsNotWaitedForLongerThanTheTimeout) {
    AckPolicy policy(config(AckLevel::local, LossPolicy::continue_alone), {"b"});
    policy.answered("b", Lsn(100), 1s);
    ASSERT_TRUE(
        policy.reconfigure(config(AckLevel::durable, LossPolicy::continue_alone), Lsn(900)));
    policy.answered("b", Lsn(100), 1s);
    std::vector<std::string> late;
    std::chrono::nanoseconds now = 1s;
    for (std::uint64_t lsn = 101; late.empty() && lsn < 800; ++lsn) {
        now += 100ms;
        policy.answered("b", Lsn(lsn), now);
        late = policy.overdue(Lsn(901), now);
    }
    EXPECT_EQ(late, std::vector<std::string>{"b"});
    EXPECT_LE(now, 7s);
    // One that is there and slow is waited for as long as it gets on.
    policy.answered("b", Lsn(900), now);
    for (std::uint64_t lsn = 901; lsn < 1000; ++lsn) {
        now += 1s;
        policy.answered("b", Lsn(lsn), now);
        EXPECT_TRUE(policy.overdue(Lsn(2000), now).empty());
    }
}

// It is never quite at the newest step, and gets there all the same: answers wait for it again.
TEST(AckPolicy, UnderWritesThatNeverPauseOneThatKeepsUpCountsAgain) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.confirm_lost("b");
    std::uint64_t captured = 1000;
    const auto look = [&](std::chrono::nanoseconds now) {
        return policy.arrived(Lsn(captured), now);
    };
    policy.answered("b", Lsn(400), 1s);
    EXPECT_TRUE(look(1s).empty());
    EXPECT_EQ(policy.released(Lsn(captured)), Lsn(1000));  // far behind: nobody waits for it
    policy.answered("b", Lsn(990), 2s);
    captured = 1100;
    EXPECT_TRUE(look(2s).empty());
    EXPECT_EQ(policy.released(Lsn(captured)), Lsn(1100));
    policy.answered("b", Lsn(1150), 3s);
    captured = 1160;
    EXPECT_TRUE(look(3s).empty());  // it has what was there at the last look: it joins
    EXPECT_EQ(policy.in_force(), AckLevel::local);
    EXPECT_FALSE(policy.kept());
    captured = 1200;
    EXPECT_EQ(policy.released(Lsn(captured)), Lsn(1150));
    policy.answered("b", Lsn(1160), 4s);
    captured = 1250;
    EXPECT_EQ(look(4s), std::vector<std::string>{"b"});
    policy.confirm_arrived("b", 4s);
    EXPECT_EQ(policy.in_force(), AckLevel::durable);
    EXPECT_TRUE(policy.kept());
    EXPECT_EQ(policy.released(Lsn(captured)), Lsn(1160));
}

TEST(AckPolicy, OneThatIsLostAndHasNotAnsweredIsNotWaitedFor) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.recorded_lost("b");
    EXPECT_TRUE(policy.arrived(Lsn(0), 1s).empty());
    EXPECT_TRUE(policy.arrived(Lsn(7), 1s).empty());
    EXPECT_EQ(policy.released(Lsn(7)), Lsn(7));
}

TEST(AckPolicy, OneThatFallsBehindAgainWhileItIsWaitedForHoldsAnswersNoLongerThanItsTimeout) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.confirm_lost("b");
    EXPECT_TRUE(policy.arrived(Lsn(10), 1s).empty());
    policy.answered("b", Lsn(10), 2s);
    EXPECT_TRUE(policy.arrived(Lsn(20), 2s).empty());
    EXPECT_EQ(policy.released(Lsn(30)), Lsn(10));
    EXPECT_TRUE(policy.arrived(Lsn(30), 6s).empty());
    EXPECT_EQ(policy.released(Lsn(30)), Lsn(10));
    EXPECT_TRUE(policy.arrived(Lsn(30), 8s).empty());
    EXPECT_EQ(policy.released(Lsn(30)), Lsn(30));
}

TEST(AckPolicy, OtherAnswersAreAskedForAnewAndKeepNothingBeforeTheyHaveCome) {
    AckPolicy policy(config(AckLevel::received, LossPolicy::continue_alone), {"b"});
    policy.answered("b", Lsn(50), 1s);  // received
    EXPECT_EQ(policy.released(Lsn(60)), Lsn(50));
    const GroupConfig durable = config(AckLevel::durable, LossPolicy::continue_alone);
    EXPECT_TRUE(policy.asks_other_answers(durable));
    EXPECT_TRUE(policy.reconfigure(durable, Lsn(60)));
    EXPECT_EQ(policy.released(Lsn(60)), Lsn(0));  // what was received is not durable
    policy.answered("b", Lsn(40), 2s);
    EXPECT_EQ(policy.released(Lsn(60)), Lsn(40));
    EXPECT_FALSE(policy.kept());
    policy.answered("b", Lsn(60), 3s);
    EXPECT_TRUE(policy.kept());
    EXPECT_FALSE(policy.reconfigure(durable, Lsn(70)));
    EXPECT_TRUE(policy.kept());
}

TEST(AckPolicy, MoreStandbysAreAskedForAnewToo) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone, 1), {"b", "c"});
    policy.answered("b", Lsn(9), 1s);
    EXPECT_TRUE(policy.kept());
    EXPECT_TRUE(policy.reconfigure(config(AckLevel::durable, LossPolicy::continue_alone), Lsn(9)));
    policy.answered("b", Lsn(9), 1s);
    EXPECT_FALSE(policy.kept());
    EXPECT_EQ(policy.released(Lsn(9)), Lsn(0));
    policy.answered("c", Lsn(9), 1s);
    EXPECT_TRUE(policy.kept());
}

TEST(AckPolicy, ATimeoutThatChangesAsksForNothingAnew) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.answered("b", Lsn(9), 1s);
    GroupConfig longer = config(AckLevel::durable, LossPolicy::continue_alone);
    longer.standby_timeout = 60000ms;
    EXPECT_FALSE(policy.asks_other_answers(longer));
    EXPECT_TRUE(policy.reconfigure(longer, Lsn(12)));
    EXPECT_EQ(policy.released(Lsn(12)), Lsn(9));
    EXPECT_TRUE(policy.kept());
    EXPECT_TRUE(policy.overdue(Lsn(12), 50s).empty());
    EXPECT_EQ(policy.overdue(Lsn(12), 62s), std::vector<std::string>{"b"});
}

TEST(AckPolicy, OneThatIsLostStaysLostOverASwitch) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.confirm_lost("b");
    EXPECT_TRUE(policy.reconfigure(config(AckLevel::received, LossPolicy::stall), Lsn(5)));
    EXPECT_EQ(policy.in_force(), AckLevel::local);
    EXPECT_EQ(policy.released(Lsn(9)), Lsn(9));
}

TEST(AckPolicy, AStartGivesAStandbyItsWholeTimeout) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    EXPECT_TRUE(policy.overdue(Lsn(120), 9000s).empty());  // steps of the last run, a clock far on
    EXPECT_TRUE(policy.overdue(Lsn(120), 9005s).empty());
    EXPECT_EQ(policy.released(Lsn(120)), Lsn(0));
    EXPECT_EQ(policy.overdue(Lsn(120), 9006s), std::vector<std::string>{"b"});
}

TEST(AckPolicy, NothingIsKeptBeforeAStandbyHasConfirmed) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    EXPECT_EQ(policy.in_force(), AckLevel::durable);
    EXPECT_FALSE(policy.kept());
    policy.answered("b", Lsn(3), 1s);
    EXPECT_TRUE(policy.kept());
    policy.confirm_lost("b");
    EXPECT_FALSE(policy.kept());
}

TEST(AckPolicy, TheLossOfOneLeavesKeptWhatTheOthersKeep) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone, 1), {"b", "c"});
    policy.answered("b", Lsn(3), 1s);
    policy.answered("c", Lsn(3), 1s);
    policy.confirm_lost("c");
    EXPECT_TRUE(policy.kept());
    policy.confirm_lost("b");
    EXPECT_FALSE(policy.kept());
}

TEST(AckPolicy, AStandbyBehindTheLastRunKeepsNothingYet) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.begin(Lsn(100));
    policy.answered("b", Lsn(50), 1s);
    EXPECT_FALSE(policy.kept());
    policy.answered("b", Lsn(100), 1s);
    EXPECT_TRUE(policy.kept());
}

TEST(AckPolicy, ReceivedIsNeverKept) {
    AckPolicy policy(config(AckLevel::received, LossPolicy::continue_alone), {"b"});
    policy.answered("b", Lsn(3), 1s);
    EXPECT_FALSE(policy.kept());
}

TEST(AckPolicy, OneThatJoinsCountsWhenItHasWhatWasReleasedWithoutIt) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b"});
    policy.answered("b", Lsn(50), 1s);
    policy.set_standbys(config(AckLevel::durable, LossPolicy::continue_alone), {"b", "c"}, Lsn(50));
    policy.joins("c");
    EXPECT_EQ(policy.counted(), 1U);
    EXPECT_EQ(policy.needed(), 1U);
    EXPECT_TRUE(policy.kept());
    EXPECT_EQ(policy.in_force(), AckLevel::durable);
    policy.answered("b", Lsn(60), 2s);
    EXPECT_EQ(policy.released(Lsn(60)), Lsn(60));
    EXPECT_TRUE(policy.arrived(Lsn(60), 3s).empty());  // its first copy is not done
    policy.answered("c", Lsn(40), 3s);
    EXPECT_TRUE(policy.arrived(Lsn(60), 3s).empty());
    policy.answered("b", Lsn(70), 3s);
    EXPECT_EQ(policy.released(Lsn(70)), Lsn(70));  // nor is it waited for yet
    policy.answered("c", Lsn(61), 4s);
    EXPECT_TRUE(policy.arrived(Lsn(70), 4s).empty());
    policy.answered("b", Lsn(80), 4s);
    EXPECT_EQ(policy.released(Lsn(80)), Lsn(61));  // now it is
    policy.answered("c", Lsn(70), 4s);
    ASSERT_EQ(policy.arrived(Lsn(80), 4s), std::vector<std::string>{"c"});
    EXPECT_EQ(policy.counted(), 1U);  // not before that is recorded
    policy.confirm_arrived("c", 4s);
    EXPECT_EQ(policy.counted(), 2U);
    EXPECT_EQ(policy.needed(), 2U);
    EXPECT_TRUE(policy.kept());
    EXPECT_EQ(policy.released(Lsn(80)), Lsn(70));
}

TEST(AckPolicy, OneThatJoinsHoldsNoWriteLongerThanTheTimeout) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b", "c"});
    policy.joins("c");
    policy.answered("c", Lsn(10), 1s);
    policy.answered("b", Lsn(20), 1s);
    EXPECT_TRUE(policy.arrived(Lsn(10), 1s) == std::vector<std::string>{"c"});  // not recorded
    EXPECT_EQ(policy.released(Lsn(20)), Lsn(10));
    EXPECT_FALSE(policy.arrived(Lsn(20), 5s).empty());
    EXPECT_EQ(policy.released(Lsn(20)), Lsn(10));
    EXPECT_TRUE(policy.arrived(Lsn(20), 7s).empty());
    EXPECT_EQ(policy.released(Lsn(20)), Lsn(20));
    EXPECT_TRUE(policy.overdue(Lsn(20), 100s).empty());  // nor is it one that was lost
}

// It is always as far behind as half the timeout allows, and gets there all the same.
TEST(AckPolicy, OneThatTrailsCountsAndOneThatIsTooSlowIsNotWaitedFor) {
    for (const bool joins : {true, false}) {
        for (const auto lag : {2000ms, 3000ms}) {
            AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b", "c"});
            if (joins) policy.joins("c");
            if (!joins) policy.confirm_lost("c");
            bool waited = false;
            bool counts = false;
            for (auto now = 4000ms; now < 60s && !counts; now += 50ms) {
                const Lsn captured(static_cast<std::uint64_t>(now.count()));
                policy.answered("b", captured, now);
                policy.answered("c", captured - static_cast<std::uint64_t>(lag.count()), now);
                counts = !policy.arrived(captured, now).empty();
                waited = waited || policy.released(captured) < captured;
            }
            EXPECT_EQ(counts, lag == 2000ms);
            EXPECT_EQ(waited, lag == 2000ms);
        }
    }
}

TEST(AckPolicy, OneWhoseSessionEndsNearTheEndIsNotWaitedFor) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"b", "c"});
    policy.joins("c");
    policy.answered("b", Lsn(20), 1s);
    policy.answered("c", Lsn(10), 1s);
    EXPECT_TRUE(policy.arrived(Lsn(10), 1s) == std::vector<std::string>{"c"});
    EXPECT_EQ(policy.released(Lsn(20)), Lsn(10));
    policy.away("c");
    EXPECT_EQ(policy.released(Lsn(20)), Lsn(20));
    EXPECT_TRUE(policy.arrived(Lsn(10), 1s).empty());
    EXPECT_TRUE(policy.arrived(Lsn(10), 2s).empty());
}

// The next start asks only those that count: the word of another is not enough.
TEST(AckPolicy, OneThatDoesNotCountAnswersForNobody) {
    for (const bool joins : {true, false}) {
        AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone, 1), {"b", "c"});
        if (joins) policy.joins("c");
        if (!joins) policy.confirm_lost("c");
        policy.answered("b", Lsn(5), 1s);
        policy.answered("c", Lsn(10), 1s);
        EXPECT_FALSE(policy.arrived(Lsn(10), 1s).empty());
        EXPECT_EQ(policy.released(Lsn(20)), Lsn(5));
        policy.confirm_arrived("c", 1s);
        EXPECT_EQ(policy.released(Lsn(20)), Lsn(10));
    }
}

TEST(AckPolicy, OneThatJoinsGoesOnJoiningOverASwitch) {
    AckPolicy policy(config(AckLevel::received, LossPolicy::continue_alone), {"b", "c"});
    policy.joins("c");
    policy.answered("b", Lsn(50), 1s);
    policy.answered("c", Lsn(50), 1s);  // received
    EXPECT_FALSE(policy.arrived(Lsn(50), 1s).empty());
    EXPECT_TRUE(policy.reconfigure(config(AckLevel::durable, LossPolicy::continue_alone), Lsn(60)));
    EXPECT_TRUE(policy.joining("c"));
    EXPECT_TRUE(policy.arrived(Lsn(60), 2s).empty());  // what it has received is not durable
    policy.answered("c", Lsn(55), 2s);
    EXPECT_TRUE(policy.arrived(Lsn(60), 2s).empty());
    policy.answered("b", Lsn(60), 2s);
    EXPECT_EQ(policy.released(Lsn(60)), Lsn(60));
    EXPECT_TRUE(policy.kept());
    policy.answered("c", Lsn(60), 2s);
    EXPECT_FALSE(policy.arrived(Lsn(60), 2s).empty());
    EXPECT_TRUE(policy.reconfigure(config(AckLevel::local, LossPolicy::continue_alone), Lsn(60)));
    EXPECT_TRUE(policy.arrived(Lsn(70), 3s).empty());
    policy.answered("c", Lsn(60), 3s);  // whole, and nothing is owed
    EXPECT_EQ(policy.arrived(Lsn(70), 3s), std::vector<std::string>{"c"});
}

TEST(AckPolicy, OneThatIsRemovedWhileItIsLostIsNotMissed) {
    const GroupConfig all = config(AckLevel::durable, LossPolicy::continue_alone);
    AckPolicy policy(all, {"b", "c"});
    policy.answered("b", Lsn(5), 1s);
    policy.confirm_lost("c");
    EXPECT_EQ(policy.in_force(), AckLevel::local);
    policy.set_standbys(all, {"b"}, Lsn(5));
    EXPECT_EQ(policy.in_force(), AckLevel::durable);
    EXPECT_TRUE(policy.kept());
    EXPECT_EQ(policy.released(Lsn(9)), Lsn(5));
    policy.set_standbys(all, {"b", "c"}, Lsn(5));  // it comes back as a new one
    policy.joins("c");
    EXPECT_EQ(policy.in_force(), AckLevel::durable);
    EXPECT_EQ(policy.needed(), 1U);
}

TEST(AckPolicy, StallWaitsForThoseThatJoinWhereThereAreNotAsManyOthersAsAsked) {
    AckPolicy stalls(config(AckLevel::durable, LossPolicy::stall, 2), {"b", "c"});
    stalls.joins("c");
    stalls.answered("b", Lsn(9), 1s);
    EXPECT_EQ(stalls.released(Lsn(9)), Lsn(0));
    stalls.answered("c", Lsn(7), 1s);
    EXPECT_EQ(stalls.released(Lsn(9)), Lsn(7));
    EXPECT_FALSE(stalls.kept());
    AckPolicy goes_on(config(AckLevel::durable, LossPolicy::continue_alone, 2), {"b", "c"});
    goes_on.joins("c");
    goes_on.answered("b", Lsn(9), 1s);
    EXPECT_EQ(goes_on.released(Lsn(9)), Lsn(9));
    EXPECT_EQ(goes_on.in_force(), AckLevel::local);  // it is on one only
}

TEST(AckPolicy, StallThatIsSwitchedOnAsksAnewWhereOnlyThoseThatJoinAreThere) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::continue_alone), {"c"});
    policy.joins("c");
    EXPECT_EQ(policy.released(Lsn(9)), Lsn(9));
    const GroupConfig stall = config(AckLevel::durable, LossPolicy::stall);
    EXPECT_TRUE(policy.asks_other_answers(stall));
    EXPECT_TRUE(policy.reconfigure(stall, Lsn(9)));
    EXPECT_EQ(policy.released(Lsn(9)), Lsn(0));
}

TEST(AckPolicy, StallWaitsForOneThatJoinsWhereThereIsNoOther) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::stall), {"b"});
    policy.answered("b", Lsn(5), 1s);
    policy.set_standbys(config(AckLevel::durable, LossPolicy::stall), {"c"}, Lsn(5));
    policy.joins("c");
    EXPECT_TRUE(policy.waits());
    EXPECT_EQ(policy.released(Lsn(9)), Lsn(0));
    AckPolicy goes_on(config(AckLevel::durable, LossPolicy::continue_alone), {"c"});
    goes_on.joins("c");
    EXPECT_EQ(goes_on.released(Lsn(9)), Lsn(9));
    EXPECT_EQ(goes_on.in_force(), AckLevel::local);
    EXPECT_FALSE(goes_on.kept());
}

TEST(AckPolicy, WhatOneThatLeftKeptIsNotKeptByThoseThatStay) {
    const GroupConfig one_of_two = config(AckLevel::durable, LossPolicy::continue_alone, 1);
    AckPolicy policy(one_of_two, {"b", "c"});
    policy.answered("b", Lsn(100), 1s);
    policy.answered("c", Lsn(90), 1s);
    EXPECT_TRUE(policy.kept());
    policy.set_standbys(one_of_two, {"c"}, Lsn(100));
    EXPECT_FALSE(policy.kept());
    policy.answered("c", Lsn(100), 2s);
    EXPECT_TRUE(policy.kept());
}

TEST(AckPolicy, StallNeverLosesAStandby) {
    AckPolicy policy(config(AckLevel::durable, LossPolicy::stall), {"b"});
    EXPECT_TRUE(policy.overdue(Lsn(0), 1s).empty());
    EXPECT_TRUE(policy.overdue(Lsn(5), 1000s).empty());
    EXPECT_EQ(policy.released(Lsn(5)), Lsn(0));
}

}  // namespace
}  // namespace everstep::daemon
