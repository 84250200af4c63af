// Merged indexes: they say which segments have writes in a block, never less; and what is wrong
// with one costs look-ups, never an answer.
#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "common/base/checksum.hpp"
#include "journal/finding.hpp"
#include "journal/index_rebuild.hpp"
#include "journal/merged_file.hpp"
#include "journal/scrub.hpp"
#include "tests/fuzz/bytes_file.hpp"
#include "tests/journal/hooked_files.hpp"
#include "tests/journal/keep_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kSalt = 7;

BodyBytes pages_of(const std::vector<MergedExtent>& extents, std::uint64_t salt = kSalt) {
    MergedPages pages(salt);
    pages.begin();
    for (const MergedExtent& extent : extents) pages.add(extent);
    BodyBytes out = pages.finish();
    const BodyBytes rest = pages.take_pages();
    out.insert(out.end(), rest.begin(), rest.end());
    return out;
}

Result<std::shared_ptr<const IndexPages>> open_pages(Bytes content) {
    return IndexPages::open(std::make_unique<fuzz::BytesFile>(content),
                            {0, kSalt, kMergedPageTables, ByteCount(content.size())});
}

std::vector<MergedExtent> some_extents(std::mt19937_64& rnd, int count) {
    std::vector<MergedExtent> out;
    for (std::uint64_t volume = 0; volume < 3; ++volume) {
        std::uint64_t at = rnd() % 5;
        for (int n = 0; n < count; ++n) {
            const std::uint64_t length = rnd() % 50 == 0 ? 1000 : 1 + rnd() % 4;
            out.push_back({VolumeIndex(volume), at, length, 1 + static_cast<unsigned>(rnd() % 15)});
            at += length + (rnd() % 3 == 0 ? 0 : rnd() % 9);
        }
    }
    return out;
}

TEST(MergedFile, FindsWhatASearchOfAllFinds) {
    std::mt19937_64 rnd(seed_of("MergedFile", 3));
    for (const int count : {0, 1, 113, 114, 2000}) {
        const std::vector<MergedExtent> all = some_extents(rnd, count);
        const auto pages = open_pages(pages_of(all));
        ASSERT_TRUE(pages.ok()) << pages.status().message();
        for (int n = 0; n < 2000; ++n) {
            const UnitRange asked{VolumeIndex(rnd() % 4), rnd() % 20000, 1 + rnd() % 300};
            std::vector<MergedExtent> wanted;
            for (MergedExtent extent : all) {
                const std::uint64_t end = std::min(extent.end(), asked.first + asked.count);
                extent.first = std::max(extent.first, asked.first);
                if (extent.volume != asked.volume || end <= extent.first) continue;
                extent.count = end - extent.first;
                wanted.push_back(extent);
            }
            PageView view(*pages);
            std::vector<MergedExtent> found;
            find_merged(view, asked, found);
            ASSERT_TRUE(view.status().ok());
            ASSERT_EQ(found, wanted) << asked.first << "+" << asked.count;
        }
        MergedReader reader(*pages);
        std::vector<MergedExtent> read;
        while (const auto extent = reader.next()) read.push_back(*extent);
        EXPECT_TRUE(reader.status().ok());
        EXPECT_EQ(read, all);
    }
}

// One longer than an item says is several.
TEST(MergedFile, LongExtentsAreWhole) {
    const MergedExtent tall{VolumeIndex(1), 5, kMergedBlocksMax * 2 + 3, 9};
    const auto pages = open_pages(pages_of({tall}));
    MergedReader reader(*pages);
    std::uint64_t at = tall.first;
    while (const auto extent = reader.next()) {
        EXPECT_EQ(extent->first, at);
        EXPECT_EQ(extent->children, 9U);
        at = extent->end();
    }
    EXPECT_EQ(at, tall.end());
}

