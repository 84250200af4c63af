// The rows of the decision table of a primary's start.
#include "daemon/start.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using Kind = StartDecision::Kind;

class StartTest : public testing::Test {
  protected:
    StartTest() {
        input_.has_record = true;
        input_.group = group_;
        journal::TimelineInfo first;
        first.id = timeline_;
        input_.timelines = {first};
        input_.tip.point = {timeline_, Lsn(100)};
        input_.tip.seq =
            FrameSeq(31);  // a frame without a step, behind the one that holds step 100
        input_.step = input_.tip;
        input_.step.seq = FrameSeq(30);
        input_.peers = {{"beta", std::nullopt}};
    }
    wire::GroupState standby(std::uint64_t lsn) const {
        wire::GroupState state;
        state.group_id = group_;
        state.role = wire::Role::standby;
        state.has_history = true;
        state.has_state = true;
        state.timelines = to_wire({input_.timelines.front()});
        state.head = {timeline_, Lsn(lsn)};
        state.consistent = state.head;
        return state;
    }
    Kind kind() const { return decide_start(input_).kind; }
    Uuid group_ = Uuid::random();
    TimelineId timeline_ = Uuid::random();
    StartInput input_;
};

TEST_F(StartTest, WithoutStateItWaitsForEveryStandby) {
    input_ = StartInput();
    input_.peers = {{"beta", std::nullopt}};
    EXPECT_EQ(kind(), Kind::wait);
    input_.waited = true;
    EXPECT_EQ(kind(), Kind::wait);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
    input_.peers[0].state = wire::GroupState();
    EXPECT_EQ(kind(), Kind::begin);
}

TEST_F(StartTest, ABranchChainsToTheFrameThatHoldsItsStep) {
    input_.clean = true;
    input_.waited = true;
    EXPECT_EQ(decide_start(input_).tip.seq, FrameSeq(31));  // goes on
    input_.clean = false;
    EXPECT_EQ(decide_start(input_).tip.seq, FrameSeq(30));
    input_.peers[0].state = standby(120);
    input_.peers[0].state->head_seq = FrameSeq(41);
    input_.peers[0].state->step_seq = FrameSeq(40);
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.seq, FrameSeq(40));
}

TEST_F(StartTest, WithoutStateItNeverOverwritesAHistory) {
    const wire::GroupState state = standby(50);
    input_ = StartInput();
    input_.peers = {{"beta", state}};
    EXPECT_EQ(kind(), Kind::refuse);
    EXPECT_NE(decide_start(input_).why.find("beta"), std::string::npos);
    input_.forced = true;
    EXPECT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(50));
}

TEST_F(StartTest, ACleanStopGoesOnWhenOnePeerConfirms) {
    input_.clean = true;
    EXPECT_EQ(kind(), Kind::wait);
    input_.peers[0].state = standby(90);
    EXPECT_EQ(kind(), Kind::go_on);
    EXPECT_TRUE(decide_start(input_).alarm.empty());
}

TEST_F(StartTest, ACleanStopGoesOnAloneWithAnAlarm) {
    input_.clean = true;
    input_.waited = true;
    EXPECT_EQ(kind(), Kind::go_on);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
}

TEST_F(StartTest, AStandbyThatKnowsMoreThanACleanStopRefusesIt) {
    input_.clean = true;
    input_.peers[0].state = standby(101);
    EXPECT_EQ(kind(), Kind::refuse);
}

TEST_F(StartTest, AnUncleanStopUnderDurableBringsTheStandbysContent) {
    input_.ack_kept = true;
    EXPECT_EQ(kind(), Kind::wait);
    input_.peers[0].state = standby(120);
    ASSERT_EQ(kind(), Kind::pull);
    EXPECT_EQ(decide_start(input_).peer, "beta");
    EXPECT_EQ(decide_start(input_).tip.point, (Point{timeline_, Lsn(120)}));
}

// What a standby has behind the step before is no point, and this disk had all of that step.
TEST_F(StartTest, AnUncleanStopInARestoreKeepsThisDisksContent) {
    input_.ack_kept = true;
    input_.restoring = true;
    input_.peers[0].state = standby(120);
    input_.peers[0].state->consistent.lsn = Lsn(100);
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.point, (Point{timeline_, Lsn(120)}));
    EXPECT_EQ(decide_start(input_).alarm, "");
    input_.restoring = false;  // it had ended, and the end had not left
    EXPECT_EQ(kind(), Kind::branch);
    // Another one has the end, and what came behind it.
    input_.peers.push_back({"gamma", standby(130)});
    ASSERT_EQ(kind(), Kind::pull);
    EXPECT_EQ(decide_start(input_).peer, "gamma");
}

