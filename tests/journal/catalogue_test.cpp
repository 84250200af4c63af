// The catalogue: a store that is opened by it is the same store, whichever of its states a crash
// has left; and whatever lies in its files is used whole or not at all.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "common/base/checksum.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "tests/journal/keep_lab.hpp"
#include "tests/journal/memory_catalogue.hpp"

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

std::string content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
void put_content(const std::filesystem::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
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
    }
    void damage_both(const char* suffix, const std::function<void(std::string&)>& damage) {
        for (const char* copy : {"catalogue-0", "catalogue-1"}) {
            const auto path = directory.file(std::string(copy) + suffix);
            std::string content = content_of(path);
            originals_[path] = content;
            damage(content);
            put_content(path, content);
        }
    }
    void mend() {
        for (const auto& [path, content] : originals_) put_content(path, content);
    }
    void expect_refused(std::size_t at) {
        const auto content = catalogue().load(kGroup);
        if (content.ok()) {
            EXPECT_EQ(text_of(*content), right_) << at;
        } else {
            EXPECT_EQ(content.status().code(), ErrorCode::corrupt) << content.status().message();
            EXPECT_NE(content.status().message().find("catalogue-0"), std::string::npos);
        }
    }
    std::string right_;
    std::map<std::filesystem::path, std::string> originals_;
};

TEST_F(CatalogueDamage, EveryByteFlipped) {
    ASSERT_NE(right_, "");
    for (const char* suffix : {"", "-sum"}) {
        const std::size_t size =
            content_of(directory.file(std::string("catalogue-0") + suffix)).size();
        for (std::size_t at = 0; at < size; at += suffix[0] == 0 ? 7 : 1) {
            damage_both(suffix, [&](std::string& c) { c[at] = static_cast<char>(c[at] ^ 0x41); });
            EXPECT_EQ(catalogue().load(kGroup).status().code(), ErrorCode::corrupt) << suffix << at;
            mend();
        }
    }
    EXPECT_EQ(loaded(), right_);
}

