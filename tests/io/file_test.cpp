#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "tests/io/scratch.hpp"

namespace everstep::io {
namespace {

using FileTest = Scratch;

class BothWays : public Scratch, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Direct, BothWays, ::testing::Bool());

// Batches of all sizes, aligned and not, against a model in memory.
TEST_P(BothWays, BatchesOfAnySizeAndAlignmentEqualTheModel) {
    std::mt19937_64 random(test_seed());
    const auto file = create("f", GetParam());
    constexpr std::size_t kSize = 8U << 20;
    Buffer model = filled(kSize, 1);
    ASSERT_OK(file->write_at(ByteOffset(0), model.bytes()));
    for (std::uint64_t round = 0; round < 40; ++round) {
        const bool aligned = random() % 2 == 0;
        const std::size_t unit = aligned ? 4096 : 1 + random() % 700;
        const std::size_t count = 1 + random() % 200;
        const std::size_t slot = kSize / count / 4096 * 4096;  // ops do not overlap
        Buffer data = filled(slot * count, 1000 + round);
        std::vector<WriteOp> ops;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t room = slot / unit;
            if (room == 0) continue;
            const std::size_t skip = random() % room;
            const std::size_t units = 1 + random() % std::min<std::size_t>(room - skip, 8);
            const std::size_t at = slot * i + skip * unit;
            ops.push_back({ByteOffset(at), Bytes(data.bytes()).subspan(at, units * unit)});
        }
        std::shuffle(ops.begin(), ops.end(), random);
        ASSERT_OK(file->write(ops));
        std::vector<ReadOp> reads;
        Buffer back(kSize);
        back.resize(kSize);
        for (const WriteOp& op : ops) {
            std::copy(op.from.begin(), op.from.end(), model.data() + op.offset.value());
            reads.push_back({op.offset, back.bytes().subspan(op.offset.value(), op.from.size())});
        }
        ASSERT_OK(file->read(reads));
        for (std::size_t i = 0; i < ops.size(); ++i)
            ASSERT_TRUE(same(reads[i].to, ops[i].from)) << "round " << round << " op " << i;
    }
    Buffer all(kSize);
    all.resize(kSize);
    ASSERT_OK(file->read_at(ByteOffset(0), all.bytes()));
    EXPECT_TRUE(same(all.bytes(), model.bytes()));
}

// Written by one way, read by the other, again and again: the page cache never gives old bytes.
TEST_P(BothWays, DirectAndBufferedTransfersSeeEachOther) {
    const auto file = create("f", true);
    const auto other = open(path("f"), {.mode = OpenMode::read_write, .direct = GetParam()});
    Buffer back(12288);
    back.resize(12288);
    ASSERT_OK(file->write_at(ByteOffset(0), filled(12288, 7).bytes()));
    for (std::uint64_t tag = 10; tag < 60; ++tag) {
        const Buffer aligned = filled(4096, tag);
        const Buffer odd = filled(777, 1000 + tag);
        ASSERT_OK(file->write_at(ByteOffset(4096), aligned.bytes()));
        ASSERT_OK(other->read_at(ByteOffset(4000), back.bytes().first(5000)));
        ASSERT_TRUE(same(back.bytes().subspan(96, 4096), aligned.bytes()));
        ASSERT_OK(file->write_at(ByteOffset(5000), odd.bytes()));
        ASSERT_OK(other->read_at(ByteOffset(4096), back.bytes().first(4096)));
        ASSERT_TRUE(same(back.bytes().subspan(904, 777), odd.bytes()));
        ASSERT_TRUE(same(back.bytes().first(904), aligned.bytes().first(904)));
    }
}

TEST_P(BothWays, AReadPastTheEndIsCorruptAndNamesThePlace) {
    const auto file = create("f", GetParam());
    ASSERT_OK(file->write_at(ByteOffset(0), filled(10000, 3).bytes()));
    Buffer back(1U << 20);
    back.resize(1U << 20);
    const Status status = file->read_at(ByteOffset(8192), back.bytes().first(4096));
    EXPECT_EQ(status.code(), ErrorCode::corrupt);
    EXPECT_NE(status.message().find(path("f")), std::string::npos);
    EXPECT_NE(status.message().find("4096 bytes at offset 8192"), std::string::npos);
    EXPECT_NE(status.message().find("found 1808"), std::string::npos) << status.message();

    std::vector<ReadOp> many;
    for (std::size_t i = 0; i < 100; ++i)
        many.push_back({ByteOffset(i * 128), back.bytes().subspan(i * 4096, 128)});
    EXPECT_EQ(file->read(many).code(), ErrorCode::corrupt);
}

