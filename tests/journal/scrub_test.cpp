// The scrub: a store without damage has no finding; a damaged byte anywhere is found, at its place,
// with the steps and ranges that it hits.
#include <cstring>

#include "journal/record_walk.hpp"
#include "journal/scrub.hpp"
#include "tests/journal/small_history.hpp"

namespace everstep::journal::lab {
namespace {

class ScrubTest : public testing::Test {
  protected:
    ScrubTest() : history(seed_of("ScrubTest", 7)) {}

    [[nodiscard]] std::uint64_t segments() const {
        std::uint64_t count = 0;
        while (std::filesystem::exists(history.path(file_name(FileKind::redo, count + 1)))) ++count;
        return count;
    }
    [[nodiscard]] std::vector<Finding> scrub() const {
        std::vector<Finding> found;
        Scrub work(*history.lab.files, history.store_path(),
                   {.found = [&](const Finding& f) { found.push_back(f); }, .go_on = {}});
        work.know({history.primary.timeline(), history.branch->timeline()});
        const std::uint64_t count = segments();
        for (std::uint64_t n = 1; n <= count; ++n) {
            ScrubSegment segment;
            segment.number = n;
            segment.redo.sealed = n != count;
            EXPECT_TRUE(work.segment(segment).ok());
        }
        return found;
    }
    // What is found with one byte of a file changed.
    [[nodiscard]] std::vector<Finding> flipped(const std::string& name, std::size_t at) const {
        const std::string path = history.path(name);
        const std::string good = content_of(path);
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        put_content(path, bad);
        auto found = scrub();
        put_content(path, good);
        return found;
    }
    struct Record {
        Envelope envelope;
        ByteOffset body_at;
        std::string body;
    };
    [[nodiscard]] std::vector<Record> records(const std::string& name) const {
        std::vector<Record> out;
        const auto file = history.lab.files->open(history.path(name), {});
        WalkLimits limits;
        limits.end = (*file)->size()->value();
        EXPECT_TRUE(walk_records(**file, limits,
                                 {.record =
                                      [&](const WalkedRecord& r) {
                                          out.push_back(
                                              {r.envelope,
                                               r.body_at,
                                               {reinterpret_cast<const char*>(r.body.data()),
                                                r.body.size()}});
                                          return Status();
                                      },
                                  .bad = [&](const BadRange&) { return Status(); }})
                        .ok());
        return out;
    }
    [[nodiscard]] Record nth(const std::string& name, RecordKind kind, std::size_t n) const {
        for (const Record& r : records(name))
            if (r.envelope.kind == kind && n-- == 0) return r;
        ADD_FAILURE() << name << ": no such record";
        return {};
    }
    // Behind its last record nothing is stored.
    [[nodiscard]] std::size_t stored_bytes(const std::string& name) const {
        if (name.find("index") != std::string::npos) return content_of(history.path(name)).size();
        const Record last = records(name).back();
        return last.body_at.value() + last.envelope.body_bytes;
    }
    [[nodiscard]] std::vector<std::string> store_files() const {
        std::vector<std::string> names;
        for (const auto& [name, bytes] : history.content())
            if (name.find("do-") != std::string::npos) names.push_back(name);
        return names;
    }

    SmallHistory history;
};

TEST_F(ScrubTest, AStoreWithoutDamageHasNoFinding) {
    EXPECT_GE(segments(), 4U);
    for (const Finding& finding : scrub()) ADD_FAILURE() << describe(finding, {});
}

TEST_F(ScrubTest, AFlippedByteAnywhereIsFoundInItsPlace) {
    std::mt19937_64 rnd(seed_of("AFlippedByteAnywhereIsFoundInItsPlace", 3));
    const auto names = store_files();
    for (const std::string& name : names) {
        const std::size_t stored = stored_bytes(name);
        const bool newest = name == file_name(FileKind::redo, segments());
        for (int i = 0; i < 60; ++i) {
            const std::size_t at = rnd() % stored;
            const auto found = flipped(name, at);
            ASSERT_FALSE(found.empty()) << name << " byte " << at;
            const Finding& first = found.front();
            EXPECT_EQ(first.file, history.path(name)) << at;
            EXPECT_LE(first.at.value(), at) << describe(first, {});
            EXPECT_LT(at, first.at.value() + std::max<std::uint64_t>(first.length.value(), 1))
                << describe(first, {});
            // In the newest batch of a file that is not sealed a flip is a torn tail.
            EXPECT_TRUE(first.damage || newest || name.starts_with("undo-")) << describe(first, {});
            EXPECT_EQ(found.size(), 1U) << describe(found.back(), {});
        }
    }
}

TEST_F(ScrubTest, ADamagedPayloadNamesItsStepAndItsRange) {
    const std::string name = file_name(FileKind::redo, 1);
    const Record record = nth(name, RecordKind::frame, 2);
    Buffer bytes;
    bytes.append(std::as_bytes(std::span(record.body)));
    const auto frame = SealedFrame::parse(std::move(bytes));
    ASSERT_TRUE(frame.ok());
    for (const FrameEntry& entry : (*frame)->entries()) {
        if (entry.payload_bytes == 0) continue;
        const auto found = flipped(name, record.body_at.value() + entry.payload_offset + 3);
        ASSERT_EQ(found.size(), 1U);
        EXPECT_EQ(found[0].first, entry.lsn) << describe(found[0], {});
        EXPECT_EQ(found[0].last, entry.lsn);
        EXPECT_EQ(found[0].timeline, kSmallLine);
        ASSERT_EQ(found[0].extents.size(), 1U);
        EXPECT_EQ(found[0].extents[0].volume, entry.volume);
        EXPECT_EQ(found[0].extents[0].offset, entry.offset);
        EXPECT_EQ(found[0].extents[0].length, entry.length);
    }
}

TEST_F(ScrubTest, ALostFrameIsBoundedByItsNeighbours) {
    const std::string name = file_name(FileKind::redo, 1);
    const Record record = nth(name, RecordKind::frame, 2);
    const auto found = flipped(name, record.envelope.offset.value() + 20);  // the envelope
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].first, Lsn(7)) << describe(found[0], {});
    EXPECT_EQ(found[0].last, Lsn(9));
}

