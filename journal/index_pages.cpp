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
constexpr std::uint32_t kPagesAtOnce = 32;  // of a table that is read in order
constexpr std::size_t kPagesOfView = 16;    // whose memory is taken at once

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

void PageTables::begin(std::size_t item_bytes) {
    EVERSTEP_ASSERT(tables_.size() < kIndexTablesMax && item_bytes <= kItemBytesMax,
                    "a table of small items");
    seal_open();
    tables_.push_back({next_, 0, item_bytes});
}

void PageTables::add(Bytes item) {
    Table& table = tables_.back();
    EVERSTEP_ASSERT(item.size() == table.item_bytes, "an item of its table");
    if (open_ && filled_ + item.size() > kIndexPageBytes) seal_open();
    if (!open_) {
        out_.resize(out_.size() + kIndexPageBytes);
        filled_ = kIndexPageHeaderBytes;
        open_ = true;
    }
    std::memcpy(out_.data() + out_.size() - kIndexPageBytes + filled_, item.data(), item.size());
    filled_ += item.size();
    table.items += 1;
}

void PageTables::seal_open() {
    if (!open_) return;
    seal(MutableBytes(out_).subspan(out_.size() - kIndexPageBytes), next_++, salt_);
    open_ = false;
}

void PageTables::add_table(std::size_t item_bytes, Bytes items) {
    EVERSTEP_ASSERT(items.size() % item_bytes == 0, "a table of whole items");
    begin(item_bytes);
    for (std::size_t at = 0; at < items.size(); at += item_bytes)
        add(items.subspan(at, item_bytes));
}

void PageTables::add_sorted(std::size_t item_bytes, std::size_t fence_bytes, Bytes items) {
    add_table(item_bytes, items);
    begin(fence_bytes);
    const std::size_t page_bytes = kRoom / item_bytes * item_bytes;
    for (std::size_t at = 0; at < items.size(); at += page_bytes)
        add(items.subspan(at, fence_bytes));
}

BodyBytes PageTables::take() {
    BodyBytes out = finish();
    const BodyBytes pages = take_pages();
    out.insert(out.end(), pages.begin(), pages.end());
    return out;
}

BodyBytes PageTables::take_pages() {
    const auto end = out_.begin() + static_cast<std::ptrdiff_t>(ready_bytes());
    BodyBytes pages(out_.begin(), end);
    out_.erase(out_.begin(), end);
    return pages;
}

BodyBytes PageTables::finish() {
    seal_open();
    BodyBytes page(kIndexPageBytes);
    put<std::uint64_t>(page, kFlagsAt, flags_);
    put<std::uint32_t>(page, kCountAt, static_cast<std::uint32_t>(tables_.size()));
    std::size_t at = kTablesAt;
    for (const Table& table : tables_) {
        put<std::uint32_t>(page, at, table.first_page);
        put<std::uint32_t>(page, at + 4, table.items);
        put<std::uint32_t>(page, at + 8, static_cast<std::uint32_t>(table.item_bytes));
        at += kTableBytes;
    }
    seal(page, 0, salt_);
    return page;
}

Status IndexPages::read(std::uint32_t first, MutableBytes to) const {
    const std::uint64_t at = place_.at + std::uint64_t{first} * kIndexPageBytes;
    EVERSTEP_TRY(file_->read_at(ByteOffset(at), to));
    for (std::uint32_t n = 0; n < to.size() / kIndexPageBytes; ++n) {
        const Bytes page = Bytes(to).subspan(n * kIndexPageBytes, kIndexPageBytes);
        if (get<std::uint32_t>(page, 0) == crc32c(page.subspan(kNumberAt)) &&
            get<std::uint32_t>(page, kNumberAt) == first + n &&
            get<std::uint64_t>(page, kSaltAt) == place_.salt)
            continue;
        return {ErrorCode::corrupt, file_->path() + ": offset " +
                                        std::to_string(at + n * kIndexPageBytes) +
                                        ": a damaged page of the index"};
    }
    return {};
}

