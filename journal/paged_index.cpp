#include "journal/paged_index.hpp"

#include <algorithm>

#include "common/base/pack.hpp"
#include "journal/body_codec.hpp"

namespace everstep::journal {
namespace {

// Redo tables. A key's entries are the numbers of its units, growing. A fence is the first key of
// each so many keys: of 4 KiB of fences one finds the 4 KiB of keys.
enum RedoTable : std::size_t { keys, fences, entries, units, chunks, split, split_fences };
// Undo tables: every key has one image.
enum UndoTable : std::size_t { image_keys, image_fences, images };
static_assert(split_fences + 1 == kRedoPageTables && images + 1 == kUndoPageTables);

constexpr std::uint32_t kFenceEvery = 255;
constexpr std::size_t kKeyBytes = 16;    // u64 key, u32 first entry, u32 entries
constexpr std::size_t kSplitBytes = 8;   // u64 key
constexpr std::size_t kUnitBytes = 48;   // as in the list of units, and padding
constexpr std::size_t kImageBytes = 32;  // as in the list of before-images, and padding

std::uint64_t u64(Bytes from, std::size_t at) {
    return get<std::uint64_t>(from, at);
}
std::uint32_t u32(Bytes from, std::size_t at) {
    return get<std::uint32_t>(from, at);
}

struct Key {
    std::uint64_t key = 0;
    std::uint32_t newest = 0;
};
std::vector<Key> sorted_keys(const RangeIndex& index) {
    std::vector<Key> out;
    index.for_each_key([&](std::uint64_t key, std::uint32_t newest) {
        out.push_back({key, newest});
    });
    std::sort(out.begin(), out.end(), [](const Key& a, const Key& b) { return a.key < b.key; });
    return out;
}

BodyBytes fences_of(const std::vector<Key>& sorted) {
    BodyWriter out;
    for (std::size_t n = 0; n < sorted.size(); n += kFenceEvery) out.number(sorted[n].key);
    return out.take();
}

// The place of the first key that is not below `key` among the items of a table, which begin with
// one.
std::uint32_t place_of_key(PageView& view, std::size_t table, std::size_t fence_table,
                           std::uint64_t key) {
    const std::uint32_t count = view.pages().items(table);
    std::uint32_t low = 0;  // the fences below: at most the key
    std::uint32_t high = view.pages().items(fence_table);
    while (low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (u64(view.item(fence_table, middle), 0) <= key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return 0;
    std::uint64_t first = std::uint64_t{low - 1} * kFenceEvery;
    std::uint64_t end = std::min<std::uint64_t>(count, first + kFenceEvery);
    while (first < end) {
        const std::uint64_t middle = first + (end - first) / 2;
        if (u64(view.item(table, static_cast<std::uint32_t>(middle)), 0) < key)
            first = middle + 1;
        else
            end = middle;
    }
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(first, count));
}

// The place of the key, or how many there are.
std::uint32_t find_key(PageView& view, std::size_t table, std::size_t fence_table,
                       std::uint64_t key) {
    const std::uint32_t count = view.pages().items(table);
    const std::uint32_t at = place_of_key(view, table, fence_table, key);
    return at < count && u64(view.item(table, at), 0) == key ? at : count;
}

void pad_to(BodyBytes& bytes, std::size_t item_bytes) {
    bytes.resize((bytes.size() + item_bytes - 1) / item_bytes * item_bytes);
}

}  // namespace

BodyBytes pack_redo_pages(std::uint64_t salt, const SegmentIndex& writes) {
    const std::vector<Key> sorted = sorted_keys(writes.sectors());
    BodyWriter key_items;
    BodyWriter entry_items;
    std::uint32_t first = 0;
    std::vector<std::uint32_t> numbers;
    for (const Key& one : sorted) {
        numbers.clear();
        for (std::uint32_t entry = one.newest; entry != kRangeNone;
             entry = writes.sectors().older(entry))
            numbers.push_back(writes.sectors().value(entry));
        key_items.number(one.key);
        key_items.number(first);
        key_items.number(static_cast<std::uint32_t>(numbers.size()));
        first += static_cast<std::uint32_t>(numbers.size());
        for (auto number = numbers.rbegin(); number != numbers.rend(); ++number)
            entry_items.number(*number);
    }
    BodyBytes unit_items;
    for (std::uint32_t n = 0; n < writes.unit_count(); ++n) {
        BodyWriter unit;
        put_unit(unit, writes.unit(n));
        const BodyBytes bytes = unit.take();
        unit_items.insert(unit_items.end(), bytes.begin(), bytes.end());
        pad_to(unit_items, kUnitBytes);
    }
    BodyWriter chunk_items;
    for (const std::uint32_t crc : writes.chunk_crcs()) chunk_items.number(crc);
    const std::vector<Key> split_keys = sorted_keys(writes.split_blocks());
    BodyWriter split_items;
    for (const Key& one : split_keys) split_items.number(one.key);

    PageTables tables(salt, writes.sectors().levels());
    tables.add_table(kKeyBytes, key_items.take());
    tables.add_table(sizeof(std::uint64_t), fences_of(sorted));
    tables.add_table(sizeof(std::uint32_t), entry_items.take());
    tables.add_table(kUnitBytes, unit_items);
    tables.add_table(sizeof(std::uint32_t), chunk_items.take());
    tables.add_table(kSplitBytes, split_items.take());
    tables.add_table(sizeof(std::uint64_t), fences_of(split_keys));
    return tables.take();
}

BodyBytes pack_undo_pages(std::uint64_t salt, const BeforeImageIndex& index) {
    const std::vector<Key> sorted = sorted_keys(index.blocks());
    BodyWriter key_items;
    for (const Key& one : sorted) {
        key_items.number(one.key);
        key_items.number(index.blocks().value(one.newest));
        key_items.number<std::uint32_t>(1);
    }
    BodyBytes image_items;
    for (const BeforeImage& image : index.images()) {
        BodyWriter item;
        put_image(item, image);
        const BodyBytes bytes = item.take();
        image_items.insert(image_items.end(), bytes.begin(), bytes.end());
        pad_to(image_items, kImageBytes);
    }
    PageTables tables(salt, index.blocks().levels());
    tables.add_table(kKeyBytes, key_items.take());
    tables.add_table(sizeof(std::uint64_t), fences_of(sorted));
    tables.add_table(kImageBytes, image_items);
    return tables.take();
}

Status for_each_written(const std::shared_ptr<const IndexPages>& pages,
                        const std::function<void(const UnitRange&)>& each) {
    TableReader reader(pages, keys);
    for (Bytes item = reader.next(); !item.empty(); item = reader.next())
        each(range_of_key(u64(item, 0)));
    return reader.status();
}

std::uint32_t PagedWrites::unit_count() const {
    return view_.pages().items(units);
}

// How many units lie at or before a position. Positions grow about evenly with the numbers, so a
// guess by proportion is most often right to a page; each second one halves what is left, so that
// no order of positions takes more than twice the steps of halving alone.
std::uint32_t PagedWrites::count_to(Position position, const Ends& ends) const {
    std::uint32_t low = 0;  // all below it lie there
    std::uint32_t high = unit_count();
    if (position <= ends.before) return 0;
    if (ends.last <= position) return high;
    Lsn low_lsn = ends.before.lsn;
    Lsn high_lsn = ends.last.lsn;
    for (bool halve = false; low < high; halve = !halve) {
        const std::uint64_t wide = high - low;
        std::uint64_t step = wide / 2;
        if (!halve && low_lsn <= position.lsn && position.lsn < high_lsn) {
            const double part = static_cast<double>(position.lsn - low_lsn) /
                                static_cast<double>(high_lsn - low_lsn);
            step = std::min(wide - 1, static_cast<std::uint64_t>(part * static_cast<double>(wide)));
        }
        const auto middle = static_cast<std::uint32_t>(low + step);
        const Unit found = unit(middle);
        if (position < found.position()) {
            high = middle;
            high_lsn = found.lsn;
        } else {
            low = middle + 1;
            low_lsn = found.lsn;
        }
    }
    return low;
}

UnitSpan PagedWrites::between(Position after, Position to, const Ends& ends) const {
    return {count_to(after, ends), count_to(to, ends)};
}

// Of the key's units the newest below `last`; kRangeNone if there is none.
std::uint32_t PagedWrites::newest_below(std::uint64_t key, std::uint32_t last) const {
    const std::uint32_t at = find_key(view_, keys, fences, key);
    if (at == view_.pages().items(keys)) return kRangeNone;
    const Bytes item = view_.item(keys, at);
    const std::uint64_t first = u32(item, 8);
    std::uint64_t low = first;
    std::uint64_t high = first + u32(item, 12);
    if (high > view_.pages().items(entries)) {
        view_.fail("a key of the index has entries that are not there");
        return kRangeNone;
    }
    while (low < high) {
        const std::uint64_t middle = low + (high - low) / 2;
        if (u32(view_.item(entries, static_cast<std::uint32_t>(middle)), 0) < last)
            low = middle + 1;
        else
            high = middle;
    }
    return low == first ? kRangeNone
                        : u32(view_.item(entries, static_cast<std::uint32_t>(low - 1)), 0);
}

std::uint32_t PagedWrites::newest(VolumeIndex volume, std::uint64_t sector, UnitSpan span) const {
    std::uint32_t best = kRangeNone;
    if (span.empty()) return best;
    for (unsigned level = 0; level <= kRangeLevelMax; ++level) {
        if ((view_.pages().flags() >> level & 1) == 0) continue;
        const std::uint32_t unit = newest_below(range_key(volume, sector, level), span.last);
        if (unit != kRangeNone && unit >= span.first && (best == kRangeNone || unit > best))
            best = unit;
    }
    return view_.status().ok() ? best : kRangeNone;
}

bool PagedWrites::units_in(const UnitRange& sectors, std::size_t most,
                           std::vector<std::uint32_t>& out) const {
    const std::uint32_t count = view_.pages().items(keys);
    const std::uint64_t last = sectors.first + sectors.count - 1;
    for (unsigned level = 0; level <= kRangeLevelMax; ++level) {
        if ((view_.pages().flags() >> level & 1) == 0) continue;
        const std::uint64_t end = range_key(sectors.volume, last, level);
        std::uint32_t at =
            place_of_key(view_, keys, fences, range_key(sectors.volume, sectors.first, level));
        for (; at < count && view_.status().ok(); ++at) {
            const Bytes item = view_.item(keys, at);
            if (u64(item, 0) > end) break;
            const std::uint64_t first = u32(item, 8);
            const std::uint64_t behind = first + u32(item, 12);
            if (behind > view_.pages().items(entries)) {
                view_.fail("a key of the index has entries that are not there");
                return false;
            }
            if (out.size() + (behind - first) > most) return false;
            for (std::uint64_t n = first; n < behind; ++n)
                out.push_back(u32(view_.item(entries, static_cast<std::uint32_t>(n)), 0));
        }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return view_.status().ok();
}

bool PagedWrites::covers(std::uint32_t number, const UnitRange& sectors) const {
    if (!SegmentIndex::covers(unit(number), sectors))
        view_.fail("a key of the index leads to a write elsewhere");
    return view_.status().ok();
}

bool PagedWrites::split_block(VolumeIndex volume, std::uint64_t block) const {
    if (view_.pages().flags() >> kBlockLevel == 0) return true;
    return find_key(view_, split, split_fences, range_key(volume, block, 0)) !=
           view_.pages().items(split);
}

Unit PagedWrites::unit(std::uint32_t number) const {
    BodyReader reader(view_.item(units, number));
    const Unit unit = get_unit(reader);
    if (view_.status().ok() && !is_sane(unit, view_.pages().items(chunks), of_))
        view_.fail("a write in the index makes no sense");
    return unit;
}

std::uint32_t PagedWrites::chunk_crc(const Unit& unit, std::uint32_t chunk) const {
    return u32(view_.item(chunks, unit.chunks_at + chunk), 0);
}

std::optional<BeforeImage> PagedImages::find(VolumeIndex volume, std::uint64_t block) const {
    for (unsigned level = 0; level <= kRangeLevelMax; ++level) {
        if ((view_.pages().flags() >> level & 1) == 0) continue;
        const std::uint32_t at =
            find_key(view_, image_keys, image_fences, range_key(volume, block, level));
        if (at == view_.pages().items(image_keys)) continue;
        BodyReader reader(view_.item(images, u32(view_.item(image_keys, at), 8)));
        const BeforeImage image = get_image(reader);
        const bool covers = image.volume == volume.value() && image.block <= block &&
                            block < image.block + image.blocks;
        if (!is_sane(image, of_) || !covers)
            view_.fail("a key of the index leads to a before-image elsewhere");
        return image;
    }
    return std::nullopt;
}

}  // namespace everstep::journal
