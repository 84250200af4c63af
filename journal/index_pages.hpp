// Index pages: tables of items of one size, in pages of 4 KiB with a checksum each, so that a
// look-up reads a few pages of an index file and not the file (docs/journal-format.md, "Index
// files"). A sorted table is followed by one of its fences: what each of its pages begins with.
// Fences are kept in memory, so that one page of the sorted table has the answer.
//
// Thread: IndexPages any; a PageView one look-up's.
// Invariants: a page is believed only with its checksum, which also covers its number and the salt
// of the file that is indexed; nothing is read behind what the directory says.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <unordered_map>

#include "common/base/buffer.hpp"
#include "common/io/file.hpp"
#include "journal/record_bodies.hpp"

namespace everstep::journal {

inline constexpr std::size_t kIndexPageBytes = 4096;
inline constexpr std::size_t kIndexPageHeaderBytes = 16;
inline constexpr std::size_t kIndexTablesMax = 8;
// Of a table that is kept in memory: enough for the fences of a hundred megabytes of items.
inline constexpr std::size_t kKeptTableBytesMax = 512 << 10;

// Makes pages: table behind table, the directory last, so that memory need not hold them all.
class PageTables {
  public:
    // `flags`: the caller's own, in the directory.
    PageTables(std::uint64_t salt, std::uint64_t flags) : salt_(salt), flags_(flags) {}
    // The next table, of items of this size. At most kIndexTablesMax.
    void begin(std::size_t item_bytes);
    void add(Bytes item);
    // A whole table: its items one behind the other.
    void add_table(std::size_t item_bytes, Bytes items);
    // A sorted one, and its fences: the first so many bytes of items.
    void add_sorted(std::size_t item_bytes, std::size_t fence_bytes, Bytes items);
    // Full pages, from page 1 on, behind those that take_pages() gave the last time.
    [[nodiscard]] std::size_t ready_bytes() const {
        return out_.size() - (open_ ? kIndexPageBytes : 0);
    }
    [[nodiscard]] BodyBytes take_pages();
    // No more tables: take_pages() gives the rest, and this is page 0.
    [[nodiscard]] BodyBytes finish();
    // All pages, where none were taken before.
    [[nodiscard]] BodyBytes take();

  private:
    struct Table {
        std::uint32_t first_page = 0;
        std::uint32_t items = 0;
        std::size_t item_bytes = 0;
    };
    void seal_open();
    std::uint64_t salt_;
    std::uint64_t flags_;
    std::vector<Table> tables_;
    BodyBytes out_;  // the open page at its end
    bool open_ = false;
    std::size_t filled_ = 0;  // of the open page
    std::uint32_t next_ = 1;  // the next page's number
};

class IndexPages {
  public:
    struct Place {
        std::uint64_t at = 0;  // of the first page in the file
        std::uint64_t salt = 0;
        std::size_t tables = 0;  // that there have to be
        ByteCount file_bytes{};
        std::uint32_t keep = 0;  // tables in memory, a bit each; a damaged one is an error then
        std::uint64_t keep_bytes_max = kKeptTableBytesMax;  // of one
    };
    static constexpr std::uint32_t kKeepAll = ~0U;
    // corrupt: the directory is damaged, or another one's.
    [[nodiscard]] static Result<std::shared_ptr<const IndexPages>> open(
        std::unique_ptr<io::File> file, const Place& place);
    [[nodiscard]] ByteCount file_bytes() const { return place_.file_bytes; }
    [[nodiscard]] std::uint64_t flags() const { return flags_; }
    [[nodiscard]] std::uint32_t items(std::size_t table) const { return tables_[table].items; }
    [[nodiscard]] std::uint32_t items_in_page(std::size_t table) const;

