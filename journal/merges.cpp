// Housekeeping of the store: indexes of neighbouring segments are merged, so that a look-up asks
// few of them however long the history is.
#include "journal/merges.hpp"

#include <algorithm>

#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

constexpr unsigned kMendedMax = 64;

}  // namespace

Result<bool> Merges::step() {
    EVERSTEP_TRY(drop_unused());
    if (work_ == nullptr) {
        kept_ = s_.kept_generation;
        MergedIndexPtr index = next();
        if (index == nullptr) return false;
        work_ = std::make_unique<Merger>(MergeSweep::From{s_.files, s_.indexes, s_.options},
                                         std::move(index));
    }
    const auto done = work_->step();
    if (done.ok() && !*done) return true;
    if (done.ok()) return take();
    const std::uint64_t salt = work_->index()->salt;
    work_->discard();
    work_.reset();
    if (kept_ != s_.kept_generation) return true;  // retention took what it was made of
    // What it is made of has to be mended first; but not for ever, where that cannot be read.
    if (s_.indexes.has_damaged() && mended_ < kMendedMax && next_damaged() != nullptr) return true;
    (void)s_.indexes.take_damaged();
    mended_ = 0;
    // The segment's damage is a scrub's to tell; the others are made all the same.
    const ErrorCode code = done.status().code();
    if (code == ErrorCode::corrupt || code == ErrorCode::not_found) {
        hopeless_.insert(salt);
        return true;
    }
    mending_ = false;
    return done.status();
}

// What is in use and was found damaged, or what is next.
MergedIndexPtr Merges::next() {
    mending_ = s_.indexes.take_damaged() || mending_;
    if (mending_) {
        give_up_cut();
        if (MergedIndexPtr index = next_damaged()) return index;
    }
    mending_ = false;
    const std::shared_lock guard(s_.mutex);
    return s_.history.next_merge(hopeless_);
}

MergedIndexPtr Merges::next_damaged() const {
    const std::shared_lock guard(s_.mutex);
    for (MergedIndexPtr& index : s_.history.merged())
        if (index->damaged && !hopeless_.contains(index->salt)) return std::move(index);
    return nullptr;
}

// A damaged one from under which retention took segments cannot be made again as it was, and as
// something else it would bear a name that says too much: it is of no use any more.
void Merges::give_up_cut() {
    const std::lock_guard writer(s_.writer_mutex);
    const std::unique_lock guard(s_.mutex);
    for (const MergedIndexPtr& index : s_.history.merged())
        if (index->damaged && s_.history.is_cut(*index)) s_.history.give_up_merged(*index);
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
    if (made->damaged.exchange(false)) {
        ++mended_;
        return true;
    }
    mended_ = 0;
    const std::lock_guard writer(s_.writer_mutex);
    const std::unique_lock guard(s_.mutex);
    s_.history.take_merged({made});
    const std::vector<MergedIndexPtr> used = s_.history.merged();
    if (std::find(used.begin(), used.end(), made) != used.end() || kept_ != s_.kept_generation)
        return true;
    return Status(ErrorCode::internal, "a merged index does not fit what it was made of");
}

}  // namespace everstep::journal