TEST_F(CatalogueDamage, TruncatedAtEveryLength) {
    for (const char* suffix : {"", "-sum"}) {
        const std::size_t size =
            content_of(directory.file(std::string("catalogue-0") + suffix)).size();
        for (std::size_t at = 0; at < size; at += suffix[0] == 0 ? 97 : 1) {
            damage_both(suffix, [&](std::string& c) { c.resize(at); });
            expect_refused(at);
            mend();
        }
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

// ---- a store with a catalogue

class Catalogued : public testing::Test {
  protected:
    void SetUp() override {
        lab.options.catalogue = &catalogue;
        lab.begin();
    }
    void tend() {
        while (lab.store->wants_tending()) {
            const auto more = lab.store->tend();
            ASSERT_TRUE(more.ok()) << more.status().message();
        }
    }
    // What the running store has put there is what a scan finds.
    void expect_follows() {
        MemoryCatalogue scanned;
        lab.store.reset();
        lab.options.catalogue = &scanned;
        lab.open();
        tend();
        const auto read = scanned.load(lab.options.group);
        const auto stored = catalogue.load(lab.options.group);
        ASSERT_TRUE(read.ok() && stored.ok());
        ASSERT_GE(read->entries.size(), 2U);
        for (const auto& [number, entry] : stored->entries) {
            ASSERT_TRUE(read->entries.contains(number)) << number;
            EXPECT_TRUE(follows_from(entry, read->entries.at(number))) << std::hex << number;
        }
        lab.store.reset();
        lab.options.catalogue = &catalogue;
        lab.open();
    }
    // A byte in the middle of a sealed file's records.
    void damage(const std::string& name) {
        const std::filesystem::path path = lab.options.directory + "/" + name;
        std::string content = content_of(path);
        ASSERT_GT(content.size(), 12000U) << path;
        content[9000] = static_cast<char>(content[9000] ^ 1);
        put_content(path, content);
    }
    KeepLab lab;
    MemoryCatalogue catalogue;
};

TEST_F(Catalogued, SealedFilesAreNotReadAgain) {
    lab.take_some(60);
    tend();
    ASSERT_GT(catalogue.changes(), 0U);
    damage("redo-0000000000000001");
    lab.report.clear();
    lab.reopen();
    EXPECT_TRUE(lab.report.empty()) << lab.report[0];
    EXPECT_EQ(lab.compare({kKeepLine, lab.primary.head()}, lab.primary.image(lab.primary.head())),
              "");
    // Without a catalogue every byte is read.
    lab.store.reset();
    lab.options.catalogue = nullptr;
    EXPECT_EQ(lab.try_open().code(), ErrorCode::corrupt);
}

TEST_F(Catalogued, EachOlderStateOpensTheSameStore) {
    for (int round = 0; round < 6; ++round) {
        lab.take_some(14);
        tend();
    }
    expect_follows();
    const std::size_t changes = catalogue.changes();
    ASSERT_GT(changes, 4U);
    for (std::size_t back = 0; back <= changes; ++back) {
        if (back > 0) catalogue.go_back(1);
        MemoryCatalogue aged = catalogue;
        lab.store.reset();
        lab.options.catalogue = &aged;
        lab.report.clear();
        lab.open();
        EXPECT_TRUE(lab.report.empty()) << lab.report[0];
        EXPECT_EQ(aged.clears, 0U);
        ASSERT_EQ(lab.check_all(), lab.primary.head().value() + 1) << back;
        tend();
    }
    lab.store.reset();
    lab.options.catalogue = &catalogue;
    lab.open();
    lab.take_some(10);
    lab.reopen();
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
}

// What retention dropped and what it condensed, with a catalogue from before and from after.
TEST_F(Catalogued, WhatWasDroppedDoesNotComeBack) {
    lab.take_some(30);
    lab.pin("kept", Lsn(20));
    lab.take_some(60);
    tend();
    const MemoryCatalogue before = catalogue;
    KeepLimits limits;
    limits.keep_bytes = ByteCount(200 << 10);
    ASSERT_GT(lab.keep(limits), 0U);
    lab.take_some(10);
    tend();
    const std::size_t reachable = lab.check_all();
    ASSERT_LT(reachable, lab.primary.head().value());
    ASSERT_TRUE(lab.has(Lsn(20)));
    ASSERT_FALSE(lab.store->thinned().empty());
    expect_follows();
    for (const MemoryCatalogue& left : {catalogue, before, MemoryCatalogue()}) {
        MemoryCatalogue aged = left;
        lab.store.reset();
        lab.options.catalogue = &aged;
        lab.report.clear();
        lab.open();
        EXPECT_TRUE(lab.report.empty()) << lab.report[0];
        EXPECT_EQ(aged.clears, 0U);
        EXPECT_EQ(lab.check_all(), reachable);
        EXPECT_FALSE(lab.store->thinned().empty());
        tend();
    }
}

// One that does not fit the files is dropped, and told.
TEST_F(Catalogued, OneThatDoesNotFitIsDropped) {
    lab.take_some(60);
    tend();
    CatalogueChange wrong;
    wrong.state = catalogue.load(lab.options.group)->state;
    wrong.state.sequence += 1;
    wrong.state.position.state.high = {lab.primary.head() + 5, 0};
    ASSERT_TRUE(catalogue.change(lab.options.group, wrong).ok());
    lab.reopen();
    ASSERT_EQ(lab.report.size(), 1U);
    EXPECT_NE(lab.report[0].find("the catalogue is dropped"), std::string::npos) << lab.report[0];
    EXPECT_EQ(catalogue.clears, 1U);
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
    tend();
    lab.report.clear();
    lab.reopen();
    EXPECT_TRUE(lab.report.empty());
}

// A catalogue that was left behind by another store of the group: what it says of segments of the
// same number, and of the replica, is not believed.
TEST_F(Catalogued, AnotherStoresIsNotBelieved) {
    lab.take_some(60);
    tend();
    const MemoryCatalogue left = catalogue;
    ASSERT_GT(left.states().back()->entries.size(), 4U);
    for (const std::size_t frames : {1, 30, 90}) {
        MemoryCatalogue foreign = left;
        KeepLab other;
        other.begin();
        other.take_some(frames);
        other.store.reset();
        other.options.catalogue = &foreign;
        other.report.clear();
        other.open();
        EXPECT_EQ(other.store->replica().high.lsn, other.primary.head());
        EXPECT_EQ(other.check_all(), other.primary.head().value() + 1);
        EXPECT_EQ(other.report.size(), 1U) << frames;
        EXPECT_EQ(foreign.clears, 1U);
    }
    // One that has nothing of what is here says nothing of the replica either.
    CatalogueChange gone{left.states().back()->state, {some_entry(1000)}, {}};
    for (const auto& [number, entry] : left.states().back()->entries) gone.gone.push_back(number);
    ASSERT_TRUE(catalogue.change(lab.options.group, gone).ok());
    lab.report.clear();
    lab.reopen();
    EXPECT_TRUE(lab.report.empty()) << lab.report[0];
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
    tend();
    EXPECT_FALSE(catalogue.load(lab.options.group)->entries.contains(1000));
}

TEST_F(Catalogued, AFailedChangeIsTriedAgain) {
    class Failing final : public Catalogue {
      public:
        explicit Failing(Catalogue& below) : below_(below) {}
        Result<CatalogueContent> load(const Uuid& group) override { return below_.load(group); }
        Status change(const Uuid& group, const CatalogueChange& change) override {
            if (failures > 0) {
                --failures;
                return {ErrorCode::no_space, "no room"};
            }
            return below_.change(group, change);
        }
        Status clear() override { return below_.clear(); }
        std::vector<Finding> check() override { return below_.check(); }
        int failures = 2;

      private:
        Catalogue& below_;
    } failing(catalogue);
    lab.options.catalogue = &failing;
    lab.reopen();
    lab.take_some(40);
    int refused = 0;
    while (lab.store->wants_tending())
        if (!lab.store->tend().ok()) ++refused;
    EXPECT_EQ(refused, 2);
    EXPECT_GT(catalogue.changes(), 0U);
}

// The real one beside the real store: opened by it, dropped with it.
TEST(CataloguedStore, InLmdb) {
    KeepLab lab;
    LmdbCatalogue catalogue(io::system_files(), lab.options.directory);
    lab.options.catalogue = &catalogue;
    lab.begin();
    for (int round = 0; round < 4; ++round) {
        lab.take_some(20);
        while (lab.store->wants_tending()) ASSERT_TRUE(lab.store->tend().ok());
        lab.reopen();
        EXPECT_TRUE(lab.report.empty()) << lab.report[0];
        EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
    }
    EXPECT_GT(catalogue.load(lab.options.group)->entries.size(), 4U);
    lab.store.reset();
    ASSERT_TRUE(Store::wipe(io::system_files(), lab.options.directory).ok());
    EXPECT_EQ(catalogue.load(lab.options.group).status().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace everstep::journal::lab
