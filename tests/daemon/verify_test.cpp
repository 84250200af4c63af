// What verify tells as different: what differs at one step, whatever is written meanwhile.
#include "daemon/verify.hpp"

#include <gtest/gtest.h>

#include "common/base/checksum.hpp"

namespace everstep::daemon {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kBlock = wire::kHashedBlockBytes;

// A volume and what the standby has of it; reads and questions wait until the test lets them go.
class VerifyTest : public testing::Test {
  protected:
    void begin(std::uint64_t bytes) {
        volume_.resize(bytes, std::byte{7});
        standby_ = volume_;
        CopyOptions options;
        options.extents = {{VolumeIndex(0), ByteOffset(0), ByteCount(bytes)}};
        options.seed = 0x5eed;
        options.clock = &system_clock();
        VerifyActions actions;
        actions.read_extent = [this](const ExtentRead& what, const auto& done) {
            reads_.push_back([this, what, done] {
                const Point at{Uuid::random(), Lsn(newest_.value())};
                done(ReadExtent{make_resync_frame({Uuid::random(), at, what.extent},
                                                  of(volume_, what.extent), &*what.known),
                                newest_});
            });
        };
        actions.read_exact = [this](const ResyncExtent& extent, const auto& done) {
            exact_.push_back([this, extent, done] {
                const auto content = std::make_shared<Buffer>();
                content->append(of(volume_, extent));
                done(ExactExtent{content, newest_, Lsn(newest_.value())});
            });
        };
        actions.ask_hashes = [this](const wire::HashRequest& asked) { asked_.push_back(asked); };
        actions.newest = [this] { return newest_; };
        actions.moved = [this] { verify_->ask(); };
        actions.done = [this](Result<VerifyResult> result) { result_ = std::move(result); };
        verify_ = std::make_unique<Verify>(options, std::move(actions));
        verify_->ask();
    }
    [[nodiscard]] static Bytes of(const std::vector<std::byte>& all, const ResyncExtent& extent) {
        return Bytes(all).subspan(extent.offset.value(), extent.length.value());
    }
    [[nodiscard]] wire::HashReply hashes_of(const wire::HashRequest& asked) const {
        wire::HashReply reply;
        reply.id = asked.id;
        const Bytes held = of(standby_, {asked.volume, asked.offset, asked.length});
        for (std::size_t at = 0; at < held.size(); at += kBlock)
            reply.hashes.push_back(xxh3_128(
                held.subspan(at, std::min<std::size_t>(kBlock, held.size() - at)), asked.seed));
        return reply;
    }
    void answer_all() {
        for (const wire::HashRequest& asked : std::exchange(asked_, {}))
            ASSERT_TRUE(verify_->on_hashes(hashes_of(asked)).ok());
        verify_->ask();
    }
    static void run(std::vector<std::function<void()>>& waiting) {
        for (const auto& one : std::exchange(waiting, {})) one();
    }
    // The second looks: read, asked behind their frame, answered.
    void look_again() {
        run(exact_);
        while (const auto question = verify_->take(newest_ + 1)) asked_.push_back(*question);
        answer_all();
    }

