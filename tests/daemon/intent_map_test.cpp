#include "daemon/intent_map.hpp"

#include <gtest/gtest.h>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"
#include "tests/power/memory_disk.hpp"

namespace everstep::daemon {
namespace {

using std::chrono::seconds;
constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kRegions = 2500;  // three pages, the last one partly used

class IntentMapTest : public testing::Test {
  protected:
    IntentMapTest() { EXPECT_TRUE(disk_.make_directory("/intent").ok()); }

    std::unique_ptr<IntentMap> open(IntentBegin begin, Lsn newest = Lsn(0)) {
        report_.clear();
        auto map = IntentMap::open(disk_, place_, {begin, newest}, report_);
        EXPECT_TRUE(map.ok()) << map.status().message();
        return map.ok() ? std::move(*map) : nullptr;
    }
    static IntentMap::Range region(std::uint64_t n) {
        return {ByteOffset(n * kMiB), ByteCount(4096)};
    }
    static void mark(IntentMap& map, IntentMap::Range range, seconds now = seconds(0)) {
        map.mark(range, now);
        const auto marks = map.write_out();
        ASSERT_TRUE(marks.ok());
        ASSERT_TRUE(map.sync().ok());
        map.synced(*marks);
    }
    std::unique_ptr<io::File> file() {
        auto file = disk_.open(place_.path, {io::OpenMode::read_write, false, false});
        EXPECT_TRUE(file.ok()) << file.status().message();
        return std::move(*file);
    }
    std::vector<std::byte> bytes() {
        const auto from = file();
        std::vector<std::byte> out(from->size()->value());
        EXPECT_TRUE(from->read_at(ByteOffset(0), out).ok());
        return out;
    }
    void put_bytes(const std::vector<std::byte>& bytes) {
        const auto to = file();
        EXPECT_TRUE(to->resize(ByteCount(bytes.size())).ok());
        EXPECT_TRUE(to->write_at(ByteOffset(0), bytes).ok());
    }
    static std::vector<std::uint64_t> regions(const IntentMap& map, std::size_t standby) {
        std::vector<std::uint64_t> out;
        for (const journal::GapExtent& extent : map.marked(standby))
            for (std::uint64_t at = 0; at < extent.length.value(); at += kMiB)
                out.push_back((extent.offset.value() + at) / kMiB);
        return out;
    }
    using Numbers = std::vector<std::uint64_t>;

