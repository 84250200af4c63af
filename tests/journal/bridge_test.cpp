// The replica's parts of a read that lie close together are read as one: the answer is the step's
// whatever lies between, whoever writes meanwhile, and whatever cannot be read there.
#include <functional>
#include <utility>

#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kBlocks = 16;
constexpr std::uint64_t kBlock = 4096;
const TimelineId kLine = test_uuid(1);

TestWrite blocks(std::uint64_t first, std::uint64_t count) {
    return {.volume = VolumeIndex(0),
            .kind = EntryKind::data,
            .offset = ByteOffset(first * kBlock),
            .length = ByteCount(count * kBlock)};
}

// Counts its reads, fails those that touch `bad`, and calls `before` once.
class WatchedReplica final : public ReplicaReader {
  public:
    explicit WatchedReplica(const ReplicaReader& inner) : inner_(inner) {}
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override {
        reads += 1;
        if (before) std::exchange(before, nullptr)();
        if (bad && offset.value() <= *bad * kBlock && *bad * kBlock < offset.value() + to.size())
            return {ErrorCode::io, "a bad block"};
        return inner_.read(volume, offset, to);
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override {
        return inner_.extents(volume, offset, length);
    }
    std::optional<std::uint64_t> bad;
    mutable std::function<void()> before;
    mutable int reads = 0;

  private:
    const ReplicaReader& inner_;
};

// Step 1 wrote all blocks; later ones wrote 2, 5 and 8 again, and are in the replica.
class Bridge : public testing::Test {
  protected:
    Bridge() : primary(lab.options.group, kLine, lab.options.volume_bytes), watched(lab.replica) {
        lab.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        expect_ok(lab.store->begin_history({primary.timeline()}, base));
        put({blocks(0, kBlocks)});
        put({blocks(2, 1), blocks(5, 1), blocks(8, 1)});
        expect_ok(lab.apply_all({kLine, primary.head()}));
    }
    static void expect_ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    void put(const std::vector<TestWrite>& writes) {
        const FramePtr frame = primary.frame(writes);
        expect_ok(lab.store->append({&frame, 1}));
        expect_ok(lab.store->sync());
    }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const {
        return lab.store->read(*lab.store->view({kLine, Lsn(1)}), watched, VolumeIndex(0), ops);
    }
    // What step 1 has there.
    [[nodiscard]] bool right(const io::ReadOp& op) const {
        return std::equal(
            op.to.begin(), op.to.end(),
            primary.image(Lsn(1))[0].begin() + static_cast<std::ptrdiff_t>(op.offset.value()));
    }
    StoreLab lab{{ByteCount(kBlocks * kBlock)}, ByteCount(256 << 10)};
    Primary primary;
    WatchedReplica watched;
};

TEST_F(Bridge, PartsOfTheReplicaAreReadAsOneWithWhatLiesBetween) {
    std::vector<std::byte> found(kBlocks * kBlock);
    const io::ReadOp all{ByteOffset(0), found};
    expect_ok(read({&all, 1}));
    EXPECT_EQ(watched.reads, 1);
    EXPECT_TRUE(right(all));
}

TEST_F(Bridge, WhatLiesBetweenMayBeUnreadable) {
    watched.bad = 5;
    std::vector<std::byte> found(kBlocks * kBlock);
    const io::ReadOp all{ByteOffset(0), found};
    expect_ok(read({&all, 1}));
    EXPECT_GT(watched.reads, 1);
    EXPECT_TRUE(right(all));
}

TEST_F(Bridge, WhatIsWantedAndUnreadableIsAnError) {
    watched.bad = 6;
    std::vector<std::byte> found(kBlocks * kBlock);
    const io::ReadOp all{ByteOffset(0), found};
    EXPECT_EQ(read({&all, 1}).code(), ErrorCode::io);
}

// The second look finds blocks 4 and 10 overwritten; what is read again lies on both sides of parts
// that are in their place already.
TEST_F(Bridge, AWriteMeanwhileIsLeftOut) {
    put({blocks(4, 1), blocks(6, 1), blocks(10, 1)});
    watched.before = [this] { expect_ok(lab.apply_all({kLine, primary.head()})); };
    std::vector<std::byte> found(kBlocks * kBlock);
    const io::ReadOp all{ByteOffset(0), found};
    expect_ok(read({&all, 1}));
    EXPECT_FALSE(watched.before) << "the read never asked the replica";
    EXPECT_TRUE(right(all));
}

// A move back and forth makes the whole read be done again: nothing is bridged over its pieces.
TEST_F(Bridge, AMoveMeanwhileIsReadAgain) {
    watched.before = [this] {
        const Point head{kLine, primary.head()};
        expect_ok(lab.go_to({kLine, Lsn(1)}));
        expect_ok(lab.go_to(head));
    };
    std::vector<std::byte> found(kBlocks * kBlock);
    const io::ReadOp all{ByteOffset(0), found};
    expect_ok(read({&all, 1}));
    EXPECT_GT(watched.reads, 1);
    EXPECT_TRUE(right(all));
}

// Ranges that are neighbours on the volume and not in memory: no bridge leads from one to the next.
TEST_F(Bridge, RangesOfTheirOwnStayApart) {
    std::vector<std::byte> memory(5 * kBlock);
    const MutableBytes bytes(memory);
    const std::vector<io::ReadOp> ops{{ByteOffset(0), bytes.subspan(0, kBlock)},
                                      {ByteOffset(12 * kBlock), bytes.subspan(kBlock, kBlock)},
                                      {ByteOffset(kBlock), bytes.subspan(2 * kBlock, 3 * kBlock)}};
    expect_ok(read(ops));
    for (const io::ReadOp& op : ops) EXPECT_TRUE(right(op)) << op.offset.value();
}

}  // namespace
}  // namespace everstep::journal::lab
