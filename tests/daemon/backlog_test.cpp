#include "daemon/backlog.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/frames.hpp"
#include "tests/daemon/scratch.hpp"
#include "tests/power/memory_disk.hpp"

namespace everstep::daemon {
namespace {

// Takes no new name for a file, or removes none.
class FailingDisk final : public io::FileSystem {
  public:
    Result<std::unique_ptr<io::File>> open(const std::string& path,
                                           const io::OpenOptions& options) override {
        return disk_.open(path, options);
    }
    Status make_directory(const std::string& path) override { return disk_.make_directory(path); }
    Status rename(const std::string& from, const std::string& to) override {
        return fails_rename ? Status(ErrorCode::io, "the disk fails") : disk_.rename(from, to);
    }
    Status remove(const std::string& path) override {
        return fails_remove ? Status(ErrorCode::io, "the disk fails") : disk_.remove(path);
    }
    Status sync_directory(const std::string& path) override { return disk_.sync_directory(path); }
    Result<std::vector<std::string>> list(const std::string& path) const override {
        return disk_.list(path);
    }
    Result<bool> exists(const std::string& path) const override { return disk_.exists(path); }
    Result<ByteCount> free_bytes(const std::string& path) const override {
        return disk_.free_bytes(path);
    }
    bool fails_rename = false;
    bool fails_remove = false;

