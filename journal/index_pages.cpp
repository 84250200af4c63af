#include "journal/index_pages.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/assert.hpp"
#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"

namespace everstep::journal {
namespace {

// A page: u32 CRC of the rest, u32 its number, u64 salt, and what it holds.
constexpr std::size_t kNumberAt = 4;
constexpr std::size_t kSaltAt = 8;
constexpr std::size_t kRoom = kIndexPageBytes - kIndexPageHeaderBytes;
// The directory holds u64 flags, u32 tables, then u32 first page, items and item bytes of each.
constexpr std::size_t kFlagsAt = kIndexPageHeaderBytes;
constexpr std::size_t kCountAt = kFlagsAt + 8;
constexpr std::size_t kTablesAt = kCountAt + 4;
constexpr std::size_t kTableBytes = 12;
constexpr std::size_t kItemBytesMax = 64;

void seal(MutableBytes page, std::uint32_t number, std::uint64_t salt) {
    put<std::uint32_t>(page, kNumberAt, number);
    put<std::uint64_t>(page, kSaltAt, salt);
    put<std::uint32_t>(page, 0, crc32c(Bytes(page).subspan(kNumberAt)));
}

std::uint64_t pages_of(std::uint64_t items, std::uint64_t item_bytes) {
    const std::uint64_t in_one = kRoom / item_bytes;
    return (items + in_one - 1) / in_one;
}

}  // namespace

void PageTables::add(std::size_t item_bytes, Bytes items) {
    EVERSTEP_ASSERT(tables_.size() < kIndexTablesMax && item_bytes <= kItemBytesMax &&
                        items.size() % item_bytes == 0,
                    "a table of whole items");
    tables_.push_back({item_bytes, BodyBytes(items.begin(), items.end())});
}

BodyBytes PageTables::take() const {
    BodyBytes out(kIndexPageBytes);
    put<std::uint64_t>(out, kFlagsAt, flags_);
    put<std::uint32_t>(out, kCountAt, static_cast<std::uint32_t>(tables_.size()));
    std::uint32_t next = 1;
    std::size_t at = kTablesAt;
    for (const Table& table : tables_) {
        const std::uint64_t count = table.items.size() / table.item_bytes;
        put<std::uint32_t>(out, at, next);
        put<std::uint32_t>(out, at + 4, static_cast<std::uint32_t>(count));
        put<std::uint32_t>(out, at + 8, static_cast<std::uint32_t>(table.item_bytes));
        at += kTableBytes;
        next += static_cast<std::uint32_t>(pages_of(count, table.item_bytes));
    }
    seal(out, 0, salt_);
    std::uint32_t number = 1;
    for (const Table& table : tables_) {
        const std::size_t whole = kRoom / table.item_bytes * table.item_bytes;
        for (std::size_t from = 0; from < table.items.size(); from += whole) {
            const std::size_t count = std::min(whole, table.items.size() - from);
            const std::size_t page = out.size();
            out.resize(page + kIndexPageBytes);
            std::memcpy(out.data() + page + kIndexPageHeaderBytes, table.items.data() + from,
                        count);
            seal(MutableBytes(out).subspan(page), number++, salt_);
        }
    }
    return out;
}

Status IndexPages::read(std::uint32_t page, Buffer& to) const {
    to.resize(kIndexPageBytes);
    const std::uint64_t at = place_.at + std::uint64_t{page} * kIndexPageBytes;
    EVERSTEP_TRY(file_->read_at(ByteOffset(at), to.bytes()));
    const Bytes bytes = to.bytes();
    if (get<std::uint32_t>(bytes, 0) == crc32c(bytes.subspan(kNumberAt)) &&
        get<std::uint32_t>(bytes, kNumberAt) == page &&
        get<std::uint64_t>(bytes, kSaltAt) == place_.salt)
        return {};
    return {ErrorCode::corrupt,
            file_->path() + ": offset " + std::to_string(at) + ": a damaged page of the index"};
}

Result<std::shared_ptr<const IndexPages>> IndexPages::open(std::unique_ptr<io::File> file,
                                                           const Place& place) {
    const auto size = file->size();
    if (!size.ok()) return size.status();
    auto pages = std::make_shared<IndexPages>();
    pages->file_bytes_ = *size;
    pages->file_ = std::move(file);
    pages->place_ = place;
    Buffer directory;
    EVERSTEP_TRY(pages->read(0, directory));
    const Bytes from = directory.bytes();
    const Status bad(ErrorCode::corrupt,
                     pages->file_->path() + ": the directory of its pages makes no sense");
    pages->flags_ = get<std::uint64_t>(from, kFlagsAt);
    if (get<std::uint32_t>(from, kCountAt) != place.tables || place.tables > kIndexTablesMax)
        return bad;
    std::uint64_t next = 1;
    for (std::size_t n = 0; n < place.tables; ++n) {
        const std::size_t at = kTablesAt + n * kTableBytes;
        const Table table{get<std::uint32_t>(from, at), get<std::uint32_t>(from, at + 4),
                          get<std::uint32_t>(from, at + 8)};
        if (table.first_page != next || table.item_bytes == 0 || table.item_bytes > kItemBytesMax)
            return bad;
        next += pages_of(table.items, table.item_bytes);
        if (next > UINT32_MAX) return bad;
        pages->tables_[n] = table;
    }
    return std::shared_ptr<const IndexPages>(std::move(pages));
}

void PageView::fail(const char* what) {
    if (status_.ok())
        status_ = {ErrorCode::corrupt, pages_->file_->path() + ": " + std::string(what)};
}

Bytes PageView::item(std::size_t table, std::uint32_t n) {
    const IndexPages::Table& of = pages_->tables_[table];
    if (n >= of.items) fail("an item that is not there");
    if (!status_.ok()) return Bytes(nothing_).first(of.item_bytes);
    const auto in_one = static_cast<std::uint32_t>(kRoom / of.item_bytes);
    const std::uint32_t number = of.first_page + n / in_one;
    auto found = read_.find(number);
    if (found == read_.end()) {
        found = read_.emplace(number, Buffer()).first;
        status_ = pages_->read(number, found->second);
        if (!status_.ok()) {
            read_.erase(found);
            return Bytes(nothing_).first(of.item_bytes);
        }
    }
    return found->second.bytes().subspan(kIndexPageHeaderBytes + n % in_one * of.item_bytes,
                                         of.item_bytes);
}

}  // namespace everstep::journal
