// PagedWrites, PagedImages: the look-ups of SegmentIndex and BeforeImageIndex in the pages of an
// index file: sorted keys, found by halving. Nothing of it stays in memory.
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
inline constexpr std::size_t kRedoPageTables = 7;
inline constexpr std::size_t kUndoPageTables = 3;

// Calls each() with what a redo index's writes cover, in no order, some of it more than once.
[[nodiscard]] Status for_each_written(const std::shared_ptr<const IndexPages>& pages,
                                      const std::function<void(const UnitRange&)>& each);

class PagedWrites {
  public:
    // What is known of all positions in the index: they lie in (before, last].
    struct Ends {
        Position before;
        Position last;
    };
    // Both outlive it. `of`: whose index it is.
    PagedWrites(PageView& view, const IndexedFile& of) : view_(view), of_(of) {}
    [[nodiscard]] std::uint32_t unit_count() const;
    // As SegmentIndex. Nothing is read for what lies outside of `ends`.
    [[nodiscard]] UnitSpan between(Position after, Position to, const Ends& ends) const;
    [[nodiscard]] std::uint32_t newest(VolumeIndex volume, std::uint64_t sector,
                                       UnitSpan span) const;
    // Appends the numbers of the units that cover any of the sectors, growing. False: there are
    // more than about `most`, or the view has failed.
    [[nodiscard]] bool units_in(const UnitRange& sectors, std::size_t most,
                                std::vector<std::uint32_t>& out) const;
    [[nodiscard]] bool split_block(VolumeIndex volume, std::uint64_t block) const;
    // False, and the view has failed, where the pages contradict each other.
    [[nodiscard]] bool covers(std::uint32_t number, const UnitRange& sectors) const;
    [[nodiscard]] Unit unit(std::uint32_t number) const;
    [[nodiscard]] std::uint32_t chunk_crc(const Unit& unit, std::uint32_t chunk) const;

  private:
    [[nodiscard]] std::uint32_t count_to(Position position, const Ends& ends) const;
    [[nodiscard]] std::uint32_t newest_below(std::uint64_t key, std::uint32_t last) const;
    PageView& view_;
    const IndexedFile& of_;
};

class PagedImages {
  public:
    PagedImages(PageView& view, const IndexedFile& of) : view_(view), of_(of) {}
    [[nodiscard]] std::optional<BeforeImage> find(VolumeIndex volume, std::uint64_t block) const;

  private:
    PageView& view_;
    const IndexedFile& of_;
};

}  // namespace everstep::journal
