// Which parts of a volume at a step are known to be zeroes without reading them.
//
// Looked up in windows (reading.hpp), each under a shared lock of its own; between two of them
// writers have their turn. A view does not change, and each window looks twice (read.cpp), so it is
// right whatever moved since the window before.
#include <algorithm>

#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kWindowsMax = 64;  // looked up by one call

void add_extent(std::vector<BlockExtent>& extents, std::uint64_t length, bool zero) {
    if (!extents.empty() && extents.back().zero == zero) {
        extents.back().length += length;
        return;
    }
    extents.push_back({.length = length, .hole = zero, .zero = zero});
}

// What of a range that the replica answers for are holes of its file.
Status add_replica(std::vector<BlockExtent>& extents, const ReplicaReader& replica,
                   VolumeIndex volume, const GapExtent& range) {
    const auto found = replica.extents(volume, range.offset, range.length);
    if (!found.ok()) return found.status();
    std::uint64_t at = range.offset.value();
    const std::uint64_t end = at + range.length.value();
    for (const io::DataExtent& e : *found) {
        const std::uint64_t stop = std::min(end, e.offset.value() + e.length.value());
        if (stop <= at) continue;
        // Whole sectors only; a part of one counts as data.
        const std::uint64_t whole =
            e.hole ? stop / kSectorBytes * kSectorBytes : align_up(stop, kSectorBytes);
        if (whole > at) add_extent(extents, std::min(end, whole) - at, e.hole);
        at = std::max(at, std::min(end, whole));
    }
    if (at < end) add_extent(extents, end - at, false);
    return {};
}

}  // namespace

Result<std::vector<BlockExtent>> Store::block_status(const View& view, const ReplicaReader& replica,
                                                     VolumeIndex volume, ByteOffset offset,
                                                     ByteCount length,
                                                     std::size_t extents_max) const {
    const Impl& s = *impl_;
    const std::uint64_t size =
        volume.value() < s.history.volume_count() ? s.history.volume_bytes(volume) : 0;
    if (offset.value() % kSectorBytes != 0 || length.value() % kSectorBytes != 0 ||
        length == ByteCount(0) || offset.value() > size || length.value() > size - offset.value() ||
        extents_max == 0)
        return Status(ErrorCode::usage, "block status: not whole sectors of a volume");
    std::vector<BlockExtent> extents;
    std::uint64_t at = offset.value();
    const std::uint64_t end = at + length.value();
    for (std::size_t windows = 0;
         at < end && extents.size() <= extents_max && windows < kWindowsMax; ++windows) {
        std::vector<BlockExtent> window;
        const auto covered =
            window_status(view, replica, {volume, ByteOffset(at), ByteCount(end - at)}, window);
        if (!covered.ok()) return covered.status();
        for (const BlockExtent& e : window) add_extent(extents, e.length, e.zero);
        at += covered->value();
    }
    if (extents.size() > extents_max) extents.resize(extents_max);
    return extents;
}

// One window's extents; gives how many bytes they cover.
Result<ByteCount> Store::window_status(const View& view, const ReplicaReader& replica,
                                       const GapExtent& range,
                                       std::vector<BlockExtent>& extents) const {
    const Place point{view.timeline, view.at};
    const ByteCount bytes = std::min(range.length, ByteCount(kWindowBytesMax));
    const UnitRange window{range.volume, range.offset.value() / kSectorBytes,
                           bytes.value() / kSectorBytes};
    const auto look = [&](std::uint64_t& generation) -> Result<std::vector<SectorRun>> {
        const std::lock_guard turn(impl_->status_mutex);
        auto looked = impl_->look(point, window);
        if (!looked.ok()) return looked.status();
        generation = looked->stand.generation;
        return resolve(std::move(looked->paths), window);
    };
    while (true) {
        extents.clear();
        std::uint64_t generation = 0;
        const std::uint64_t kept = impl_->kept_generation;
        const auto first = look(generation);
        // Retention may have taken a segment away: then the look-up has another answer.
        if (!first.ok() && impl_->kept_generation != kept) continue;
        if (!first.ok()) return first.status();
        bool from_files = true;
        for (const SectorRun& run : *first) {
            const ByteOffset at(run.first * kSectorBytes);
            const ByteCount length(run.count * kSectorBytes);
            from_files = from_files && run.source != Source::replica;
            if (run.source == Source::replica)
                EVERSTEP_TRY(
                    add_replica(extents, replica, range.volume, {range.volume, at, length}));
            else
                add_extent(extents, length.value(), run.source == Source::zero);
        }
        if (from_files) return bytes;
        std::uint64_t later = 0;
        const auto again = look(later);
        if (!again.ok() && impl_->kept_generation != kept) continue;
        if (!again.ok()) return again.status();
        const bool same =
            std::equal(first->begin(), first->end(), again->begin(), again->end(),
                       [](const SectorRun& a, const SectorRun& b) {
                           return a.first == b.first && a.count == b.count && a.source == b.source;
                       });
        if (same && generation == later) return bytes;
    }
}

}  // namespace everstep::journal
