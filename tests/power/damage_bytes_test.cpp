// Every byte of small segments flipped, and every file cut to every length: a value, a clean end or
// damage that names its file; never a crash, never wrong data.
#include <gtest/gtest.h>

#include "tests/power/node.hpp"

namespace everstep::power {
namespace {

using journal::lab::TestWrite;

enum class Outcome : std::uint8_t { damaged, shorter, whole };

TestWrite data(std::uint64_t sector, std::uint64_t count) {
    TestWrite write;
    write.offset = ByteOffset(sector * kSectorBytes);
    write.length = ByteCount(count * kSectorBytes);
    return write;
}

// Two segments, the first one sealed: a few steps, all of them applied, low stored as when idle;
// `back`: then rewound and held.
class SmallStore {
  public:
    explicit SmallStore(bool back) : past_(options_.group, options_.sizes) {
        MemoryDisk disk;
        journal::lab::MemoryCatalogue catalogue;
        Node node(disk, catalogue, options_);
        must(node.open());
        must(node.begin(past_));
        const std::vector<std::vector<TestWrite>> frames{
            {data(0, 2), data(9, 1)}, {data(1, 1)}, {data(0, 8)}, {data(3, 1), data(8, 4)}};
        for (const auto& writes : frames) {
            PastLine& line = past_.receiving();
            line.frames.push_back(line.writer.frame(writes));
            must(node.store().append({&line.frames.back(), 1}));
            must(node.store().sync());
            while (true) {
                const auto more = node.apply_some(Bug::none);
                must(more.status());
                if (!more.ok() || !*more) break;
            }
        }
        must(node.store().sync_low());
        if (back) must(node.travel().rewind({timeline(), Lsn(3)}, false).status());
        node.close();
        state = disk.state();
    }
    [[nodiscard]] std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto& [name, id] : state.names)
            if (name.find("do-00") != std::string::npos) names.push_back(name);
        return names;
    }
    [[nodiscard]] const Content& content(const std::string& name) const {
        return *state.files.at(state.names.at(name));
    }
    // Opens it with other content in one file.
    [[nodiscard]] Outcome outcome(const std::string& name, Content content) const {
        DiskState damaged = state;
        damaged.files[damaged.names[name]] = std::make_shared<const Content>(std::move(content));
        MemoryDisk disk(damaged);
        journal::lab::MemoryCatalogue catalogue;
        Node node(disk, catalogue, options_);
        const Status status = node.open();
        if (!status.ok()) {
            EXPECT_TRUE(status.code() == ErrorCode::corrupt || status.code() == ErrorCode::version)
                << status.message();
            EXPECT_NE(status.message().find(kStoreDirectory), std::string::npos);
            return Outcome::damaged;
        }
        const Lsn tip = node.store().tip().point.lsn;
        const Lsn head = past_.lines()[0].writer.head();
        EXPECT_LE(tip, head);
        compare(node, tip);
        return tip == head ? Outcome::whole : Outcome::shorter;
    }
    DiskState state;

  private:
    static void must(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    [[nodiscard]] TimelineId timeline() const { return past_.lines()[0].writer.timeline().id; }
    void compare(Node& node, Lsn tip) const {
        for (Lsn lsn(0); lsn <= tip; ++lsn) {
            const auto found = node.read(*node.store().view({timeline(), lsn}));
            ASSERT_TRUE(found.ok()) << found.status().message();
            ASSERT_EQ(difference(*found, past_.image({timeline(), lsn})), "") << lsn.value();
        }
    }
    NodeOptions options_{
        {ByteCount(14 * kSectorBytes)}, ByteCount(20 << 10), journal::lab::test_uuid(0x11)};
    Past past_;
};

class DamageBytes : public testing::TestWithParam<bool> {};

TEST_P(DamageBytes, EveryFlipIsAValueACleanEndOrDamage) {
    const SmallStore store(GetParam());
    ASSERT_GE(store.files().size(), 4U);
    for (const std::string& name : store.files()) {
        std::map<Outcome, std::size_t> seen;
        const Content good = store.content(name);
        for (std::size_t at = 0; at < good.size(); ++at) {
            Content flipped = good;
            flipped[at] ^= static_cast<std::byte>(1U << at % 8);
            ++seen[store.outcome(name, std::move(flipped))];
            ASSERT_FALSE(HasFailure()) << "flip at " << at << " of " << name;
        }
        EXPECT_GE(seen[Outcome::damaged], 4096U) << name << ": its header at least";
        // Only the newest write of the newest redo file looks like one that never got there.
        if (name != store.files()[store.files().size() / 2 - 1]) {
            EXPECT_EQ(seen[Outcome::shorter], 0U) << name;
        }
    }
}

TEST_P(DamageBytes, EveryTruncationIsAValueACleanEndOrDamage) {
    const SmallStore store(GetParam());
    for (const std::string& name : store.files()) {
        const Content& good = store.content(name);
        const bool redo = name.find("/redo-") != std::string::npos;
        for (std::size_t size = 0; size < good.size(); ++size) {
            const Content cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
            const Outcome found = store.outcome(name, cut);
            ASSERT_FALSE(HasFailure()) << "cut to " << size << " of " << name;
            ASSERT_TRUE(found == Outcome::damaged || (!redo && found == Outcome::whole))
                << "cut to " << size << " of " << name;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(AtTheHeadAndRewound, DamageBytes, testing::Bool());

}  // namespace
}  // namespace everstep::power
