#include "daemon/stream_plan.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/frames.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

class StreamPlanTest : public testing::Test {
  protected:
    StreamPlanTest()
        : backlog_(io::system_files(), {scratch_.path(), ByteCount(1U << 30), ByteCount(0)}) {
        input_.group = group_;
        input_.backlog = &backlog_;
        journal::TimelineInfo first;
        first.id = timeline_;
        input_.path = {first};
        standby_.group_id = group_;
        standby_.role = wire::Role::standby;
        standby_.timelines = to_wire(input_.path);
        for (int i = 0; i < 10; ++i) {
            const FramePtr frame = maker_.next();
            tips_.push_back(maker_.tip);
            EXPECT_TRUE(backlog_.push(frame).ok());
        }
        input_.tip = maker_.tip;
    }
    void standby_at(const journal::Tip& tip) {
        standby_.has_history = true;
        standby_.head = standby_.consistent = tip.point;
        standby_.head_hash = tip.hash;
        standby_.head_seq = tip.seq;
    }
    test::Scratch scratch_;
    Uuid group_ = Uuid::random();
    TimelineId timeline_ = Uuid::random();
    test::FrameMaker maker_{group_, timeline_};
    Backlog backlog_;
    std::vector<journal::Tip> tips_;
    StreamInput input_;
    wire::GroupState standby_;
};

TEST_F(StreamPlanTest, GoesOnBehindTheStandbysHead) {
    standby_at(tips_[4]);
    const auto plan = plan_stream(input_, standby_);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    EXPECT_EQ(plan->mode, wire::StartMode::stream);
    EXPECT_EQ(plan->next, FrameSeq(6));
    standby_at(tips_[9]);
    EXPECT_EQ(plan_stream(input_, standby_)->next, FrameSeq(11));
}

TEST_F(StreamPlanTest, OtherContentUnderTheSameLsnIsRefused) {
    standby_at(tips_[4]);
    standby_.head_hash[0] ^= 1;
    EXPECT_EQ(plan_stream(input_, standby_).status().code(), ErrorCode::refused);
}

TEST_F(StreamPlanTest, DroppedFramesMeanAResyncFromTheStandbysStep) {
    standby_at(tips_[4]);
    backlog_.drop_through(FrameSeq(6));
    const auto plan = plan_stream(input_, standby_);
    EXPECT_EQ(plan->mode, wire::StartMode::resync);
    EXPECT_EQ(plan->from, tips_[4].point);
}

TEST_F(StreamPlanTest, AnOpenGapIsBroughtBackFromTheLastConsistentStep) {
    standby_at(tips_[6]);
    standby_.gap_open = true;
    standby_.consistent = tips_[2].point;
    const auto plan = plan_stream(input_, standby_);
    EXPECT_EQ(plan->mode, wire::StartMode::resync);
    EXPECT_EQ(plan->from, tips_[2].point);
}

TEST_F(StreamPlanTest, AResyncHasEndedWhereTheStandbyIsConsistentBehindItsEnd) {
    const Point end = tips_[5].point;
    EXPECT_FALSE(has_ended_at(standby_, end));  // no history
    standby_at(tips_[4]);
    EXPECT_FALSE(has_ended_at(standby_, end));
    standby_at(tips_[5]);
    EXPECT_TRUE(has_ended_at(standby_, end));
    standby_at(tips_[8]);
    EXPECT_TRUE(has_ended_at(standby_, end));
    standby_.gap_open = true;
    EXPECT_FALSE(has_ended_at(standby_, end));
    standby_.gap_open = false;
    standby_.consistent = tips_[2].point;  // it has the step, and the gap is not closed
    EXPECT_FALSE(has_ended_at(standby_, end));
    standby_.consistent = {Uuid::random(), Lsn(99)};
    EXPECT_FALSE(has_ended_at(standby_, end));
}

TEST_F(StreamPlanTest, AFreshStandbyOfAFreshPrimaryBeginsAtZero) {
    standby_.group_id = Uuid();
    standby_.timelines.clear();
    input_.zero_origin = true;
    EXPECT_TRUE(plan_stream(input_, standby_)->from_zero);
    backlog_.drop_through(FrameSeq(1));
    EXPECT_FALSE(plan_stream(input_, standby_)->from_zero);
    EXPECT_EQ(plan_stream(input_, standby_)->mode, wire::StartMode::initial);
}

TEST_F(StreamPlanTest, AStandbyBeyondTheBranchComesBackToIt) {
    journal::TimelineInfo second;
    second.id = Uuid::random();
    second.parent = timeline_;
    second.branch_lsn = tips_[7].point.lsn;
    second.branch_hash = tips_[7].hash;
    second.branch_seq = tips_[7].seq;
    input_.path.push_back(second);
    input_.tip = tips_[7];
    input_.tip.point.timeline = second.id;
    backlog_.clear();
    standby_at(tips_[9]);
    const auto plan = plan_stream(input_, standby_);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    EXPECT_EQ(plan->mode, wire::StartMode::stream);
    EXPECT_EQ(plan->from, tips_[7].point);
    EXPECT_EQ(plan->next, FrameSeq(9));
}

TEST_F(StreamPlanTest, AStandbyAtTheBranchStreamsWhateverFramesWithoutStepsItHas) {
    journal::TimelineInfo second;
    second.id = Uuid::random();
    second.parent = timeline_;
    second.branch_lsn = tips_[7].point.lsn;
    second.branch_hash = tips_[7].hash;
    second.branch_seq = tips_[7].seq;
    input_.path.push_back(second);
    input_.tip = tips_[7];
    input_.tip.point.timeline = second.id;
    backlog_.clear();
    standby_at(tips_[7]);
    standby_.head_seq = tips_[7].seq + 1;
    standby_.head_hash[0] ^= 1;
    const auto plan = plan_stream(input_, standby_);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    EXPECT_EQ(plan->mode, wire::StartMode::stream);
    EXPECT_EQ(plan->next, FrameSeq(9));
}

TEST_F(StreamPlanTest, ForeignStandbysAreRefused) {
    standby_at(tips_[4]);
    standby_.group_id = Uuid::random();
    EXPECT_EQ(plan_stream(input_, standby_).status().code(), ErrorCode::refused);
    standby_.group_id = group_;
    standby_.head.timeline = Uuid::random();
    EXPECT_EQ(plan_stream(input_, standby_).status().code(), ErrorCode::refused);
    standby_.refused = "not now";
    EXPECT_EQ(plan_stream(input_, standby_).status().message(), "not now");
}

TEST(Configuration, TheFirstDifferenceIsNamed) {
    EXPECT_EQ(first_difference({{"a", "1"}, {"b", "2"}}, {{"b", "2"}, {"a", "1"}}), "");
    EXPECT_EQ(first_difference({{"a", "1"}, {"b", "2"}}, {{"a", "1"}, {"b", "3"}}),
              "b: '2' here, '3' there");
    EXPECT_EQ(first_difference({{"a", "1"}}, {}), "a: '1' here, nothing there");
    EXPECT_EQ(first_difference({{"a", "1"}}, {{"a", "2"}}, {"on alpha", "on beta"}),
              "a: '1' on alpha, '2' on beta");
}

}  // namespace
}  // namespace everstep::daemon