    power::MemoryDisk disk_;
    IntentPlace place_{"/intent/data", Uuid::random(), VolumeIndex(1),
                       ByteCount(kRegions* kMiB - 512), 2};
    std::vector<std::string> report_;
};

TEST_F(IntentMapTest, AMarkCountsWhenItsSyncHasReturned) {
    const auto map = open(IntentBegin::all_clear);
    EXPECT_FALSE(map->covers(region(7)));
    map->mark(region(7), seconds(0));
    EXPECT_FALSE(map->covers(region(7)));
    const auto marks = map->write_out();
    ASSERT_TRUE(marks.ok());
    EXPECT_FALSE(map->covers(region(7)));
    ASSERT_TRUE(map->sync().ok());
    map->synced(*marks);
    EXPECT_TRUE(map->covers(region(7)));
    EXPECT_FALSE(map->covers({ByteOffset(8 * kMiB - 512), ByteCount(1024)}));
    EXPECT_EQ(regions(*map, 0), Numbers{7});
    EXPECT_EQ(regions(*map, 1), Numbers{7});
    EXPECT_EQ(map->marked_bytes(0), ByteCount(kMiB));
}

TEST_F(IntentMapTest, MarksAreThereAtTheNextOpening) {
    mark(*open(IntentBegin::all_clear), {ByteOffset(3 * kMiB - 512), ByteCount(2 * kMiB)});
    const auto map = open(IntentBegin::as_stored);
    EXPECT_TRUE(report_.empty()) << report_.front();
    EXPECT_EQ(regions(*map, 0), (Numbers{2, 3, 4}));
    EXPECT_TRUE(map->covers(region(4)));
    EXPECT_FALSE(map->covers(region(5)));
}

TEST_F(IntentMapTest, TheLastRegionEndsWithTheVolume) {
    const auto map = open(IntentBegin::all_marked);
    EXPECT_EQ(map->marked_bytes(1), place_.size);
    EXPECT_EQ(map->marked(1).size(), 1U);
}

TEST_F(IntentMapTest, ASequentialWriterIsMarkedAhead) {
    const auto map = open(IntentBegin::all_clear);
    mark(*map, region(10));
    EXPECT_FALSE(map->covers(region(11)));
    mark(*map, region(11));
    EXPECT_TRUE(map->covers(region(11 + kIntentAhead)));
    EXPECT_FALSE(map->covers(region(12 + kIntentAhead)));
    mark(*map, {ByteOffset((kRegions - 1) * kMiB), ByteCount(512)});
    mark(*map, {ByteOffset((kRegions - 2) * kMiB), ByteCount(kMiB + 512)});  // no neighbour beyond
}

// Each of the four conditions alone keeps it.
TEST_F(IntentMapTest, AMarkGoesForOneStandbyWhenNothingKeepsIt) {
    auto map = open(IntentBegin::all_clear);
    mark(*map, region(5), seconds(100));
    map->written(region(5), Lsn(40), seconds(100));
    const IntentClear all{1, Lsn(40), Lsn(40), seconds(130), seconds(30)};
    IntentClear one = all;
    one.durable = Lsn(39);
    EXPECT_EQ(map->clear(one), 0U);
    EXPECT_FALSE(map->any_to_clear(one));
    one = all;
    one.flushed = Lsn(39);
    EXPECT_EQ(map->clear(one), 0U);
    EXPECT_TRUE(map->any_to_clear(one));
    one = all;
    one.now = seconds(129);
    EXPECT_EQ(map->clear(one), 0U);
    map->written(region(5), Lsn(UINT64_MAX), seconds(100));  // a write failed
    EXPECT_EQ(map->clear({1, Lsn(UINT64_MAX), Lsn(UINT64_MAX), seconds(999), seconds(0)}), 0U);
    map->written(region(5), Lsn(40), seconds(100));  // and was read again
    EXPECT_EQ(map->clear(all), 1U);
    EXPECT_EQ(regions(*map, 0), Numbers{5});
    EXPECT_EQ(regions(*map, 1), Numbers{});
    EXPECT_FALSE(map->covers(region(5)));  // the next write is not known to standby 1
    ASSERT_TRUE(map->write_out().ok());
    map.reset();  // and with it the lock
    EXPECT_EQ(regions(*open(IntentBegin::as_stored), 1), Numbers{});
}

TEST_F(IntentMapTest, WhatWasLoadedWaitsForTheNewestStep) {
    mark(*open(IntentBegin::all_clear), region(5));
    const auto map = open(IntentBegin::as_stored, Lsn(70));
    EXPECT_EQ(map->clear({0, Lsn(69), Lsn(99), seconds(99), seconds(0)}), 0U);
    EXPECT_EQ(map->clear({0, Lsn(70), Lsn(99), seconds(99), seconds(0)}), 1U);
}

// A sync that was on its way when a mark went does not bring it back.
TEST_F(IntentMapTest, AMarkThatWentDuringASyncIsNotCovered) {
    const auto map = open(IntentBegin::all_clear);
    map->mark(region(5), seconds(0));
    const auto marks = map->write_out();
    ASSERT_TRUE(marks.ok());
    map->written(region(5), Lsn(1), seconds(0));
    EXPECT_EQ(map->clear({0, Lsn(1), Lsn(1), seconds(60), seconds(30)}), 1U);
    map->mark(region(5), seconds(60));
    map->synced(*marks);
    EXPECT_FALSE(map->covers(region(5)));
    mark(*map, region(5), seconds(60));
    EXPECT_TRUE(map->covers(region(5)));
}

// The system may have dropped what the failed sync was of.
TEST_F(IntentMapTest, BehindASyncThatFailedAllIsWrittenAgain) {
    const auto map = open(IntentBegin::all_clear);
    map->mark(region(5), seconds(0));
    ASSERT_TRUE(map->write_out().ok());
    map->rewrite();
    map->mark(region(5), seconds(1));
    static_cast<void>(disk_.take_log());
    const auto marks = map->write_out();
    ASSERT_TRUE(marks.ok());
    EXPECT_EQ(disk_.take_log().size(), 3U);  // pages
    ASSERT_TRUE(map->sync().ok());
    map->synced(*marks);
    EXPECT_TRUE(map->covers(region(5)));
}

TEST_F(IntentMapTest, OneStandbyIsMarkedEverywhere) {
    const auto map = open(IntentBegin::all_clear);
    map->mark_all(1);
    EXPECT_EQ(map->marked_bytes(1), place_.size);
    EXPECT_EQ(map->marked_bytes(0), ByteCount(0));
}

TEST_F(IntentMapTest, OneStandbyMoreIsMarkedBeforeTheNextWriteAnywhere) {
    const auto map = open(IntentBegin::all_clear);
    const std::size_t before = place_.standbys;
    mark(*map, region(3));
    EXPECT_TRUE(map->covers(region(3)));
    map->set_standbys(before + 1);
    map->mark_all(before);
    EXPECT_FALSE(map->covers(region(3)));
    EXPECT_EQ(regions(*map, before).size(), kRegions);
    EXPECT_EQ(regions(*map, 0), Numbers{3});
    mark(*map, region(3));
    EXPECT_TRUE(map->covers(region(3)));
    map->clear({before, Lsn(9), Lsn(9), seconds(100), seconds(1)});
    EXPECT_TRUE(regions(*map, before).empty());
    EXPECT_EQ(regions(*map, 0), Numbers{3});
}

TEST_F(IntentMapTest, AMapThatIsMissingOrOfAnotherIdCountsAsMarked) {
    EXPECT_EQ(open(IntentBegin::as_stored)->marked_bytes(0), place_.size);
    EXPECT_EQ(report_.size(), 1U);
    open(IntentBegin::all_clear);
    place_.id = Uuid::random();
    EXPECT_EQ(open(IntentBegin::as_stored)->marked_bytes(0), place_.size);
    ASSERT_EQ(report_.size(), 1U);
    EXPECT_NE(report_[0].find("another map"), std::string::npos) << report_[0];
}

TEST_F(IntentMapTest, AnotherVolumeSizeOrNumberOfStandbysCountsAsMarked) {
    open(IntentBegin::all_marked);
    place_.standbys = 1;
    EXPECT_EQ(open(IntentBegin::as_stored)->marked_bytes(0), place_.size);
    EXPECT_EQ(report_.size(), 1U);
    place_.volume = VolumeIndex(0);
    EXPECT_EQ(open(IntentBegin::as_stored)->marked_bytes(0), place_.size);
    EXPECT_EQ(report_.size(), 1U);
    place_.size = ByteCount(4 * kMiB);
    EXPECT_EQ(open(IntentBegin::as_stored)->marked_bytes(0), place_.size);
    EXPECT_EQ(report_.size(), 1U);
}

// A byte that is damaged costs its page at most, and no mark is lost.
TEST_F(IntentMapTest, EveryDamagedByteMarksItsPage) {
    mark(*open(IntentBegin::all_clear), region(1500));
    const std::vector<std::byte> whole = bytes();
    ASSERT_EQ(whole.size(), 3 * kIntentPageBytes);
    for (std::size_t at = 0; at < kIntentPageBytes; ++at) {
        std::vector<std::byte> damaged = whole;
        damaged[at] ^= std::byte{0x10};
        put_bytes(damaged);
        const auto map = open(IntentBegin::as_stored);
        ASSERT_EQ(report_.size(), 1U) << at;
        ASSERT_EQ(map->regions_marked(), kIntentPageRegions + 1) << at;
    }
}

TEST_F(IntentMapTest, EveryOtherLengthMarksAll) {
    open(IntentBegin::all_clear);
    const std::vector<std::byte> whole = bytes();
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, kIntentPageBytes, whole.size() - 1, whole.size() + 1}) {
        std::vector<std::byte> other = whole;
        other.resize(size);
        put_bytes(other);
        EXPECT_EQ(open(IntentBegin::as_stored)->regions_marked(), kRegions) << size;
        EXPECT_EQ(bytes().size(), whole.size());
    }
}

