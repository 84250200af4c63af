// The write-intent map and the device that it is of, on one disk whose power is cut anywhere: where
// the device and a standby differ, the map says so.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "daemon/intent_map.hpp"
#include "tests/power/power_cut.hpp"

namespace everstep::power {
namespace {

using daemon::IntentBegin;
using daemon::IntentClear;
using daemon::IntentMap;
using daemon::IntentPlace;

constexpr std::size_t kRegions = 6;
constexpr std::size_t kStandbys = 2;
constexpr std::size_t kSteps = 120;
const std::string kDevice = "/device";

// What both sides had done at a note of the log.
struct Past {
    std::array<Lsn, kStandbys> durable{};
    std::array<std::vector<std::uint64_t>, kStandbys> content;  // by region: the write that it has
};

enum class Bug : std::uint8_t { none, write_before_sync, clear_unflushed, clear_undelivered };

// One region's content is the LSN of its last write; the device holds one sector of each.
class Life {
  public:
    Life(std::uint64_t seed, Bug bug) : random_(seed), bug_(bug) {
        std::vector<std::string> report;
        place_.path = "/intent/data";
        EXPECT_TRUE(disk_.make_directory("/intent").ok());
        auto device = disk_.open(kDevice, {io::OpenMode::create, false, false});
        EXPECT_TRUE(device.ok());
        device_ = std::move(*device);
        EXPECT_TRUE(device_->resize(ByteCount(kRegions * kSectorBytes)).ok());
        EXPECT_TRUE(device_->sync().ok());
        EXPECT_TRUE(disk_.sync_directory("/").ok());
        auto map = IntentMap::open(disk_, place_, {IntentBegin::all_clear, Lsn(0)}, report);
        EXPECT_TRUE(map.ok()) << map.status().message();
        map_ = std::move(*map);
        now_.content.fill(std::vector<std::uint64_t>(kRegions));
        begin_ = disk_.state();
        static_cast<void>(disk_.take_log());
    }

    void run() {
        for (std::size_t n = 0; n < kSteps; ++n) {
            ++time_;
            switch (random_() % 6) {
                case 0:
                case 1:
                case 2:
                    write(random_() % kRegions);
                    break;
                case 3:
                    deliver(random_() % kStandbys);
                    break;
                case 4:
                    EXPECT_TRUE(device_->sync().ok());
                    flushed_ = newest_;
                    break;
                default:
                    clear(random_() % kStandbys);
                    break;
            }
        }
    }

    // How many cuts left a difference that the map does not show.
    std::size_t unseen() {
        const std::vector<DiskOp> log = disk_.take_log();
        PowerCut cut(begin_);
        Past past;
        past.content.fill(std::vector<std::uint64_t>(kRegions));
        std::size_t found = 0;
        for (std::size_t at = 0; at < log.size(); ++at) {
            if (log[at].kind == DiskOp::Kind::note) past = pasts_[log[at].length];
            cut.pass(log[at]);
            for (const Choice& choice : {Choice{Fate::nothing, 0}, Choice{Fate::everything, 0},
                                         Choice{Fate::random, at}, Choice{Fate::random, ~at}})
                found += differs_unseen(cut.after(choice), past) ? 1 : 0;
        }
        return found;
    }

