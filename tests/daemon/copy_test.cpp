// What of a volume a copy sends: holes as zeroes, blocks that differ, in the order of the stream.
#include "daemon/copy.hpp"

#include <gtest/gtest.h>

#include <set>

#include "common/base/checksum.hpp"
#include "tests/daemon/frames.hpp"

namespace everstep::daemon {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kBlock = wire::kHashedBlockBytes;

class StoppedClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return {}; }
    [[nodiscard]] std::chrono::nanoseconds boot() const override { return now; }
    std::chrono::nanoseconds now{std::chrono::hours(1)};
};

// A volume and what the standby has of it, in memory; the capture's tip is `newest_`.
class CopyTest : public testing::Test {
  protected:
    void begin(std::uint64_t bytes, CopyOptions options = {}) {
        volume_.resize(bytes, std::byte{7});
        standby_.resize(bytes, std::byte{9});
        options.extents = {{VolumeIndex(0), ByteOffset(0), ByteCount(bytes)}};
        options.seed = 0x5eed;
        options.clock = &clock_;
        CopyActions actions;
        actions.find_holes = [this](const ResyncExtent& extent, const auto& done) {
            looks_.push_back(extent);
            FoundHoles found;
            found.after = newest_;
            found.covered = std::min(extent.length, covered_most_);
            std::vector<ResyncExtent> zeroes;
            for (std::uint64_t at = 0; at < found.covered.value(); at += kMiB) {
                const ResyncExtent one{extent.volume, extent.offset + at,
                                       ByteCount(std::min(kMiB, found.covered.value() - at))};
                const bool hole = holes_.contains(one.offset.value() / kMiB);
                if (hole) found.zero_bytes += one.length.value();
                (hole ? zeroes : found.data).push_back(one);
            }
            if (!zeroes.empty()) found.zeroes = make_zero_frame(group_, point(), zeroes);
            if (looks_wait_) return waiting_looks_.push_back([done, found] { done(found); });
            done(found);
        };
        actions.read_extent = [this](const ExtentRead& what, const auto& done) {
            reads_.push_back([this, what, after = newest_, done] {
                const Bytes content =
                    Bytes(volume_).subspan(what.extent.offset.value(), what.extent.length.value());
                const KnownContent* known = what.known ? &*what.known : nullptr;
                done(ReadExtent{make_resync_frame({group_, point(), what.extent}, content, known),
                                after});
            });
        };
        actions.ask_hashes = [this](const wire::HashRequest& asked) { asked_.push_back(asked); };
        actions.newest = [this] { return newest_; };
        actions.moved = [this] { copy_->ask(); };
        actions.too_different = [this](const Status& why) { too_different_ = why; };
        actions.fail = [this](const Status& why) { failed_ = why; };
        copy_ = std::make_unique<Copy>(std::move(options), std::move(actions));
        copy_->ask();
    }
    [[nodiscard]] Point point() const { return {timeline_, Lsn(newest_.value())}; }
    [[nodiscard]] wire::HashReply hashes_of(const wire::HashRequest& asked) const {
        wire::HashReply reply;
        reply.id = asked.id;
        const Bytes held = Bytes(standby_).subspan(asked.offset.value(), asked.length.value());
        reply.zero = is_zero(held);
        for (std::size_t at = 0; at < held.size() && !reply.zero; at += kBlock)
            reply.hashes.push_back(xxh3_128(
                held.subspan(at, std::min<std::size_t>(kBlock, held.size() - at)), asked.seed));
        return reply;
    }
    void answer_all() {
        while (!asked_.empty()) {
            const wire::HashReply reply = hashes_of(asked_.front());
            asked_.erase(asked_.begin());
            ASSERT_TRUE(copy_->on_hashes(reply).ok());
            copy_->ask();
        }
    }
    void read_all() {
        while (!reads_.empty()) {
            const auto read = std::move(reads_.front());
            reads_.erase(reads_.begin());
            read();
        }
    }
    // Sends what leaves behind everything, and puts it on the standby.
    void send_all() {
        while (const FramePtr frame = copy_->take(newest_ + 1)) {
            for (const FrameEntry& entry : frame->entries()) {
                sent_bytes_ += entry.payload_bytes;
                const auto to =
                    standby_.begin() + static_cast<std::ptrdiff_t>(entry.offset.value());
                std::fill_n(to, entry.length.value(), std::byte{0});
                Buffer unpacked;
                const Result<Bytes> payload = frame->payload(entry, unpacked);
                ASSERT_TRUE(payload.ok());
                std::copy(payload->begin(), payload->end(), to);
            }
            copy_->ask();
        }
    }
    void run() {
        while (!copy_->all_read() || !copy_->empty()) {
            answer_all();
            read_all();
            send_all();
        }
    }

