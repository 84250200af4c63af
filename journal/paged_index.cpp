#include "journal/paged_index.hpp"

#include <algorithm>

#include "common/base/pack.hpp"
#include "journal/body_codec.hpp"

namespace everstep::journal {
namespace {

// Redo tables: writes by key and position, their fences, words of chunks. Undo tables:
// before-images by volume and block, their fences.
enum RedoTable : std::size_t { writes, write_fences, chunks };
enum UndoTable : std::size_t { images, image_fences };
static_assert(chunks + 1 == kRedoPageTables && image_fences + 1 == kUndoPageTables);
static_assert(write_fences == kPageFences && image_fences == kPageFences);
constexpr SortedTable kWrites{writes, write_fences};
constexpr SortedTable kImages{images, image_fences};

constexpr std::size_t kKeyBytes = 8;
constexpr std::size_t kWriteBytes = kKeyBytes + 47;  // u64 key, and as in the list of units
constexpr std::size_t kWriteFenceBytes = 20;         // the key and the position
constexpr std::size_t kImageBytes = kKeyBytes + 27;  // u64 key, and as in the list of images
constexpr std::size_t kBlockSectors = 1U << kBlockLevel;

// Where a write lies in its table.
struct WritePlace {
    std::uint64_t key = 0;
    Position position;
    static WritePlace of(Bytes item) {
        BodyReader reader(item.first(kWriteFenceBytes));
        const auto key = reader.number<std::uint64_t>();
        return {key, reader.position()};
    }
    auto operator<=>(const WritePlace&) const = default;
};

struct ImagePlace {
    std::uint64_t key = 0;
    static ImagePlace of(Bytes item) { return {get<std::uint64_t>(item, 0)}; }
    auto operator<=>(const ImagePlace&) const = default;
};

// A piece of a write.
struct Piece {
    std::uint64_t key = 0;
    std::uint32_t unit = 0;
};

// By key, then by number, which grows with the position.
std::vector<Piece> sorted_pieces(const RangeIndex& index) {
    std::vector<Piece> out;
    out.reserve(index.entry_count());
    index.for_each_key([&](std::uint64_t key, std::uint32_t newest) {
        for (std::uint32_t entry = newest; entry != kRangeNone; entry = index.older(entry))
            out.push_back({key, index.value(entry)});
    });
    std::sort(out.begin(), out.end(), [](const Piece& a, const Piece& b) {
        return std::tie(a.key, a.unit) < std::tie(b.key, b.unit);
    });
    return out;
}

}  // namespace

BodyBytes pack_redo_pages(std::uint64_t salt, const SegmentIndex& index) {
    BodyWriter items;
    for (const Piece& piece : sorted_pieces(index.sectors())) {
        items.number(piece.key);
        put_unit(items, index.unit(piece.unit));
    }
    BodyWriter chunk_items;
    for (const std::uint32_t word : index.chunk_words()) chunk_items.number(word);
    PageTables tables(salt, index.sectors().levels());
    tables.add_sorted(kWriteBytes, kWriteFenceBytes, items.take());
    tables.add_table(sizeof(std::uint32_t), chunk_items.take());
    return tables.take();
}

BodyBytes pack_undo_pages(std::uint64_t salt, const BeforeImageIndex& index) {
    const auto key_of = [](const BeforeImage& image) {
        return ordered_key(VolumeIndex(image.volume), image.block);
    };
    std::vector<BeforeImage> sorted = index.images();
    std::sort(sorted.begin(), sorted.end(),
              [&](const BeforeImage& a, const BeforeImage& b) { return key_of(a) < key_of(b); });
    BodyWriter items;
    for (const BeforeImage& image : sorted) {
        items.number(key_of(image));
        put_image(items, image);
    }
    PageTables tables(salt, 0);
    tables.add_sorted(kImageBytes, kKeyBytes, items.take());
    return tables.take();
}

Status for_each_written(const std::shared_ptr<const IndexPages>& pages,
                        const std::function<void(const UnitRange&)>& each) {
    TableReader reader(pages, writes);
    std::uint64_t last = 0;
    for (Bytes item = reader.next(); !item.empty(); item = reader.next()) {
        const auto key = get<std::uint64_t>(item, 0);
        if (key != last) each(range_of_key(key));
        last = key;
    }
    return reader.status();
}

// The levels below `levels_behind` that are in use.
template <class Each>
void PagedWrites::for_each_level(unsigned levels_behind, Each each) const {
    for (unsigned level = 0; level < levels_behind && view_.status().ok(); ++level)
        if ((view_.pages().flags() >> level & 1) != 0) each(level);
}

std::uint32_t PagedWrites::count_to(std::uint64_t key, const Position& position) const {
    return journal::count_to(view_, kWrites, WritePlace{key, position});
}

std::optional<Unit> PagedWrites::unit_of(std::uint32_t item, std::uint64_t key) const {
    BodyReader reader(view_.item(writes, item));
    if (reader.number<std::uint64_t>() != key) return {};
    const Unit unit = get_unit(reader);
    if (view_.status().ok() && (!is_sane(unit, view_.pages().items(chunks), of_) ||
                                !SegmentIndex::covers(unit, range_of_key(key))))
        view_.fail("a write in the index makes no sense");
    return view_.status().ok() ? std::optional(unit) : std::nullopt;
}

std::optional<Unit> PagedWrites::last_write(VolumeIndex volume, std::uint64_t sector,
                                            const PathSpan& span) const {
    std::optional<Unit> last;
    for_each_level(kRangeLevelMax + 1, [&](unsigned level) {
        const std::uint64_t key = range_key(volume, sector, level);
        const std::uint32_t at = count_to(key, span.to);
        const auto unit = at > 0 ? unit_of(at - 1, key) : std::nullopt;
        if (unit && span.after < unit->position() && (!last || last->position() < unit->position()))
            last = unit;
    });
    return view_.status().ok() ? last : std::nullopt;
}

Undone PagedWrites::undone(VolumeIndex volume, std::uint64_t sector, const PathSpan& span) const {
    Undone found;
    for_each_level(kRangeLevelMax + 1, [&](unsigned level) {
        const std::uint64_t key = range_key(volume, sector, level);
        const std::uint32_t at = count_to(key, span.after);
        const auto next = at < view_.pages().items(writes) ? unit_of(at, key) : std::nullopt;
        if (next && next->position() <= span.to) found.written = true;
        const auto unit = at > 0 ? unit_of(at - 1, key) : std::nullopt;
        if (unit && (!found.before || found.before->position() < unit->position()))
            found.before = unit;
    });
    return view_.status().ok() ? found : Undone{};
}

void PagedWrites::will_look(const UnitRange& sectors, const Position& at) const {
    const std::uint64_t last = sectors.first + sectors.count - 1;
    for_each_level(kRangeLevelMax + 1, [&](unsigned level) {
        for (const std::uint64_t sector : {sectors.first, last})
            will_count(view_, kWrites, WritePlace{range_key(sectors.volume, sector, level), at});
    });
}

bool PagedWrites::split_block(VolumeIndex volume, std::uint64_t block) const {
    if (view_.pages().flags() >> kBlockLevel == 0) return true;
    const std::uint64_t first = block << kBlockLevel;
    bool split = false;
    for_each_level(kBlockLevel, [&](unsigned level) {
        const std::uint32_t at = count_to(range_key(volume, first, level), {});
        const std::uint64_t last = range_key(volume, first + kBlockSectors - 1, level);
        split = split || (at < view_.pages().items(writes) &&
                          WritePlace::of(view_.item(writes, at)).key <= last);
    });
    return split;
}

std::optional<UnitChunk> PagedWrites::chunk(const Unit& unit, std::uint32_t number) const {
    const auto found = chunk_of(unit, number, [&](std::uint32_t n) {
        return get<std::uint32_t>(view_.item(chunks, n), 0);
    });
    if (!found && view_.status().ok()) view_.fail("a chunk in the index makes no sense");
    return view_.status().ok() ? found : std::nullopt;
}

bool PagedWrites::steps_on(const UnitRange& sectors, std::size_t most,
                           std::vector<Lsn>& out) const {
    const std::uint64_t end = sectors.first + sectors.count - 1;
    for_each_level(kRangeLevelMax + 1, [&](unsigned level) {
        const std::uint64_t last = range_key(sectors.volume, end, level);
        std::uint32_t at = count_to(range_key(sectors.volume, sectors.first, level), {});
        for (; at < view_.pages().items(writes) && out.size() <= most; ++at) {
            const WritePlace place = WritePlace::of(view_.item(writes, at));
            if (!view_.status().ok() || place.key > last) break;
            out.push_back(place.position.lsn);
        }
    });
    return view_.status().ok() && out.size() <= most;
}

void PagedImages::will_find(VolumeIndex volume, std::uint64_t block) const {
    will_count(view_, kImages, ImagePlace{ordered_key(volume, block)});
}

std::optional<BeforeImage> PagedImages::find(VolumeIndex volume, std::uint64_t block) const {
    const std::uint32_t at = count_to(view_, kImages, ImagePlace{ordered_key(volume, block)});
    if (at == 0) return {};
    BodyReader reader(view_.item(images, at - 1));
    const auto key = reader.number<std::uint64_t>();
    const BeforeImage image = get_image(reader);
    if (view_.status().ok() &&
        (!is_sane(image, of_) || key != ordered_key(VolumeIndex(image.volume), image.block)))
        view_.fail("a before-image in the index makes no sense");
    const bool covers = image.volume == volume.value() && image.block <= block &&
                        block < image.block + image.blocks;
    return covers && view_.status().ok() ? std::optional(image) : std::nullopt;
}

}  // namespace everstep::journal