TEST_F(IntentMapTest, APageLiesAsDocumented) {
    mark(*open(IntentBegin::all_clear), region(1009));
    const std::vector<std::byte> file = bytes();
    const Bytes page = Bytes(file).subspan(kIntentPageBytes, kIntentPageBytes);
    EXPECT_EQ(std::memcmp(page.data(), "EVINTENT", 8), 0);
    EXPECT_EQ(get<std::uint32_t>(page, 8), crc32c(page.subspan(12)));
    EXPECT_EQ(get<std::uint32_t>(page, 12), 1U);
    EXPECT_EQ(std::memcmp(page.data() + 16, place_.id.bytes().data(), 16), 0);
    EXPECT_EQ(get<std::uint32_t>(page, 32), 1U);
    EXPECT_EQ(get<std::uint32_t>(page, 36), 1U);
    EXPECT_EQ(get<std::uint64_t>(page, 40), kMiB);
    EXPECT_TRUE(is_zero(page.subspan(48, 16 + 4)));
    EXPECT_EQ(get<std::uint32_t>(page, 68), 3U);
    EXPECT_TRUE(is_zero(page.subspan(72)));
}

TEST(IntentRegions, AreAtMostSoMany) {
    EXPECT_EQ(intent_region_bytes(ByteCount(512)), kIntentRegionBytes);
    EXPECT_EQ(intent_region_bytes(ByteCount(256ULL << 30)), kIntentRegionBytes);
    EXPECT_EQ(intent_region_bytes(ByteCount((256ULL << 30) + 512)), 2 * kIntentRegionBytes);
    EXPECT_EQ(intent_region_bytes(ByteCount(1ULL << 40)), 4 * kIntentRegionBytes);
}

}  // namespace
}  // namespace everstep::daemon
