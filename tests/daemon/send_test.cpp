#include "daemon/send.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "standby/receive.hpp"
#include "tests/daemon/frames.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

constexpr std::uint64_t kVolumeBytes = 3U << 20;

class SendTest : public testing::Test {
  protected:
    SendTest()
        : backlog_(io::system_files(), {scratch_.path(), ByteCount(1U << 30), ByteCount(0)}) {}

    std::unique_ptr<SendSession> session(const StreamPlan& plan) {
        SendOptions options;
        options.group = group_;
        options.volumes = {{"data", Uuid::random(), ByteCount(kVolumeBytes)}};
        options.path.resize(1);
        options.path[0].id = timeline_;
        if (next_) options.path.push_back(*next_);
        options.backlog = &backlog_;
        options.exact_branch = exact_branch_;
        SendActions actions;
        options.copy.clock = &system_clock();
        actions.send = [this](const wire::Control& message) {
            const auto* asked = std::get_if<wire::HashRequest>(&message);
            if (asked != nullptr) return asked_.push_back(*asked);
            messages_.push_back(message);
        };
        actions.send_frame = [this](const FramePtr& frame) { frames_.push_back(frame); };
        actions.queued_bytes = [] { return std::size_t{0}; };
        actions.find_holes = [](const ResyncExtent& extent, const auto& done) {
            FoundHoles found;
            found.data = {extent};
            found.covered = extent.length;
            done(found);
        };
        actions.read_extent = [this](const ExtentRead& what, const auto& done) {
            reads_.push_back([this, extent = what.extent, done] {
                const FramePtr frame = make_zero_frame(group_, maker_.tip.point, {extent});
                done(ReadExtent{{frame, extent.length.value()}, maker_.tip.seq});
            });
        };
        actions.read_exact = [](const ResyncExtent&, const auto&) {};
        actions.name_gap = [this](const std::function<void(const journal::Tip&)>& done) {
            done(maker_.tip);
        };
        actions.sync_step = [this](const std::function<void(const journal::Tip&)>& done) {
            push();
            done(maker_.tip);
        };
        actions.may_differ = [this](const auto& done) { done(may_differ_); };
        actions.after_batch = [this](std::function<void()> work) {
            if (in_batch_) {
                behind_batch_.push_back(std::move(work));
            } else {
                work();
            }
        };
        actions.fail = [this](const Status& why) { failed_ = why; };
        actions.lost = [this](FrameSeq seq, const Status& why) {
            lost_ = seq;
            failed_ = why;
        };
        return std::make_unique<SendSession>(std::move(options), plan, std::move(actions));
    }
    void push() { ASSERT_TRUE(backlog_.push(maker_.next()).ok()); }
    // The standby says that it cannot read what it is asked for.
    void answer(SendSession& sender) {
        while (!asked_.empty()) {
            wire::HashReply reply;
            reply.id = asked_.front().id;
            reply.error = ErrorCode::io;
            asked_.erase(asked_.begin());
            EXPECT_TRUE(sender.on_control(reply).ok());
        }
    }
    void read_one() {
        const auto read = std::move(reads_.front());
        reads_.erase(reads_.begin());
        read();
    }
    wire::Ack ack(std::uint64_t durable) const {
        wire::Ack message;
        message.timeline = timeline_;
        message.received = message.durable = message.applied = Lsn(durable);
        for (const FramePtr& frame : frames_) message.consumed_bytes += frame->bytes().size();
        return message;
    }

    test::Scratch scratch_;
    Uuid group_ = Uuid::random();
    TimelineId timeline_ = Uuid::random();
    test::FrameMaker maker_{group_, timeline_};
    Backlog backlog_;
    std::vector<wire::Control> messages_;
    std::vector<FramePtr> frames_;
    std::vector<wire::HashRequest> asked_;
    std::vector<std::function<void()>> reads_;
    std::vector<journal::GapExtent> may_differ_{
        {VolumeIndex(0), ByteOffset(0), ByteCount(kVolumeBytes)}};
    bool in_batch_ = false;
    std::vector<std::function<void()>> behind_batch_;
    std::optional<journal::TimelineInfo> next_;  // the path goes on on it
    bool exact_branch_ = false;
    Status failed_;
    FrameSeq lost_;
};

