// PagedWrites, PagedImages: the look-ups of SegmentIndex and BeforeImageIndex in the pages of an
// index file. Each item has all that there is to know of a write at a place, so that one page is
// read for a look-up. Nothing of it stays in memory.
//
// Thread: one look-up's, as the view that it reads through.
// Invariants: an answer counts only if the view's status is ok behind it: whatever is wrong with a
// page or what it holds ends there, and the whole index is asked instead.
#pragma once

#include <functional>

#include "journal/index_file.hpp"
#include "journal/index_pages.hpp"

namespace everstep::journal {

[[nodiscard]] BodyBytes pack_redo_pages(std::uint64_t salt, const SegmentIndex& writes);
[[nodiscard]] BodyBytes pack_undo_pages(std::uint64_t salt, const BeforeImageIndex& images);
inline constexpr std::size_t kRedoPageTables = 3;
inline constexpr std::size_t kUndoPageTables = 2;
inline constexpr std::size_t kPageFences = 1;  // of either: the table of fences

// Calls each() with what a redo index's writes cover, in no order, some of it more than once.
[[nodiscard]] Status for_each_written(const std::shared_ptr<const IndexPages>& pages,
                                      const std::function<void(const UnitRange&)>& each);

class PagedWrites {
  public:
    using Span = PathSpan;
    // Both outlive it. `of`: whose index it is.
    PagedWrites(PageView& view, const IndexedFile& of) : view_(view), of_(of) {}
    // As SegmentIndex.
    [[nodiscard]] std::optional<Unit> last_write(VolumeIndex volume, std::uint64_t sector,
                                                 const PathSpan& span) const;
    [[nodiscard]] Undone undone(VolumeIndex volume, std::uint64_t sector,
                                const PathSpan& span) const;
    // A hint that what happened to these few sectors about then will be asked for.
    void will_look(const UnitRange& sectors, const Position& at) const;
    [[nodiscard]] bool split_block(VolumeIndex volume, std::uint64_t block) const;
    [[nodiscard]] std::optional<UnitChunk> chunk(const Unit& unit, std::uint32_t number) const;
    // Appends the steps that wrote on any of the sectors, in no order, some more than once. False:
    // there are more than about `most`, or the view has failed.
    [[nodiscard]] bool steps_on(const UnitRange& sectors, std::size_t most,
                                std::vector<Lsn>& out) const;

  private:
    template <class Each>
    void for_each_level(unsigned levels_behind, Each each) const;
    [[nodiscard]] std::uint32_t count_to(std::uint64_t key, const Position& position) const;
    // None: it has another key, or the view has failed.
    [[nodiscard]] std::optional<Unit> unit_of(std::uint32_t item, std::uint64_t key) const;
    PageView& view_;
    const IndexedFile& of_;
};

class PagedImages {
  public:
    PagedImages(PageView& view, const IndexedFile& of) : view_(view), of_(of) {}
    [[nodiscard]] std::optional<BeforeImage> find(VolumeIndex volume, std::uint64_t block) const;
    void will_find(VolumeIndex volume, std::uint64_t block) const;

  private:
    PageView& view_;
    const IndexedFile& of_;
};

}  // namespace everstep::journal