TEST_F(StartTest, NobodyAdoptsTheMiddleOfARestore) {
    wire::GroupState state = standby(120);
    EXPECT_TRUE(may_adopt("db", "beta", state).ok());
    state.consistent.lsn = Lsn(100);
    const Status cut = may_adopt("db", "beta", state);
    EXPECT_EQ(cut.code(), ErrorCode::refused);
    for (const char* word : {"step 100", "takeover db --force", "adopt db --from beta"})
        EXPECT_NE(cut.message().find(word), std::string::npos) << cut.message();
    state.gap_open = true;
    EXPECT_NE(may_adopt("db", "beta", state).message().find("resync"), std::string::npos);
    EXPECT_FALSE(may_adopt("db", "beta", wire::GroupState()).ok());
}

TEST_F(StartTest, AStandbyInsideAGapIsNotTrusted) {
    input_.ack_kept = true;
    input_.peers[0].state = standby(120);
    input_.peers[0].state->gap_open = true;
    EXPECT_EQ(kind(), Kind::branch);
}

TEST_F(StartTest, AStandbyThatWaitsForItsCompareIsNotTrusted) {
    input_.ack_kept = true;
    journal::TimelineInfo second;
    second.id = Uuid::random();
    second.parent = timeline_;
    second.branch_lsn = Lsn(100);
    input_.timelines.push_back(second);  // `adopt --force`: this disk is the truth from here on
    input_.tip.point = input_.step.point = {second.id, Lsn(105)};
    input_.peers[0].state = standby(100);
    input_.peers[0].compare = true;
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.point, input_.tip.point);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
    input_.peers[0].state->timelines = to_wire(input_.timelines);
    input_.peers[0].state->head = {second.id, Lsn(103)};  // it had confirmed, and lost order since
    input_.peers[0].state->consistent = input_.peers[0].state->head;
    EXPECT_EQ(kind(), Kind::pull);
}

TEST_F(StartTest, AnUncleanStopUnderLocalBranchesAtTheFurthestPosition) {
    input_.peers[0].state = standby(120);
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(120));
    input_.peers[0].state = standby(80);
    EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(100));
    input_.peers[0].state.reset();
    EXPECT_EQ(kind(), Kind::wait);
    input_.waited = true;
    EXPECT_EQ(kind(), Kind::branch);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
}

TEST_F(StartTest, ANewerTimelineDemotes) {
    wire::GroupState state = standby(120);
    journal::TimelineInfo second;
    second.id = Uuid::random();
    second.parent = timeline_;
    second.branch_lsn = Lsn(95);
    state.role = wire::Role::primary;
    state.timelines = to_wire({input_.timelines.front(), second});
    state.head = {second.id, Lsn(130)};
    input_.peers[0].state = state;
    for (const bool clean : {false, true}) {
        input_.clean = clean;
        EXPECT_EQ(kind(), Kind::demote);
    }
    input_.forced = true;
    EXPECT_EQ(kind(), Kind::demote);
}

// A standby of the new primary may be the first to answer: it has nothing to give.
TEST_F(StartTest, WhoTookOverIsNamedWhoeverTellsOfIt) {
    wire::GroupState state = standby(120);
    journal::TimelineInfo second;
    second.id = Uuid::random();
    second.parent = timeline_;
    second.branch_lsn = Lsn(95);
    second.node = "gamma";
    state.timelines = to_wire({input_.timelines.front(), second});
    state.head = {second.id, Lsn(130)};
    input_.peers[0].state = state;
    ASSERT_EQ(kind(), Kind::demote);
    EXPECT_EQ(decide_start(input_).peer, "beta");  // no gamma is a member here
    input_.peers.push_back({"gamma", std::nullopt});
    EXPECT_EQ(decide_start(input_).peer, "gamma");
    input_.peers[0].state->role = wire::Role::primary;  // it took over from gamma, say
    EXPECT_EQ(decide_start(input_).peer, "beta");
}

TEST_F(StartTest, AnUnrelatedPrimaryRefuses) {
    input_.clean = true;
    wire::GroupState state = standby(50);
    state.role = wire::Role::primary;
    input_.peers[0].state = state;
    EXPECT_EQ(kind(), Kind::refuse);
    state.group_id = Uuid::random();
    input_.peers[0].state = state;
    EXPECT_EQ(kind(), Kind::refuse);
    state.role = wire::Role::none;  // a primary that does not serve (yet)
    input_.peers[0].state = state;
    EXPECT_EQ(kind(), Kind::refuse);
}

TEST_F(StartTest, AStandbyOfAnotherGroupIsAsGoodAsSilent) {
    wire::GroupState stranger = standby(500);
    stranger.group_id = Uuid::random();
    input_.peers[0].state = stranger;
    for (const bool clean : {false, true}) {
        input_.clean = clean;
        input_.waited = false;
        EXPECT_EQ(kind(), Kind::wait);
        input_.waited = true;
        ASSERT_EQ(kind(), clean ? Kind::go_on : Kind::branch);
        EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(100));
        EXPECT_FALSE(decide_start(input_).alarm.empty());
    }
    input_.forced = true;
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(100));
}