StreamPlan stream_from(std::uint64_t next) {
    StreamPlan plan;
    plan.next = FrameSeq(next);
    return plan;
}

TEST_F(SendTest, SendsNothingBeforeStartedAndThenEverythingInOrder) {
    for (int i = 0; i < 5; ++i) push();
    const auto sender = session(stream_from(3));
    sender->begin();
    EXPECT_TRUE(frames_.empty());
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    ASSERT_EQ(frames_.size(), 3U);
    EXPECT_EQ(frames_[0]->header().seq, FrameSeq(3));
    push();
    sender->pump();
    EXPECT_EQ(frames_.back()->header().seq, FrameSeq(6));
    EXPECT_EQ(sender->droppable_seq(), FrameSeq(0));
    ASSERT_TRUE(sender->on_control(ack(4)).ok());
    EXPECT_EQ(sender->droppable_seq(), FrameSeq(4));
}

TEST_F(SendTest, AFrameThatCannotBeReadIsNamedAndNothingBehindItLeaves) {
    backlog_.set_limits(ByteCount(0), ByteCount(1U << 30));
    for (int i = 0; i < 4; ++i) push();
    const auto sender = session(stream_from(1));
    for (const auto& file : std::filesystem::directory_iterator(scratch_.path()))
        std::filesystem::resize_file(file.path(), 6000);  // within the second frame
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    ASSERT_EQ(frames_.size(), 1U);
    EXPECT_EQ(lost_, FrameSeq(2));
    EXPECT_NE(failed_.message().find("the spool cannot be read"), std::string::npos);
    EXPECT_EQ(sender->droppable_seq(), FrameSeq(0));
}

TEST_F(SendTest, AnAckThatCannotBeEndsTheSession) {
    push();
    const auto sender = session(stream_from(1));
    EXPECT_FALSE(sender->on_control(ack(0)).ok());  // before Started
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    wire::Ack lie = ack(1);
    lie.consumed_bytes += 1;
    EXPECT_FALSE(sender->on_control(lie).ok());
    lie = ack(1);
    lie.applied = Lsn(2);
    EXPECT_FALSE(sender->on_control(lie).ok());
    EXPECT_FALSE(sender->on_control(ack(1000000)).ok());  // was never sent
    lie = ack(1);
    lie.timeline = Uuid::random();
    EXPECT_FALSE(sender->on_control(lie).ok());
    ASSERT_TRUE(sender->on_control(ack(1)).ok());
    EXPECT_FALSE(sender->on_control(ack(0)).ok());  // goes back
}

TEST_F(SendTest, WhatTheStandbyHasAlreadyMayBeAcknowledgedAtOnce) {
    for (int i = 0; i < 3; ++i) push();
    StreamPlan plan = stream_from(4);
    plan.known = Lsn(3);
    const auto sender = session(plan);
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    EXPECT_TRUE(sender->on_control(ack(3)).ok());
    EXPECT_FALSE(sender->on_control(ack(4)).ok());
}

// It was behind when the line branched: its resync begins, and its store stands at the branch.
TEST_F(SendTest, AStandbyStandsAtTheBranchBeforeAnythingWasSent) {
    next_.emplace();
    next_->id = Uuid::random();
    next_->parent = timeline_;
    next_->branch_lsn = Lsn(54);
    StreamPlan plan = stream_from(31);
    plan.mode = wire::StartMode::resync;
    plan.known = Lsn(1);
    const auto sender = session(plan);
    sender->begin();
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    wire::Ack there = ack(54);
    there.timeline = next_->id;
    there.applied = Lsn(1);
    EXPECT_TRUE(sender->on_control(there).ok());
    there.received = Lsn(55);
    EXPECT_EQ(sender->on_control(there).code(), ErrorCode::corrupt);
}

