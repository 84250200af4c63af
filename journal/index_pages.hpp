// Index pages: tables of items of one size, in pages of 4 KiB with a checksum each, so that a
// look-up reads a few pages of an index file and not the file (docs/journal-format.md, "Index
// files").
//
// Thread: IndexPages any; a PageView one look-up's.
// Invariants: a page is believed only with its checksum, which also covers its number and the salt
// of the file that is indexed; nothing is read behind what the directory says.
#pragma once

#include <array>
#include <memory>
#include <unordered_map>

#include "common/base/buffer.hpp"
#include "common/io/file.hpp"
#include "journal/record_bodies.hpp"

namespace everstep::journal {

inline constexpr std::size_t kIndexPageBytes = 4096;
inline constexpr std::size_t kIndexPageHeaderBytes = 16;
inline constexpr std::size_t kIndexTablesMax = 8;

// Builds the pages: the directory first, then the tables in the order in which they were added.
class PageTables {
  public:
    // `flags`: the caller's own, in the directory.
    PageTables(std::uint64_t salt, std::uint64_t flags) : salt_(salt), flags_(flags) {}
    // `items`: one behind the other, `item_bytes` each. At most kIndexTablesMax tables.
    void add(std::size_t item_bytes, Bytes items);
    [[nodiscard]] BodyBytes take() const;

  private:
    struct Table {
        std::size_t item_bytes = 0;
        BodyBytes items;
    };
    std::uint64_t salt_;
    std::uint64_t flags_;
    std::vector<Table> tables_;
};

class IndexPages {
  public:
    struct Place {
        std::uint64_t at = 0;  // of the first page in the file
        std::uint64_t salt = 0;
        std::size_t tables = 0;  // that there have to be
    };
    // corrupt: the directory is damaged, or another one's.
    [[nodiscard]] static Result<std::shared_ptr<const IndexPages>> open(
        std::unique_ptr<io::File> file, const Place& place);
    [[nodiscard]] ByteCount file_bytes() const { return file_bytes_; }
    [[nodiscard]] std::uint64_t flags() const { return flags_; }
    [[nodiscard]] std::uint32_t items(std::size_t table) const { return tables_[table].items; }

  private:
    friend class PageView;
    struct Table {
        std::uint32_t first_page = 0;
        std::uint32_t items = 0;
        std::uint32_t item_bytes = 0;
    };
    [[nodiscard]] Status read(std::uint32_t page, Buffer& to) const;
    std::unique_ptr<io::File> file_;
    Place place_;
    ByteCount file_bytes_;
    std::uint64_t flags_ = 0;
    std::array<Table, kIndexTablesMax> tables_{};
};

// What one look-up has read. After an error every item is zeroes and status() says it.
class PageView {
  public:
    explicit PageView(std::shared_ptr<const IndexPages> pages) : pages_(std::move(pages)) {}
    // Item `n` of the table; valid as long as the view.
    [[nodiscard]] Bytes item(std::size_t table, std::uint32_t n);
    [[nodiscard]] const IndexPages& pages() const { return *pages_; }
    [[nodiscard]] const Status& status() const { return status_; }
    void fail(const char* what);

  private:
    std::shared_ptr<const IndexPages> pages_;
    std::unordered_map<std::uint32_t, Buffer> read_;
    Status status_;
    std::array<std::byte, 64> nothing_{};
};

}  // namespace everstep::journal
