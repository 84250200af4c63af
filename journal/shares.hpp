// The shares of a path that are looked up without the store's lock: those of fixed segments, and of
// merged indexes over them.
//
// Thread: one reader's own: a share is looked through by who asked for it.
// Invariants: what a damaged or missing index file cannot say is found in another way: of a
// segment in its whole index, made again if need be; of a merged index by asking all that it
// covers.
#pragma once

#include <array>

#include "journal/history.hpp"
#include "journal/index_cache.hpp"
#include "journal/merged_file.hpp"
#include "journal/paged_index.hpp"
#include "journal/reading.hpp"

namespace everstep::journal {

// A segment to which nothing is added any more. What of its indexes is not in memory is looked up
// in the pages of their files; where these are not good, the whole index is fetched.
class FixedShare final : public PathShare {
  public:
    FixedShare(IndexCache& indexes, const FixedSegment& segment, const PathSpan& span)
        : indexes_(indexes), segment_(segment), path_(span) {}
    // What is in memory of it.
    void know(std::shared_ptr<const RedoIndex> index,
              std::shared_ptr<const BeforeImageIndex> images) {
        index_ = std::move(index);
        images_ = std::move(images);
    }
    void will_look(LookUp look, std::span<const UnitRange> sectors,
                   std::size_t& segments) const override;
    [[nodiscard]] Status newest(std::span<const UnitRange> sectors,
                                std::vector<SectorRun>& out) const override;
    [[nodiscard]] Status before(std::span<const UnitRange> sectors,
                                std::vector<SectorRun>& out) const override;

  private:
    using PagedShare = ShareOf<PagedWrites, PagedImages>;
    // One index in pages: what was read of it so far, or that it is no good.
    struct Paged {
        std::optional<IndexedFile> of;
        std::optional<PageView> view;
        bool bad = false;
        [[nodiscard]] bool is_bad() const { return bad || (view && !view->status().ok()); }
    };
    template <class Look>
    [[nodiscard]] bool in_pages(Look look, bool with_images) const;
    [[nodiscard]] bool open(FileKind kind, std::uint64_t salt, Paged& paged) const;
    [[nodiscard]] Status take_found(std::vector<SectorRun>& out) const;
    [[nodiscard]] Status fetch_index() const;
    [[nodiscard]] Status fetch_images() const;
    [[nodiscard]] SegmentShare share() const;

    IndexCache& indexes_;
    FixedSegment segment_;
    PathSpan path_;
    mutable std::shared_ptr<const RedoIndex> index_;
    mutable std::shared_ptr<const BeforeImageIndex> images_;
    mutable Paged redo_pages_;
    mutable Paged undo_pages_;
    mutable std::vector<SectorRun> found_;
};

// The segments under a merged index: only those are asked that have writes in what is asked for.
class MergedShare final : public PathShare {
  public:
    MergedShare(IndexCache& indexes, MergedIndexPtr index, const PathSpan& span);
    void will_look(LookUp look, std::span<const UnitRange> sectors,
                   std::size_t& segments) const override;
    [[nodiscard]] Status newest(std::span<const UnitRange> sectors,
                                std::vector<SectorRun>& out) const override;
    [[nodiscard]] Status before(std::span<const UnitRange> sectors,
                                std::vector<SectorRun>& out) const override;

  private:
    [[nodiscard]] Status ask(LookUp look, std::span<const UnitRange> sectors,
                             std::vector<SectorRun>& out) const;
    // The n-th that is asked.
    [[nodiscard]] std::size_t in_order(LookUp look, std::size_t n) const;
    [[nodiscard]] std::vector<MergedExtent> find(std::span<const UnitRange> sectors) const;
    // None: not on the path. It goes once it was asked, with the files that it holds open.
    [[nodiscard]] PathShare* child(std::size_t number) const;

    IndexCache& indexes_;
    MergedIndexPtr index_;
    PathSpan path_;
    mutable std::optional<std::vector<MergedExtent>> hinted_;  // of what a look was hinted at
    mutable std::array<std::unique_ptr<PathShare>, kMergeFanInMax> children_;
};

}  // namespace everstep::journal
