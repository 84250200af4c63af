// Any bytes as the body of an index file, and as the items of its pages, whose checksums are right:
// an index that packs and unpacks again, or an error; a look-up that ends.
#include <array>
#include <cstdlib>
#include <memory>

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

// The pages of a file whose tables hold these bytes, one behind the other.
std::shared_ptr<const IndexPages> pages_of(Bytes items, std::span<const std::size_t> item_bytes) {
    constexpr std::uint64_t kSalt = 7;
    constexpr std::uint64_t kLevels = 0x2d;
    PageTables tables(kSalt, kLevels);
    const std::size_t share = items.size() / item_bytes.size();
    for (std::size_t n = 0; n < item_bytes.size(); ++n)
        tables.add_table(item_bytes[n],
                         items.subspan(n * share, share / item_bytes[n] * item_bytes[n]));
    auto file = std::make_unique<fuzz::BytesFile>(tables.take());
    const auto pages = IndexPages::open(std::move(file), {0, kSalt, item_bytes.size()});
    if (!pages.ok()) std::abort();
    return *pages;
}

void look_up_merged(Bytes items) {
    constexpr std::size_t kMerged[] = {12, 8};
    const auto pages = pages_of(items, kMerged);
    PageView view(pages);
    std::vector<MergedExtent> found;
    find_merged(view, {VolumeIndex(1), 3, 61}, found);
    for (const MergedExtent& extent : found)
        if (extent.count == 0 || extent.first < 3 || extent.end() > 64) std::abort();
    MergedReader reader(pages);
    while (reader.next()) continue;
}

void look_up(Bytes items, const IndexedFile& of) {
    constexpr std::size_t kRedo[] = {16, 8, 4, 48, 4, 8, 8};
    constexpr std::size_t kUndo[] = {16, 8, 32};
    PageView redo(pages_of(items, kRedo));
    const PagedWrites writes(redo, of);
    const UnitSpan span =
        writes.between({Lsn(3), 0}, {Lsn(1ULL << 40), 1}, {{Lsn(1), 0}, {Lsn(1ULL << 41), 0}});
    PageView undo(pages_of(items, kUndo));
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