TEST_F(ScrubTest, ALostBeforeImageNamesItsBlocks) {
    const std::string name = file_name(FileKind::undo, 1);
    const Record record = nth(name, RecordKind::images, 0);
    const auto table = unpack_image_table(std::as_bytes(std::span(record.body)));
    ASSERT_TRUE(table.has_value());
    std::vector<GapExtent> all;
    const ImageExtent* with_data = nullptr;
    for (const ImageExtent& e : *table) {
        all.push_back(
            {e.volume, ByteOffset(e.block * kBlockBytes), ByteCount(e.blocks * kBlockBytes)});
        if (e.data_at != 0) with_data = &e;
    }
    shorten(all);
    const auto lost = flipped(name, record.envelope.offset.value() + 20);
    ASSERT_EQ(lost.size(), 1U);
    ASSERT_EQ(lost[0].extents.size(), all.size()) << describe(lost[0], {});
    for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(lost[0].extents[i].offset, all[i].offset);
        EXPECT_EQ(lost[0].extents[i].length, all[i].length);
    }
    if (with_data == nullptr) return;
    const auto bad = flipped(name, record.body_at.value() + with_data->data_at + 7);
    ASSERT_EQ(bad.size(), 1U);
    ASSERT_EQ(bad[0].extents.size(), 1U) << describe(bad[0], {});
    EXPECT_EQ(bad[0].extents[0].offset, ByteOffset(with_data->block * kBlockBytes));
}

TEST_F(ScrubTest, AMissingFileAndATruncatedOneAreFound) {
    const std::string path = history.path(file_name(FileKind::undo, 2));
    std::filesystem::rename(path, path + "-away");
    auto found = scrub();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].file, path);
    EXPECT_NE(found[0].what.find("missing"), std::string::npos);
    std::filesystem::rename(path + "-away", path);
    const std::string redo = history.path(file_name(FileKind::redo, 2));
    const std::string good = content_of(redo);
    for (std::size_t length = 0; length < good.size(); length += 1789) {
        put_content(redo, good.substr(0, length));
        found = scrub();
        ASSERT_FALSE(found.empty()) << length;
        EXPECT_TRUE(found[0].damage);
        EXPECT_EQ(found[0].file, redo);
    }
}

TEST_F(ScrubTest, ALostIndexFileIsNoDamageAndABadOneIs) {
    const std::string name = file_name(FileKind::redo_index, 1);
    const auto found = flipped(name, 100);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].file, history.path(name));
    EXPECT_EQ(found[0].at, ByteOffset(100));
    std::filesystem::remove(history.path(name));
    EXPECT_TRUE(scrub().empty());
}

TEST_F(ScrubTest, ABranchThatNamesAnotherFrameIsFound) {
    std::vector<Finding> found;
    Scrub work(*history.lab.files, history.store_path(),
               {.found = [&](const Finding& f) { found.push_back(f); }, .go_on = {}});
    TimelineInfo other = history.branch->timeline();
    other.branch_hash[3] ^= 1;
    work.know({other});
    for (std::uint64_t n = 1; n < segments(); ++n)
        ASSERT_TRUE(
            work.segment({.number = n, .redo = {.sealed = true, .end = 0}, .undo = {}}).ok());
    ASSERT_EQ(found.size(), 1U);
    EXPECT_NE(found[0].what.find("branches here"), std::string::npos);
    EXPECT_LE(*found[0].first, history.branch_lsn);
    EXPECT_LE(history.branch_lsn, *found[0].last);
}

TEST_F(ScrubTest, ItEndsWhenItIsTold) {
    std::uint64_t bytes = 0;
    Scrub work(*history.lab.files, history.store_path(),
               {.found = {}, .go_on = [&](ByteCount n) { return (bytes += n.value()) < 20000; }});
    const auto done = work.segment({.number = 1, .redo = {.sealed = true, .end = 0}, .undo = {}});
    EXPECT_EQ(done.status().code(), ErrorCode::closed);
    EXPECT_LT(bytes, 60000U);
}

}  // namespace
}  // namespace everstep::journal::lab