  private:
    friend class PageView;
    friend class TableReader;
    struct Table {
        std::uint32_t first_page = 0;
        std::uint32_t items = 0;
        std::uint32_t item_bytes = 0;
    };
    // As many pages from `first` on as `to` holds, each checked.
    [[nodiscard]] Status read(std::uint32_t first, MutableBytes to) const;
    // A page of the table that is in memory; else nothing.
    [[nodiscard]] Bytes kept(std::size_t table, std::uint32_t page) const;
    std::unique_ptr<io::File> file_;
    Place place_;
    std::array<Buffer, kIndexTablesMax> kept_;  // by table: all of its pages, or none
    std::uint64_t flags_ = 0;
    std::array<Table, kIndexTablesMax> tables_{};
};

// What one look-up has read. After an error every item is zeroes and status() says it.
class PageView {
  public:
    explicit PageView(std::shared_ptr<const IndexPages> pages) : pages_(std::move(pages)) {}
    // Item `n` of the table; valid as long as the view.
    [[nodiscard]] Bytes item(std::size_t table, std::uint32_t n);
    // A hint that it will be asked for.
    void will_read(std::size_t table, std::uint32_t n);
    struct Items {
        std::uint32_t first = 0;
        std::uint32_t end = 0;
    };
    // The place of the first of these sorted items that lies behind `at`.
    template <class Place>
    [[nodiscard]] std::uint32_t count_to(std::size_t table, Items among, const Place& at) {
        while (among.first < among.end) {
            const std::uint32_t middle = among.first + (among.end - among.first) / 2;
            if (Place::of(item(table, middle)) <= at)
                among.first = middle + 1;
            else
                among.end = middle;
        }
        return among.first;
    }
    [[nodiscard]] const IndexPages& pages() const { return *pages_; }
    [[nodiscard]] const Status& status() const { return status_; }
    void fail(const char* what);

  private:
    [[nodiscard]] MutableBytes next_page();
    std::shared_ptr<const IndexPages> pages_;
    std::unordered_map<std::uint32_t, Bytes> read_;  // by number
    std::vector<Buffer> memory_;                     // of some pages each
    std::uint32_t newest_number_ = 0;                // of the page that was asked for last; 0: none
    Bytes newest_;
    std::uint32_t hinted_ = 0;  // the page that was hinted at last; 0: none
    Status status_;
    std::array<std::byte, 64> nothing_{};
};

// A sorted table and the one of its fences.
struct SortedTable {
    std::size_t items = 0;
    std::size_t fences = 0;
};

// The first item of the page on which what lies at or before `at` ends; none: nothing does. Place:
// ordered, and Place::of() reads it from the begin of an item or a fence.
template <class Place>
[[nodiscard]] std::optional<std::uint32_t> page_of(PageView& view, const SortedTable& table,
                                                   const Place& at) {
    const std::uint32_t fences = view.pages().items(table.fences);
    const std::uint64_t in_page = view.pages().items_in_page(table.items);
    if (fences != (view.pages().items(table.items) + in_page - 1) / in_page)
        view.fail("the fences of a table are not those of its pages");
    const std::uint32_t pages = view.count_to(table.fences, {0, fences}, at);
    if (pages == 0 || !view.status().ok()) return std::nullopt;
    return static_cast<std::uint32_t>((pages - 1) * in_page);
}

// How many items of the table lie at or before `at`; it counts only if the view's status is ok.
template <class Place>
[[nodiscard]] std::uint32_t count_to(PageView& view, const SortedTable& table, const Place& at) {
    const auto first = page_of(view, table, at);
    if (!first) return 0;
    const std::uint32_t left = view.pages().items(table.items) - *first;
    const std::uint32_t end = *first + std::min(left, view.pages().items_in_page(table.items));
    return view.count_to(table.items, {*first, end}, at);
}

// A hint that count_to() will be asked.
template <class Place>
void will_count(PageView& view, const SortedTable& table, const Place& at) {
    if (const auto first = page_of(view, table, at)) view.will_read(table.items, *first);
}

// Goes through one table in order, some pages at a time.
class TableReader {
  public:
    TableReader(std::shared_ptr<const IndexPages> pages, std::size_t table)
        : pages_(std::move(pages)), of_(pages_->tables_[table]) {}
    // The next item, valid until the next call; empty behind the last one and after an error.
    [[nodiscard]] Bytes next();
    [[nodiscard]] const Status& status() const { return status_; }

  private:
    std::shared_ptr<const IndexPages> pages_;
    IndexPages::Table of_;
    Buffer read_;
    std::uint32_t at_ = 0;         // the next item
    std::uint32_t read_from_ = 0;  // the pages in read_: [read_from_, read_to_)
    std::uint32_t read_to_ = 0;
    Status status_;
};

}  // namespace everstep::journal