std::uint32_t IndexPages::items_in_page(std::size_t table) const {
    return static_cast<std::uint32_t>(kRoom / tables_[table].item_bytes);
}

Bytes IndexPages::kept(std::size_t table, std::uint32_t page) const {
    if (kept_[table].size() == 0) return {};
    return kept_[table].bytes().subspan(page * kIndexPageBytes, kIndexPageBytes);
}

Result<std::shared_ptr<const IndexPages>> IndexPages::open(std::unique_ptr<io::File> file,
                                                           const Place& place) {
    auto pages = std::make_shared<IndexPages>();
    pages->file_ = std::move(file);
    pages->place_ = place;
    alignas(kIndexPageBytes) std::array<std::byte, kIndexPageBytes> directory;
    EVERSTEP_TRY(pages->read(0, directory));
    const Bytes from(directory);
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
    if (next * kIndexPageBytes + place.at > place.file_bytes.value()) return bad;
    for (std::size_t n = 0; n < place.tables; ++n) {
        const Table& table = pages->tables_[n];
        const std::uint64_t bytes = pages_of(table.items, table.item_bytes) * kIndexPageBytes;
        if ((place.keep >> n & 1) == 0 || bytes > place.keep_bytes_max) continue;
        pages->kept_[n].resize(bytes);
        EVERSTEP_TRY(pages->read(table.first_page, pages->kept_[n].bytes()));
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
    const std::uint32_t in_one = pages_->items_in_page(table);
    const std::size_t at = kIndexPageHeaderBytes + n % in_one * of.item_bytes;
    const Bytes kept = pages_->kept(table, n / in_one);
    if (!kept.empty()) return kept.subspan(at, of.item_bytes);
    const std::uint32_t number = of.first_page + n / in_one;
    if (number != newest_number_) {
        auto found = read_.find(number);
        if (found == read_.end()) {
            const MutableBytes memory = next_page();
            status_ = pages_->read(number, memory);
            if (!status_.ok()) return Bytes(nothing_).first(of.item_bytes);
            found = read_.emplace(number, memory).first;
        }
        newest_ = found->second;
        newest_number_ = number;
    }
    return newest_.subspan(at, of.item_bytes);
}

void PageView::will_read(std::size_t table, std::uint32_t n) {
    const std::uint32_t page = n / pages_->items_in_page(table);
    const std::uint32_t number = pages_->tables_[table].first_page + page;
    if (number == hinted_ || !pages_->kept(table, page).empty() || read_.count(number) != 0) return;
    hinted_ = number;
    pages_->file_->will_read(
        ByteOffset(pages_->place_.at + std::uint64_t{number} * kIndexPageBytes),
        ByteCount(kIndexPageBytes));
}

MutableBytes PageView::next_page() {
    if (memory_.empty() || memory_.back().size() == memory_.back().capacity())
        memory_.emplace_back(kPagesOfView * kIndexPageBytes);
    return memory_.back().extend(kIndexPageBytes);
}

Bytes TableReader::next() {
    if (!status_.ok() || at_ == of_.items) return {};
    const auto in_one = static_cast<std::uint32_t>(kRoom / of_.item_bytes);
    const std::uint32_t page = of_.first_page + at_ / in_one;
    if (page >= read_to_) {
        const auto behind =
            static_cast<std::uint32_t>(of_.first_page + pages_of(of_.items, of_.item_bytes));
        read_from_ = page;
        read_to_ = std::min(behind, page + kPagesAtOnce);
        read_.resize((read_to_ - read_from_) * kIndexPageBytes);
        status_ = pages_->read(read_from_, read_.bytes());
        if (!status_.ok()) return {};
    }
    const std::size_t at = (page - read_from_) * kIndexPageBytes + kIndexPageHeaderBytes;
    return Bytes(read_.bytes()).subspan(at + at_++ % in_one * of_.item_bytes, of_.item_bytes);
}

}  // namespace everstep::journal