TEST(MergedFile, EveryFlippedByteAndEveryTruncationIsFound) {
    std::mt19937_64 rnd(1);
    const BodyBytes whole = pages_of(some_extents(rnd, 130));
    const auto reads = [](Bytes content) {
        const auto pages = open_pages(content);
        if (!pages.ok()) return false;
        PageView view(*pages);
        for (std::size_t table = 0; table < kMergedPageTables; ++table)
            for (std::uint32_t n = 0; n < (*pages)->items(table); ++n) (void)view.item(table, n);
        MergedReader reader(*pages);
        while (reader.next()) continue;
        return view.status().ok() && reader.status().ok();
    };
    ASSERT_TRUE(reads(whole));
    BodyBytes one = whole;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        one[at] ^= std::byte{0x04};
        ASSERT_FALSE(reads(one)) << at;
        one[at] = whole[at];
        ASSERT_FALSE(reads(Bytes(whole).first(at))) << at;
    }
    const MergedIndexPtr index = merged_of({{1, 11, 12, {}, {}}, {2, 21, 22, {}, {}}});
    const IndexedFile of{test_uuid(9), 0, index->salt, {}};
    const BodyBytes head = pack_merged_head(test_uuid(9), *index);
    ASSERT_TRUE(unpack_merged_head(head, of, "x").ok());
    EXPECT_EQ(unpack_merged_head(head, of, "x")->covered, covered_by(*index));
    for (std::size_t at = 0; at < 64 + 8 + 32; ++at) {
        BodyBytes bad = head;
        bad[at] ^= std::byte{0x04};
        EXPECT_FALSE(unpack_merged_head(bad, of, "x").ok()) << at;
        EXPECT_FALSE(unpack_merged_head(Bytes(head).first(at), of, "x").ok()) << at;
    }
}

// ---- a store with some

class Merged : public testing::Test {
  protected:
    void SetUp() override {
        lab.options.whole_index_bytes = ByteCount(0);
        lab.begin();
    }
    void tend() {
        while (lab.store->wants_tending()) {
            const auto more = lab.store->tend();
            ASSERT_TRUE(more.ok()) << more.status().message();
        }
    }
    [[nodiscard]] std::map<std::uint64_t, std::filesystem::path> merged() const {
        std::map<std::uint64_t, std::filesystem::path> out;
        for (const auto& entry : std::filesystem::directory_iterator(lab.options.directory)) {
            const std::string name = entry.path().filename();
            if (const auto salt = parse_file_name(FileKind::merged_index, name))
                out[*salt] = entry.path();
        }
        return out;
    }
    [[nodiscard]] MergedBody body_of(std::uint64_t salt, const std::filesystem::path& path) const {
        const auto head = read_index_head(io::system_files(), path);
        const auto body = unpack_merged_head(head->bytes(), of(salt), path);
        EXPECT_TRUE(body.ok()) << body.status().message();
        return body.ok() ? *body : MergedBody{};
    }
    [[nodiscard]] IndexedFile of(std::uint64_t salt) const {
        return {lab.options.group, 0, salt, lab.options.volume_bytes};
    }
    // Block by block, which of what it covers have writes there.
    using Blocks = std::map<std::uint64_t, unsigned>;
    [[nodiscard]] Blocks blocks_of(std::uint64_t salt, const std::filesystem::path& path) const {
        Blocks out;
        const auto pages =
            open_index_pages(io::system_files(), path, of(salt), FileKind::merged_index);
        EXPECT_TRUE(pages.ok()) << pages.status().message();
        MergedReader reader(*pages);
        while (const auto extent = reader.next())
            for (std::uint64_t block = extent->first; block < extent->end(); ++block)
                out[block] |= extent->children;
        return out;
    }
    [[nodiscard]] std::set<std::uint64_t> written_by(const Covered& segment) const {
        std::set<std::uint64_t> out;
        const std::string path =
            lab.options.directory + "/" + file_name(FileKind::redo, segment.number);
        const IndexedFile file{lab.options.group, segment.number, segment.salt,
                               lab.options.volume_bytes};
        const auto index = rebuild_redo_index(io::system_files(), path, file);
        EXPECT_TRUE(index.ok()) << index.status().message();
        for (std::uint32_t n = 0; n < index->writes.unit_count(); ++n) {
            const Unit& unit = index->writes.unit(n);
            for (std::uint64_t at = unit.offset.value(); at < unit.offset.value() + unit.length;
                 at += kBlockBytes)
                out.insert(at / kBlockBytes);
        }
        return out;
    }
    // Every one says exactly what the segments say.
    void expect_right() const {
        const auto files = merged();
        for (const auto& [salt, path] : files) {
            const MergedBody body = body_of(salt, path);
            Blocks wanted;
            for (std::size_t n = 0; n < body.covered.size(); ++n) {
                std::set<std::uint64_t> blocks;
                if (body.level == 1) {
                    blocks = written_by(body.covered[n]);
                } else {
                    ASSERT_TRUE(files.contains(body.covered[n].salt));
                    for (const auto& [block, children] :
                         blocks_of(body.covered[n].salt, files.at(body.covered[n].salt)))
                        blocks.insert(block);
                }
                for (const std::uint64_t block : blocks) wanted[block] |= 1U << n;
            }
            EXPECT_EQ(blocks_of(salt, path), wanted) << path;
        }
    }
    [[nodiscard]] unsigned level_max() const {
        unsigned level = 0;
        for (const auto& [salt, path] : merged())
            level = std::max(level, body_of(salt, path).level);
        return level;
    }
    KeepLab lab;
};