  private:
    static IntentMap::Range range(std::uint64_t region) {
        return {ByteOffset(region * daemon::kIntentRegionBytes), ByteCount(kSectorBytes)};
    }
    static ByteOffset sector_of(std::uint64_t region) { return ByteOffset(region * kSectorBytes); }
    void note() {
        pasts_.push_back(now_);
        disk_.note(pasts_.size() - 1);
    }
    void mark(std::uint64_t region) {
        map_->mark(range(region), std::chrono::seconds(time_));
        const auto marks = map_->write_out();
        ASSERT_TRUE(marks.ok());
        ASSERT_TRUE(map_->sync().ok());
        map_->synced(*marks);
    }
    void write(std::uint64_t region) {
        const bool late = bug_ == Bug::write_before_sync;
        if (!late && !map_->covers(range(region))) mark(region);
        newest_ = newest_ + 1;
        std::vector<std::byte> sector(kSectorBytes);
        const std::uint64_t content = newest_.value();
        std::memcpy(sector.data(), &content, sizeof content);
        ASSERT_TRUE(device_->write_at(sector_of(region), sector).ok());
        if (late && !map_->covers(range(region))) mark(region);
        map_->written(range(region), newest_, std::chrono::seconds(time_));
        writes_.push_back(region);
    }
    // The standby gets on by some steps.
    void deliver(std::size_t standby) {
        Lsn& durable = now_.durable[standby];
        for (std::uint64_t n = random_() % 5; n > 0 && durable < newest_; --n) {
            durable = durable + 1;
            now_.content[standby][writes_[durable.value() - 1]] = durable.value();
        }
        note();
    }
    void clear(std::size_t standby) {
        const IntentClear clear{standby,
                                bug_ == Bug::clear_undelivered ? newest_ : now_.durable[standby],
                                bug_ == Bug::clear_unflushed ? newest_ : flushed_,
                                std::chrono::seconds(time_), std::chrono::seconds(random_() % 3)};
        map_->clear(clear);
        ASSERT_TRUE(map_->write_out().ok());
    }
    bool differs_unseen(const DiskState& state, const Past& past) {
        MemoryDisk disk(state);
        std::vector<std::string> report;
        const auto map = IntentMap::open(disk, place_, {IntentBegin::as_stored, Lsn(0)}, report);
        EXPECT_TRUE(map.ok()) << map.status().message();
        const auto device = disk.open(kDevice, {io::OpenMode::read_only, false, false});
        EXPECT_TRUE(device.ok());
        if (!map.ok() || !device.ok()) return true;
        bool unseen = false;
        for (std::size_t standby = 0; standby < kStandbys; ++standby) {
            std::vector<bool> marked(kRegions);
            for (const journal::GapExtent& extent : (*map)->marked(standby))
                for (std::uint64_t at = 0; at < extent.length.value();
                     at += daemon::kIntentRegionBytes)
                    marked[(extent.offset.value() + at) / daemon::kIntentRegionBytes] = true;
            for (std::uint64_t region = 0; region < kRegions; ++region) {
                std::uint64_t content = 0;
                std::vector<std::byte> sector(kSectorBytes);
                EXPECT_TRUE((*device)->read_at(sector_of(region), sector).ok());
                std::memcpy(&content, sector.data(), sizeof content);
                unseen = unseen || (!marked[region] && content != past.content[standby][region]);
            }
        }
        return unseen;
    }

    std::mt19937_64 random_;
    Bug bug_;
    IntentPlace place_{"", Uuid::random(), VolumeIndex(0),
                       ByteCount(kRegions* daemon::kIntentRegionBytes), kStandbys};
    MemoryDisk disk_;
    DiskState begin_;
    std::unique_ptr<io::File> device_;
    std::unique_ptr<IntentMap> map_;
    std::uint64_t time_ = 0;
    Lsn newest_;
    Lsn flushed_;
    std::vector<std::uint64_t> writes_;  // by LSN - 1: the region
    Past now_;
    std::vector<Past> pasts_;
};

std::size_t unseen(std::uint64_t seeds, Bug bug) {
    std::size_t found = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        Life life(seed, bug);
        life.run();
        found += life.unseen();
    }
    return found;
}

TEST(IntentPower, WhereTheSidesDifferAfterACutIsMarked) {
    EXPECT_EQ(unseen(60, Bug::none), 0U);
}

TEST(IntentPower, PlantedBugsAreFound) {
    EXPECT_GT(unseen(2, Bug::write_before_sync), 0U);
    EXPECT_GT(unseen(5, Bug::clear_unflushed), 0U);
    EXPECT_GT(unseen(2, Bug::clear_undelivered), 0U);
}

}  // namespace
}  // namespace everstep::power