TEST_F(StartTest, AnUnknownVolumeRefusesUntilForced) {
    input_.clean = true;
    input_.volume_problem = "volume data: other file";
    input_.peers[0].state = standby(50);
    EXPECT_EQ(kind(), Kind::refuse);
    input_.forced = true;
    EXPECT_EQ(kind(), Kind::branch);
}

TEST_F(StartTest, AHalfPulledDiskIsOnlyPulledAgain) {
    input_.pulling = "beta";
    input_.pulled = {timeline_, Lsn(110)};
    for (const bool record : {true, false}) {
        input_.has_record = record;
        input_.waited = false;
        input_.peers[0].state.reset();
        EXPECT_EQ(kind(), Kind::wait);
        input_.waited = true;
        EXPECT_EQ(kind(), Kind::refuse);
        input_.peers[0].state = standby(109);  // it does not hold the step that was written
        EXPECT_EQ(kind(), Kind::refuse);
        input_.peers[0].state = standby(115);
        ASSERT_EQ(kind(), Kind::pull);
        EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(115));
        input_.peers[0].state->gap_open = true;
        EXPECT_EQ(kind(), Kind::refuse);
    }
    input_.has_record = true;
    input_.peers[0].state = standby(115);
    input_.volume_problem = "volume data: other file";
    EXPECT_EQ(kind(), Kind::refuse);
    input_.forced = true;
    EXPECT_EQ(kind(), Kind::branch);
}

TEST_F(StartTest, AStandbyAheadOfTheOwnStoreRefusesWhatWouldLoseItsSteps) {
    input_.serves_store = true;
    input_.peers[0].state = standby(101);
    for (const bool clean : {false, true}) {
        input_.clean = clean;
        input_.ack_kept = !clean;
        ASSERT_EQ(kind(), Kind::refuse);
        EXPECT_NE(decide_start(input_).why.find("takeover GROUP --force` on beta"),
                  std::string::npos);
    }
    input_.clean = false;
    input_.ack_kept = false;  // nothing was promised: the steps stay in the standby's history
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
    input_.ack_kept = true;
    input_.forced = true;
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_EQ(decide_start(input_).tip.point.lsn, Lsn(100));  // its own, which the store holds
    input_.forced = false;
    input_.peers[0].state = standby(100);
    EXPECT_EQ(kind(), Kind::branch);
}

TEST_F(StartTest, AStoreThatKeptAcknowledgedWritesAsksEveryStandby) {
    input_.serves_store = true;
    input_.ack_kept = true;
    input_.peers = {{"beta", standby(100)}, {"gamma", std::nullopt}};
    EXPECT_EQ(kind(), Kind::wait);
    input_.waited = true;
    EXPECT_EQ(kind(), Kind::branch);
    EXPECT_TRUE(decide_start(input_).alarm.empty());  // beta has all that was acknowledged
    input_.answers_needed = 2;                        // gamma alone may have more
    EXPECT_EQ(kind(), Kind::branch);
    EXPECT_NE(decide_start(input_).alarm.find("too few standbys"), std::string::npos);
}

TEST_F(StartTest, OfThoseAheadOfTheOwnStoreTheFurthestIsNamed) {
    input_.serves_store = true;
    input_.ack_kept = true;
    input_.peers = {{"beta", standby(101)}, {"gamma", standby(103)}, {"delta", standby(102)}};
    ASSERT_EQ(kind(), Kind::refuse);
    EXPECT_NE(decide_start(input_).why.find("takeover GROUP --force` on gamma"), std::string::npos);
}

TEST_F(StartTest, ItsOwnStoreIsItsTruth) {
    input_.serves_store = true;
    input_.peers.clear();
    EXPECT_EQ(kind(), Kind::branch);
    input_.clean = true;
    EXPECT_EQ(kind(), Kind::go_on);
}

TEST_F(StartTest, OfTwoLinesThatPartedTheTakeoversDecide) {
    const auto branch = [this](TimelineId id) {
        journal::TimelineInfo info;
        info.id = id;
        info.parent = timeline_;
        info.branch_lsn = Lsn(90);
        return info;
    };
    const TimelineId own = Uuid::random();
    const TimelineId other = Uuid::random();
    wire::GroupState state = standby(95);
    state.role = wire::Role::primary;
    state.timelines = to_wire({input_.timelines.front(), branch(other)});
    state.head = {other, Lsn(95)};
    input_.timelines.push_back(branch(own));
    input_.tip.point = {own, Lsn(100)};
    input_.peers[0].state = state;
    EXPECT_EQ(kind(), Kind::refuse);  // as many on both sides
    input_.peers[0].state->takeovers = 1;
    EXPECT_EQ(kind(), Kind::demote);
    input_.takeovers = 2;
    EXPECT_EQ(kind(), Kind::wait);  // until it has stepped down
    EXPECT_NE(decide_start(input_).why.find("beta"), std::string::npos);
}

