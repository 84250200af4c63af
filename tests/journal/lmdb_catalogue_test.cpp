// The catalogue in LMDB: whatever lies in its files is used whole or not at all.
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "common/base/checksum.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

const Uuid kGroup = test_uuid(9);

CatalogueEntry some_entry(std::uint64_t number) {
    CatalogueEntry entry;
    entry.number = number;
    entry.timeline = test_uuid(3);
    entry.first = {Lsn(number * 10), 0};
    entry.last = {Lsn(number * 10 + 10), 2};
    entry.imaged_to = {Lsn(number * 10 + 5), 0};
    entry.redo = {number + 7, {8192, 17, 8192}, true};
    entry.undo = {number + 8, {4096, 18, 4096}, false};
    entry.summary = {.seq_last = FrameSeq(number),
                     .frames = 3,
                     .has_steps = true,
                     .step_first = WallTime(std::chrono::seconds(number)),
                     .flushes_newest = {{Lsn(number), VolumeIndex(0)}, {Lsn(1), VolumeIndex(1)}},
                     .flush_first = Lsn(1)};
    entry.begun_at = Age(number);
    return entry;
}

CatalogueChange some_change(std::uint64_t first, std::uint64_t count) {
    CatalogueChange change;
    change.state.sequence = first + count;
    change.state.position.state.line = test_uuid(3);
    change.state.position.state.low = change.state.position.state.high = {Lsn(first), 0};
    for (std::uint64_t n = first; n < first + count; ++n) change.entries.push_back(some_entry(n));
    return change;
}

std::string text_of(const CatalogueContent& content) {
    std::string out = std::to_string(content.state.sequence) + ":";
    for (const auto& [number, entry] : content.entries) {
        out += " " + std::to_string(number) + "/" + std::to_string(crc32c(pack_entry(entry)));
    }
    return out;
}

class CatalogueFiles : public testing::Test {
  protected:
    void put(const CatalogueChange& change) {
        const Status done = catalogue().change(kGroup, change);
        ASSERT_TRUE(done.ok()) << done.message();
    }
    [[nodiscard]] LmdbCatalogue catalogue() const { return {io::system_files(), directory.path()}; }
    [[nodiscard]] std::string loaded() const {
        const auto content = catalogue().load(kGroup);
        return content.ok() ? text_of(*content) : "";
    }
    ScratchDirectory directory;
};

TEST_F(CatalogueFiles, WhatWasPutIsThere) {
    EXPECT_EQ(catalogue().load(kGroup).status().code(), ErrorCode::not_found);
    put(some_change(1, 300));
    CatalogueChange second = some_change(301, 1);
    second.gone = {5, 6, 4711};
    put(second);
    const auto content = catalogue().load(kGroup);
    ASSERT_TRUE(content.ok()) << content.status().message();
    EXPECT_EQ(content->entries.size(), 299U);
    EXPECT_FALSE(content->entries.contains(5));
    EXPECT_EQ(content->state.sequence, 302U);
    EXPECT_EQ(pack_entry(content->entries.at(77)), pack_entry(some_entry(77)));
}

TEST_F(CatalogueFiles, AnotherGroupsIsRefused) {
    put(some_change(1, 3));
    const auto content = catalogue().load(test_uuid(10));
    EXPECT_EQ(content.status().code(), ErrorCode::refused) << content.status().message();
}

TEST_F(CatalogueFiles, ClearLeavesNothing) {
    put(some_change(1, 3));
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
        EXPECT_TRUE(is_catalogue_file(entry.path().filename().string())) << entry.path();
    const Status cleared = catalogue().clear();
    ASSERT_TRUE(cleared.ok()) << cleared.message();
    EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
    EXPECT_EQ(catalogue().load(kGroup).status().code(), ErrorCode::not_found);
}

// As if the program had ended before the sum of the first copy was stored: the other one counts,
// and the next change makes both like it.
TEST_F(CatalogueFiles, AChangeThatWasCutOffLeavesTheOneBefore) {
    put(some_change(1, 3));
    const std::string before = loaded();
    const std::string first = content_of(directory.file("catalogue-0"));
    put(some_change(4, 3));
    std::string after = loaded();
    ASSERT_NE(before, after);
    for (const char* torn : {"catalogue-0", "catalogue-1"}) {
        put_content(directory.file(torn), first);
        EXPECT_EQ(loaded(), after) << torn;
        put(some_change(1, 1));
        after = loaded();
    }
    std::filesystem::remove(directory.file("catalogue-0-sum"));
    put(some_change(7, 1));
    std::filesystem::remove(directory.file("catalogue-1"));
    const auto content = catalogue().load(kGroup);
    ASSERT_TRUE(content.ok()) << content.status().message();
    EXPECT_EQ(content->entries.size(), 7U);
}

