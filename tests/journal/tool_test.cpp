// everstep-journal on the store of a node that died: it says what is there, changes nothing, gives
// back every step, and refuses a store that is in use.
#include <cstring>
#include <sstream>

#include "journal/index_file.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "journal/tool/run.hpp"
#include "tests/journal/keep_lab.hpp"
#include "tests/journal/small_history.hpp"

namespace everstep::journal::lab {
namespace {

class JournalTool : public testing::Test {
  protected:
    JournalTool() : history(seed_of("JournalTool", 5)) {}
    int run(const std::vector<std::string>& words) {
        std::ostringstream out_stream;
        std::ostringstream err_stream;
        tool::Surroundings surroundings{
            .out = out_stream, .err = err_stream, .err_is_terminal = false, .now = [] {
                return std::chrono::nanoseconds(0);
            }};
        const int status = tool::run(io::system_files(), words, surroundings);
        out = out_stream.str();
        err = err_stream.str();
        return status;
    }
    int extract(const std::string& step) {
        std::vector<std::string> words{"extract", history.store_path(), "--replica"};
        for (const std::string& file : history.replica_files()) words.push_back(file);
        words.insert(words.end(), {"--step", step, "-o"});
        outputs.clear();
        for (std::size_t v = 0; v < history.replica_files().size(); ++v) {
            outputs.push_back(history.lab.directory.file("out" + std::to_string(v)).string());
            std::filesystem::remove(outputs.back());
            words.push_back(outputs.back());
        }
        return run(words);
    }
    void expect_outputs(const Point& point) const {
        const auto& wanted = history.image(point);
        for (std::size_t v = 0; v < wanted.size(); ++v) {
            const std::string found = content_of(outputs[v]);
            ASSERT_EQ(found.size(), wanted[v].size());
            EXPECT_EQ(std::memcmp(found.data(), wanted[v].data(), found.size()), 0)
                << "step " << point.lsn.value() << " volume " << v;
        }
    }