TEST_F(StartTest, AStandbyAheadRefusesWhicheverIsAskedFirst) {
    input_.clean = true;
    input_.peers = {{"beta", standby(90)}, {"gamma", standby(101)}};
    ASSERT_EQ(kind(), Kind::refuse);
    EXPECT_NE(decide_start(input_).why.find("gamma"), std::string::npos);
}

TEST_F(StartTest, APeerThatCannotReadItsStateIsAsGoodAsSilent) {
    wire::GroupState failed;
    failed.role = wire::Role::standby;
    failed.refused = "the store is damaged";
    failed.has_state = true;
    input_.peers[0].state = failed;
    input_.clean = true;
    EXPECT_EQ(kind(), Kind::wait);
    input_.waited = true;
    EXPECT_EQ(kind(), Kind::go_on);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
    input_ = StartInput();
    input_.peers = {{"beta", failed}};
    input_.waited = true;
    EXPECT_EQ(kind(), Kind::wait);  // it may have a history
    failed.has_state = false;       // its disk has the wrong size, say
    input_.peers = {{"beta", failed}};
    EXPECT_EQ(kind(), Kind::begin) << "a node that was never in the group has nothing to lose";
}

TEST_F(StartTest, APromotedPeerThatCannotServeDemotes) {
    journal::TimelineInfo second;
    second.id = Uuid::random();
    second.parent = timeline_;
    second.branch_lsn = Lsn(95);
    wire::GroupState state;
    state.role = wire::Role::none;
    state.refused = "the store is damaged";
    state.timelines = to_wire({input_.timelines.front(), second});
    state.head = {second.id, Lsn(97)};
    state.takeovers = 1;
    input_.peers[0].state = state;
    EXPECT_EQ(kind(), Kind::demote);
    journal::TimelineInfo own = second;
    own.id = Uuid::random();
    input_.timelines.push_back(own);
    input_.tip.point = {own.id, Lsn(98)};
    EXPECT_EQ(kind(), Kind::demote);
}

TEST_F(StartTest, APrimaryOnTheLineThatWasLeftIsWaitedFor) {
    wire::GroupState state = standby(99);
    state.role = wire::Role::primary;
    input_.peers[0].state = state;
    journal::TimelineInfo own;
    own.id = Uuid::random();
    own.parent = timeline_;
    own.branch_lsn = Lsn(95);
    input_.timelines.push_back(own);
    input_.tip.point = {own.id, Lsn(98)};
    EXPECT_EQ(kind(), Kind::wait);
}

TEST_F(StartTest, ContentIsBroughtOnlyFromWhoIsConnected) {
    input_.ack_kept = true;
    input_.peers = {{"beta", standby(120)}, {"gamma", standby(115)}};
    input_.peers[0].connected = false;  // it answered, and its link was lost since
    ASSERT_EQ(kind(), Kind::pull);
    EXPECT_EQ(decide_start(input_).peer, "gamma");
    input_.pulling = "beta";
    input_.pulled = {timeline_, Lsn(110)};
    ASSERT_EQ(kind(), Kind::pull);
    EXPECT_EQ(decide_start(input_).peer, "gamma");
}

TEST_F(StartTest, AStandbyThatLostWhatItAnsweredForIsNoSource) {
    input_.ack_kept = true;
    input_.acked = Lsn(95);
    input_.peers[0].state = standby(94);
    ASSERT_EQ(kind(), Kind::branch);
    EXPECT_FALSE(decide_start(input_).alarm.empty());
    input_.peers[0].state = standby(95);
    EXPECT_EQ(kind(), Kind::pull);
    input_.answers_needed = 2;  // ack_standbys = 1 of two: one of them may be behind
    input_.peers.push_back({"gamma", standby(50)});
    ASSERT_EQ(kind(), Kind::pull);
    EXPECT_EQ(decide_start(input_).peer, "beta");
}

TEST_F(StartTest, AStoreThatIsGoneRefusesUntilForced) {
    input_.serves_store = true;
    input_.volume_problem = "the store is gone";
    for (const bool clean : {false, true}) {
        input_.clean = clean;
        input_.forced = false;
        input_.peers[0].state = standby(90);
        EXPECT_EQ(kind(), Kind::refuse);
        input_.forced = true;
        EXPECT_EQ(kind(), Kind::branch);
    }
}

}  // namespace
}  // namespace everstep::daemon
