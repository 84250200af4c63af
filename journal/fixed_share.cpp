#include "journal/shares.hpp"

namespace everstep::journal {

void FixedShare::will_look(LookUp look, std::span<const UnitRange> sectors,
                           std::size_t& segments) const {
    if (segments == 0 || sectors.empty()) return;
    --segments;
    const UnitRange& range = sectors.front();
    const bool in_memory = index_ != nullptr || indexes_.known_redo(segment_.redo_salt) != nullptr;
    if (in_memory || !open(FileKind::redo, segment_.redo_salt, redo_pages_)) return;
    PagedWrites(*redo_pages_.view, *redo_pages_.of)
        .will_look(range, look == LookUp::newest ? path_.to : path_.after);
    if (look == LookUp::newest || images_ != nullptr) return;
    if (!open(FileKind::undo, segment_.undo_salt, undo_pages_)) return;
    PagedImages(*undo_pages_.view, *undo_pages_.of)
        .will_find(range.volume, range.first >> kBlockLevel);
}

Status FixedShare::newest(std::span<const UnitRange> sectors, std::vector<SectorRun>& out) const {
    const auto look = [&](const auto& share, std::vector<SectorRun>& to) {
        for (const UnitRange& range : sectors) share.newest(range, to);
    };
    if (in_pages([&](const PagedShare& share) { look(share, found_); }, false))
        return take_found(out);
    EVERSTEP_TRY(fetch_index());
    look(share(), out);
    return {};
}

Status FixedShare::before(std::span<const UnitRange> sectors, std::vector<SectorRun>& out) const {
    const auto look = [&](const auto& share, std::vector<SectorRun>& to) {
        for (const UnitRange& range : sectors) share.before(range, to);
    };
    if (in_pages([&](const PagedShare& share) { look(share, found_); }, true))
        return take_found(out);
    EVERSTEP_TRY(fetch_index());
    EVERSTEP_TRY(fetch_images());
    look(share(), out);
    return {};
}

// False: nothing was found in this way.
template <class Look>
bool FixedShare::in_pages(Look look, bool with_images) const {
    if (index_ == nullptr) index_ = indexes_.known_redo(segment_.redo_salt);
    if (index_ != nullptr || (with_images && images_ != nullptr)) return false;
    if (!open(FileKind::redo, segment_.redo_salt, redo_pages_)) return false;
    if (with_images && !open(FileKind::undo, segment_.undo_salt, undo_pages_)) return false;
    const PagedWrites writes(*redo_pages_.view, *redo_pages_.of);
    std::optional<PagedImages> images;
    if (with_images) images.emplace(*undo_pages_.view, *undo_pages_.of);
    found_.clear();
    look(PagedShare{&writes, images ? &*images : nullptr, segment_.number, path_});
    return !redo_pages_.is_bad() && !(with_images && undo_pages_.is_bad());
}

bool FixedShare::open(FileKind kind, std::uint64_t salt, Paged& paged) const {
    if (paged.view || paged.bad) return !paged.is_bad();
    auto pages = indexes_.pages(kind, segment_.number, salt);
    paged.bad = pages.status().code() == ErrorCode::corrupt;
    if (!pages.ok() || *pages == nullptr) return false;
    paged.of = indexes_.of(segment_.number, salt);
    paged.view.emplace(std::move(*pages));
    return true;
}

Status FixedShare::take_found(std::vector<SectorRun>& out) const {
    for (const SectorRun& run : found_) append_run(out, run);
    return {};
}

Status FixedShare::fetch_index() const {
    if (index_ != nullptr) return {};
    auto found = indexes_.redo(segment_.number, segment_.redo_salt);
    if (!found.ok()) return found.status();
    index_ = std::move(*found);
    if (redo_pages_.is_bad())
        indexes_.put(segment_.number, segment_.redo_salt, *index_)
            .ignore("it is found bad again the next time");
    return {};
}

Status FixedShare::fetch_images() const {
    if (images_ != nullptr) return {};
    auto found = indexes_.undo(segment_.number, segment_.undo_salt);
    if (!found.ok()) return found.status();
    images_ = std::move(*found);
    if (undo_pages_.is_bad())
        indexes_.put(segment_.number, segment_.undo_salt, *images_)
            .ignore("it is found bad again the next time");
    return {};
}

SegmentShare FixedShare::share() const {
    return {.writes = &index_->writes,
            .images = images_.get(),
            .segment = segment_.number,
            .span = index_->writes.between(path_.after, path_.to)};
}

}  // namespace everstep::journal
