// Housekeeping of the store beside the stages: the index of a sealed file goes to an index file and
// leaves memory.
#include "journal/store_impl.hpp"

namespace everstep::journal {

bool Store::wants_tending() const {
    return impl_->to_put_away.load(std::memory_order_relaxed);
}

Result<bool> Store::tend() {
    Impl& s = *impl_;
    s.to_put_away = false;  // before the look: what is sealed from here on is seen the next time
    auto done = s.put_away_redo();
    if (done.ok() && !*done) done = s.put_away_undo();
    if (done.ok() && *done) s.to_put_away = true;
    return done;
}

Result<bool> Store::Impl::put_away_redo() {
    std::shared_ptr<const RedoIndex> index;
    std::uint64_t number = 0;
    std::uint64_t salt = 0;
    {
        const std::shared_lock guard(mutex);
        for (const auto& segment : history.segments()) {
            if (!segment->redo_fixed() || segment->index == nullptr) continue;
            index = segment->index;
            number = segment->number;
            salt = segment->redo.salt;
            break;
        }
    }
    if (index == nullptr) return false;
    EVERSTEP_TRY(indexes.put(number, salt, *index));
    const std::lock_guard writer(writer_mutex);
    const std::unique_lock guard(mutex);
    Segment* segment = history.segment(number);
    if (segment != nullptr && segment->index == index && segment->redo_fixed())
        segment->index.reset();
    return true;
}

Result<bool> Store::Impl::put_away_undo() {
    std::shared_ptr<const BeforeImageIndex> images;
    std::uint64_t number = 0;
    std::uint64_t salt = 0;
    {
        const std::shared_lock guard(mutex);
        for (const auto& segment : history.segments()) {
            if (!segment->undo.sealed || segment->images == nullptr) continue;
            images = segment->images;
            number = segment->number;
            salt = segment->undo.salt;
            break;
        }
    }
    if (images == nullptr) return false;
    EVERSTEP_TRY(indexes.put(number, salt, *images));
    const std::lock_guard writer(writer_mutex);
    const std::unique_lock guard(mutex);
    Segment* segment = history.segment(number);
    if (segment != nullptr && segment->images == images) segment->images.reset();
    return true;
}

}  // namespace everstep::journal
