#include "journal/reading.hpp"

#include <algorithm>

#include "journal/paged_index.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint64_t kSectorsPerBlock = 1ULL << kBlockLevel;
constexpr std::uint64_t kSectorsPerChunk = kChunkBytes / kSectorBytes;
constexpr std::uint64_t kHintedSectorsMax = 128;  // of longer ones the pages come one by one

// Sectors [first, end) of a unit's payload: one run for each of its checksums.
template <class Share>
void append_unit(std::vector<SectorRun>& out, const Share& share, const Unit& unit,
                 const UnitRange& sectors) {
    if (unit.zero)
        return append_run(out,
                          {.first = sectors.first, .count = sectors.count, .source = Source::zero});
    const std::uint64_t start = unit.offset.value() / kSectorBytes;
    std::uint64_t at = sectors.first;
    const std::uint64_t end = sectors.first + sectors.count;
    SectorRun run{.source = Source::redo, .segment = share.segment};
    while (at < end) {
        const auto number = static_cast<std::uint32_t>((at - start) / kSectorsPerChunk);
        const std::uint64_t chunk_start = start + number * kSectorsPerChunk;
        const auto chunk = share.writes->chunk(unit, number);
        if (!chunk) return;  // the index has failed: what was found in it does not count
        run.at = unit.payload_at + chunk->skip;
        run.bytes = chunk->length;
        run.stored = chunk->stored;
        run.crc = chunk->crc;
        run.first = at;
        run.skip = static_cast<std::uint32_t>(at - chunk_start);
        run.count = std::min(end, chunk_start + run.bytes / kSectorBytes) - at;
        append_run(out, run);
        at += run.count;
    }
}

template <class Share>
void append_image(std::vector<SectorRun>& out, const Share& share, const UnitRange& sectors) {
    const auto image = share.images->find(sectors.volume, sectors.first >> kBlockLevel);
    SectorRun run{.first = sectors.first, .count = sectors.count};
    if (!image) {
        run.source = Source::missing;
        run.segment = share.segment;
    } else if (image->zero) {
        run.source = Source::zero;
    } else {
        run.source = Source::undo;
        run.segment = share.segment;
        run.at = image->at;
        run.bytes = run.stored = image->blocks * static_cast<std::uint32_t>(kBlockBytes);
        run.crc = image->crc;
        run.skip = static_cast<std::uint32_t>(sectors.first - image->block * kSectorsPerBlock);
    }
    append_run(out, run);
}

// Calls each(part) for the parts of the range in which all sectors have the same writes: whole
// blocks (or what of them is asked for), single sectors where some unit covers a part of the block.
template <class Writes, class Each>
void for_each_part(const Writes& writes, const UnitRange& sectors, Each each) {
    const std::uint64_t end = sectors.first + sectors.count;
    for (std::uint64_t at = sectors.first; at < end;) {
        const std::uint64_t block = at >> kBlockLevel;
        const std::uint64_t block_end = std::min(end, (block + 1) * kSectorsPerBlock);
        const bool split = writes.split_block(sectors.volume, block);
        const std::uint64_t step = split ? 1 : block_end - at;
        for (; at < block_end; at += step) each(UnitRange{sectors.volume, at, step});
    }
}

Status look_through(std::vector<std::shared_ptr<const PathShare>>& shares, LookUp look,
                    std::vector<UnitRange>& open, std::vector<SectorRun>& found) {
    std::size_t hints =
        open.empty() || open.front().count > kHintedSectorsMax ? 0 : kHintedSegments;
    for (auto share = shares.begin(); share != shares.end() && hints > 0; ++share)
        (*share)->will_look(look, open, hints);
    std::vector<SectorRun> part;
    for (auto& share : shares) {
        if (open.empty()) return {};
        part.clear();
        EVERSTEP_TRY(look == LookUp::newest ? share->newest(open, part)
                                            : share->before(open, part));
        share.reset();
        if (part.empty()) continue;
        open = without(open, part);
        found.insert(found.end(), part.begin(), part.end());
    }
    return {};
}

}  // namespace

std::vector<UnitRange> without(const std::vector<UnitRange>& ranges,
                               std::span<const SectorRun> runs) {
    std::vector<UnitRange> left;
    auto run = runs.begin();
    for (const UnitRange& range : ranges) {
        std::uint64_t at = range.first;
        const std::uint64_t end = range.first + range.count;
        while (run != runs.end() && run->end() <= at) ++run;
        for (; run != runs.end() && run->first < end; ++run) {
            if (run->first > at) left.push_back({range.volume, at, run->first - at});
            at = std::max(at, run->end());
            if (at >= end) break;
        }
        if (at < end) left.push_back({range.volume, at, end - at});
    }
    return left;
}

void append_run(std::vector<SectorRun>& runs, const SectorRun& run) {
    if (!runs.empty()) {
        SectorRun& last = runs.back();
        const bool stored = run.source == Source::redo || run.source == Source::undo;
        if (last.end() == run.first && last.source == run.source && last.segment == run.segment &&
            last.at == run.at && last.bytes == run.bytes &&
            (!stored || last.skip + last.count == run.skip)) {
            last.count += run.count;
            return;
        }
    }
    runs.push_back(run);
}

SectorRun part_of(SectorRun run, std::uint64_t first, std::uint64_t end) {
    const std::uint64_t from = std::max(run.first, first);
    const std::uint64_t to = std::min(run.end(), end);
    EVERSTEP_ASSERT(from < to, "a part of a run is not empty");
    if (run.source == Source::redo || run.source == Source::undo)
        run.skip += static_cast<std::uint32_t>(from - run.first);
    run.first = from;
    run.count = to - from;
    return run;
}

template <class Writes, class Images>
void ShareOf<Writes, Images>::newest(const UnitRange& sectors, std::vector<SectorRun>& out) const {
    for_each_part(*writes, sectors, [&](const UnitRange& part) {
        const auto unit = writes->last_write(part.volume, part.first, span);
        if (unit) append_unit(out, *this, *unit, part);
    });
}

// What lies before the first write of the span in the segment lies before the span.
template <class Writes, class Images>
void ShareOf<Writes, Images>::before(const UnitRange& sectors, std::vector<SectorRun>& out) const {
    for_each_part(*writes, sectors, [&](const UnitRange& part) {
        const Undone undone = writes->undone(part.volume, part.first, span);
        if (!undone.written) return;
        if (undone.before) return append_unit(out, *this, *undone.before, part);
        append_image(out, *this, part);
    });
}

template struct ShareOf<SegmentIndex, BeforeImageIndex>;
template struct ShareOf<PagedWrites, PagedImages>;

Result<std::vector<SectorRun>> resolve(ReadPaths paths, const UnitRange& sectors) {
    std::vector<SectorRun> found;
    if (sectors.count == 0) return found;
    std::vector<UnitRange> open{sectors};
    EVERSTEP_TRY(look_through(paths.newer, LookUp::newest, open, found));   // (1)
    EVERSTEP_TRY(look_through(paths.undone, LookUp::before, open, found));  // (2)
    for (const UnitRange& range : open)                                     // (3)
        found.push_back({.first = range.first, .count = range.count});
    std::sort(found.begin(), found.end(),
              [](const SectorRun& a, const SectorRun& b) { return a.first < b.first; });
    std::vector<SectorRun> runs;
    for (const SectorRun& run : found) append_run(runs, run);
    return runs;
}

}  // namespace everstep::journal
