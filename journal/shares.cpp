// The shares of a path that a look-up goes through: what grows is looked up now, under the lock;
// what is fixed is looked up later, without it.
#include <algorithm>

#include "journal/paged_index.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

SegmentShare share_of(const PathSegment& part, const RedoIndex& index,
                      const BeforeImageIndex* images) {
    return {.writes = &index.writes,
            .images = images,
            .segment = part.segment->number,
            .span = index.writes.between(part.after, part.to)};
}

// The answers of a share that grows, for one window.
class FoundShare final : public PathShare {
  public:
    explicit FoundShare(std::vector<SectorRun> runs) : runs_(std::move(runs)) {}
    [[nodiscard]] Status newest(const UnitRange& sectors,
                                std::vector<SectorRun>& out) const override {
        const std::uint64_t end = sectors.first + sectors.count;
        auto run = std::partition_point(runs_.begin(), runs_.end(), [&](const SectorRun& r) {
            return r.end() <= sectors.first;
        });
        for (; run != runs_.end() && run->first < end; ++run)
            append_run(out, part_of(*run, sectors.first, end));
        return {};
    }
    [[nodiscard]] Status before(const UnitRange& sectors,
                                std::vector<SectorRun>& out) const override {
        return newest(sectors, out);
    }

  private:
    std::vector<SectorRun> runs_;
};

// A segment to which nothing is added any more. What of its indexes is not in memory is looked up
// in the pages of their files; where these are not good, the whole index is fetched.
class FixedShare final : public PathShare {
  public:
    FixedShare(IndexCache& indexes, const PathSegment& part)
        : indexes_(indexes),
          number_(part.segment->number),
          redo_salt_(part.segment->redo.salt),
          undo_salt_(part.segment->undo.salt),
          after_(part.after),
          to_(part.to),
          index_(part.segment->index),
          images_(part.segment->images) {}
    [[nodiscard]] Status newest(const UnitRange& sectors,
                                std::vector<SectorRun>& out) const override {
        if (in_pages([&](const PagedShare& share) { share.newest(sectors, found_); }, false))
            return take_found(out);
        EVERSTEP_TRY(fetch_index());
        share().newest(sectors, out);
        return {};
    }
    [[nodiscard]] Status before(const UnitRange& sectors,
                                std::vector<SectorRun>& out) const override {
        if (in_pages([&](const PagedShare& share) { share.before(sectors, found_); }, true))
            return take_found(out);
        EVERSTEP_TRY(fetch_index());
        EVERSTEP_TRY(fetch_images());
        share().before(sectors, out);
        return {};
    }

  private:
    using PagedShare = ShareOf<PagedWrites, PagedImages>;
    // One index in pages: what was read of it so far, or that it is no good.
    struct Paged {
        std::optional<IndexedFile> of;
        std::optional<PageView> view;
        bool bad = false;
        [[nodiscard]] bool is_bad() const { return bad || (view && !view->status().ok()); }
    };

    // False: nothing was found in this way.
    template <class Look>
    [[nodiscard]] bool in_pages(Look look, bool with_images) const {
        if (index_ == nullptr) index_ = indexes_.known_redo(redo_salt_);
        if (index_ != nullptr || (with_images && images_ != nullptr)) return false;
        if (!open(FileKind::redo, redo_salt_, redo_pages_)) return false;
        if (with_images && !open(FileKind::undo, undo_salt_, undo_pages_)) return false;
        const PagedWrites writes(*redo_pages_.view, *redo_pages_.of);
        std::optional<PagedImages> images;
        if (with_images) images.emplace(*undo_pages_.view, *undo_pages_.of);
        if (!span_) span_ = writes.between(after_, to_);
        found_.clear();
        look(PagedShare{&writes, images ? &*images : nullptr, number_, *span_});
        return !redo_pages_.is_bad() && !(with_images && undo_pages_.is_bad());
    }
    [[nodiscard]] bool open(FileKind kind, std::uint64_t salt, Paged& paged) const {
        if (paged.view || paged.bad) return !paged.is_bad();
        auto pages = indexes_.pages(kind, number_, salt);
        paged.bad = pages.status().code() == ErrorCode::corrupt;
        if (!pages.ok() || *pages == nullptr) return false;
        paged.of = indexes_.of(number_, salt);
        paged.view.emplace(std::move(*pages));
        return true;
    }
    [[nodiscard]] Status take_found(std::vector<SectorRun>& out) const {
        for (const SectorRun& run : found_) append_run(out, run);
        return {};
    }
    [[nodiscard]] Status fetch_index() const {
        if (index_ != nullptr) return {};
        auto found = indexes_.redo(number_, redo_salt_);
        if (!found.ok()) return found.status();
        index_ = std::move(*found);
        if (redo_pages_.is_bad())
            indexes_.put(number_, redo_salt_, *index_)
                .ignore("it is found bad again the next time");
        return {};
    }
    [[nodiscard]] Status fetch_images() const {
        if (images_ != nullptr) return {};
        auto found = indexes_.undo(number_, undo_salt_);
        if (!found.ok()) return found.status();
        images_ = std::move(*found);
        if (undo_pages_.is_bad())
            indexes_.put(number_, undo_salt_, *images_)
                .ignore("it is found bad again the next time");
        return {};
    }
    [[nodiscard]] SegmentShare share() const {
        return {.writes = &index_->writes,
                .images = images_.get(),
                .segment = number_,
                .span = index_->writes.between(after_, to_)};
    }

    IndexCache& indexes_;
    std::uint64_t number_;
    std::uint64_t redo_salt_;
    std::uint64_t undo_salt_;
    Position after_;
    Position to_;
    // One reader's own: a share is looked through by who asked for it.
    mutable std::shared_ptr<const RedoIndex> index_;
    mutable std::shared_ptr<const BeforeImageIndex> images_;
    mutable Paged redo_pages_;
    mutable Paged undo_pages_;
    mutable std::optional<UnitSpan> span_;
    mutable std::vector<SectorRun> found_;
};

}  // namespace

std::shared_ptr<const PathShare> Store::Impl::newer_share(const PathSegment& part,
                                                          const UnitRange& window) const {
    if (part.segment->redo.sealed) return std::make_shared<FixedShare>(indexes, part);
    std::vector<SectorRun> runs;
    share_of(part, *part.segment->index, nullptr).newest(window, runs);
    return std::make_shared<FoundShare>(std::move(runs));
}

std::shared_ptr<const PathShare> Store::Impl::undone_share(const PathSegment& part,
                                                           const UnitRange& window) const {
    const Segment& segment = *part.segment;
    if (segment.fixed()) return std::make_shared<FixedShare>(indexes, part);
    std::vector<SectorRun> runs;
    share_of(part, *segment.index, segment.images.get()).before(window, runs);
    return std::make_shared<FoundShare>(std::move(runs));
}

Result<Looked> Store::Impl::look(const Place& point, const UnitRange& window,
                                 const ReplicaState* as_if) const {
    const std::shared_lock guard(mutex);
    const auto ways = history.ways(point, as_if != nullptr ? *as_if : replica);
    if (!ways.ok()) return ways.status();
    Looked looked;
    looked.generation = move_generation;
    for (const PathSegment& part : ways->newer)
        looked.paths.newer.push_back(newer_share(part, window));
    for (const PathSegment& part : ways->undone)
        looked.paths.undone.push_back(undone_share(part, window));
    return looked;
}

}  // namespace everstep::journal