  private:
    power::MemoryDisk disk_;
};

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
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(backlog.push(maker_.next()).ok());  // one in memory
    const FramePtr refused = maker_.next();
    const Status full = backlog.push(refused);
    EXPECT_EQ(full.code(), ErrorCode::no_space);
    EXPECT_NE(full.message().find("spool_bytes = 10000B"), std::string::npos) << full.message();
    EXPECT_EQ(backlog.last_seq(), FrameSeq(3));
    for (std::uint64_t seq = 1; seq <= 3; ++seq) EXPECT_TRUE(backlog.frame(FrameSeq(seq)).ok());
    backlog.drop_through(FrameSeq(2));
    EXPECT_TRUE(backlog.push(refused).ok());
}

TEST_F(BacklogTest, TheOldestGoToTheSpoolAndTheNewestStayInMemory) {
    Backlog backlog = make(3 * 5000);
    ASSERT_TRUE(backlog.discard_spool().ok());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(backlog.push(maker_.next()).ok());
    EXPECT_LE(backlog.memory_bytes(), ByteCount(3 * 5000));
    EXPECT_GT(backlog.memory_bytes(), ByteCount(2 * 4096));
    EXPECT_TRUE(backlog.spooled_behind(FrameSeq(6)));
    EXPECT_FALSE(backlog.spooled_behind(FrameSeq(7)));  // who has 7 lacks 8, 9 and 10
    backlog.drop_through(FrameSeq(7));
    EXPECT_EQ(backlog.spool_bytes(), ByteCount(0));
    EXPECT_FALSE(backlog.spooled_behind(FrameSeq(0)));
}

TEST_F(BacklogTest, AnEmptyBacklogTakesAnyFrame) {
    Backlog backlog = make(512, 0);
    ASSERT_TRUE(backlog.discard_spool().ok());
    for (std::uint64_t seq = 1; seq <= 5; ++seq) {
        ASSERT_TRUE(backlog.push(maker_.next()).ok());
        EXPECT_EQ(backlog.push(maker_.next()).code(), ErrorCode::no_space);
        maker_.tip.seq = FrameSeq(seq);  // it was not taken
        maker_.tip.point.lsn = Lsn(seq);
        backlog.clear();
    }
}

// What the spool's files take is bounded, also while frames at their beginning are dropped.
TEST_F(BacklogTest, TheSpoolsFilesNeverTakeMoreThanItsLimit) {
    constexpr std::uint64_t kLimit = 200000;
    Backlog backlog = make(0, kLimit);
    ASSERT_TRUE(backlog.discard_spool().ok());
    std::uint64_t most = 0;
    for (int i = 0; i < 1000; ++i) {
        ASSERT_TRUE(backlog.push(maker_.next()).ok()) << i;
        if (backlog.last_seq() > FrameSeq(20))
            backlog.drop_through(FrameSeq(backlog.last_seq().value() - 20));
        std::uint64_t bytes = 0;
        for (const auto& file : std::filesystem::directory_iterator(scratch_.path() + "/spool"))
            bytes += file.file_size();
        EXPECT_EQ(ByteCount(bytes), backlog.spool_bytes());
        most = std::max(most, bytes);
    }
    EXPECT_LE(most, kLimit);
    EXPECT_GT(most, kLimit / 3);  // it was used
}

TEST_F(BacklogTest, NewLimitsCountFromTheNextFrameOn) {
    Backlog backlog = make(1U << 20);
    ASSERT_TRUE(backlog.discard_spool().ok());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(backlog.push(maker_.next()).ok());
    EXPECT_EQ(backlog.spool_bytes(), ByteCount(0));
    backlog.set_limits(ByteCount(5000), ByteCount(1U << 20));
    ASSERT_TRUE(backlog.push(maker_.next()).ok());
    EXPECT_LE(backlog.memory_bytes(), ByteCount(5000));
    const ByteCount spooled = backlog.spool_bytes();
    backlog.set_limits(ByteCount(5000), ByteCount(512));
    EXPECT_EQ(backlog.push(maker_.next()).code(), ErrorCode::no_space);
    EXPECT_EQ(backlog.spool_bytes(), spooled);  // nothing is dropped for it
    EXPECT_EQ(backlog.first_seq(), FrameSeq(1));
}

// Every operation on the spool's disk fails once, in turn: the frame is refused or taken, what is
// kept stays what it was, and the next try, on a disk that works again, is taken.
TEST_F(BacklogTest, AWriteThatFailsCostsNoFrame) {
    for (std::uint64_t at = 0; at < 60; ++at) {
        power::MemoryDisk disk;
        test::FrameMaker maker{group_, Uuid::random()};
        Backlog backlog(disk, {"/spool", ByteCount(0), ByteCount(40000)});
        ASSERT_TRUE(backlog.discard_spool().ok());
        std::vector<Hash128> hashes;
        disk.operations = 0;
        disk.die_at = at;
        for (int i = 0; i < 8; ++i) {
            const FramePtr frame = maker.next();
            hashes.push_back(frame->hash());
            if (backlog.push(frame).ok()) continue;
            disk.die_at = power::MemoryDisk::kNever;
            EXPECT_EQ(backlog.last_seq() + 1, frame->header().seq);
            ASSERT_TRUE(backlog.push(frame).ok()) << at;
        }
        disk.die_at = power::MemoryDisk::kNever;
        ASSERT_TRUE(backlog.store_all().ok()) << at;
        Backlog again(disk, {"/spool", ByteCount(0), ByteCount(40000)});
        const Status loaded = again.load_spool(group_);
        ASSERT_TRUE(loaded.ok()) << at << ": " << loaded.message();
        for (std::uint64_t seq = 1; seq <= 8; ++seq) {
            const auto frame = again.frame(FrameSeq(seq));
            ASSERT_TRUE(frame.ok()) << at << ": " << seq;
            EXPECT_EQ((*frame)->hash(), hashes[seq - 1]);
        }
    }
}

// A stop whose disk fails: the frames are given up, and what is left of them is none at a start.
TEST_F(BacklogTest, AStopThatCannotStoreLeavesNothing) {
    FailingDisk disk;
    disk.fails_rename = true;
    const BacklogOptions options{"/spool", ByteCount(0), ByteCount(1U << 20)};
    Backlog backlog(disk, options);
    ASSERT_TRUE(backlog.discard_spool().ok());
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(backlog.push(maker_.next()).ok());
    backlog.drop_through(FrameSeq(2));
    EXPECT_FALSE(backlog.store_all().ok());
    backlog.clear();
    Backlog again(disk, options);
    ASSERT_TRUE(again.load_spool(group_).ok());
    EXPECT_TRUE(again.empty());
}

TEST_F(BacklogTest, ASpoolThatCannotBeEmptiedIsNoneUntilItIs) {
    FailingDisk disk;
    const BacklogOptions options{"/spool", ByteCount(0), ByteCount(1U << 20)};
    {
        Backlog older(disk, options);
        ASSERT_TRUE(older.load_spool(group_).ok());
        for (int i = 0; i < 4; ++i) ASSERT_TRUE(older.push(maker_.next()).ok());
    }
    disk.fails_remove = true;
    Backlog backlog(disk, options);
    EXPECT_FALSE(backlog.discard_spool().ok());
    ASSERT_TRUE(backlog.push(maker_.next()).ok());  // in memory
    EXPECT_FALSE(backlog.push(maker_.next()).ok());
    EXPECT_FALSE(backlog.store_all().ok());
    disk.fails_remove = false;
    ASSERT_TRUE(backlog.store_all().ok());
    Backlog again(disk, options);
    ASSERT_TRUE(again.load_spool(group_).ok());
    EXPECT_EQ(again.first_seq(), FrameSeq(5));
    EXPECT_EQ(again.last_seq(), FrameSeq(5));
}

}  // namespace
}  // namespace everstep::daemon
