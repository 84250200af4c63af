// The look-ups in an index file's pages: they give what those in memory give, read a page for it,
// and end, with an error or an answer that makes sense, whatever the pages say.
#include <gtest/gtest.h>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"
#include "journal/merged_file.hpp"
#include "journal/paged_index.hpp"
#include "journal/reading.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

const std::vector<ByteCount> kSizes{ByteCount(1 << 20), ByteCount(256 << 10)};
const IndexedFile kOf{test_uuid(1), 9, 77, kSizes};

// Counts what is read.
class CountingFile final : public io::File {
  public:
    CountingFile(BodyBytes bytes, std::uint64_t& reads) : bytes_(std::move(bytes)), reads_(reads) {}
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        for (const io::ReadOp& op : ops) {
            ++reads_;
            if (op.offset.value() + op.to.size() > bytes_.size())
                return {ErrorCode::corrupt, "behind the end"};
            std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(op.offset.value()),
                        op.to.size(), op.to.begin());
        }
        return {};
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp>) override { return {}; }
    [[nodiscard]] Status sync() override { return {}; }
    [[nodiscard]] Status allocate(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status zero(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status punch(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status resize(ByteCount) override { return {}; }
    [[nodiscard]] Result<ByteCount> size() const override { return ByteCount(bytes_.size()); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset,
                                                              ByteCount) const override {
        return std::vector<io::DataExtent>();
    }

  private:
    BodyBytes bytes_;
    std::uint64_t& reads_;
    std::string path_ = "index";
};

struct Shape {
    int writes = 0;
    std::uint64_t unit_sectors = 1;  // offsets and lengths are multiples of it
    std::uint64_t sectors_max = 20;
};

// One segment's index: random writes and the before-images of their first blocks.
struct RandomIndex {
    RandomIndex(const Shape& shape, std::mt19937_64& rnd) {
        for (int n = 1; n <= shape.writes; ++n) {
            Unit unit;
            unit.volume = static_cast<std::uint16_t>(rnd() % 2);
            const std::uint64_t sectors = kSizes[unit.volume].value() / kSectorBytes;
            const bool large = shape.unit_sectors == 1 && rnd() % 9 == 0;
            const std::uint64_t any = large ? 129 + rnd() % 200 : 1 + rnd() % shape.sectors_max;
            const std::uint64_t length =
                (any + shape.unit_sectors - 1) / shape.unit_sectors * shape.unit_sectors;
            const std::uint64_t places = (sectors - length) / shape.unit_sectors;
            unit.lsn = Lsn(static_cast<std::uint64_t>(n) * 2 - rnd() % 2);
            unit.sub = static_cast<std::uint32_t>(rnd() % 3);
            unit.offset = ByteOffset(rnd() % places * shape.unit_sectors * kSectorBytes);
            unit.payload_at = ByteOffset(rnd() % (1ULL << 40));
            unit.length = static_cast<std::uint32_t>(length * kSectorBytes);
            unit.crc = static_cast<std::uint32_t>(rnd());
            unit.zero = rnd() % 5 == 0;
            std::vector<std::byte> payload(unit.zero ? 0 : unit.length, std::byte{7});
            Buffer packed;
            if (rnd() % 2 == 0 && packer.pack(payload, packed))
                redo.writes.add(unit, {packed.bytes(), payload.size()});
            else
                redo.writes.add(unit, {payload, payload.size()});
            add_image(unit, rnd);
        }
    }
    void add_image(const Unit& unit, std::mt19937_64& rnd) {
        const VolumeIndex volume(unit.volume);
        const std::uint64_t block = unit.offset.value() / kBlockBytes;
        std::uint32_t blocks = 0;
        const auto most = static_cast<std::uint32_t>(1 + rnd() % 5);
        while (blocks < most && (block + blocks) * kBlockBytes < kSizes[unit.volume].value() &&
               images.find(volume, block + blocks) == nullptr)
            ++blocks;
        if (blocks == 0) return;
        images.restore({.at = ByteOffset(rnd() % (1ULL << 40)),
                        .block = block,
                        .blocks = blocks,
                        .crc = static_cast<std::uint32_t>(rnd()),
                        .volume = unit.volume,
                        .zero = rnd() % 4 == 0});
    }
    Packer packer{1};
    RedoIndex redo;
    BeforeImageIndex images;
};

bool same(const std::optional<UnitChunk>& a, const std::optional<UnitChunk>& b) {
    return a && b && a->skip == b->skip && a->stored == b->stored && a->length == b->length &&
           a->crc == b->crc;
}

// Calls each(volume, n) for n of the `unit_bytes` of every volume.
template <class Each>
void for_all(std::uint64_t unit_bytes, Each each) {
    for (std::size_t v = 0; v < kSizes.size(); ++v)
        for (std::uint64_t n = 0; n < kSizes[v].value() / unit_bytes; ++n) each(VolumeIndex(v), n);
}

bool same(const std::optional<Unit>& a, const std::optional<Unit>& b) {
    if (!a || !b) return a.has_value() == b.has_value();
    return a->position() == b->position() && a->offset == b->offset && a->length == b->length &&
           a->payload_at == b->payload_at && a->crc == b->crc && a->chunks_at == b->chunks_at &&
           a->volume == b->volume && a->zero == b->zero && a->packed_bytes == b->packed_bytes;
}

class PagedIndex : public testing::Test {
  protected:
    [[nodiscard]] std::shared_ptr<const IndexPages> open(BodyBytes pages, std::size_t tables) {
        const ByteCount bytes(pages.size());
        const auto opened =
            IndexPages::open(std::make_unique<CountingFile>(std::move(pages), reads),
                             {0, kOf.salt, tables, bytes, 1U << kPageFences, keep_bytes_max});
        EXPECT_TRUE(opened.ok()) << opened.status().message();
        return opened.ok() ? *opened : nullptr;
    }
    [[nodiscard]] PathSpan any_span(int writes) {
        const auto top = static_cast<std::uint64_t>(writes) * 2 + 2;
        PathSpan span{{Lsn(rnd() % top), static_cast<std::uint32_t>(rnd() % 3)},
                      {Lsn(rnd() % top), static_cast<std::uint32_t>(rnd() % 3)}};
        if (rnd() % 4 == 0) span.after = {};
        if (rnd() % 4 == 0) span.to = {Lsn(UINT64_MAX), UINT32_MAX};
        if (span.to < span.after) std::swap(span.after, span.to);
        return span;
    }
    void expect_same_writes(const SegmentIndex& memory, const PagedWrites& paged) {
        for (int n = 0; n < 5; ++n) {
            const PathSpan span = any_span(static_cast<int>(memory.unit_count()));
            const UnitSpan units = memory.between(span.after, span.to);
            for_all(kSectorBytes, [&](VolumeIndex volume, std::uint64_t sector) {
                const auto last = paged.last_write(volume, sector, span);
                ASSERT_TRUE(same(last, memory.last_write(volume, sector, units))) << sector;
                const Undone undone = paged.undone(volume, sector, span);
                const Undone wanted = memory.undone(volume, sector, units);
                ASSERT_EQ(undone.written, wanted.written) << sector;
                ASSERT_TRUE(!undone.written || same(undone.before, wanted.before)) << sector;
                if (last && !last->zero && last->length > kChunkBytes) {
                    ASSERT_TRUE(same(paged.chunk(*last, 1), memory.chunk(*last, 1)));
                }
            });
        }
        for_all(kBlockBytes, [&](VolumeIndex volume, std::uint64_t block) {
            ASSERT_EQ(paged.split_block(volume, block), memory.split_block(volume, block));
        });
    }
    void expect_same_steps(const SegmentIndex& memory, const PagedWrites& paged) {
        for (int n = 0; n < 20; ++n) {
            const VolumeIndex volume(rnd() % 2);
            const std::uint64_t all = kSizes[volume.value()].value() / kSectorBytes;
            const std::uint64_t first = rnd() % all;
            const UnitRange range{volume, first, 1 + rnd() % (all - first)};
            std::vector<Lsn> wanted;
            for (std::uint32_t u = 0; u < memory.unit_count(); ++u) {
                const Unit& unit = memory.unit(u);
                const std::uint64_t begin = unit.offset.value() / kSectorBytes;
                if (unit.volume == volume.value() && begin < range.first + range.count &&
                    range.first < begin + unit.length / kSectorBytes)
                    wanted.push_back(unit.lsn);
            }
            std::vector<Lsn> found;
            ASSERT_TRUE(paged.steps_on(range, SIZE_MAX, found));
            std::sort(found.begin(), found.end());
            found.erase(std::unique(found.begin(), found.end()), found.end());
            wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
            ASSERT_EQ(found, wanted);
            std::vector<Lsn> some;
            const bool whole = paged.steps_on(range, 3, some);
            EXPECT_EQ(whole, some.size() <= 3);
        }
    }

    // Puts something else into some page, with a right checksum.
    void spoil(BodyBytes& pages) {
        const std::size_t page = rnd() % (pages.size() / kIndexPageBytes) * kIndexPageBytes;
        const MutableBytes to = MutableBytes(pages).subspan(page, kIndexPageBytes);
        const std::size_t at = kIndexPageHeaderBytes + rnd() % 200;
        for (std::size_t n = 0; n < 1 + rnd() % 60; ++n) to[at + n] = std::byte(rnd() % 256);
        put<std::uint32_t>(to, 0, crc32c(Bytes(to).subspan(4)));
    }
    // None: what is wrong was found by opening.
    [[nodiscard]] std::shared_ptr<const IndexPages> try_open(const BodyBytes& pages,
                                                             std::size_t tables) {
        const auto opened =
            IndexPages::open(std::make_unique<CountingFile>(pages, reads),
                             {0, kOf.salt, tables, ByteCount(pages.size()), 1U << kPageFences});
        return opened.ok() ? *opened : nullptr;
    }

    std::uint64_t reads = 0;
    std::uint64_t keep_bytes_max = kKeptTableBytesMax;
    std::mt19937_64 rnd{seed_of("PagedIndex", 4)};
};

// For every sector and any span, whatever the writes are aligned to.
TEST_F(PagedIndex, AnswersAsMemoryDoes) {
    for (const int count : {0, 1, 8, 79, 80, 81, 128, 2048}) {
        for (const std::uint64_t unit : {1, 2, 8, 16}) {
            const RandomIndex index({.writes = count, .unit_sectors = unit}, rnd);
            keep_bytes_max = rnd() % 2 == 0 ? 0 : kKeptTableBytesMax;  // fences in pages, in memory
            PageView redo(open(pack_redo_pages(kOf.salt, index.redo.writes), kRedoPageTables));
            PageView undo(open(pack_undo_pages(kOf.salt, index.images), kUndoPageTables));
            const PagedWrites paged(redo, kOf);
            expect_same_writes(index.redo.writes, paged);
            expect_same_steps(index.redo.writes, paged);
            const PagedImages images(undo, kOf);
            for_all(kBlockBytes, [&](VolumeIndex volume, std::uint64_t block) {
                const BeforeImage* wanted = index.images.find(volume, block);
                const auto found = images.find(volume, block);
                ASSERT_EQ(found.has_value(), wanted != nullptr) << block;
                ASSERT_TRUE(!found || (found->at == wanted->at && found->zero == wanted->zero &&
                                       found->crc == wanted->crc && found->block == wanted->block));
            });
            EXPECT_TRUE(redo.status().ok()) << redo.status().message();
            EXPECT_TRUE(undo.status().ok()) << undo.status().message();
        }
    }
}

// However many writes there are: a page for each size of pieces, or two where it ends there.
TEST_F(PagedIndex, ALookUpReadsAPage) {
    for (const int count : {500, 20000}) {
        const RandomIndex index({.writes = count, .unit_sectors = 8, .sectors_max = 8}, rnd);
        const auto redo = open(pack_redo_pages(kOf.salt, index.redo.writes), kRedoPageTables);
        const auto undo = open(pack_undo_pages(kOf.salt, index.images), kUndoPageTables);
        ASSERT_EQ(redo->flags(), 1U << kBlockLevel);
        for (int n = 0; n < 200; ++n) {
            const VolumeIndex volume(rnd() % 2);
            const std::uint64_t block = rnd() % (kSizes[volume.value()].value() / kBlockBytes);
            PageView view(redo);
            reads = 0;
            (void)PagedWrites(view, kOf).undone(volume, block << kBlockLevel, any_span(count));
            EXPECT_LE(reads, 2U);
            PageView images(undo);
            reads = 0;
            (void)PagedImages(images, kOf).find(volume, block);
            EXPECT_LE(reads, 1U);
        }
    }
}

// Pages whose checksums are right and whose items are in any order.
TEST_F(PagedIndex, EndsWhateverThePagesSay) {
    std::size_t answers = 0;
    for (int round = 0; round < 300; ++round) {
        const int count = static_cast<int>(1 + rnd() % 600);
        const RandomIndex index({.writes = count, .unit_sectors = rnd() % 2 == 0 ? 1U : 8U}, rnd);
        BodyBytes redo = pack_redo_pages(kOf.salt, index.redo.writes);
        BodyBytes undo = pack_undo_pages(kOf.salt, index.images);
        for (BodyBytes* pages : {&redo, &undo}) {
            for (int n = 0; n < 3; ++n) spoil(*pages);
            if (rnd() % 8 == 0) pages->resize(pages->size() - kIndexPageBytes);
        }
        const auto writes = try_open(redo, kRedoPageTables);
        const auto images = try_open(undo, kUndoPageTables);
        if (writes == nullptr || images == nullptr) continue;
        for (int n = 0; n < 50; ++n) {
            PageView redo_view(writes);
            PageView undo_view(images);
            const PagedWrites paged(redo_view, kOf);
            const PagedImages paged_images(undo_view, kOf);
            const ShareOf<PagedWrites, PagedImages> share{&paged, &paged_images, 9,
                                                          any_span(count)};
            std::vector<SectorRun> runs;
            const std::uint64_t first = rnd() % 500;
            share.newest({VolumeIndex(rnd() % 2), first, 1 + rnd() % 12}, runs);
            share.before({VolumeIndex(rnd() % 2), first, 1 + rnd() % 12}, runs);
            if (!redo_view.status().ok() || !undo_view.status().ok()) continue;
            ++answers;
            for (const SectorRun& run : runs)
                EXPECT_TRUE(run.count > 0 && run.first >= first && run.end() <= first + 12);
        }
    }
    EXPECT_GT(answers, 1000U);
}

}  // namespace
}  // namespace everstep::journal::lab