TEST_F(FileTest, ReadersBesideAWriterSeeOldOrNewBlocks) {
    const auto file = create("f", true);
    constexpr std::size_t kBlocks = 256;
    const auto write_all = [&](std::uint64_t tag) {
        std::vector<Buffer> data;
        std::vector<WriteOp> ops;
        for (std::size_t i = 0; i < kBlocks; ++i) {
            data.push_back(filled(4096, tag));
            ops.push_back({ByteOffset(i * 4096), data.back().bytes()});
        }
        return file->write(ops);
    };
    ASSERT_OK(write_all(0));
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> newest = 0;
    std::thread reader([&] {
        std::mt19937_64 random(7);
        Buffer block(4096);
        block.resize(4096);
        while (!stop) {
            const std::uint64_t before = newest;
            ASSERT_OK(file->read_at(ByteOffset(random() % kBlocks * 4096), block.bytes()));
            const std::uint64_t after = newest + 1;  // one may be on its way
            bool known = false;
            for (std::uint64_t tag = before; tag <= after && !known; ++tag)
                known = same(block.bytes(), filled(4096, tag).bytes());
            ASSERT_TRUE(known) << "a block older than " << before << " or torn";
        }
    });
    for (std::uint64_t tag = 1; tag <= 30; ++tag) {
        EXPECT_TRUE(write_all(tag).ok());
        newest = tag;
    }
    stop = true;
    reader.join();
}

