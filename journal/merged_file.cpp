#include "journal/merged_file.hpp"

#include <algorithm>

#include "journal/body_codec.hpp"

namespace everstep::journal {
namespace {

enum MergedTable : std::size_t { extents, fences };
static_assert(fences + 1 == kMergedPageTables && fences == kMergedFences);

constexpr std::uint32_t kFenceEvery = 340;  // as many extents as a page holds
constexpr unsigned kBlockBits = kRangeUnitBits;

struct ExtentPlace {
    std::uint64_t key = 0;
    static ExtentPlace of(Bytes item) { return {get<std::uint64_t>(item, 0)}; }
    auto operator<=>(const ExtentPlace&) const = default;
};

MergedExtent extent_of(Bytes item) {
    const auto key = get<std::uint64_t>(item, 0);
    const auto rest = get<std::uint32_t>(item, 8);
    return {.volume = VolumeIndex(key >> kBlockBits),
            .first = key & ((1ULL << kBlockBits) - 1),
            .count = std::uint64_t{rest >> 8} + 1,
            .children = rest & 0xff};
}

IndexedFile file_of(const Uuid& group, std::uint64_t salt) {
    return {group, 0, salt, {}};
}

}  // namespace

BodyBytes pack_merged_head(const Uuid& group, const MergedIndex& index) {
    const std::vector<Covered> covered = covered_by(index);
    BodyWriter body;
    body.number(static_cast<std::uint32_t>(index.level));
    body.number(static_cast<std::uint32_t>(covered.size()));
    for (const Covered& one : covered) {
        body.number<std::uint64_t>(one.number);
        body.number<std::uint64_t>(one.salt);
    }
    return pack_index_head(file_of(group, index.salt), FileKind::merged_index, body.take());
}

Result<MergedBody> unpack_merged_head(Bytes from, const IndexedFile& of, const std::string& name) {
    const auto bytes = unpack_index_head(from, of, FileKind::merged_index, name);
    if (!bytes.ok()) return bytes.status();
    BodyReader reader(*bytes);
    MergedBody body;
    body.level = reader.number<std::uint32_t>();
    body.covered.resize(reader.count(16));
    for (Covered& one : body.covered) {
        one.number = reader.number<std::uint64_t>();
        one.salt = reader.number<std::uint64_t>();
    }
    if (reader.done() && body.level > 0 && !body.covered.empty() &&
        body.covered.size() <= kMergeFanInMax && merged_salt(body.level, body.covered) == of.salt)
        return body;
    return Status(ErrorCode::corrupt, name + ": it does not cover what its name says");
}

void MergedPages::add(const MergedExtent& extent) {
    for (std::uint64_t done = 0; done < extent.count; done += kMergedBlocksMax) {
        const std::uint64_t count = std::min(extent.count - done, kMergedBlocksMax);
        const std::uint64_t key = ordered_key(extent.volume, extent.first + done);
        if (items_++ % kFenceEvery == 0) fences_.push_back(key);
        std::array<std::byte, kItemBytes> item{};
        put<std::uint64_t>(item, 0, key);
        put<std::uint32_t>(item, 8, static_cast<std::uint32_t>((count - 1) << 8 | extent.children));
        tables_.add(item);
    }
}

BodyBytes MergedPages::finish() {
    BodyWriter out;
    for (const std::uint64_t key : fences_) out.number(key);
    tables_.add_table(sizeof(std::uint64_t), out.take());
    return tables_.finish();
}

void find_merged(PageView& view, const UnitRange& blocks, std::vector<MergedExtent>& out) {
    const std::uint64_t key = ordered_key(blocks.volume, blocks.first);
    const std::uint64_t end = blocks.first + blocks.count;
    const std::uint32_t items = view.pages().items(extents);
    std::uint32_t at = count_to(view, {extents, fences}, ExtentPlace{key});
    if (at > 0) --at;  // the last one that begins there or before
    for (std::uint64_t behind = 0; at < items && view.status().ok(); ++at) {
        MergedExtent extent = extent_of(view.item(extents, at));
        if (ordered_key(extent.volume, extent.first) < behind)
            return view.fail("the extents of the index are in disorder");
        behind = ordered_key(extent.volume, extent.end());
        if (extent.volume > blocks.volume ||
            (extent.volume == blocks.volume && extent.first >= end))
            return;
        if (extent.volume != blocks.volume || extent.end() <= blocks.first) continue;
        const std::uint64_t first = std::max(extent.first, blocks.first);
        extent.count = std::min(extent.end(), end) - first;
        extent.first = first;
        out.push_back(extent);
    }
}

std::optional<MergedExtent> MergedReader::next() {
    const Bytes item = items_.next();
    if (item.empty()) {
        if (status_.ok()) status_ = items_.status();
        return std::nullopt;
    }
    const MergedExtent extent = extent_of(item);
    if (!status_.ok() || ordered_key(extent.volume, extent.first) < behind_) {
        status_ = {ErrorCode::corrupt, "the extents of a merged index are in disorder"};
        return std::nullopt;
    }
    behind_ = ordered_key(extent.volume, extent.end());
    return extent;
}

}  // namespace everstep::journal
