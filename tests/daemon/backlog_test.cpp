#include "daemon/backlog.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/frames.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

class BacklogTest : public testing::Test {
  protected:
    Backlog make(std::uint64_t memory, std::uint64_t spool = 1U << 30) {
        return Backlog(io::system_files(),
                       {scratch_.path() + "/spool", ByteCount(memory), ByteCount(spool)});
    }
    test::Scratch scratch_;
    Uuid group_ = Uuid::random();
    test::FrameMaker maker_{group_, Uuid::random()};
};

TEST_F(BacklogTest, FramesComeBackTheSameFromMemoryAndSpool) {
    Backlog backlog = make(3 * 5000);
    ASSERT_TRUE(backlog.discard_spool().ok());
    std::vector<FramePtr> frames;
    for (int i = 0; i < 20; ++i) {
        frames.push_back(maker_.next());
        ASSERT_TRUE(backlog.push(frames.back()).ok());
    }
    for (std::size_t i = 0; i < frames.size(); ++i) {
        const auto frame = backlog.frame(FrameSeq(i + 1));
        ASSERT_TRUE(frame.ok()) << frame.status().message();
        EXPECT_EQ((*frame)->hash(), frames[i]->hash());
    }
    EXPECT_FALSE(backlog.has(FrameSeq(21)));
}

TEST_F(BacklogTest, DroppingFreesMemoryAndSpoolFiles) {
    Backlog backlog = make(0);
    ASSERT_TRUE(backlog.discard_spool().ok());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(backlog.push(maker_.next()).ok());
    EXPECT_EQ(io::system_files().list(scratch_.path() + "/spool")->size(), 1U);
    backlog.drop_through(FrameSeq(4));
    EXPECT_EQ(backlog.first_seq(), FrameSeq(5));
    backlog.drop_through(FrameSeq(10));
    EXPECT_TRUE(backlog.empty());
    EXPECT_EQ(backlog.bytes(), 0U);
    EXPECT_TRUE(io::system_files().list(scratch_.path() + "/spool")->empty());
    ASSERT_TRUE(backlog.push(maker_.next()).ok());
    EXPECT_TRUE(backlog.frame(FrameSeq(11)).ok());
}

TEST_F(BacklogTest, WhatAStopStoredIsThereAtTheNextStart) {
    std::vector<Hash128> hashes;
    {
        Backlog backlog = make(4 * 5000);
        ASSERT_TRUE(backlog.discard_spool().ok());
        for (int i = 0; i < 12; ++i) {
            const FramePtr frame = maker_.next(2);
            hashes.push_back(frame->hash());
            ASSERT_TRUE(backlog.push(frame).ok());
        }
        backlog.drop_through(FrameSeq(3));
        ASSERT_TRUE(backlog.store_all().ok());
    }
    Backlog backlog = make(4 * 5000);
    ASSERT_TRUE(backlog.load_spool(group_).ok());
    EXPECT_EQ(backlog.first_seq(), FrameSeq(4));
    EXPECT_EQ(backlog.last_seq(), FrameSeq(12));
    for (std::uint64_t seq = 4; seq <= 12; ++seq) {
        EXPECT_EQ((*backlog.frame(FrameSeq(seq)))->hash(), hashes[seq - 1]);
    }
    EXPECT_EQ(backlog.load_spool(Uuid::random()).code(), ErrorCode::corrupt);
}

TEST_F(BacklogTest, AFlippedSpoolIsRefusedWithItsPlace) {
    {
        Backlog backlog = make(0);
        ASSERT_TRUE(backlog.discard_spool().ok());
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(backlog.push(maker_.next()).ok());
        ASSERT_TRUE(backlog.store_all().ok());
    }
    const auto names = io::system_files().list(scratch_.path() + "/spool");
    ASSERT_EQ(names->size(), 1U);
    const std::string path = scratch_.path() + "/spool/" + names->front();
    auto file = io::system_files().open(path, {io::OpenMode::read_write, false, false});
    std::array<std::byte, 1> byte{};
    ASSERT_TRUE((*file)->read_at(ByteOffset(5000), byte).ok());
    byte[0] ^= std::byte{0x40};
    ASSERT_TRUE((*file)->write_at(ByteOffset(5000), byte).ok());
    Backlog backlog = make(0);
    const Status loaded = backlog.load_spool(group_);
    EXPECT_EQ(loaded.code(), ErrorCode::corrupt);
    EXPECT_NE(loaded.message().find(path), std::string::npos);
}

TEST_F(BacklogTest, AFullSpoolSaysSoAndTakesNothing) {
    Backlog backlog = make(0, 10000);
    ASSERT_TRUE(backlog.discard_spool().ok());
    ASSERT_TRUE(backlog.push(maker_.next()).ok());
    ASSERT_TRUE(backlog.push(maker_.next()).ok());
    EXPECT_EQ(backlog.push(maker_.next()).code(), ErrorCode::no_space);
    EXPECT_EQ(backlog.last_seq(), FrameSeq(2));
}

}  // namespace
}  // namespace everstep::daemon
