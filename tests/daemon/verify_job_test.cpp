// `everstep verify` and `verify_every` of a group, under a clock that the test sets: when it runs,
// what is recorded, and that no command waits for a standby that is gone.
#include "daemon/verify_job.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kVolumeBytes = 64 * kMiB;
constexpr seconds kWeek = hours(7 * 24);

struct HandClock : Clock {
    std::chrono::nanoseconds passed{hours(1)};
    [[nodiscard]] WallTime wall() const override {
        return WallTime(seconds(1'790'000'000)) + passed;
    }
    [[nodiscard]] std::chrono::nanoseconds boot() const override { return passed; }
};

// A primary with the standby beta, whose replica is zeroes; what is not at one place of it differs.
class VerifyJobTest : public testing::Test {
  protected:
    VerifyJobTest() {
        group_.name = "db";
        context_.files = &io::system_files();
        context_.directory = scratch_.path();
        context_.clock = &clock_;
        context_.group = &group_;
        context_.events = &events_;
        context_.record.volumes.push_back({"data", Uuid::random(), ByteCount(kVolumeBytes), {}});
        context_.record.peers["beta"] = {};
        start();
        connect();
    }
    // As when the node starts.
    void start() {
        VerifyAccess access;
        access.session = [this](const std::string&) { return session_.get(); };
        access.options = [this] {
            CopyOptions options;
            options.clock = &clock_;
            return options;
        };
        access.resync = [this](const std::string&, const std::string&) { ends_ = true; };
        access.quiet = [this] {
            return session_ && quiet_ ? std::vector<std::string>{"beta"}
                                      : std::vector<std::string>();
        };
        access.newest = [] { return Lsn(77); };
        job_ = std::make_unique<VerifyJob>(context_, std::move(access));
    }
    void connect() {
        SendOptions options;
        options.volumes = {{"data", Uuid::random(), ByteCount(kVolumeBytes)}};
        options.path.resize(1);
        options.path[0].id = Uuid::random();
        options.backlog = &backlog_;
        wire::Ack whole;
        whole.timeline = options.path[0].id;
        whole.consistent = true;
        SendActions actions;
        actions.send = [this](const wire::Control& message) {
            if (const auto* asked = std::get_if<wire::HashRequest>(&message))
                asked_.push_back(*asked);
        };
        actions.send_frame = [](const FramePtr&) {};
        actions.queued_bytes = [] { return std::size_t{0}; };
        actions.read_extent = [this](const ExtentRead& what, const auto& done) {
            const bool holds = what.extent.offset.value() <= differs_at_ &&
                               differs_at_ < what.extent.offset.value() + kMiB;
            done(ReadExtent{{nullptr, holds ? wire::kHashedBlockBytes : 0U}, FrameSeq(0)});
        };
        actions.read_exact = [](const ResyncExtent& extent, const auto& done) {
            const auto content = std::make_shared<Buffer>();
            content->resize(extent.length.value());
            std::ranges::fill(content->bytes(), std::byte{0});
            content->bytes()[0] = std::byte{1};
            done(ExactExtent{content, FrameSeq(0), Lsn(70)});
        };
        StreamPlan plan;
        plan.next = FrameSeq(1);
        session_ = std::make_unique<SendSession>(std::move(options), plan, std::move(actions));
        session_->begin();
        ASSERT_TRUE(session_->on_control(wire::Started{}).ok());
        ASSERT_TRUE(session_->on_control(whole).ok());
    }
    void answer() {
        for (const wire::HashRequest& asked : std::exchange(asked_, {})) {
            wire::HashReply reply;
            reply.id = asked.id;
            reply.zero = true;
            ASSERT_TRUE(session_->on_control(reply).ok());
        }
        if (std::exchange(ends_, false)) disconnect();
    }
    void disconnect() {
        session_.reset();
        asked_.clear();
    }
    void pass(std::chrono::nanoseconds time) {
        clock_.passed += time;
        job_->tick();
    }
    // Lets what runs come to its end; gives the bytes that were asked for in the first second.
    std::uint64_t run() {
        std::uint64_t first = 0;
        for (int second = 0; session_ && !ended(); ++second) {
            if (second == 100) {
                ADD_FAILURE() << "it has no end";
                break;
            }
            pass(seconds(1));
            while (!asked_.empty()) {
                if (second == 0)
                    for (const auto& asked : asked_) first += asked.length.value();
                answer();
            }
        }
        return first;
    }
    [[nodiscard]] bool ended() const {
        return session_->verifying() == nullptr || session_->verifying()->ended();
    }
    [[nodiscard]] bool runs() const { return session_ && !ended(); }
    [[nodiscard]] const std::optional<VerifyRecord>& verified() const {
        return context_.record.peers.at("beta").verified;
    }
    [[nodiscard]] bool told(const std::string& kind) const {
        const Value events = events_.all();
        for (const Value& event : *events.as_list())
            if (event.at("kind").text() == kind) return true;
        return false;
    }
    VerifyJob::Command command(bool repair = false) {
        return {{"beta"}, repair, false, [this](Value body, bool last) {
                    if (last) answer_ = std::move(body);
                }};
    }

    test::Scratch scratch_;
    HandClock clock_;
    Events events_{"alpha", clock_};
    GroupConfig group_;
    GroupContext context_;
    Backlog backlog_{io::system_files(), {scratch_.path(), ByteCount(1U << 20), ByteCount(0)}};
    std::uint64_t differs_at_ = ~0ULL;
    bool quiet_ = true;
    bool ends_ = false;  // the session, for a resync
    std::vector<wire::HashRequest> asked_;
    std::unique_ptr<SendSession> session_;
    std::unique_ptr<VerifyJob> job_;
    std::optional<Value> answer_;
};

TEST_F(VerifyJobTest, WithoutVerifyEveryNothingIsComparedByItself) {
    pass(1000 * kWeek);
    EXPECT_FALSE(runs());
}

TEST_F(VerifyJobTest, ItRunsEachTimeThatItIsDueAndIsRecorded) {
    group_.verify_every = kWeek;
    for (int week = 0; week < 3; ++week) {
        pass(seconds(1));
        ASSERT_TRUE(runs());
        EXPECT_LE(run(), kVerifyRateMin.value() + kMiB);
        ASSERT_TRUE(verified());
        EXPECT_EQ(verified()->at, clock_.wall());
        EXPECT_EQ(verified()->lsn, Lsn(77));
        EXPECT_EQ(verified()->compared_bytes, kVolumeBytes);
        EXPECT_EQ(verified()->differing_bytes, 0U);
        pass(kWeek - seconds(1));
        EXPECT_FALSE(runs());
    }
    EXPECT_FALSE(told("alarm-verify"));
}

TEST_F(VerifyJobTest, WhenItRanLastIsKnownAfterARestart) {
    group_.verify_every = kWeek;
    pass(seconds(1));
    run();
    const auto kept = io::load_state(*context_.files, context_.directory + "/group");
    ASSERT_TRUE(kept.ok());
    auto record = unpack_record(*kept);
    ASSERT_TRUE(record.ok());
    context_.record = std::move(*record);
    start();
    pass(kWeek - seconds(10));
    EXPECT_FALSE(runs());
    pass(seconds(10));
    EXPECT_TRUE(runs());
}

TEST_F(VerifyJobTest, ADifferenceIsAnAlarmAndIsRecordedAndNotRepaired) {
    group_.verify_every = kWeek;
    differs_at_ = 5 * kMiB;
    pass(seconds(1));
    run();
    EXPECT_TRUE(told("alarm-verify"));
    ASSERT_TRUE(verified());
    EXPECT_EQ(verified()->differing_bytes, wire::kHashedBlockBytes);
    EXPECT_EQ(verified()->lsn, Lsn(70));
    EXPECT_FALSE(verified()->repaired);
    EXPECT_TRUE(session_) << "no resync";
    EXPECT_TRUE(context_.record.peers["beta"].compare.empty());
}

TEST_F(VerifyJobTest, ItDoesNotBeginWhileTheGroupIsNotQuiet) {
    group_.verify_every = kWeek;
    quiet_ = false;  // a copy, a resync or a restore
    pass(2 * kWeek);
    EXPECT_FALSE(runs());
    quiet_ = true;
    pass(seconds(1));
    EXPECT_TRUE(runs());
}

TEST_F(VerifyJobTest, OneThatWasCutIsNoCompareAndIsRepeatedLater) {
    group_.verify_every = kWeek;
    pass(seconds(1));
    ASSERT_TRUE(runs());
    disconnect();
    EXPECT_FALSE(verified());
    EXPECT_TRUE(told("verify"));
    connect();
    pass(seconds(1));
    EXPECT_FALSE(runs());
    pass(kVerifyRetry);
    EXPECT_TRUE(runs());
    run();
    EXPECT_TRUE(verified());
}

TEST_F(VerifyJobTest, SwitchedOffItEnds) {
    group_.verify_every = kWeek;
    pass(seconds(1));
    ASSERT_TRUE(runs());
    group_.verify_every = seconds(0);
    pass(seconds(1));
    EXPECT_FALSE(runs());
    EXPECT_FALSE(verified());
}

// The answers that are on their way to the one that was ended are not the command's.
TEST_F(VerifyJobTest, ACommandDoesNotWaitForOneThatRunsByItself) {
    group_.verify_every = kWeek;
    pass(seconds(1));
    pass(seconds(1));
    ASSERT_TRUE(runs());
    ASSERT_FALSE(asked_.empty());
    ASSERT_TRUE(job_->begin(command()).ok());
    EXPECT_EQ(job_->begin(command()).code(), ErrorCode::busy);
    answer();
    pass(seconds(1));
    run();
    ASSERT_TRUE(answer_);
    const Value& result = answer_->at("standbys").as_list()->at(0);
    EXPECT_EQ(result.at("compared_bytes").number(), kVolumeBytes);
    ASSERT_TRUE(verified());
    pass(kWeek - seconds(10));
    EXPECT_FALSE(runs()) << "a compare at a command counts";
}

TEST_F(VerifyJobTest, ARepairThatIsDoneIsToldAndRecorded) {
    differs_at_ = 0;
    ASSERT_TRUE(job_->begin(command(true)).ok());
    run();
    EXPECT_FALSE(session_) << "a resync begins";
    EXPECT_FALSE(context_.record.peers["beta"].compare.empty());
    EXPECT_FALSE(answer_);
    context_.record.peers["beta"].compare.clear();  // the standby is consistent again
    pass(seconds(1));
    ASSERT_TRUE(answer_);
    EXPECT_EQ(answer_->at("standbys").as_list()->at(0).at("repaired").text(), "true");
    ASSERT_TRUE(verified());
    EXPECT_TRUE(verified()->repaired);
}

TEST_F(VerifyJobTest, ARepairsCommandDoesNotWaitForAStandbyThatIsGone) {
    differs_at_ = 0;
    ASSERT_TRUE(job_->begin(command(true)).ok());
    run();
    pass(seconds(9));
    EXPECT_FALSE(answer_);
    pass(seconds(2));
    ASSERT_TRUE(answer_);
    EXPECT_EQ(answer_->at("standbys").as_list()->at(0).at("repaired").text(), "false");
    answer_.reset();
    EXPECT_TRUE(job_->begin(command()).ok()) << "another may run";
    EXPECT_EQ(job_->with_repair("beta", {}).size(), 1U) << "it is repaired when it is back";
    context_.record.peers["beta"].compare.clear();
    pass(seconds(1));
    EXPECT_TRUE(job_->with_repair("beta", {}).empty());
    EXPECT_TRUE(verified()->repaired);
}

}  // namespace
}  // namespace everstep::daemon
