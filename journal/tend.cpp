// Housekeeping of the store beside the stages: the index of a sealed file goes to an index file and
// leaves memory; what is known of sealed segments goes to the catalogue. merges.hpp has the rest.
#include <algorithm>

#include "journal/catalogue.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

// Entries of one change: what is written is bounded, however much a scan has found.
constexpr std::size_t kCatalogueBatch = 256;

}  // namespace

bool Store::wants_tending() const {
    return impl_->to_tend.load(std::memory_order_relaxed) || impl_->indexes.has_damaged();
}

Result<bool> Store::tend() {
    Impl& s = *impl_;
    s.to_tend = false;  // before the look: what is sealed from here on is seen the next time
    auto done = s.put_away_redo();
    if (done.ok() && !*done) done = s.put_away_undo();
    if (done.ok() && !*done) done = s.write_catalogue();
    if (done.ok() && !*done) done = s.merges.step();
    if (!done.ok() || *done) s.to_tend = true;
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

// Position and sequence are taken together under position_mutex: every position record that is
// written later has a greater sequence.
Result<bool> Store::Impl::write_catalogue() {
    if (options.catalogue == nullptr) return false;
    CatalogueChange change;
    {
        const std::lock_guard position(position_mutex);
        const std::shared_lock guard(mutex);
        change.state = {sequence.load() - 1, {.state = recorded}};
        change.gone = dropped_numbers;
        for (const auto& segment : history.segments()) {
            if (change.entries.size() == kCatalogueBatch) break;
            if (segment->redo.sealed && !segment->catalogued)
                change.entries.push_back(entry_of(*segment));
        }
    }
    if (change.entries.empty() && change.gone.empty()) return false;
    EVERSTEP_TRY(options.catalogue->change(options.group, change));
    const std::lock_guard writer(writer_mutex);
    const std::unique_lock guard(mutex);
    dropped_numbers.erase(
        dropped_numbers.begin(),
        dropped_numbers.begin() + static_cast<std::ptrdiff_t>(change.gone.size()));
    for (const CatalogueEntry& entry : change.entries) {
        Segment* segment = history.segment(entry.number);
        if (segment != nullptr) segment->catalogued = segment->undo.sealed == entry.undo.sealed;
    }
    return true;
}

}  // namespace everstep::journal