TEST_F(SendTest, TheWindowBoundsWhatIsUnderWay) {
    const auto sender = session(stream_from(1));
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    std::uint64_t pushed = 0;
    while (pushed < 2 * standby::kWindowBytes) {
        ASSERT_TRUE(backlog_.push(maker_.next(256)).ok());
        pushed += 256 * kBlockBytes;
        sender->pump();
    }
    std::uint64_t sent = 0;
    for (const FramePtr& frame : frames_) sent += frame->bytes().size();
    EXPECT_LT(sent, standby::kWindowBytes);
    const std::size_t before = frames_.size();
    ASSERT_TRUE(sender->on_control(ack(1)).ok());
    EXPECT_GT(frames_.size(), before);
}

TEST_F(SendTest, AnExtentLeavesBehindItsStepAndBeforeTheNext) {
    push();
    StreamPlan plan;
    plan.mode = wire::StartMode::resync;
    const auto sender = session(plan);
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    EXPECT_TRUE(reads_.empty()) << "read before the standby said what it holds";
    answer(*sender);
    ASSERT_FALSE(reads_.empty());
    push();  // step 2 is sealed, and waits: the extent may be as of a step before
    sender->pump();
    EXPECT_TRUE(frames_.empty());
    while (!reads_.empty()) read_one();  // as of step 2; step 3 ends the copy
    push();                              // step 4
    sender->pump();
    ASSERT_EQ(frames_.size(), 6U);
    EXPECT_EQ(frames_[0]->header().last_lsn, Lsn(2));
    EXPECT_EQ(frames_[1]->header().kind, FrameKind::resync);
    EXPECT_EQ(frames_[4]->header().last_lsn, Lsn(3));
}

TEST_F(SendTest, AResyncEndsWithItsSyncStepDurable) {
    push();
    StreamPlan plan;
    plan.mode = wire::StartMode::resync;
    const auto sender = session(plan);
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    const auto said = [this] {
        return std::any_of(messages_.begin(), messages_.end(), [](const wire::Control& message) {
            return std::holds_alternative<wire::ResyncEnd>(message);
        });
    };
    answer(*sender);
    while (!reads_.empty()) {
        EXPECT_FALSE(said());
        read_one();
    }
    ASSERT_TRUE(said());
    EXPECT_EQ(std::get<wire::ResyncEnd>(messages_.back()).at, (Point{timeline_, Lsn(2)}));
    EXPECT_EQ(frames_.back()->header().last_lsn, Lsn(2));
    EXPECT_EQ(sender->state(), SendSession::State::resync);
    EXPECT_EQ(sender->unanswered_end(), (Point{timeline_, Lsn(2)}));
    push();  // goes on meanwhile
    sender->pump();
    EXPECT_EQ(frames_.back()->header().last_lsn, Lsn(3));
    wire::Ack partly = ack(2);
    partly.consistent = false;
    ASSERT_TRUE(sender->on_control(partly).ok());
    EXPECT_EQ(sender->state(), SendSession::State::resync);
    EXPECT_EQ(sender->unanswered_end(), (Point{timeline_, Lsn(2)}));
    ASSERT_TRUE(sender->on_control(ack(2)).ok());
    EXPECT_EQ(sender->state(), SendSession::State::streaming);
    EXPECT_EQ(sender->unanswered_end(), std::nullopt);
}

