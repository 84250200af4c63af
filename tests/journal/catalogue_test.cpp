// A store that is opened by its catalogue is the same store, whichever of the catalogue's states a
// crash has left.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "journal/lmdb_catalogue.hpp"
#include "tests/journal/keep_lab.hpp"
#include "tests/journal/memory_catalogue.hpp"

namespace everstep::journal::lab {
namespace {

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
        ASSERT_GT(std::filesystem::file_size(path), 12000U) << path;
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(9000);
        const char byte = static_cast<char>(file.get() ^ 1);
        file.seekp(9000);
        file.put(byte);
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

// Flush marks, frames, times and listings over condensed and whole segments: the same answers
// whether the segments were read or the catalogue was.
TEST_F(Catalogued, EveryAnswerIsTheSame) {
    for (int n = 0; n < 90; ++n) {
        TestWrite write = KeepLab::write(static_cast<std::uint64_t>(n) * 7 % 31);
        write.fua = n % 5 == 0;
        std::optional<Lsn> flushed;
        if (n % 3 == 0) flushed = lab.primary.head() + 1;
        const FramePtr frame = lab.primary.frame({write}, flushed);
        ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
    }
    ASSERT_TRUE(lab.settle().ok());
    for (const std::uint64_t lsn : {11, 16, 22, 31}) lab.pin(std::to_string(lsn), Lsn(lsn));
    KeepLimits limits;
    limits.keep_bytes = ByteCount(300 << 10);
    ASSERT_GT(lab.keep(limits), 0U);
    tend();
    ASSERT_FALSE(lab.store->thinned().empty());
    const auto answers = [&] {
        std::string out = std::to_string(lab.store->baseline().lsn.value()) + ":";
        for (Lsn lsn(0); lsn <= lab.primary.head(); lsn = lsn + 1) {
            const auto view = lab.store->view({kKeepLine, lsn});
            if (!view.ok()) continue;
            const auto flush = lab.store->flush_before(*view, VolumeIndex(0));
            const auto tip = lab.store->stream_tip_at({kKeepLine, lsn});
            const auto time =
                lab.store->step_at_time(*view, tip.ok() ? tip->step_time : WallTime());
            EXPECT_TRUE(flush.ok() && tip.ok()) << lsn.value();
            out += std::to_string(lsn.value()) + "/" +
                   std::to_string(flush.ok() && *flush ? (*flush)->value() : 0) + "/" +
                   std::to_string(tip.ok() ? tip->seq.value() : 0) + "/" +
                   (time.ok() ? std::to_string(time->value()) : "none") + " ";
        }
        const Status listed =
            lab.store->each_step(lab.store->view_at_tip(), Lsn(0), {}, [&](const StepInfo& step) {
                out += std::to_string(step.lsn.value()) + (step.flush ? "f " : " ");
                return true;
            });
        EXPECT_TRUE(listed.ok()) << listed.message();
        return out;
    };
    const std::string before = answers();
    for (int round = 0; round < 2; ++round) {
        lab.reopen();
        EXPECT_TRUE(lab.report.empty()) << lab.report[0];
        EXPECT_EQ(answers(), before) << "by the catalogue";
        MemoryCatalogue none;
        lab.store.reset();
        lab.options.catalogue = &none;
        lab.open();
        EXPECT_EQ(answers(), before) << "by the segments";
        lab.store.reset();
        lab.options.catalogue = &catalogue;
        lab.open();
        tend();
    }
    EXPECT_EQ(catalogue.clears, 0U);
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
    CatalogueEntry one = left.states().back()->entries.begin()->second;
    one.number = 1000;
    CatalogueChange gone{left.states().back()->state, {one}, {}};
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
