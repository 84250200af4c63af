// What is in memory of the newest frames is what their file has, or it is not given.
#include "journal/frame_cache.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "journal/segment_header.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

FramePtr frame_of(std::size_t bytes, std::uint64_t tag) {
    std::vector<std::byte> payload(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        payload[i] = static_cast<std::byte>((i + tag * 977) * 0x9E3779B97F4A7C15U >> 56);
    FrameEntry entry;
    entry.lsn = Lsn(tag + 1);
    entry.kind = bytes == 0 ? EntryKind::zero : EntryKind::data;
    entry.length = ByteCount(bytes == 0 ? 4096 : bytes);
    FrameHeader header;
    header.group = test_uuid(1);
    header.timeline = test_uuid(2);
    header.seq = FrameSeq(tag + 1);
    header.first_lsn = header.last_lsn = entry.lsn;
    FrameBuilder builder;
    builder.add(entry, payload);
    return builder.seal(header);
}

// Segments' files as they would be, against which each answer is compared.
class FrameCacheTest : public testing::Test {
  protected:
    void add(std::uint64_t segment, std::size_t bytes) {
        std::vector<std::byte>& file = files_[segment];
        file.resize(file.size() + 64);
        const FramePtr frame = frame_of(bytes, tag_++);
        cache_.add(segment, ByteOffset(file.size()), frame);
        file.insert(file.end(), frame->bytes().begin(), frame->bytes().end());
    }
    // True when it was given; then it is right.
    bool given(std::uint64_t segment, std::size_t at, std::size_t count) const {
        std::vector<std::byte> to(count, std::byte{0xee});
        if (!cache_.copy(segment, ByteOffset(at), to)) return false;
        const std::vector<std::byte>& file = files_.at(segment);
        EXPECT_LE(at + count, file.size());
        EXPECT_TRUE(std::equal(to.begin(), to.end(), file.begin() + static_cast<long>(at)))
            << segment << " " << at << " " << count;
        return true;
    }

    FrameCache cache_{ByteCount(1 << 20)};
    std::map<std::uint64_t, std::vector<std::byte>> files_;
    std::uint64_t tag_ = 0;
};

TEST_F(FrameCacheTest, AnyRangeOfAnyPlaceIsTheFilesOrNotGiven) {
    std::mt19937_64 random(7);
    std::uint64_t answers = 0;
    for (std::uint64_t n = 0; n < 400; ++n) {
        add(1 + n / 40, 512 * (random() % 60));
        if (n % 90 == 89) cache_.forget(n / 40);
        for (int look = 0; look < 20; ++look) {
            const std::uint64_t segment = 1 + random() % (1 + n / 40);
            const std::size_t at = random() % files_[segment].size();
            answers += given(segment, at, 1 + random() % 20000) ? 1U : 0U;
        }
    }
    EXPECT_GT(answers, 100U);
    EXPECT_FALSE(given(99, 64, 1));
}

TEST_F(FrameCacheTest, TheOldestGoWhenItIsFull) {
    for (int n = 0; n < 20; ++n) add(1, 100 << 10);
    const std::size_t each = files_[1].size() / 20;
    EXPECT_FALSE(given(1, 64, 1));
    std::size_t kept = 0;
    for (std::size_t n = 0; n < 20; ++n) kept += given(1, n * each + 64, each - 64) ? 1U : 0U;
    EXPECT_EQ(kept, (1U << 20) / frame_of(100 << 10, 0)->memory_bytes());
    EXPECT_GE(kept, 5U);
    EXPECT_TRUE(given(1, 19 * each + 64, each - 64));
    EXPECT_FALSE(given(1, 19 * each + 64, each)) << "a part behind it is not its";
    EXPECT_FALSE(given(1, 18 * each + 64, each)) << "over two frames";
    // One that is too large pushes nothing out.
    add(1, 2 << 20);
    EXPECT_TRUE(given(1, 19 * each + 64, each - 64));
    EXPECT_FALSE(given(1, 20 * each + 64, 1));
    cache_.forget(1);
    EXPECT_FALSE(given(1, 19 * each + 64, 1));
    add(2, 4096);
    EXPECT_TRUE(given(2, 64, 4096));
}

// A frame of one sector holds a page and more, and that is what counts.
TEST_F(FrameCacheTest, SmallFramesTakeNoMoreMemoryThanItMay) {
    constexpr std::size_t kFrames = 1000;
    for (std::size_t n = 0; n < kFrames; ++n) add(1, 512);
    const std::size_t each = files_[1].size() / kFrames;
    std::size_t kept = 0;
    for (std::size_t n = 0; n < kFrames; ++n) kept += given(1, n * each + 64, each - 64) ? 1U : 0U;
    EXPECT_GT(kept, 100U);
    EXPECT_LE(kept * 4096, 1U << 20);
}

TEST_F(FrameCacheTest, AReaderBesideTheAppendingThreadGetsWholeFrames) {
    constexpr std::size_t kEach = 8 << 10;
    std::vector<FramePtr> frames;
    for (std::uint64_t n = 0; n < 2000; ++n) frames.push_back(frame_of(kEach, n));
    const std::size_t size = frames.front()->bytes().size();
    std::atomic<std::size_t> added = 0;
    std::atomic<std::uint64_t> hits = 0;
    std::thread reader([&] {
        std::vector<std::byte> to(size);
        for (std::size_t n = 0; n < frames.size(); n = added.load()) {
            if (n > 0 && cache_.copy(1 + (n - 1) / 100, ByteOffset((n - 1) * size), to)) {
                EXPECT_TRUE(std::equal(to.begin(), to.end(), frames[n - 1]->bytes().begin()));
                hits += 1;
            }
        }
    });
    for (std::size_t n = 0; n < frames.size(); ++n) {
        cache_.add(1 + n / 100, ByteOffset(n * size), frames[n]);
        if (n % 150 == 149) cache_.forget(n / 100);
        added = n + 1;
        if (n == 10)  // it has begun
            while (hits == 0) std::this_thread::yield();
    }
    reader.join();
}

// The disk's copy is not asked for while memory has it, and is when a new process has not.
TEST_F(FrameCacheTest, TheStoreReadsWhatItAppendedLastFromMemory) {
    StoreLab lab;
    lab.options.recent_frame_bytes = ByteCount(1 << 20);
    Primary primary(lab.options.group, test_uuid(1), {ByteCount(64 << 10)});
    lab.open();
    Tip base;
    base.point = {test_uuid(1), Lsn(0)};
    ASSERT_TRUE(lab.store->begin_history({primary.timeline()}, base).ok());
    const TestWrite write{VolumeIndex(0), EntryKind::data, ByteOffset(4096), ByteCount(8192)};
    const FramePtr frame = primary.frame({write});
    ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
    ASSERT_TRUE(lab.store->sync().ok());
    const auto batch = lab.store->next_batch(lab.store->durable().point, ByteCount(1 << 20));
    ASSERT_TRUE(batch.ok() && batch->units.size() == 1);
    const ApplyUnit unit = batch->units.front();

    const std::string path = (lab.directory.file("store") / file_name(FileKind::redo, 1)).string();
    const auto file = io::system_files().open(path, {.mode = io::OpenMode::read_write});
    ASSERT_TRUE(file.ok());
    const std::vector<std::byte> bad(512, std::byte{0x11});
    ASSERT_TRUE((*file)->write_at(unit.payload_at + 512, bad).ok());

    std::vector<std::byte> to(unit.length.value());
    ASSERT_TRUE(lab.store->read_unit(unit, to).ok());
    EXPECT_EQ(to, content(write, Lsn(1), 1));
    EXPECT_EQ(lab.compare({test_uuid(1), Lsn(1)}, primary.image(Lsn(1))), "");
    const FramePtr again = primary.frame({write});
    ASSERT_TRUE(lab.store->append({&again, 1}).ok());
    lab.store.reset();
    ASSERT_FALSE(lab.try_open().ok()) << "the disk's copy is damaged";
}

}  // namespace
}  // namespace everstep::journal::lab
