#include "journal/step_filter.hpp"

#include <algorithm>

#include "journal/paged_index.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kStepsMax = 4096;  // behind that, frames are read as they come

// The sectors of a volume that the filter means; an empty range, if there are none.
UnitRange sectors_of(const StepFilter& filter, VolumeIndex volume, std::uint64_t volume_bytes) {
    const std::uint64_t first = filter.offset.value();
    if (first >= volume_bytes) return {};
    const std::uint64_t all = volume_bytes - first;
    const std::uint64_t bytes = filter.length ? std::min(filter.length->value(), all) : all;
    if (bytes == 0) return {};
    const std::uint64_t begin = first / kSectorBytes;
    return {volume, begin, (first + bytes - 1) / kSectorBytes - begin + 1};
}

}  // namespace

std::optional<std::vector<Lsn>> steps_written(const Store::Impl& s, std::uint64_t segment,
                                              const StepFilter& filter) {
    std::uint64_t salt = 0;
    {
        const std::shared_lock guard(s.mutex);
        const Segment* found = s.history.segment(segment);
        if (found == nullptr || !found->redo.sealed || found->index != nullptr) return {};
        salt = found->redo.salt;
    }
    auto pages = s.indexes.pages(FileKind::redo, segment, salt);
    if (!pages.ok() || *pages == nullptr) return {};
    PageView view(std::move(*pages));
    const IndexedFile of = s.indexes.of(segment, salt);
    const PagedWrites writes(view, of);
    std::vector<Lsn> steps;
    for (std::uint64_t v = 0; v < s.history.volume_count(); ++v) {
        const VolumeIndex volume(v);
        if (filter.volume && *filter.volume != volume) continue;
        const UnitRange sectors = sectors_of(filter, volume, s.history.volume_bytes(volume));
        if (sectors.count > 0 && !writes.steps_on(sectors, kStepsMax, steps)) return {};
    }
    if (!view.status().ok()) return {};
    std::sort(steps.begin(), steps.end());
    steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
    return steps;
}

}  // namespace everstep::journal
