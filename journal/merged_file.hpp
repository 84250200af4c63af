// The file of a merged index: what it covers, and its extents in pages (docs/journal-format.md,
// "Merged indexes").
//
// Thread: pure but for the files that the pages are read from.
// Invariants: any bytes give a whole value or an error. The file is never synced; it is made again
// from what it covers.
#pragma once

#include "journal/index_file.hpp"
#include "journal/merged_index.hpp"

namespace everstep::journal {

inline constexpr std::size_t kMergedPageTables = 2;
inline constexpr std::size_t kMergedFences = 1;  // the table of fences

// What its file says that it covers.
struct MergedBody {
    unsigned level = 0;
    std::vector<Covered> covered;
};
// The file up to its first page.
[[nodiscard]] BodyBytes pack_merged_head(const Uuid& group, const MergedIndex& index);
// corrupt: damaged, or the salt is not that of what it covers; version: a newer format.
[[nodiscard]] Result<MergedBody> unpack_merged_head(Bytes from, const IndexedFile& of,
                                                    const std::string& name);

// Blocks of 4 KiB of a volume: `children` says which of the covered have writes in them, a bit
// each. At most kMergedBlocksMax.
struct MergedExtent {
    VolumeIndex volume;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::uint32_t children = 0;
    [[nodiscard]] std::uint64_t end() const { return first + count; }
    bool operator==(const MergedExtent&) const = default;
};
inline constexpr std::uint64_t kMergedBlocksMax = 1ULL << 24;

// Builds the pages: extents in growing order, disjoint.
class MergedPages {
  public:
    explicit MergedPages(std::uint64_t salt) : tables_(salt, 0) {}
    void begin() { tables_.begin(kItemBytes); }
    void add(const MergedExtent& extent);
    [[nodiscard]] std::size_t ready_bytes() const { return tables_.ready_bytes(); }
    [[nodiscard]] BodyBytes take_pages() { return tables_.take_pages(); }
    [[nodiscard]] BodyBytes finish();  // as PageTables

  private:
    static constexpr std::size_t kItemBytes = 12;
    PageTables tables_;
    std::uint32_t items_ = 0;
    std::vector<std::uint64_t> fences_;
};

// Appends what of `blocks` (by their numbers) some covered segment has writes in, in order. Counts
// only if the view's status is ok behind it.
void find_merged(PageView& view, const UnitRange& blocks, std::vector<MergedExtent>& out);

// Goes through all extents in order.
class MergedReader {
  public:
    explicit MergedReader(std::shared_ptr<const IndexPages> pages) : items_(std::move(pages), 0) {}
    // Nothing behind the last one and after an error.
    [[nodiscard]] std::optional<MergedExtent> next();
    [[nodiscard]] const Status& status() const { return status_; }

  private:
    TableReader items_;
    std::uint64_t behind_ = 0;  // the key behind the extent before
    Status status_;
};

}  // namespace everstep::journal
