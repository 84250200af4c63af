// Index files: what leaves memory comes back the same, from the index file or, where that is lost
// or damaged, from the segment.
#include <gtest/gtest.h>

#include <cstring>

#include "common/base/checksum.hpp"
#include "journal/index_rebuild.hpp"
#include "journal/paged_index.hpp"
#include "journal/record_scan.hpp"
#include "tests/fuzz/bytes_file.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

const TimelineId kLine = test_uuid(1);
const std::vector<ByteCount> kSizes{ByteCount(1 << 20), ByteCount(256 << 10)};

// A history of several segments: small and large writes, parts of blocks, zeroes, flush marks,
// applied but for the end.
class IndexFiles : public testing::Test {
  protected:
    IndexFiles() : lab(kSizes, ByteCount(128 << 10)), primary(lab.options.group, kLine, kSizes) {
        rnd.seed(seed_of("IndexFiles", 11));
        lab.options.whole_index_bytes = ByteCount(0);
        lab.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        expect_ok(lab.store->begin_history({primary.timeline()}, base));
        for (int i = 0; i < 40; ++i) {
            put();
            if (i % 4 == 0) flush();
        }
        expect_ok(lab.store->sync());
        expect_ok(lab.apply_all({kLine, primary.head() - 10}));
    }
    static void expect_ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    void put() {
        std::vector<TestWrite> writes;
        for (int i = 0; i < 5; ++i) {
            TestWrite w;
            w.volume = VolumeIndex(rnd() % 2);
            const std::uint64_t sectors = kSizes[w.volume.value()].value() / kSectorBytes;
            const std::uint64_t count = rnd() % 8 == 0 ? 200 + rnd() % 200 : 1 + rnd() % 24;
            w.offset = ByteOffset(rnd() % (sectors - count) * kSectorBytes);
            w.length = ByteCount(count * kSectorBytes);
            if (rnd() % 6 == 0) w.kind = EntryKind::zero;
            w.fua = rnd() % 5 == 0;
            writes.push_back(w);
        }
        const FramePtr frame = primary.frame(writes);
        expect_ok(lab.store->append({&frame, 1}));
    }
    void flush() {
        const Lsn lsn = primary.head() - rnd() % 4;
        const FramePtr frame = primary.flush_frame(VolumeIndex(rnd() % 2), lsn);
        expect_ok(lab.store->append({&frame, 1}));
    }
    std::size_t tend() const {
        std::size_t pieces = 0;
        while (lab.store->wants_tending() || pieces == 0) {
            const auto more = lab.store->tend();
            EXPECT_TRUE(more.ok()) << more.status().message();
            if (!more.ok() || !*more) break;
            ++pieces;
        }
        return pieces;
    }
    // Everything that a user can ask of the history, as text.
    [[nodiscard]] std::string answers() const {
        std::string out;
        const auto view = lab.store->view({kLine, primary.head()});
        const Status listed = lab.store->each_step(*view, Lsn(0), {}, [&](const StepInfo& step) {
            out += std::to_string(step.lsn.value()) + (step.flush ? "f" : "") + " " +
                   std::to_string(step.offset.value()) + "; ";
            return true;
        });
        EXPECT_TRUE(listed.ok()) << listed.message();
        for (Lsn lsn(1); lsn <= primary.head(); lsn = lsn + 1) {
            const auto at = lab.store->view({kLine, lsn});
            const auto flush = lab.store->flush_before(*at, VolumeIndex(lsn.value() % 2));
            const auto step = lab.store->step(*view, lsn);
            const auto tip = lab.store->tip_at({kLine, lsn});
            EXPECT_TRUE(flush.ok() && step.ok() && tip.ok());
            if (!flush.ok() || !step.ok() || !tip.ok()) return out;
            const auto time = lab.store->step_at_time(*view, step->step_time);
            out += std::to_string(*flush ? (*flush)->value() : 0) + "," +
                   std::to_string(tip->seq.value()) + "," +
                   std::to_string(time.ok() ? time->value() : 0) + " ";
        }
        return out;
    }
    void compare_all() const {
        for (Lsn lsn(0); lsn <= primary.head(); lsn = lsn + 1)
            ASSERT_EQ(lab.compare({kLine, lsn}, primary.image(lsn)), "") << lsn.value();
    }
    [[nodiscard]] std::vector<std::filesystem::path> index_files() const {
        std::vector<std::filesystem::path> out;
        for (const auto& entry : std::filesystem::directory_iterator(lab.options.directory))
            if (const std::string name = entry.path().filename();
                parse_file_name(FileKind::redo_index, name) ||
                parse_file_name(FileKind::undo_index, name))
                out.push_back(entry.path());
        std::sort(out.begin(), out.end());
        return out;
    }
    // Every item of every table in these pages is there and undamaged.
    static bool read_pages(Bytes content, const IndexPages::Place& place) {
        const auto pages = IndexPages::open(std::make_unique<fuzz::BytesFile>(content), place);
        if (!pages.ok()) return false;
        PageView view(*pages);
        for (std::size_t table = 0; table < place.tables; ++table)
            for (std::uint32_t n = 0; n < (*pages)->items(table); ++n) (void)view.item(table, n);
        return view.status().ok();
    }
    std::mt19937_64 rnd;
    StoreLab lab;
    Primary primary;
};