TEST_F(Merged, SaysWhatTheSegmentsSay) {
    lab.take_some(90);
    tend();
    ASSERT_GE(level_max(), 2U);
    expect_right();
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
    for (const std::uint64_t lsn : {3, 100, 41}) {
        ASSERT_TRUE(lab.go_to({kKeepLine, Lsn(lsn)}).ok());
        EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1) << lsn;
    }
}

TEST_F(Merged, StaysOverARestart) {
    lab.take_some(90);
    tend();
    const auto before = merged();
    ASSERT_GT(before.size(), 4U);
    std::vector<std::filesystem::file_time_type> times;
    for (const auto& [salt, path] : before) times.push_back(std::filesystem::last_write_time(path));
    lab.reopen();
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
    tend();
    EXPECT_EQ(merged(), before);
    std::size_t n = 0;
    for (const auto& [salt, path] : before)
        EXPECT_EQ(std::filesystem::last_write_time(path), times[n++]) << "made again: " << path;
}

// Damaged while the store is open or before it is opened: the answers are right, and who tends the
// store makes it again, byte for byte.
TEST_F(Merged, ADamagedOneIsMadeAgain) {
    lab.take_some(90);
    tend();
    std::mt19937_64 rnd(seed_of("Merged", 5));
    const auto files = merged();
    std::map<std::filesystem::path, std::string> right;
    for (const auto& [salt, path] : files) right[path] = content_of(path);
    for (int round = 0; round < 6; ++round) {
        for (const auto& [salt, path] : files) {
            std::string bad = right[path];
            switch ((round + rnd() % 2) % 5) {
                case 0:
                    std::filesystem::remove(path);
                    continue;
                case 1:
                    bad.resize(rnd() % bad.size());
                    break;
                case 2:  // another one's
                    bad = right[std::next(files.begin(), static_cast<long>(rnd() % files.size()))
                                    ->second];
                    break;
                default:
                    bad[rnd() % bad.size()] ^= static_cast<char>(1 << rnd() % 8);
            }
            put_content(path, bad);
        }
        if (round % 3 != 0) lab.reopen();
        EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1) << round;
        tend();
        EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1) << round;
        tend();
        lab.reopen();  // what no look-up has come upon
        tend();
        EXPECT_EQ(merged(), files);
        expect_right();
        for (const auto& [path, content] : right) put_content(path, content);
    }
}

