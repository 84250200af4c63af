// read_once(): what is read past the page cache is what a plain read gives, and leaves no trace.
#include <fcntl.h>

#include "common/io/transfer_faults.hpp"
#include "common/io/unique_fd.hpp"
#include "common/io/uring.hpp"
#include "tests/io/scratch.hpp"

namespace everstep::io {
namespace {

constexpr std::size_t kSize = 4U << 20;

class OnceTest : public Scratch {
  protected:
    std::unique_ptr<File> make(bool synced) {
        std::unique_ptr<File> file = open(path("f"), {.mode = OpenMode::create, .once = true});
        EXPECT_TRUE(file->write_at(ByteOffset(0), model_.bytes()).ok());
        if (synced) {
            EXPECT_TRUE(file->sync().ok());
            forget(0, kSize);
        }
        return file;
    }
    // Whatever of it is clean leaves the page cache.
    void forget(std::size_t at, std::size_t count) {
        ASSERT_EQ(::posix_fadvise(fd(), static_cast<off_t>(at), static_cast<off_t>(count),
                                  POSIX_FADV_DONTNEED),
                  0);
    }
    bool cached(std::size_t at, std::size_t count) {
        return is_cached(fd(), {.offset = at, .data = nullptr, .size = count});
    }
    void read_and_compare(const File& file, std::size_t at, std::size_t count,
                          std::size_t shift = 0) {
        Buffer to;
        to.resize(count + shift);
        const ReadOp op{ByteOffset(at), to.bytes().subspan(shift)};
        ASSERT_OK(file.read_once({&op, 1}));
        ASSERT_TRUE(std::ranges::equal(op.to, Bytes(model_.bytes()).subspan(at, count)))
            << at << "+" << count;
    }
    // A file system without O_DIRECT, or one that is all page cache, has nothing to show here.
    bool past_cache_is_there() {
        const UniqueFd direct(::open(path("f").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
        return direct.valid() && !cached(0, kSize);
    }

    Buffer model_ = filled(kSize, 7);

  private:
    int fd() {
        if (!fd_.valid()) fd_.reset(::open(path("f").c_str(), O_RDWR | O_CLOEXEC));
        return fd_.get();
    }
    UniqueFd fd_;
};

TEST_F(OnceTest, AnyRangeEqualsTheModelWhateverIsCached) {
    std::mt19937_64 random(test_seed());
    const auto file = make(true);
    for (int round = 0; round < 200; ++round) {
        const std::size_t unit = random() % 3 == 0 ? 512 : 4096;
        const std::size_t at = random() % (kSize / unit) * unit;
        const std::size_t room = (kSize - at) / unit;
        const std::size_t count = (1 + random() % room) * unit;
        read_and_compare(*file, at, count, random() % 4 == 0 ? 512 : 0);
        const std::size_t from = random() % kSize / 4096 * 4096;
        if (random() % 2 == 0) forget(from, random() % (kSize - from));
    }
}

TEST_F(OnceTest, ALongReadOfWhatIsNotCachedLeavesNothingBehind) {
    const auto file = make(true);
    if (!past_cache_is_there()) GTEST_SKIP() << path("f") << ": no O_DIRECT beside a page cache";
    read_and_compare(*file, 0, kSize);
    EXPECT_FALSE(cached(0, kSize));
    read_and_compare(*file, kSize / 2, kOnceBytesMin);
    EXPECT_FALSE(cached(0, kSize));
    read_and_compare(*file, kSize / 2, kOnceBytesMin - 4096);
    EXPECT_TRUE(cached(kSize / 2, 4096));
    read_and_compare(*file, 0, kSize);
    EXPECT_TRUE(cached(0, 4096)) << "a part of it was in memory";
}

TEST_F(OnceTest, WhatWasWrittenAndNotSyncedIsRead) {
    std::mt19937_64 random(test_seed());
    const auto file = make(false);
    for (std::uint64_t round = 0; round < 50; ++round) {
        const Buffer data = filled(4096, 100 + round);
        const std::size_t at = random() % (kSize / 4096) * 4096;
        ASSERT_OK(file->write_at(ByteOffset(at), data.bytes()));
        std::ranges::copy(data.bytes(), model_.bytes().begin() + static_cast<std::ptrdiff_t>(at));
        read_and_compare(*file, 0, kSize);
        if (round % 7 == 0) ASSERT_OK(file->sync());
        forget(0, kSize);
    }
}

TEST_F(OnceTest, WithoutDirectReadsEverythingComesThroughThePageCache) {
    TransferFaults faults{.no_direct = true};
    transfer_faults() = &faults;
    const auto file = make(true);
    transfer_faults() = nullptr;
    read_and_compare(*file, 0, kSize);
    EXPECT_TRUE(cached(0, kSize));
}

TEST_F(OnceTest, AReadPastTheEndIsCorruptAndNamesThePlace) {
    const auto file = make(true);
    Buffer to;
    to.resize(2 * kOnceBytesMin);
    const ReadOp op{ByteOffset(kSize - kOnceBytesMin), to.bytes()};
    const Status status = file->read_once({&op, 1});
    EXPECT_EQ(status.code(), ErrorCode::corrupt);
    EXPECT_NE(status.message().find("offset " + std::to_string(kSize - kOnceBytesMin)),
              std::string::npos)
        << status.message();
}

}  // namespace
}  // namespace everstep::io