    StoppedClock clock_;
    Uuid group_ = Uuid::random();
    TimelineId timeline_ = Uuid::random();
    FrameSeq newest_{1};
    std::vector<std::byte> volume_;
    std::vector<std::byte> standby_;
    std::set<std::uint64_t> holes_;  // by MiB
    ByteCount covered_most_{~0ULL};  // by one look
    bool looks_wait_ = false;
    std::vector<std::function<void()>> waiting_looks_;
    std::vector<ResyncExtent> looks_;
    std::vector<wire::HashRequest> asked_;
    std::vector<std::function<void()>> reads_;
    std::uint64_t sent_bytes_ = 0;
    Status too_different_;
    Status failed_;
    std::unique_ptr<Copy> copy_;
};

TEST_F(CopyTest, OnlyBlocksThatDifferAreSent) {
    begin(3 * kMiB + 512);
    standby_ = volume_;
    standby_[kMiB + 5] = std::byte{1};
    standby_[3 * kMiB + 511] = std::byte{1};  // in the last block, of one sector
    run();
    EXPECT_EQ(sent_bytes_, kBlock + 512);
    EXPECT_EQ(copy_->differing_bytes(), kBlock + 512);
    EXPECT_EQ(copy_->done_bytes(), copy_->total_bytes());
    EXPECT_TRUE(standby_ == volume_);
}

TEST_F(CopyTest, ZeroesAreSentWithoutPayloadAndOnlyWhereTheyAreNone) {
    begin(2 * kMiB);
    std::fill(volume_.begin(), volume_.end(), std::byte{0});
    std::fill(standby_.begin() + kMiB, standby_.end(), std::byte{0});
    run();
    EXPECT_EQ(sent_bytes_, 0U);
    EXPECT_EQ(copy_->differing_bytes(), kMiB);
    EXPECT_TRUE(standby_ == volume_);
}

TEST_F(CopyTest, HolesAreNeitherAskedForNorRead) {
    holes_ = {0, 1, 3};
    begin(4 * kMiB);
    for (const std::uint64_t hole : holes_)
        std::fill_n(volume_.begin() + static_cast<std::ptrdiff_t>(hole * kMiB), kMiB, std::byte{0});
    ASSERT_EQ(asked_.size(), 1U);
    EXPECT_EQ(asked_[0].offset, ByteOffset(2 * kMiB));
    run();
    EXPECT_EQ(sent_bytes_, kMiB);
    EXPECT_TRUE(standby_ == volume_);
}

// A file in very many pieces is looked at in more looks than one.
TEST_F(CopyTest, WhatALookDidNotCoverIsLookedAtAnew) {
    holes_ = {0, 1, 2, 5};
    covered_most_ = ByteCount(2 * kMiB);
    begin(7 * kMiB + 512);
    for (const std::uint64_t hole : holes_)
        std::fill_n(volume_.begin() + static_cast<std::ptrdiff_t>(hole * kMiB), kMiB, std::byte{0});
    run();
    ASSERT_EQ(looks_.size(), 4U);
    for (std::size_t i = 0; i < looks_.size(); ++i)
        EXPECT_EQ(looks_[i].offset, ByteOffset(i * 2 * kMiB));
    EXPECT_EQ(copy_->done_bytes(), copy_->total_bytes());
    EXPECT_TRUE(standby_ == volume_);
}

TEST_F(CopyTest, NoFrameOvertakesALookForHoles) {
    holes_ = {0};
    looks_wait_ = true;
    begin(kMiB);
    EXPECT_TRUE(copy_->may_send(FrameSeq(1)));
    EXPECT_FALSE(copy_->may_send(FrameSeq(2))) << "what it writes may lie in a hole by now";
    EXPECT_FALSE(copy_->all_read());
    newest_ = FrameSeq(5);
    ASSERT_EQ(waiting_looks_.size(), 1U);
    waiting_looks_[0]();
    EXPECT_TRUE(copy_->may_send(FrameSeq(2)));
    EXPECT_EQ(copy_->take(FrameSeq(1)), nullptr);
    EXPECT_NE(copy_->take(FrameSeq(2)), nullptr);
}

TEST_F(CopyTest, WhatTheStandbyCannotReadIsSentWhole) {
    begin(kMiB);
    standby_ = volume_;
    wire::HashReply reply;
    reply.id = asked_.front().id;
    reply.error = ErrorCode::io;
    ASSERT_TRUE(copy_->on_hashes(reply).ok());
    copy_->ask();
    read_all();
    send_all();
    EXPECT_EQ(sent_bytes_, kMiB);
}

