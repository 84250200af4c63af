// Housekeeping of the store: indexes of neighbouring segments are merged, so that a look-up asks
// few of them however long the history is.
#include "journal/merges.hpp"

#include <algorithm>

#include "journal/store_impl.hpp"

namespace everstep::journal {

Result<bool> Merges::step() {
    EVERSTEP_TRY(drop_unused());
    if (work_ == nullptr) {
        kept_ = s_.kept_generation;
        MergedIndexPtr index = next();
        if (index == nullptr) return false;
        MergeSweep::From from{s_.files, s_.indexes, s_.options, true, gone_under(*index)};
        work_ = std::make_unique<Merger>(std::move(from), std::move(index));
    }
    const auto done = work_->step();
    if (done.ok() && !*done) return true;
    if (done.ok()) return take();
    work_->discard();
    work_.reset();
    // Retention took what it was made of, or what it is made of has to be mended first.
    if (kept_ != s_.kept_generation || s_.indexes.has_damaged()) return true;
    mending_ = false;
    return done.status();
}

// What is in use and was found damaged, or what is next.
MergedIndexPtr Merges::next() {
    mending_ = s_.indexes.take_damaged() || mending_;
    const std::shared_lock guard(s_.mutex);
    if (mending_)
        for (const MergedIndexPtr& index : s_.history.merged())
            if (index->damaged) return index;
    mending_ = false;
    return s_.history.next_merge();
}

std::set<std::uint64_t> Merges::gone_under(const MergedIndex& index) const {
    std::vector<FixedSegment> all;
    list_segments(index, all);
    std::set<std::uint64_t> gone;
    const std::shared_lock guard(s_.mutex);
    for (const FixedSegment& segment : all)
        if (s_.history.segment(segment.number) == nullptr) gone.insert(segment.number);
    return gone;
}

Status Merges::drop_unused() {
    std::vector<std::uint64_t> gone;
    {
        const std::shared_lock guard(s_.mutex);
        if (seen_ == s_.history.merged_changes()) return {};
        seen_ = s_.history.merged_changes();
        std::set<std::uint64_t> used;
        for (const MergedIndexPtr& index : s_.history.merged()) used.insert(index->salt);
        std::set_difference(files.begin(), files.end(), used.begin(), used.end(),
                            std::back_inserter(gone));
    }
    for (const std::uint64_t salt : gone) {
        EVERSTEP_TRY(s_.indexes.remove_merged(salt));
        files.erase(salt);
    }
    return {};
}

Result<bool> Merges::take() {
    const MergedIndexPtr made = work_->index();
    work_.reset();
    files.insert(made->salt);
    if (made->damaged.exchange(false)) return true;
    const std::lock_guard writer(s_.writer_mutex);
    const std::unique_lock guard(s_.mutex);
    s_.history.take_merged({made});
    const std::vector<MergedIndexPtr> used = s_.history.merged();
    if (std::find(used.begin(), used.end(), made) != used.end() || kept_ != s_.kept_generation)
        return true;
    return Status(ErrorCode::internal, "a merged index does not fit what it was made of");
}

}  // namespace everstep::journal
