// What the simulated disk may lose and what not; and the small files that are written the same way.
#include "tests/power/power_cut.hpp"

#include <gtest/gtest.h>

#include "common/io/state_file.hpp"

namespace everstep::power {
namespace {

constexpr std::uint64_t kSeeds = 300;

Content bytes(std::size_t count, int value) {
    return Content(count, static_cast<std::byte>(value));
}

// Every state that samples and all subsets of a log's end give, by the content of one name.
class Cuts {
  public:
    explicit Cuts(MemoryDisk& disk) : log_(disk.take_log()) {
        for (const DiskOp& op : log_) cut_.pass(op);
    }
    [[nodiscard]] std::set<std::string> of(const std::string& name) const {
        std::set<std::string> seen;
        for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
            seen.insert(look(cut_.after({Fate::random, seed}), name));
        for (std::uint64_t bits = 0; bits < 1ULL << cut_.pending(); ++bits)
            seen.insert(look(cut_.after({Fate::subset, bits}), name));
        return seen;
    }

  private:
    // The first byte of each sector as a digit; "-": no such file.
    static std::string look(const DiskState& state, const std::string& name) {
        const auto found = state.names.find(name);
        if (found == state.names.end()) return "-";
        std::string digits;
        const Content& content = *state.files.at(found->second);
        for (std::size_t at = 0; at < content.size(); at += 512)
            digits += static_cast<char>('0' + static_cast<int>(content[at]));
        return digits;
    }
    std::vector<DiskOp> log_;
    PowerCut cut_{DiskState()};
};

std::unique_ptr<io::File> made(MemoryDisk& disk, const std::string& path, std::size_t count) {
    auto file = std::move(*disk.open(path, {.mode = io::OpenMode::create}));
    file->write_at(ByteOffset(0), bytes(count, 1)).ignore("memory");
    file->sync().ignore("memory");
    disk.sync_directory("/d").ignore("memory");
    return file;
}

TEST(PowerCutTest, WhatWasSyncedIsThereAndWhatWasNotMayBeTornAndReordered) {
    MemoryDisk disk;
    const auto file = made(disk, "/d/a", 1024);
    ASSERT_TRUE(file->write_at(ByteOffset(0), bytes(1024, 2)).ok());
    ASSERT_TRUE(file->write_at(ByteOffset(512), bytes(512, 3)).ok());
    const std::set<std::string> wanted{"11", "12", "13", "21", "22", "23"};
    EXPECT_EQ(Cuts(disk).of("/d/a"), wanted);
}

TEST(PowerCutTest, ASizeMayBeThereWithoutItsBytes) {
    MemoryDisk disk;
    const auto file = made(disk, "/d/a", 512);
    ASSERT_TRUE(file->write_at(ByteOffset(512), bytes(1024, 2)).ok());
    const std::set<std::string> wanted{"1", "10", "12", "100", "102", "120", "122"};
    EXPECT_EQ(Cuts(disk).of("/d/a"), wanted);
}

TEST(PowerCutTest, ANameCountsFromTheSyncOfItsDirectoryOn) {
    MemoryDisk disk;
    const auto file = made(disk, "/d/a", 512);
    ASSERT_TRUE(disk.rename("/d/a", "/d/b").ok());
    ASSERT_TRUE(disk.sync_directory("/e").ok());
    MemoryDisk again;
    const auto kept = made(again, "/d/a", 512);
    ASSERT_TRUE(again.rename("/d/a", "/d/b").ok());
    ASSERT_TRUE(again.sync_directory("/d").ok());
    const std::set<std::string> either{"1", "-"};
    const Cuts before(disk);
    EXPECT_EQ(before.of("/d/a"), either);
    EXPECT_EQ(before.of("/d/b"), either);
    EXPECT_EQ(Cuts(again).of("/d/b"), std::set<std::string>{"1"});
}

TEST(PowerCutTest, ADiskInMemoryIsADisk) {
    MemoryDisk disk;
    const auto file = made(disk, "/d/a", 5000);
    EXPECT_EQ(disk.open("/d/a", {.mode = io::OpenMode::create}).status().code(), ErrorCode::exists);
    EXPECT_EQ(disk.open("/d/b", {}).status().code(), ErrorCode::not_found);
    const auto locked = disk.open("/d/a", {.exclusive_lock = true});
    EXPECT_EQ(disk.open("/d/a", {.exclusive_lock = true}).status().code(), ErrorCode::busy);
    const DiskState before = disk.state();
    ASSERT_TRUE(file->punch(ByteOffset(0), ByteCount(9000)).ok());
    EXPECT_EQ(*file->size(), ByteCount(5000));
    EXPECT_EQ((*before.files.begin()->second)[0], std::byte{1}) << "a state does not change";
    Content read = bytes(5000, 7);
    ASSERT_TRUE(file->read_at(ByteOffset(0), read).ok());
    EXPECT_EQ(read, bytes(5000, 0));
    EXPECT_FALSE(file->read_at(ByteOffset(1), read).ok());
}

// Roles and identities: whatever a cut leaves, the old text or the new one; the new one once saved.
TEST(PowerCutTest, AStateFileIsOldOrNewWhereverThePowerWasCut) {
    MemoryDisk disk;
    const std::string path = "/d/role";
    std::vector<std::string> texts;
    for (int n = 0; n < 4; ++n) {
        texts.push_back("role " + std::to_string(n) + std::string(900U * n, 'x'));
        ASSERT_TRUE(io::save_state(disk, path, texts.back()).ok());
        disk.note(static_cast<std::uint64_t>(n));
    }
    const std::vector<DiskOp> log = disk.take_log();
    PowerCut cut{DiskState()};
    std::size_t saved = 0;
    for (const DiskOp& op : log) {
        cut.pass(op);
        if (op.kind == DiskOp::Kind::note) saved = op.length + 1;
        for (std::uint64_t seed = 0; seed < kSeeds / 3; ++seed) {
            MemoryDisk left(cut.after({Fate::random, seed}));
            const auto text = io::load_state(left, path);
            const bool old = saved == 0 ? text.status().code() == ErrorCode::not_found
                                        : text.ok() && *text == texts[saved - 1];
            ASSERT_TRUE(old || (text.ok() && saved < 4 && *text == texts[saved]))
                << "saved " << saved << ": " << text.status().message();
            ASSERT_TRUE(io::save_state(left, path, "after").ok());
        }
    }
    EXPECT_EQ(saved, 4U);
}

}  // namespace
}  // namespace everstep::power