// A mark that lies in such a frame has not come to the standby, whatever step it has.
TEST_F(SendTest, FramesThatACopyStandsForAreSkipped) {
    push();
    push();
    StreamPlan plan;
    plan.mode = wire::StartMode::resync;
    const auto resync = session(plan);
    ASSERT_TRUE(resync->on_control(wire::Started{}).ok());
    EXPECT_EQ(resync->skipped(), backlog_.last_seq()) << "the gap is named behind them";
    push();
    resync->pump();
    answer(*resync);
    while (!reads_.empty()) read_one();
    const FrameSeq end = backlog_.last_seq();
    push();
    ASSERT_TRUE(resync->on_control(ack(backlog_.header(end).last_lsn.value())).ok());
    ASSERT_EQ(resync->state(), SendSession::State::streaming);
    EXPECT_EQ(resync->skipped(), end) << "no step of the gap is a point";

    plan.mode = wire::StartMode::initial;
    const auto initial = session(plan);
    ASSERT_TRUE(initial->on_control(wire::Started{}).ok());
    push();
    initial->pump();
    const FrameSeq newest = backlog_.last_seq();
    answer(*initial);
    while (!reads_.empty()) read_one();
    ASSERT_EQ(initial->state(), SendSession::State::streaming);
    EXPECT_GE(initial->skipped(), newest) << "history begins behind them";

    plan.mode = wire::StartMode::stream;
    plan.next = backlog_.last_seq();
    EXPECT_EQ(session(plan)->skipped(), FrameSeq(0));
}

TEST_F(SendTest, NoCopyEndsWithinABatch) {
    for (const wire::StartMode mode : {wire::StartMode::resync, wire::StartMode::initial}) {
        in_batch_ = true;
        messages_.clear();
        push();
        StreamPlan plan;
        plan.mode = mode;
        const auto sender = session(plan);
        ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
        answer(*sender);
        while (!reads_.empty()) read_one();
        const auto ended = [this] {
            return std::any_of(messages_.begin(), messages_.end(), [](const wire::Control& one) {
                return std::holds_alternative<wire::ResyncEnd>(one) ||
                       std::holds_alternative<wire::InitialEnd>(one);
            });
        };
        push();
        sender->pump();
        EXPECT_FALSE(ended());
        ASSERT_EQ(behind_batch_.size(), 1U);
        in_batch_ = false;
        behind_batch_.front()();
        behind_batch_.clear();
        EXPECT_TRUE(ended());
    }
}

// Two standbys may hold different content where the line begins: what is copied from this disk is
// not the step that another has.
TEST_F(SendTest, AFirstCopyNeverEndsAtABranchPointWhoseContentThisDiskMayLack) {
    for (const bool exact : {false, true}) {
        push();
        journal::TimelineInfo next;
        next.id = Uuid::random();
        next.parent = timeline_;
        next.branch_lsn = maker_.tip.point.lsn;
        next_ = next;
        exact_branch_ = exact;
        messages_.clear();
        StreamPlan plan;
        plan.mode = wire::StartMode::initial;
        const auto sender = session(plan);
        ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
        answer(*sender);
        while (!reads_.empty()) read_one();
        const auto* end = std::get_if<wire::InitialEnd>(&messages_.back());
        ASSERT_NE(end, nullptr);
        EXPECT_EQ(end->base.lsn, exact ? next.branch_lsn : next.branch_lsn + 1);
    }
}

TEST_F(SendTest, AFreshPairBeginsAtZeroWithoutAReading) {
    push();
    StreamPlan plan;
    plan.mode = wire::StartMode::initial;
    plan.from_zero = true;
    plan.next = FrameSeq(1);
    const auto sender = session(plan);
    ASSERT_TRUE(sender->on_control(wire::Started{}).ok());
    EXPECT_TRUE(reads_.empty());
    ASSERT_EQ(frames_.size(), 2U);
    EXPECT_EQ(frames_[0]->header().kind, FrameKind::resync);
    EXPECT_EQ(frames_[1]->header().first_lsn, Lsn(1));
    const auto* end = std::get_if<wire::InitialEnd>(&messages_.back());
    ASSERT_NE(end, nullptr);
    EXPECT_EQ(end->base, (Point{timeline_, Lsn(0)}));
}

}  // namespace
}  // namespace everstep::daemon