// A scrub finds a flipped byte anywhere, and what is right but not what the segments say.
TEST_F(Merged, TheScrubFindsIt) {
    lab.take_some(60);
    tend();
    EXPECT_TRUE(lab.store->check_derived().empty());
    std::mt19937_64 rnd(seed_of("MergedScrub", 6));
    for (const auto& [salt, path] : merged()) {
        const std::string right = content_of(path);
        std::string bad = right;
        const std::size_t covered = 64 + 8 + 16 * body_of(salt, path).covered.size();
        std::size_t at = rnd() % right.size();  // but what pads its head, which nobody reads
        while (covered <= at && at < kIndexPageBytes) at = rnd() % right.size();
        bad[at] ^= static_cast<char>(1 << rnd() % 8);
        put_content(path, bad);
        lab.reopen();
        const auto known = merged();
        if (at >= covered) {
            const auto findings = lab.store->check_derived();
            ASSERT_GE(findings.size(), 1U) << path << " " << at;
            EXPECT_NE(findings[0].what.find("it is made again"), std::string::npos);
        }
        tend();
        EXPECT_TRUE(lab.store->check_derived().empty()) << path << " " << at;
        EXPECT_TRUE(content_of(path) == right);
    }
    const auto [salt, path] = *merged().begin();
    const MergedBody body = body_of(salt, path);
    const BodyBytes lies = pages_of({{VolumeIndex(0), 1, 2, 1}}, salt);
    const std::string head = content_of(path).substr(0, kIndexPageBytes);
    put_content(path, head + std::string(reinterpret_cast<const char*>(lies.data()), lies.size()));
    lab.reopen();
    const auto findings = lab.store->check_derived();
    const auto it = std::find_if(findings.begin(), findings.end(),
                                 [&](const Finding& f) { return f.file == path; });
    ASSERT_NE(it, findings.end());
    EXPECT_NE(it->what.find("differs from what it covers"), std::string::npos) << it->what;
}

// What is dropped or condensed goes out of them, and their files with the last of what they cover.
TEST_F(Merged, WhatRetentionTakesIsGone) {
    lab.take_some(70);
    tend();
    const auto before = merged();
    lab.pin("kept", Lsn(50));
    lab.take_some(60);
    tend();
    KeepLimits limits;
    limits.keep_bytes = ByteCount(2500 << 10);
    ASSERT_GT(lab.keep(limits), 0U);
    tend();
    ASSERT_FALSE(lab.store->thinned().empty());
    const std::size_t reachable = lab.check_all();
    EXPECT_GT(reachable, 10U);
    std::size_t left = 0;
    for (const auto& [salt, path] : before) left += merged().contains(salt) ? 1 : 0;
    EXPECT_LT(left, before.size() / 2);
    lab.reopen();
    EXPECT_EQ(lab.check_all(), reachable);
    lab.take_some(60);
    tend();
    EXPECT_GE(level_max(), 2U);
    lab.keep(limits);
    tend();
    lab.check_all();
    const auto files = merged();
    lab.reopen();
    tend();
    EXPECT_EQ(merged(), files);
    // Made again; those over segments that are gone are given up.
    for (const auto& [salt, path] : files) {
        std::string bad = content_of(path);
        bad.back() = static_cast<char>(bad.back() ^ 1);
        put_content(path, bad);
    }
    lab.reopen();
    EXPECT_FALSE(lab.store->check_derived().empty());
    tend();
    EXPECT_TRUE(lab.store->check_derived().empty());
    lab.check_all();
}

// A block that no write has touched: few files are asked, however many segments there are.
TEST(MergedLookUps, AskFewSegments) {
    HookedFiles files;
    std::size_t opened = 0;
    files.at_open = [&](const std::string&, const io::OpenOptions&) {
        ++opened;
        return Status();
    };
    KeepLab lab(&files);
    lab.options.whole_index_bytes = ByteCount(0);
    lab.begin();
    for (const std::size_t frames : {40, 260}) {
        lab.take_some(frames);
        while (lab.store->wants_tending()) ASSERT_TRUE(lab.store->tend().ok());
        lab.reopen();
        opened = 0;
        std::vector<std::byte> block(kBlockBytes);
        const auto view = lab.store->view({kKeepLine, Lsn(1)});
        ASSERT_TRUE(
            lab.store->read(*view, lab.replica, VolumeIndex(0), ByteOffset(31 * kBlockBytes), block)
                .ok());
        EXPECT_TRUE(is_zero(block));
        // At most three of each level are not merged; a segment has two index files.
        const std::size_t segments = lab.store->scrub_segments().size();
        const auto levels = static_cast<std::size_t>(std::bit_width(segments) / 2 + 1);
        EXPECT_LE(opened, 3 * 2 + 3 * levels) << segments;
    }
    EXPECT_GT(lab.store->scrub_segments().size(), 64U);
}

}  // namespace
}  // namespace everstep::journal::lab