TEST_F(CopyTest, NoFrameOvertakesAnExtentThatIsBeingRead) {
    begin(2 * kMiB);
    answer_all();
    ASSERT_EQ(reads_.size(), 2U);
    EXPECT_TRUE(copy_->may_send(FrameSeq(1)));
    EXPECT_FALSE(copy_->may_send(FrameSeq(2)));
    newest_ = FrameSeq(5);
    // Read out of order; each leaves behind the frame that was the newest when it was asked for.
    reads_[1]();
    EXPECT_FALSE(copy_->may_send(FrameSeq(2)));
    reads_[0]();
    EXPECT_TRUE(copy_->may_send(FrameSeq(2)));
    EXPECT_EQ(copy_->take(FrameSeq(1)), nullptr);
    EXPECT_NE(copy_->take(FrameSeq(2)), nullptr);
    EXPECT_NE(copy_->take(FrameSeq(2)), nullptr);
    EXPECT_TRUE(copy_->empty());
}

TEST_F(CopyTest, HashesThatNobodyAskedForOrTooManyAreRefused) {
    begin(kMiB);
    wire::HashReply reply = hashes_of(asked_.front());
    reply.id += 100;
    EXPECT_EQ(copy_->on_hashes(reply).code(), ErrorCode::corrupt);
    reply = hashes_of(asked_.front());
    reply.hashes.pop_back();
    EXPECT_EQ(copy_->on_hashes(reply).code(), ErrorCode::corrupt);
    begin(kMiB);
    reply = hashes_of(asked_.back());
    ASSERT_TRUE(copy_->on_hashes(reply).ok());
    EXPECT_EQ(copy_->on_hashes(reply).code(), ErrorCode::corrupt) << "twice";
}

TEST_F(CopyTest, MoreThanTheLimitDifferentEndsIt) {
    CopyOptions options;
    options.differing_max = 2 * kMiB;
    begin(4 * kMiB, options);
    answer_all();
    ASSERT_EQ(reads_.size(), 4U);
    reads_[0]();
    reads_[1]();
    EXPECT_TRUE(too_different_.ok());
    reads_[2]();
    EXPECT_EQ(too_different_.code(), ErrorCode::refused);
    EXPECT_NE(too_different_.message().find("max_resync"), std::string::npos);
}

// A disk that was lost and made anew is a hole: what it would take away counts.
TEST_F(CopyTest, HolesWhereTheStandbyHasDataAreDifferent) {
    CopyOptions options;
    options.differing_max = 2 * kMiB;
    holes_ = {0, 1, 2, 3};
    volume_.resize(4 * kMiB);
    begin(4 * kMiB, options);
    while (!copy_->all_read() && too_different_.ok()) {
        answer_all();
        read_all();
        send_all();
    }
    EXPECT_EQ(too_different_.code(), ErrorCode::refused);
}

TEST_F(CopyTest, OfAHoleOnlyWhatTheStandbyHasOtherwiseIsRead) {
    CopyOptions options;
    options.differing_max = 2 * kMiB;
    holes_ = {0, 1, 2, 3};
    volume_.resize(4 * kMiB);
    standby_.resize(4 * kMiB);
    std::fill_n(standby_.begin() + kMiB, kBlock, std::byte{9});
    begin(4 * kMiB, options);
    answer_all();
    EXPECT_EQ(reads_.size(), 1U);
    run();
    EXPECT_TRUE(too_different_.ok());
    EXPECT_EQ(copy_->differing_bytes(), kBlock);
    EXPECT_EQ(copy_->done_bytes(), copy_->total_bytes());
    EXPECT_TRUE(standby_ == volume_);
}

TEST_F(CopyTest, TheRateBoundsWhatIsComparedInASecond) {
    CopyOptions options;
    options.bytes_a_second = 4 * kMiB;
    begin(64 * kMiB, options);
    EXPECT_TRUE(asked_.empty());
    std::uint64_t compared = 0;
    for (int second = 0; second < 4; ++second) {
        clock_.now += std::chrono::seconds(1);
        copy_->ask();
        for (const wire::HashRequest& one : asked_) compared += one.length.value();
        answer_all();
        read_all();
        send_all();
        EXPECT_LE(compared, static_cast<std::uint64_t>(second + 1) * 4 * kMiB + kMiB);
    }
    EXPECT_GE(compared, 12 * kMiB);
    EXPECT_GT(copy_->seconds_left(), 8.0);
}

TEST_F(CopyTest, AtMostSoManyQuestionsAndReadsAreUnderWay) {
    begin(64 * kMiB);
    EXPECT_EQ(asked_.size(), kHashesAhead);
    answer_all();
    EXPECT_EQ(reads_.size(), kExtentsAhead);
    run();
    EXPECT_TRUE(standby_ == volume_);
    EXPECT_EQ(looks_.size(), 1U);
}

}  // namespace
}  // namespace everstep::daemon