TEST_F(FileTest, CreateFailsWhereItExistsAndIsPrivate) {
    const auto file = create("f");
    struct stat facts {};
    ASSERT_EQ(::stat(path("f").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600U);
    EXPECT_EQ(system_files().open(path("f"), {.mode = OpenMode::create}).status().code(),
              ErrorCode::exists);
    EXPECT_EQ(system_files().open(path("none"), {}).status().code(), ErrorCode::not_found);
    EXPECT_EQ(system_files().open(directory_, {}).status().code(), ErrorCode::usage);
    ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    EXPECT_EQ(system_files().open(path("fifo"), {}).status().code(), ErrorCode::usage);
}

TEST_F(FileTest, TheLockIsBusyInAnotherProcessAndFreeAfterItsDeath) {
    ASSERT_NE(create("f"), nullptr);
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const auto held =
            system_files().open(path("f"), {.mode = OpenMode::read_write, .exclusive_lock = true});
        const char answer = held.ok() ? 'y' : 'n';
        if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    char answer = 0;
    ASSERT_EQ(::read(ready[0], &answer, 1), 1);
    ASSERT_EQ(answer, 'y');
    const OpenOptions locked{.mode = OpenMode::read_write, .exclusive_lock = true};
    const auto second = system_files().open(path("f"), locked);
    EXPECT_EQ(second.status().code(), ErrorCode::busy);
    EXPECT_NE(second.status().message().find(path("f")), std::string::npos);
    EXPECT_TRUE(system_files().open(path("f"), {.mode = OpenMode::read_write}).ok());
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(system_files().open(path("f"), locked).ok());
    ::close(ready[0]);
    ::close(ready[1]);
}

// A forked child must not put its batches into its parent's ring.
TEST_F(FileTest, AForkedChildHasItsOwnRing) {
    const auto file = create("f");
    Buffer data = filled(64 * 512, 1);
    ASSERT_OK(file->write_at(ByteOffset(0), data.bytes()));
    const auto read_batch = [&](Buffer& to) {
        std::vector<ReadOp> ops;
        for (std::size_t i = 0; i < 64; ++i)
            ops.push_back({ByteOffset(i * 512), to.bytes().subspan(i * 512, 512)});
        return file->read(ops).ok() && same(to.bytes(), data.bytes());
    };
    Buffer to = filled(64 * 512, 2);
    ASSERT_TRUE(read_batch(to));
    const pid_t child = ::fork();
    if (child == 0) {
        Buffer mine = filled(64 * 512, 3);
        ::_exit(read_batch(mine) ? 0 : 1);
    }
    Buffer again = filled(64 * 512, 4);
    EXPECT_TRUE(read_batch(again));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(FileTest, HolesAreReportedAndCoverTheRange) {
    const auto file = create("f");
    ASSERT_OK(file->resize(ByteCount(16U << 20)));
    ASSERT_OK(file->write_at(ByteOffset(4U << 20), filled(1U << 20, 5).bytes()));
    ASSERT_OK(file->write_at(ByteOffset(10U << 20), filled(1U << 20, 6).bytes()));
    ASSERT_OK(file->sync());
    const auto extents = file->extents(ByteOffset(0), ByteCount(32U << 20));
    ASSERT_TRUE(extents.ok());
    std::uint64_t at = 0;
    std::uint64_t data_bytes = 0;
    for (const DataExtent& extent : *extents) {
        EXPECT_EQ(extent.offset.value(), at);
        at += extent.length.value();
        if (!extent.hole) data_bytes += extent.length.value();
    }
    EXPECT_EQ(at, 16U << 20) << "the part of the range before the end of the file";
    EXPECT_EQ(data_bytes, 2U << 20);
    ASSERT_EQ(extents->size(), 5U);
    EXPECT_TRUE(extents->at(0).hole);
    EXPECT_FALSE(extents->at(1).hole);
    const auto inside = file->extents(ByteOffset((4U << 20) + 4096), ByteCount(4096));
    ASSERT_TRUE(inside.ok());
    ASSERT_EQ(inside->size(), 1U);
    EXPECT_FALSE(inside->front().hole);
    EXPECT_EQ(inside->front().length.value(), 4096U);
}

TEST_P(BothWays, ZeroAndPunchReadAsZeroesAndLeaveTheNeighbours) {
    const auto file = create("f", GetParam());
    Buffer model = filled(1U << 20, 9);
    ASSERT_OK(file->write_at(ByteOffset(0), model.bytes()));
    const auto clear = [&](std::size_t offset, std::size_t count) {
        std::fill_n(model.data() + offset, count, std::byte{0});
    };
    ASSERT_OK(file->zero(ByteOffset(1000), ByteCount(20000)));
    clear(1000, 20000);
    ASSERT_OK(file->punch(ByteOffset(100000), ByteCount(300001)));
    clear(100000, 300001);
    ASSERT_OK(file->punch(ByteOffset(2U << 20), ByteCount(4096)));
    ASSERT_OK(file->zero(ByteOffset(0), ByteCount(0)));
    ASSERT_OK(file->punch(ByteOffset(0), ByteCount(0)));
    Buffer back(1U << 20);
    back.resize(1U << 20);
    ASSERT_OK(file->read_at(ByteOffset(0), back.bytes()));
    EXPECT_TRUE(same(back.bytes(), model.bytes()));
    EXPECT_EQ(file->size()->value(), 1U << 20);
    const auto extents = file->extents(ByteOffset(0), ByteCount(1U << 20));
    ASSERT_TRUE(extents.ok());
    EXPECT_TRUE(std::any_of(extents->begin(), extents->end(),
                            [](const DataExtent& extent) { return extent.hole; }));
}

TEST_F(FileTest, AllocateKeepsContentAndExtendsWithZeroes) {
    const auto file = create("f");
    const Buffer data = filled(5000, 11);
    ASSERT_OK(file->write_at(ByteOffset(0), data.bytes()));
    ASSERT_OK(file->allocate(ByteOffset(0), ByteCount(1U << 20)));
    EXPECT_EQ(file->size()->value(), 1U << 20);
    Buffer back(1U << 20);
    back.resize(1U << 20);
    ASSERT_OK(file->read_at(ByteOffset(0), back.bytes()));
    EXPECT_TRUE(same(back.bytes().first(5000), data.bytes()));
    for (std::size_t i = 5000; i < back.size(); ++i) ASSERT_EQ(back.data()[i], std::byte{0});
    ASSERT_OK(file->resize(ByteCount(100)));
    EXPECT_EQ(file->size()->value(), 100U);
}

TEST_F(FileTest, AReadOnlyFileRefusesWrites) {
    ASSERT_NE(create("f"), nullptr);
    const auto file = open(path("f"), {});
    const Status status = file->write_at(ByteOffset(0), filled(10, 1).bytes());
    EXPECT_EQ(status.code(), ErrorCode::io);
    EXPECT_NE(status.message().find("10 bytes at offset 0"), std::string::npos);
}

TEST_F(FileTest, IdentityIsTheSameForOneFileAndDiffersForACopy) {
    ASSERT_OK(create("f")->write_at(ByteOffset(0), filled(100, 1).bytes()));
    const auto first = identify(path("f"));
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(first->size_bytes, 100U);
    EXPECT_NE(first->inode, 0U);
    EXPECT_EQ(*first, *identify(path("f")));
    std::filesystem::copy_file(path("f"), path("g"));
    EXPECT_FALSE(*first == *identify(path("g")));
    ASSERT_OK(system_files().rename(path("g"), path("f")));
    EXPECT_FALSE(*first == *identify(path("f"))) << "another file under the same name";
    EXPECT_EQ(identify(path("none")).status().code(), ErrorCode::not_found);
    EXPECT_EQ(identify(directory_).status().code(), ErrorCode::usage);
}

}  // namespace
}  // namespace everstep::io