    SmallHistory history;
    std::string out;
    std::string err;
    std::vector<std::string> outputs;
};

TEST_F(JournalTool, EveryStepComesOutAndNothingIsChanged) {
    const auto before = history.content();
    const std::string replica = content_of(history.replica_files()[0]);
    for (Lsn lsn(0); lsn <= history.branch->head(); ++lsn) {
        ASSERT_EQ(extract(std::to_string(lsn.value())), 0) << err;
        expect_outputs({kSmallBranch, lsn});
    }
    for (Lsn lsn = history.branch_lsn; lsn <= history.primary.head(); ++lsn) {
        ASSERT_EQ(
            extract("t:" + kSmallLine.hex().substr(0, 8) + "@step:" + std::to_string(lsn.value())),
            0)
            << err;
        expect_outputs({kSmallLine, lsn});
    }
    EXPECT_EQ(history.content(), before);
    EXPECT_EQ(content_of(history.replica_files()[0]), replica);
    EXPECT_EQ(extract("100000"), 3) << err;
    EXPECT_FALSE(std::filesystem::exists(outputs[0]));
    EXPECT_EQ(extract("head"), 2) << err;
}

TEST_F(JournalTool, ATornTailIsANoteAndStaysAsItIs) {
    std::uint64_t newest = 1;
    while (std::filesystem::exists(history.path(file_name(FileKind::redo, newest + 1)))) ++newest;
    const std::string path = history.path(file_name(FileKind::redo, newest));
    std::string bytes = content_of(path);
    bytes.replace(bytes.size() - 8192, 5, "torn!");
    put_content(path, bytes);
    EXPECT_EQ(run({"verify", history.store_path()}), 0) << out << err;
    EXPECT_NE(out.find("note: " + path), std::string::npos) << out;
    EXPECT_NE(out.find("torn tail"), std::string::npos) << out;
    EXPECT_EQ(run({"dump", history.store_path()}), 0) << err;
    EXPECT_NE(out.find("kind torn"), std::string::npos) << out;
    ASSERT_EQ(extract("3"), 0) << err;
    expect_outputs({kSmallBranch, Lsn(3)});
    EXPECT_EQ(content_of(path), bytes);
}

TEST_F(JournalTool, VerifySaysWhereAndWhatAndOpeningAgrees) {
    EXPECT_EQ(run({"verify", history.store_path()}), 0) << out << err;
    EXPECT_NE(out.find("no damage"), std::string::npos);
    const std::string path = history.path(file_name(FileKind::redo, 1));
    std::string bytes = content_of(path);
    const std::size_t at = bytes.find("EVSF") + 200;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    put_content(path, bytes);
    EXPECT_EQ(run({"verify", history.store_path(), "--json"}), 1);
    EXPECT_NE(out.find("\"damage\":[{\"file\":\"" + path), std::string::npos) << out;
    EXPECT_NE(out.find("\"first\":1,\"last\":1"), std::string::npos) << out;
    EXPECT_NE(err.find("1 damage found"), std::string::npos) << err;
    EXPECT_EQ(run({"dump", history.store_path(), "--segment", "1"}), 0);
    EXPECT_NE(out.find("damage the body fails its checksum"), std::string::npos) << out;
    EXPECT_EQ(run({"dump", history.store_path(), "--segment", "99"}), 1);
}

TEST_F(JournalTool, RebuildMakesTheIndexFilesThatWereThere) {
    const auto before = history.content();
    std::size_t indexes = 0;
    for (const auto& [name, bytes] : before) {
        if (name.find("index") == std::string::npos) continue;
        if (++indexes % 2 == 0)
            std::filesystem::remove(history.path(name));
        else
            put_content(history.path(name), bytes.substr(0, bytes.size() / 2));
    }
    ASSERT_GE(indexes, 4U);
    EXPECT_EQ(run({"rebuild", history.store_path()}), 0) << out << err;
    EXPECT_NE(out.find("wrote " + history.path(file_name(FileKind::redo_index, 1))),
              std::string::npos)
        << out;
    const auto after = history.content();
    for (const auto& [name, bytes] : before) {
        ASSERT_TRUE(after.contains(name)) << name;
        EXPECT_TRUE(after.at(name) == bytes) << name;
    }
    EXPECT_EQ(run({"rebuild", history.store_path(), "--json"}), 0);
    EXPECT_NE(out.find("\"written\":[]"), std::string::npos) << out;
}

TEST_F(JournalTool, RebuildMakesTheCatalogueAndVerifyComparesIt) {
    EXPECT_EQ(run({"rebuild", history.store_path()}), 0) << out << err;
    EXPECT_NE(out.find("sealed segments was written"), std::string::npos) << out;
    EXPECT_EQ(run({"verify", history.store_path()}), 0) << out << err;
    EXPECT_EQ(run({"rebuild", history.store_path(), "--json"}), 0) << err;
    EXPECT_NE(out.find("\"written\":false"), std::string::npos) << out;

    LmdbCatalogue catalogue(io::system_files(), history.store_path());
    auto content = catalogue.load(history.lab.options.group);
    ASSERT_TRUE(content.ok()) << content.status().message();
    ASSERT_GE(content->entries.size(), 2U);
    CatalogueChange wrong{content->state, {content->entries.begin()->second}, {}};
    wrong.entries[0].summary.frames += 1;
    ASSERT_TRUE(catalogue.change(history.lab.options.group, wrong).ok());
    EXPECT_EQ(run({"verify", history.store_path()}), 1);
    EXPECT_NE(out.find("what it says of segment 0000000000000001 is not what its files say"),
              std::string::npos)
        << out;
    EXPECT_EQ(run({"rebuild", history.store_path()}), 0) << err;
    EXPECT_EQ(run({"verify", history.store_path()}), 0) << out;

    const std::string path = history.path("catalogue-1");
    std::string bytes = content_of(path);
    bytes[5000] = static_cast<char>(bytes[5000] ^ 1);
    put_content(path, bytes);
    EXPECT_EQ(run({"verify", history.store_path()}), 1);
    EXPECT_NE(out.find("damage: " + path), std::string::npos) << out;
    EXPECT_EQ(run({"rebuild", history.store_path()}), 0) << err;
    EXPECT_EQ(run({"verify", history.store_path()}), 0) << out;
}

// Frames behind which a batch begins and, if it is whole, ends.
void put_batch(KeepLab& lab, std::size_t frames, bool whole) {
    const FramePtr begin = lab.primary.batch_frame(EntryKind::batch_begin);
    ASSERT_TRUE(lab.store->append({&begin, 1}).ok());
    lab.take_some(frames);
    if (!whole) return;
    const FramePtr end = lab.primary.batch_frame(EntryKind::batch_end);
    ASSERT_TRUE(lab.store->append({&end, 1}).ok());
    lab.take_some(2);
}

// A node that died in the middle of a restore: what lies around each batch comes out, nothing from
// inside, and the same from what was made of the segments alone.
TEST_F(JournalTool, NoStepInsideABatchComesOut) {
    KeepLab lab;
    lab.begin();
    lab.take_some(7);  // two steps each; a segment holds some of them
    put_batch(lab, 9, true);
    put_batch(lab, 8, false);
    while (lab.store->wants_tending()) ASSERT_TRUE(lab.store->tend().ok());
    const Lsn head = lab.primary.head();
    lab.store.reset();
    const std::string store = lab.options.directory;
    const std::string replica = lab.directory.file("replica").string();
    const Image& image = lab.replica.volumes[0];
    put_content(replica, {reinterpret_cast<const char*>(image.data()), image.size()});
    const auto extract_step = [&](Lsn lsn) {
        outputs = {lab.directory.file("out").string()};
        std::filesystem::remove(outputs[0]);
        return run({"extract", store, "--replica", replica, "--step", std::to_string(lsn.value()),
                    "-o", outputs[0]});
    };
    for (int turn = 0; turn < 2; ++turn) {
        EXPECT_EQ(run({"verify", store}), 0) << out << err;
        EXPECT_NE(out.find("no damage"), std::string::npos) << out;
        EXPECT_EQ(run({"dump", store, "--json"}), 0) << err;
        EXPECT_NE(out.find("\"kind\":\"batch begin\""), std::string::npos);
        EXPECT_NE(out.find("\"kind\":\"batch end\""), std::string::npos);
        std::size_t points = 0;
        for (Lsn lsn(0); lsn <= head; ++lsn) {
            const bool whole = Lsn(14) < lsn && lsn < Lsn(32);
            const bool open = Lsn(36) < lsn;
            ASSERT_EQ(extract_step(lsn), whole || open ? 3 : 0) << lsn.value() << ": " << err;
            ASSERT_EQ(std::filesystem::exists(outputs[0]), !whole && !open) << lsn.value();
            const std::string why =
                whole  ? "step:14 and step:32"
                : open ? "batch that is still open (restore); the nearest point is step:36"
                       : "";
            EXPECT_NE(err.find(why), std::string::npos) << err;
            if (whole || open) continue;
            ++points;
            const Image& wanted = lab.primary.image(lsn)[0];
            const std::string found = content_of(outputs[0]);
            ASSERT_EQ(found.size(), wanted.size());
            EXPECT_EQ(std::memcmp(found.data(), wanted.data(), found.size()), 0) << lsn.value();
        }
        EXPECT_EQ(points, 15U + 5U);
        for (const auto& entry : std::filesystem::directory_iterator(store)) {
            const std::string name = entry.path().filename().string();
            const bool derived = name.find("index") != std::string::npos ||
                                 name.find("merged") != std::string::npos ||
                                 name.starts_with("catalogue");
            if (turn == 0 && derived) std::filesystem::remove(entry.path());
        }
        EXPECT_EQ(run({"rebuild", store}), 0) << out << err;
    }
    EXPECT_TRUE(std::filesystem::exists(store + "/catalogue-0"));
}

TEST_F(JournalTool, MergedIndexesAreVerifiedAndABadOneIsRemoved) {
    KeepLab lab;
    lab.begin();
    lab.take_some(30);
    while (lab.store->wants_tending()) ASSERT_TRUE(lab.store->tend().ok());
    lab.store.reset();
    const std::string store = lab.options.directory;
    std::vector<std::string> merged;
    for (const auto& entry : std::filesystem::directory_iterator(store))
        if (parse_file_name(FileKind::merged_index, entry.path().filename().string()))
            merged.push_back(entry.path());
    ASSERT_GE(merged.size(), 2U);
    EXPECT_EQ(run({"rebuild", store}), 0) << out << err;
    EXPECT_EQ(out.find("removed"), std::string::npos) << out;
    EXPECT_EQ(run({"verify", store}), 0) << out << err;
    std::string bytes = content_of(merged[0]);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    put_content(merged[0], bytes);
    EXPECT_EQ(run({"verify", store}), 1);
    EXPECT_NE(out.find("damage: " + merged[0]), std::string::npos) << out;
    EXPECT_TRUE(content_of(merged[0]) == bytes);
    EXPECT_EQ(run({"rebuild", store}), 0) << err;
    EXPECT_NE(out.find("removed " + merged[0]), std::string::npos) << out;
    EXPECT_FALSE(std::filesystem::exists(merged[0]));
    EXPECT_TRUE(std::filesystem::exists(merged[1]));
    EXPECT_EQ(run({"verify", store}), 0) << out;
}

TEST_F(JournalTool, AStoreThatIsOpenIsRefusedAndItsProcessNamed) {
    history.lab.open();
    for (const char* command : {"dump", "verify", "rebuild"}) {
        EXPECT_EQ(run({command, history.store_path()}), 3);
        EXPECT_NE(err.find("has the store open"), std::string::npos) << err;
        EXPECT_NE(err.find("everstep scrub"), std::string::npos) << err;
    }
    history.lab.store.reset();
    EXPECT_EQ(run({"verify", history.store_path()}), 0);
}

TEST_F(JournalTool, AnyBytesAreDumpedAndVerified) {
    std::mt19937_64 rnd(seed_of("AnyBytesAreDumpedAndVerified", 2));
    const auto before = history.content();
    for (int round = 0; round < 40; ++round) {
        for (const auto& [name, bytes] : before) {
            std::string bad = bytes;
            for (std::uint64_t n = rnd() % 4; n > 0 && !bad.empty(); --n) {
                const std::size_t at = rnd() % bad.size();
                const std::size_t length = std::min<std::size_t>(1 + rnd() % 9000, bad.size() - at);
                for (std::size_t i = 0; i < length; ++i)
                    bad[at + i] = static_cast<char>(rnd() % 3 == 0 ? 0 : rnd());
            }
            if (rnd() % 8 == 0 && !bad.empty()) bad.resize(rnd() % bad.size());
            put_content(history.path(name), bad);
        }
        EXPECT_EQ(run({"dump", history.store_path(), "--json"}), 0) << err;
        EXPECT_LE(run({"verify", history.store_path()}), 1) << err;
        EXPECT_LE(run({"rebuild", history.store_path()}), 1) << err;
    }
}

TEST_F(JournalTool, WrongWordsAreSaid) {
    EXPECT_EQ(run({}), 2);
    EXPECT_EQ(run({"verify"}), 2);
    EXPECT_EQ(run({"dump", history.store_path(), "--segment", "x"}), 2);
    EXPECT_EQ(run({"extract", history.store_path(), "--step", "1", "-o", "x"}), 2);
    EXPECT_EQ(run({"verify", history.lab.directory.path()}), 2) << err;
    EXPECT_EQ(run({"verify", history.lab.directory.path() + "/none"}), 1) << err;
    EXPECT_EQ(run({"--help"}), 0);
    EXPECT_NE(out.find("everstep-journal COMMAND"), std::string::npos);
}

}  // namespace
}  // namespace everstep::journal::lab
