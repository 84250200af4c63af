// A restore's job and the history that it reads: what is answered late, never, or not at all.
#include "daemon/restore_job.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using namespace std::chrono_literals;

// The pipeline is not started: what reaches it is neither written nor answered.
class RestoreJobTest : public testing::Test {
  protected:
    Status run(std::uint64_t bytes, std::chrono::nanoseconds answer_within) {
        RestorePlan plan;
        plan.extents = {{VolumeIndex(0), ByteOffset(0), ByteCount(bytes)}};
        plan.answer_within = answer_within;
        RestoreHooks hooks;
        hooks.read = [this](const wire::ReadRequest& what,
                            std::function<void(Result<Buffer>)> done) {
            asked.push_back({what, std::move(done)});
            if (on_read) on_read();
        };
        hooks.done = [this](const Status& status) {
            ended = status;
            loop.stop();
        };
        job = std::make_unique<RestoreJob>(loop, pipeline, plan, std::move(hooks));
        loop.post([this] { job->begin(); });
        loop.run();
        return ended;
    }
    void answer(std::size_t n) {
        Buffer content;
        content.resize(asked[n].what.length.value());
        asked[n].done(std::move(content));
    }
    struct Asked {
        wire::ReadRequest what;
        std::function<void(Result<Buffer>)> done;
    };
    net::Loop loop;
    Pipeline pipeline{loop, {}, {}};
    std::unique_ptr<RestoreJob> job;
    std::vector<Asked> asked;
    std::function<void()> on_read;
    Status ended;
};

TEST_F(RestoreJobTest, AHistoryThatNeverAnswersEndsIt) {
    const Status status = run(3 << 20, 50ms);
    EXPECT_EQ(asked.size(), 3U);
    EXPECT_EQ(status.code(), ErrorCode::unreachable);
    EXPECT_NE(status.message().find("answered no read for 0.05 s"), std::string::npos)
        << status.message();
    answer(1);  // too late: nothing comes of it
    EXPECT_EQ(asked.size(), 3U);
}

TEST_F(RestoreJobTest, EachAnswerGivesTheOthersTheirTimeAnew) {
    net::Timer timer(loop);
    std::size_t answered = 0;
    std::chrono::steady_clock::time_point last;
    on_read = [&] {
        if (asked.size() > 1) return;
        timer.every(60ms, [&] {
            if (answered == 6) return timer.cancel();
            last = std::chrono::steady_clock::now();
            answer(answered++);
        });
    };
    const Status status = run(8 << 20, 200ms);
    EXPECT_EQ(status.code(), ErrorCode::unreachable);
    EXPECT_EQ(answered, 6U);  // 360 ms in all
    EXPECT_GE(std::chrono::steady_clock::now() - last, 200ms);
}

TEST_F(RestoreJobTest, NoAnswerIsWantedWhenNothingIsAskedFor) {
    on_read = [this] { loop.post([this, n = asked.size() - 1] { answer(n); }); };
    net::Timer timer(loop);
    timer.after(150ms, [this] { loop.stop(); });
    EXPECT_TRUE(
        run(2 << 20, 50ms).ok());  // its writes may wait for a standby as long as they have to
    EXPECT_EQ(asked.size(), 2U);
}

}  // namespace
}  // namespace everstep::daemon