    FrameSeq newest_{5};
    std::vector<std::byte> volume_;
    std::vector<std::byte> standby_;
    std::vector<wire::HashRequest> asked_;
    std::vector<std::function<void()>> reads_;
    std::vector<std::function<void()>> exact_;
    std::optional<Result<VerifyResult>> result_;
    std::unique_ptr<Verify> verify_;
};

TEST_F(VerifyTest, EqualVolumesAreComparedOnce) {
    begin(3 * kMiB + 512);
    answer_all();
    run(reads_);
    ASSERT_TRUE(result_ && result_->ok());
    EXPECT_TRUE(exact_.empty());
    EXPECT_EQ((*result_)->compared_bytes, 3 * kMiB + 512);
    EXPECT_TRUE((*result_)->extents.empty());
}

TEST_F(VerifyTest, WhatWasWrittenMeanwhileIsLookedAtAgainAndEqual) {
    begin(kMiB);
    answer_all();
    volume_[kBlock] = std::byte{8};  // step 6, behind the answer and before the read
    newest_ = FrameSeq(6);
    run(reads_);
    ASSERT_FALSE(result_);
    standby_[kBlock] = std::byte{8};  // and there it arrives
    look_again();
    ASSERT_TRUE(result_ && result_->ok());
    EXPECT_EQ((*result_)->differing_bytes, 0U);
}

TEST_F(VerifyTest, WhatDiffersIsToldWithItsStep) {
    begin(4 * kMiB);
    for (const std::uint64_t at : {kBlock, 2 * kBlock, 3 * kMiB}) standby_[at + 9] = std::byte{1};
    answer_all();
    run(reads_);
    newest_ = FrameSeq(9);
    look_again();
    ASSERT_TRUE(result_ && result_->ok());
    EXPECT_EQ((*result_)->differing_bytes, 3 * kBlock);
    EXPECT_EQ((*result_)->lsn, Lsn(9));
    ASSERT_EQ((*result_)->extents.size(), 2U);
    EXPECT_EQ((*result_)->extents[0].length, ByteCount(2 * kBlock));
    EXPECT_EQ((*result_)->extents[1].offset, ByteOffset(3 * kMiB));
}

TEST_F(VerifyTest, RangesThatDifferAreBoundedAndCoverAll) {
    const std::uint64_t pairs = kVerifyRangesMax + 100;
    begin(pairs * 2 * kBlock);
    for (std::uint64_t i = 0; i < pairs; ++i) standby_[i * 2 * kBlock] = std::byte{1};
    while (!result_) {
        answer_all();
        run(reads_);
        look_again();
    }
    ASSERT_TRUE(result_->ok());
    EXPECT_EQ((*result_)->differing_bytes, pairs * kBlock);
    ASSERT_EQ((*result_)->extents.size(), kVerifyRangesMax);
    const journal::GapExtent& last = (*result_)->extents.back();
    EXPECT_EQ(last.offset, ByteOffset((kVerifyRangesMax - 1) * 2 * kBlock));
    EXPECT_EQ((last.offset + last.length.value()).value(), (pairs - 1) * 2 * kBlock + kBlock);
}

TEST_F(VerifyTest, TheSecondQuestionLeavesExactlyBehindItsStep) {
    begin(kMiB);
    standby_[0] = std::byte{1};
    answer_all();
    run(reads_);
    EXPECT_TRUE(verify_->may_send(FrameSeq(5)));
    EXPECT_FALSE(verify_->may_send(FrameSeq(6))) << "it may be behind the step that is read";
    newest_ = FrameSeq(8);
    run(exact_);
    EXPECT_TRUE(verify_->may_send(FrameSeq(8)));
    EXPECT_FALSE(verify_->take(FrameSeq(8))) << "frame 8 has not left";
    EXPECT_TRUE(verify_->take(FrameSeq(9)));
}

TEST_F(VerifyTest, AStandbyThatCannotReadIsAnError) {
    begin(kMiB);
    wire::HashReply reply;
    reply.id = asked_.front().id;
    reply.error = ErrorCode::io;
    reply.message = "bad block";
    ASSERT_TRUE(verify_->on_hashes(reply).ok());
    ASSERT_TRUE(result_);
    EXPECT_EQ(result_->status().code(), ErrorCode::io);
    EXPECT_TRUE(verify_->over());
}

TEST_F(VerifyTest, AFalseAnswerEndsTheSession) {
    begin(kMiB);
    wire::HashReply reply = hashes_of(asked_.front());
    reply.hashes.pop_back();
    EXPECT_EQ(verify_->on_hashes(reply).code(), ErrorCode::corrupt);
    reply.id += 7;
    EXPECT_EQ(verify_->on_hashes(reply).code(), ErrorCode::corrupt);
}

TEST_F(VerifyTest, ItsEndInTheMiddleIsTold) {
    begin(kMiB);
    verify_.reset();
    ASSERT_TRUE(result_);
    EXPECT_EQ(result_->status().code(), ErrorCode::closed);
}

}  // namespace
}  // namespace everstep::daemon
