#include <algorithm>

#include "journal/merged_file.hpp"
#include "journal/shares.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint64_t kSectorsPerBlock = 1ULL << kBlockLevel;

// The parts of the sorted `ranges` in which this child has writes. `extents`: by blocks, sorted.
std::vector<UnitRange> of_child(const std::vector<UnitRange>& ranges,
                                const std::vector<MergedExtent>& extents, std::size_t child) {
    std::vector<UnitRange> out;
    auto extent = extents.begin();
    for (const UnitRange& range : ranges) {
        const std::uint64_t end = range.first + range.count;
        while (extent != extents.end() && extent->end() * kSectorsPerBlock <= range.first) ++extent;
        for (auto one = extent; one != extents.end() && one->first * kSectorsPerBlock < end;
             ++one) {
            if ((one->children >> child & 1) == 0) continue;
            const std::uint64_t from = std::max(range.first, one->first * kSectorsPerBlock);
            const std::uint64_t to = std::min(end, one->end() * kSectorsPerBlock);
            if (!out.empty() && out.back().first + out.back().count == from)
                out.back().count += to - from;
            else
                out.push_back({range.volume, from, to - from});
        }
    }
    return out;
}

}  // namespace

MergedShare::MergedShare(IndexCache& indexes, MergedIndexPtr index, const PathSpan& span)
    : indexes_(indexes), index_(std::move(index)), path_(span) {}

Status MergedShare::newest(std::span<const UnitRange> sectors, std::vector<SectorRun>& out) const {
    return ask(LookUp::newest, sectors, out);
}

Status MergedShare::before(std::span<const UnitRange> sectors, std::vector<SectorRun>& out) const {
    return ask(LookUp::before, sectors, out);
}

std::size_t MergedShare::in_order(LookUp look, std::size_t n) const {
    return look == LookUp::before ? n : index_->child_count() - 1 - n;
}

void MergedShare::will_look(LookUp look, std::span<const UnitRange> sectors,
                            std::size_t& segments) const {
    hinted_ = find(sectors);
    const std::vector<UnitRange> open(sectors.begin(), sectors.end());
    for (std::size_t n = 0; n < index_->child_count() && segments > 0; ++n) {
        const std::size_t number = in_order(look, n);
        const std::vector<UnitRange> ranges = of_child(open, *hinted_, number);
        const PathShare* share = ranges.empty() ? nullptr : child(number);
        if (share != nullptr) share->will_look(look, ranges, segments);
    }
}

// `sectors` are some of those that were hinted at, if any were.
Status MergedShare::ask(LookUp look, std::span<const UnitRange> sectors,
                        std::vector<SectorRun>& out) const {
    const std::vector<MergedExtent> extents = hinted_ ? std::move(*hinted_) : find(sectors);
    hinted_.reset();
    std::vector<UnitRange> open(sectors.begin(), sectors.end());
    std::vector<SectorRun> found;
    std::vector<SectorRun> part;
    for (std::size_t n = 0; n < index_->child_count() && !open.empty() && !extents.empty(); ++n) {
        const std::size_t number = in_order(look, n);
        const std::vector<UnitRange> ranges = of_child(open, extents, number);
        const PathShare* share = ranges.empty() ? nullptr : child(number);
        if (share == nullptr) continue;
        part.clear();
        EVERSTEP_TRY(look == LookUp::newest ? share->newest(ranges, part)
                                            : share->before(ranges, part));
        children_[number].reset();
        open = without(open, part);
        found.insert(found.end(), part.begin(), part.end());
    }
    std::sort(found.begin(), found.end(),
              [](const SectorRun& a, const SectorRun& b) { return a.first < b.first; });
    for (const SectorRun& run : found) append_run(out, run);
    return {};
}

// Where its file is no good, all that it covers counts as written.
std::vector<MergedExtent> MergedShare::find(std::span<const UnitRange> sectors) const {
    std::optional<PageView> view;
    if (!index_->damaged) {
        auto pages = indexes_.merged_pages(index_->salt);
        if (pages.ok()) view.emplace(std::move(*pages));
    }
    std::vector<MergedExtent> out;
    std::vector<MergedExtent> all;
    std::uint64_t end = 0;
    for (const UnitRange& range : sectors) {
        const std::uint64_t first = std::max(end, range.first >> kBlockLevel);  // each block once
        end = ((range.first + range.count - 1) >> kBlockLevel) + 1;
        if (first == end) continue;
        if (view) find_merged(*view, {range.volume, first, end - first}, out);
        all.push_back({.volume = range.volume,
                       .first = first,
                       .count = end - first,
                       .children = (1U << kMergeFanInMax) - 1});
    }
    if (view && view->status().ok()) return out;
    indexes_.note_damaged(*index_);
    return all;
}

PathShare* MergedShare::child(std::size_t number) const {
    std::unique_ptr<PathShare>& share = children_[number];
    if (share != nullptr) return share.get();
    const auto passes = [&](const auto& one) {
        return path_.after < one.last && one.first < path_.to;
    };
    if (index_->level > 1) {
        const MergedIndexPtr& below = index_->children[number];
        if (passes(*below)) share = std::make_unique<MergedShare>(indexes_, below, path_);
    } else {
        const FixedSegment& segment = index_->segments[number];
        if (passes(segment)) share = std::make_unique<FixedShare>(indexes_, segment, path_);
    }
    return share.get();
}

}  // namespace everstep::journal