TEST_F(IndexFiles, WhatLeftMemoryAnswersTheSame) {
    const std::string before = answers();
    ASSERT_GT(tend(), 6U);
    EXPECT_EQ(answers(), before);
    compare_all();
    expect_ok(lab.apply_all({kLine, primary.head()}));  // into segments whose index had left
    tend();
    compare_all();
    expect_ok(lab.go_to({kLine, Lsn(3)}));
    compare_all();
    expect_ok(lab.go_to({kLine, primary.head()}));
    lab.reopen();
    EXPECT_EQ(answers(), before);
    compare_all();
}

TEST_F(IndexFiles, ALostOneIsMadeAgainFromItsSegment) {
    const std::string before = answers();
    tend();
    const auto files = index_files();
    ASSERT_GT(files.size(), 6U);
    std::map<std::filesystem::path, std::string> kept;
    for (const auto& file : files) {
        kept[file] = content_of(file);
        std::filesystem::remove(file);
    }
    EXPECT_EQ(answers(), before);
    compare_all();
    for (const auto& [file, content] : kept)
        EXPECT_TRUE(content_of(file) == content) << file << ": the same bytes again";
}

TEST_F(IndexFiles, ADamagedOneIsNeverBelieved) {
    const std::string before = answers();
    tend();
    for (const auto& file : index_files()) {
        const std::string whole = content_of(file);
        std::string damaged = whole;
        damaged[rnd() % damaged.size()] ^= static_cast<char>(1 << rnd() % 8);
        put_content(file, rnd() % 3 == 0 ? whole.substr(0, rnd() % whole.size()) : damaged);
    }
    EXPECT_EQ(answers(), before);
    compare_all();
}

TEST_F(IndexFiles, ANewerOneIsMadeAgain) {
    const std::string before = answers();
    tend();
    const auto file = index_files().front();
    std::string newer = content_of(file);
    newer[4] = static_cast<char>(kIndexVersion + 1);  // a version to come, its checksum right
    const std::uint32_t crc = crc32c(std::as_bytes(std::span(newer).first(60)));
    std::memcpy(newer.data() + 60, &crc, sizeof crc);
    put_content(file, newer);
    EXPECT_EQ(answers(), before);
}

