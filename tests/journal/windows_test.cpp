// Look-ups go by windows: the store's lock is let go between two, whatever was asked for. Listings
// go by frames.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "journal/reading.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kBytes = 16ULL << 20;
const TimelineId kLine = test_uuid(1);

TestWrite data(std::uint64_t sector, std::uint64_t count) {
    return {.volume = VolumeIndex(0),
            .offset = ByteOffset(sector * kSectorBytes),
            .length = ByteCount(count * kSectorBytes)};
}

// A replica that keeps an account of what is asked of it between two look-ups.
class CountingReplica final : public ReplicaReader {
  public:
    explicit CountingReplica(const ReplicaReader& inner) : inner_(inner) {}
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override {
        return inner_.read(volume, offset, to);
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override {
        longest = std::max(longest, length);
        between();
        return inner_.extents(volume, offset, length);
    }
    mutable ByteCount longest;
    std::function<void()> between;

  private:
    const ReplicaReader& inner_;
};

class Windows : public testing::Test {
  protected:
    Windows() : lab({ByteCount(kBytes)}), primary(lab.options.group, kLine, {ByteCount(kBytes)}) {
        lab.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        expect_ok(lab.store->begin_history({primary.timeline()}, base));
    }
    static void expect_ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    void put(const std::vector<TestWrite>& writes) {
        const FramePtr frame = primary.frame(writes);
        expect_ok(lab.store->append({&frame, 1}));
    }
    std::vector<BlockExtent> whole_status(const View& view, const ReplicaReader& replica) {
        std::vector<BlockExtent> found;
        for (std::uint64_t offset = 0; offset < kBytes;) {
            const auto part = lab.store->block_status(
                view, replica, VolumeIndex(0), ByteOffset(offset), ByteCount(kBytes - offset), 64);
            EXPECT_TRUE(part.ok() && !part->empty()) << part.status().message();
            if (!part.ok() || part->empty()) break;
            for (const BlockExtent& extent : *part) {
                found.push_back(extent);
                offset += extent.length;
            }
        }
        return found;
    }
    StoreLab lab;
    Primary primary;
};

TEST_F(Windows, ABlockStatusHoldsTheLockForOneWindowAndWritersComeBetween) {
    put({data(0, 1), data(4096, 8), data(20000, 3)});
    expect_ok(lab.store->sync());
    CountingReplica replica(lab.replica);
    std::uint64_t appended = 0;
    replica.between = [&] { put({data(30000 - appended++, 1)}); };
    const auto found = whole_status(*lab.store->view({kLine, Lsn(3)}), replica);
    EXPECT_LE(replica.longest, ByteCount(kWindowBytesMax));
    EXPECT_GE(appended, kBytes / kWindowBytesMax);
    std::uint64_t at = 0;
    std::size_t data_extents = 0;
    const Image& image = primary.image(Lsn(3))[0];
    for (const BlockExtent& extent : found) {
        const Bytes bytes = Bytes(image).subspan(at, extent.length);
        EXPECT_EQ(extent.zero, std::all_of(bytes.begin(), bytes.end(),
                                           [](std::byte b) { return b == std::byte{0}; }));
        data_extents += extent.zero ? 0 : 1;
        at += extent.length;
    }
    EXPECT_EQ(at, kBytes);
    EXPECT_EQ(data_extents, 3U);
}

TEST_F(Windows, AReadOverManyWindowsGivesTheStep) {
    TestWrite zeroes = data(0, kBytes / kSectorBytes);
    zeroes.kind = EntryKind::zero;
    put({data(0, 1), data(2040, 16), data(20000, 3)});
    put({data(2000, 100), zeroes});
    expect_ok(lab.store->sync());
    const auto compare = [&] {
        for (std::uint64_t lsn : {3, 4, 5})
            EXPECT_EQ(lab.compare({kLine, Lsn(lsn)}, primary.image(Lsn(lsn))), "");
    };
    compare();
    expect_ok(lab.apply_all({kLine, Lsn(5)}));
    compare();
}

using Listing = Windows;

TEST_F(Listing, AFlushMarkOfAnOldStepHidesNoStepOfItsFrame) {
    put({data(0, 8), data(8, 8)});
    const FramePtr frame = primary.frame({data(16, 8), data(24, 8)}, Lsn(1));
    expect_ok(lab.store->append({&frame, 1}));
    std::vector<std::uint64_t> listed;
    const auto list = [&](const StepInfo& step) {
        listed.push_back(step.lsn.value());
        return true;
    };
    expect_ok(lab.store->each_step(*lab.store->view({kLine, Lsn(4)}), Lsn(2), {}, list));
    EXPECT_EQ(listed, (std::vector<std::uint64_t>{4, 3}));
    EXPECT_TRUE(lab.store->step(*lab.store->view({kLine, Lsn(4)}), Lsn(1))->flush);
    EXPECT_TRUE(lab.store->step(*lab.store->view({kLine, Lsn(4)}), Lsn(4)).ok());
}

}  // namespace
}  // namespace everstep::journal::lab