// Of the two copies one is older: its next change starts from the newer one.
// A copy without its sum was being changed: a note. One that does not fit its sum is damage.
TEST_F(CatalogueFiles, ACutOffChangeIsNoDamage) {
    EXPECT_TRUE(catalogue().check().empty());  // none is there
    put(some_change(1, 3));
    EXPECT_TRUE(catalogue().check().empty());
    std::filesystem::remove(directory.file("catalogue-1-sum"));
    ASSERT_EQ(catalogue().check().size(), 1U);
    EXPECT_FALSE(catalogue().check()[0].damage);
    std::string content = content_of(directory.file("catalogue-0"));
    content[77] = static_cast<char>(content[77] ^ 1);
    put_content(directory.file("catalogue-0"), content);
    ASSERT_EQ(catalogue().check().size(), 2U);
    EXPECT_TRUE(catalogue().check()[0].damage);
    EXPECT_EQ(catalogue().check()[0].file, directory.file("catalogue-0").string());
    put(some_change(1, 3));
    EXPECT_TRUE(catalogue().check().empty());
}

TEST_F(CatalogueFiles, AnOlderCopyIsMadeNew) {
    put(some_change(1, 3));
    const std::string old_copy = content_of(directory.file("catalogue-1"));
    const std::string old_sum = content_of(directory.file("catalogue-1-sum"));
    put(some_change(4, 3));
    put_content(directory.file("catalogue-1"), old_copy);
    put_content(directory.file("catalogue-1-sum"), old_sum);
    put(some_change(7, 1));
    std::filesystem::remove(directory.file("catalogue-0"));
    const auto content = catalogue().load(kGroup);
    ASSERT_TRUE(content.ok()) << content.status().message();
    EXPECT_EQ(content->entries.size(), 7U);
}

// Both copies are damaged in the same place: the content is what it was, or nothing.
class CatalogueDamage : public CatalogueFiles {
  protected:
    CatalogueDamage() {
        put(some_change(1, 5));
        right_ = loaded();
        EXPECT_NE(right_, "");
    }
    [[nodiscard]] std::array<std::filesystem::path, 2> both(const char* suffix) const {
        return {directory.file(std::string("catalogue-0") + suffix),
                directory.file(std::string("catalogue-1") + suffix)};
    }
    static void flip(const std::filesystem::path& path, std::size_t at) {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(static_cast<std::streamoff>(at));
        const char byte = static_cast<char>(file.get() ^ 0x41);
        file.seekp(static_cast<std::streamoff>(at));
        file.put(byte);
    }
    std::string right_;
};

TEST_F(CatalogueDamage, EveryByteFlipped) {
    for (const char* suffix : {"", "-sum"}) {
        for (std::size_t at = 0; at < std::filesystem::file_size(both(suffix)[0]); ++at) {
            for (const auto& path : both(suffix)) flip(path, at);
            const Status refused = catalogue().load(kGroup).status();
            ASSERT_EQ(refused.code(), ErrorCode::corrupt) << suffix << at << refused.message();
            ASSERT_NE(refused.message().find("catalogue-0"), std::string::npos);
            for (const auto& path : both(suffix)) flip(path, at);
        }
    }
    EXPECT_EQ(loaded(), right_);
}

TEST_F(CatalogueDamage, TruncatedAtEveryLength) {
    for (const char* suffix : {"-sum", ""}) {
        const std::array<std::string, 2> whole{content_of(both(suffix)[0]),
                                               content_of(both(suffix)[1])};
        for (std::size_t length = whole[0].size(); length-- > 0;) {
            for (const auto& path : both(suffix)) std::filesystem::resize_file(path, length);
            const Status refused = catalogue().load(kGroup).status();
            ASSERT_EQ(refused.code(), ErrorCode::corrupt) << suffix << length << refused.message();
        }
        for (std::size_t n = 0; n < whole.size(); ++n) put_content(both(suffix)[n], whole[n]);
    }
    EXPECT_EQ(loaded(), right_);
}

// What passes the checksum was written so: an entry of other bytes is nothing, never a crash.
TEST(CatalogueEntries, AnyBytesGiveAWholeEntryOrNothing) {
    const BodyBytes right = pack_entry(some_entry(3));
    for (std::size_t length = 0; length < right.size(); ++length)
        EXPECT_FALSE(unpack_entry(Bytes(right).first(length))) << length;
    for (std::size_t at = 0; at < right.size(); ++at) {
        BodyBytes flipped = right;
        flipped[at] ^= std::byte{0xff};
        const auto entry = unpack_entry(flipped);
        if (entry) {
            EXPECT_EQ(pack_entry(*entry), flipped) << at;
        }
    }
    const BodyBytes state = pack_catalogue_state(kGroup, some_change(1, 1).state);
    for (std::size_t length = 0; length < state.size(); ++length)
        EXPECT_EQ(unpack_catalogue_state(Bytes(state).first(length), kGroup, "x").status().code(),
                  ErrorCode::corrupt)
            << length;
    BodyBytes newer = state;
    newer[0] = std::byte{kCatalogueVersion + 1};
    const Status refused = unpack_catalogue_state(newer, kGroup, "catalogue-0").status();
    EXPECT_EQ(refused.code(), ErrorCode::version);
    EXPECT_EQ(refused.message(), "catalogue-0: format version 2, this program reads version 1");
}

}  // namespace
}  // namespace everstep::journal::lab