// Pages that are damaged while the list before them is whole: the answers are the same, and the
// file is whole again.
TEST_F(IndexFiles, DamagedPagesAreMended) {
    const std::string before = answers();
    tend();
    std::size_t mended = 0;
    const auto files = index_files();
    for (const auto& file : {files.front(), files.back()}) {
        const std::string right = content_of(file);
        std::string bad = right;
        bad[bad.size() - 4000] = static_cast<char>(bad[bad.size() - 4000] ^ 1);
        if (mended == 1) bad.resize(bad.size() / kIndexPageBytes * kIndexPageBytes / 2);
        put_content(file, bad);
        lab.reopen();
        for (Lsn lsn(0); lsn <= primary.head(); lsn = lsn + 5)
            ASSERT_EQ(lab.compare({kLine, lsn}, primary.image(lsn)), "") << lsn.value();
        EXPECT_EQ(answers(), before);
        if (content_of(file) == right) ++mended;
        put_content(file, right);
    }
    EXPECT_EQ(mended, 2U);
}

TEST_F(IndexFiles, EveryFlippedByteAndEveryTruncationIsFound) {
    RedoIndex index;
    Unit unit;
    unit.lsn = Lsn(5);
    unit.length = 100 << 10;
    unit.volume = 1;
    const std::vector<std::byte> payload(unit.length, std::byte{7});
    index.writes.add(unit, {payload, payload.size()});
    unit.lsn = Lsn(6);
    Buffer packed;
    ASSERT_TRUE(Packer(1).pack(payload, packed));
    index.writes.add(unit, {packed.bytes(), payload.size()});
    FrameRef frame;
    frame.seq = FrameSeq(3);
    frame.first = frame.last = Lsn(5);
    frame.segment = 9;
    index.frames.push_back(frame);
    index.flushes.push_back({Lsn(5), VolumeIndex(1)});
    BeforeImageIndex images;
    images.restore({.at = ByteOffset(4096), .block = 3, .blocks = 2, .crc = 4, .volume = 1});
    const IndexedFile of{lab.options.group, 9, 77, kSizes};
    const BodyBytes redo = pack_redo_index(of, index);
    const BodyBytes undo = pack_undo_index(of, images);
    ASSERT_TRUE(unpack_redo_index(redo, of, "x").ok());
    ASSERT_TRUE(unpack_undo_index(undo, of, "x").ok());
    for (const FileKind kind : {FileKind::redo, FileKind::undo}) {
        const BodyBytes& whole = kind == FileKind::redo ? redo : undo;
        const auto read = [&](Bytes bytes) {
            return unpack_redo_index(bytes, of, "x").ok() || unpack_undo_index(bytes, of, "x").ok();
        };
        std::uint64_t body = 0;
        std::memcpy(&body, whole.data() + 48, sizeof body);
        for (std::size_t at = 0; at < 64 + body; ++at) {
            BodyBytes one = whole;
            one[at] ^= std::byte{0x10};
            EXPECT_FALSE(read(one)) << at;
            EXPECT_FALSE(read(Bytes(whole).first(at))) << at;
        }
        const std::size_t pages = align_up(64 + body, kIndexPageBytes);
        const std::size_t tables = kind == FileKind::redo ? kRedoPageTables : kUndoPageTables;
        const IndexPages::Place place{pages, of.salt, tables, ByteCount(whole.size())};
        EXPECT_TRUE(read_pages(whole, place));
        for (std::size_t at = pages; at < whole.size(); ++at) {
            BodyBytes one = whole;
            one[at] ^= std::byte{0x10};
            EXPECT_FALSE(read_pages(one, place)) << at;
            EXPECT_FALSE(read_pages(Bytes(whole).first(at), place)) << at;
        }
    }
    IndexedFile other = of;
    other.salt = 78;
    EXPECT_FALSE(unpack_redo_index(redo, other, "x").ok()) << "another use of the file";
    other = of;
    const std::vector<ByteCount> smaller{kSizes[0], ByteCount(64 << 10)};
    other.volume_bytes = smaller;
    EXPECT_FALSE(unpack_redo_index(redo, other, "x").ok()) << "a write beyond the volume";
}

}  // namespace
}  // namespace everstep::journal::lab
