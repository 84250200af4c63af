// Any bytes as the body of an index file, and as the items of its pages, whose checksums are right:
// an index that packs and unpacks again, or an error; a look-up that ends.
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"
#include "journal/merged_file.hpp"
#include "journal/paged_index.hpp"
#include "journal/reading.hpp"
#include "tests/fuzz/bytes_file.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kBodyBytesAt = 48;
constexpr std::size_t kBodyCrcAt = 56;
constexpr std::size_t kCrcAt = 60;

// A file of the kind of `empty`, with this body.
BodyBytes with_body(BodyBytes empty, Bytes body) {
    empty.resize(kHeaderBytes);
    empty.insert(empty.end(), body.begin(), body.end());
    const MutableBytes all(empty);
    put<std::uint64_t>(all, kBodyBytesAt, body.size());
    put<std::uint32_t>(all, kBodyCrcAt, crc32c(body));
    put<std::uint32_t>(all, kCrcAt, crc32c(Bytes(all).first(kCrcAt)));
    return empty;
}

// Of a sorted table, and of one behind it, if it has items.
struct ItemBytes {
    std::size_t sorted = 0;
    std::size_t fence = 0;
    std::size_t behind = 0;
};

// The pages of a file whose tables hold these bytes, one behind the other; of fences there are as
// many as there have to be.
std::shared_ptr<const IndexPages> pages_of(Bytes items, const ItemBytes& bytes) {
    constexpr std::uint64_t kSalt = 7;
    constexpr std::uint64_t kLevels = 0x2d;
    PageTables tables(kSalt, kLevels);
    const auto whole = [](Bytes of, std::size_t one) { return of.first(of.size() / one * one); };
    const Bytes sorted = whole(items.first(items.size() / 3 * 2), bytes.sorted);
    const Bytes rest = items.subspan(sorted.size());
    tables.add_table(bytes.sorted, sorted);
    const std::size_t in_page = (kIndexPageBytes - kIndexPageHeaderBytes) / bytes.sorted;
    std::vector<std::byte> fences((sorted.size() / bytes.sorted + in_page - 1) / in_page *
                                  bytes.fence);
    for (std::size_t n = 0; n < fences.size() && !rest.empty(); ++n)
        fences[n] = rest[n % rest.size()];
    tables.add_table(bytes.fence, fences);
    if (bytes.behind > 0) tables.add_table(bytes.behind, whole(rest, bytes.behind));
    const BodyBytes all = tables.take();
    auto file = std::make_unique<fuzz::BytesFile>(all);
    const auto pages = IndexPages::open(
        std::move(file),
        {0, kSalt, bytes.behind > 0 ? 3U : 2U, ByteCount(all.size()), 1U << kPageFences});
    if (!pages.ok()) std::abort();
    return *pages;
}

void look_up_merged(Bytes items) {
    const auto pages = pages_of(items, {.sorted = 12, .fence = 8});
    PageView view(pages);
    std::vector<MergedExtent> found;
    find_merged(view, {VolumeIndex(1), 3, 61}, found);
    for (const MergedExtent& extent : found)
        if (extent.count == 0 || extent.first < 3 || extent.end() > 64) std::abort();
    MergedReader reader(pages);
    while (reader.next()) continue;
}

void look_up(Bytes items, const IndexedFile& of) {
    PageView redo(pages_of(items, {.sorted = 55, .fence = 20, .behind = 4}));
    const PagedWrites writes(redo, of);
    const PathSpan span{{Lsn(3), 0}, {Lsn(1ULL << 40), 1}};
    PageView undo(pages_of(items, {.sorted = 35, .fence = 8}));
    const PagedImages images(undo, of);
    const ShareOf<PagedWrites, PagedImages> share{&writes, &images, 7, span};
    std::vector<SectorRun> runs;
    share.newest({VolumeIndex(0), 0, 64}, runs);
    share.before({VolumeIndex(1), 3, 61}, runs);
    look_up_merged(items);
    if (!redo.status().ok() || !undo.status().ok()) return;
    for (const SectorRun& run : runs)
        if (run.count == 0 || run.end() > 64) std::abort();
}

}  // namespace
}  // namespace everstep::journal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    using namespace everstep::journal;
    const Bytes body = std::as_bytes(std::span(data, size));
    const std::array<ByteCount, 2> sizes{ByteCount(1 << 20), ByteCount(64 << 10)};
    const IndexedFile of{Uuid(), 7, 0x1122334455667788, sizes};
    const auto redo = unpack_redo_index(with_body(pack_redo_index(of, {}), body), of, "fuzz");
    if (redo.ok() && !unpack_redo_index(pack_redo_index(of, *redo), of, "again").ok()) std::abort();
    const auto undo = unpack_undo_index(with_body(pack_undo_index(of, {}), body), of, "fuzz");
    if (undo.ok() && !unpack_undo_index(pack_undo_index(of, *undo), of, "again").ok()) std::abort();
    const IndexedFile merged{Uuid(), 0, 0x1122334455667788, {}};
    const BodyBytes head = pack_index_head(merged, FileKind::merged_index, {});
    if (unpack_merged_head(with_body(head, body), merged, "fuzz").ok()) std::abort();  // its salt
    unpack_merged_head(body, merged, "raw").status().ignore("any answer will do");
    look_up(body, of);
    // And as a whole file.
    unpack_redo_index(body, of, "raw").status().ignore("any answer will do");
    unpack_undo_index(body, of, "raw").status().ignore("any answer will do");
    return 0;
}
