#include "journal/lmdb_catalogue.hpp"

#include <fmt/format.h>
#include <lmdb.h>

#include <array>
#include <charconv>

#include "common/base/buffer.hpp"
#include "common/base/checksum.hpp"
#include "common/io/state_file.hpp"

namespace everstep::journal {
namespace {

constexpr unsigned kCopies = 2;
constexpr std::string_view kName = "catalogue-";
constexpr std::string_view kSum = "-sum";
constexpr std::uint64_t kMapBytes = 1ULL << 30;  // of address space; grows when it is full
constexpr std::uint64_t kMapBytesMax = 1ULL << 40;
constexpr std::uint64_t kWindowBytes = 1ULL << 20;
constexpr unsigned kFileMode = 0600;

using Key = std::array<std::uint8_t, 8>;
// Big-endian, so that LMDB's order is that of the numbers. Key 0 is the state's.
Key key_of(std::uint64_t number) {
    Key key{};
    for (std::size_t i = 0; i < key.size(); ++i)
        key[i] = static_cast<std::uint8_t>(number >> (8 * (key.size() - 1 - i)));
    return key;
}
constexpr std::uint64_t kStateKey = 0;

Bytes bytes_of(const MDB_val& value) {
    return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
}

Status failure(const std::string& path, const char* what, int code) {
    ErrorCode kind = ErrorCode::io;
    if (code == ENOSPC || code == EDQUOT) kind = ErrorCode::no_space;
    if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
        code == MDB_BAD_TXN)
        kind = ErrorCode::corrupt;
    if (code == MDB_VERSION_MISMATCH) kind = ErrorCode::version;
    return {kind, fmt::format("{}: {}: {}", path, what, mdb_strerror(code))};
}

// An open file with one transaction: committed by commit(), or left as it was.
class Opened {
  public:
    ~Opened() {
        if (txn_ != nullptr) mdb_txn_abort(txn_);
        if (env_ != nullptr) mdb_env_close(env_);
    }
    Opened() = default;
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

    [[nodiscard]] Status open(const std::string& path, unsigned flags, std::uint64_t map_bytes) {
        path_ = path;
        EVERSTEP_TRY(check("cannot be opened", mdb_env_create(&env_)));
        EVERSTEP_TRY(check("its map", mdb_env_set_mapsize(env_, map_bytes)));
        EVERSTEP_TRY(
            check("cannot be opened",
                  mdb_env_open(env_, path.c_str(),
                               MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD | flags, kFileMode)));
        EVERSTEP_TRY(check("cannot begin", mdb_txn_begin(env_, nullptr, flags, &txn_)));
        return check("cannot begin", mdb_dbi_open(txn_, nullptr, 0, &table_));
    }
    // True: put; false: the map is full.
    [[nodiscard]] Result<bool> put(std::uint64_t number, Bytes value) {
        Key key = key_of(number);
        MDB_val k{key.size(), key.data()};
        MDB_val v{value.size(), const_cast<std::byte*>(value.data())};
        return fits("cannot be written", mdb_put(txn_, table_, &k, &v, 0));
    }
    [[nodiscard]] Result<bool> drop(std::uint64_t number) {
        Key key = key_of(number);
        MDB_val k{key.size(), key.data()};
        const int code = mdb_del(txn_, table_, &k, nullptr);
        if (code == MDB_NOTFOUND) return true;
        return fits("cannot be written", code);
    }
    [[nodiscard]] Result<bool> commit() {
        const int code = mdb_txn_commit(txn_);
        txn_ = nullptr;
        return fits("cannot be written", code);
    }
    // In the order of the keys.
    template <class Each>
    [[nodiscard]] Status each(Each visit) {
        MDB_cursor* cursor = nullptr;
        EVERSTEP_TRY(check("cannot be read", mdb_cursor_open(txn_, table_, &cursor)));
        MDB_val key{};
        MDB_val value{};
        int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        Status status;
        while (code == 0 && status.ok()) {
            status = visit(bytes_of(key), bytes_of(value));
            if (status.ok()) code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
        if (status.ok() && code != MDB_NOTFOUND) status = failure(path_, "cannot be read", code);
        return status;
    }

  private:
    [[nodiscard]] Status check(const char* what, int code) const {
        return code == 0 ? Status() : failure(path_, what, code);
    }
    [[nodiscard]] Result<bool> fits(const char* what, int code) const {
        if (code == MDB_MAP_FULL) return false;
        EVERSTEP_TRY(check(what, code));
        return true;
    }
    std::string path_;
    MDB_env* env_ = nullptr;
    MDB_txn* txn_ = nullptr;
    MDB_dbi table_ = 0;
};

Result<bool> apply(Opened& file, const Uuid& group, const CatalogueChange& change) {
    const auto put = file.put(kStateKey, pack_catalogue_state(group, change.state));
    if (!put.ok() || !*put) return put;
    for (const CatalogueEntry& entry : change.entries) {
        const auto done = file.put(entry.number, pack_entry(entry));
        if (!done.ok() || !*done) return done;
    }
    for (const std::uint64_t number : change.gone) {
        const auto done = file.drop(number);
        if (!done.ok() || !*done) return done;
    }
    return file.commit();
}

Status remove_if_there(io::FileSystem& files, const std::string& path) {
    Status status = files.remove(path);
    return status.code() == ErrorCode::not_found ? Status() : status;
}

template <class Number>
bool take_number(std::string_view& text, Number& value) {
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    return true;
}

}  // namespace

// What the state file beside a copy says of it.
struct LmdbCatalogue::Sum {
    std::uint64_t generation = 0;  // how many changes the copy has seen
    std::uint64_t bytes = 0;
    std::uint32_t crc = 0;
    bool operator==(const Sum&) const = default;

    [[nodiscard]] std::string text() const {
        return fmt::format("{} {} {}\n", generation, bytes, crc);
    }
    [[nodiscard]] static std::optional<Sum> parse(std::string_view text) {
        Sum sum;
        if (!take_number(text, sum.generation) || !take_number(text, sum.bytes) ||
            !take_number(text, sum.crc) || text != "\n")
            return std::nullopt;
        return sum;
    }
};

bool is_catalogue_file(std::string_view name) {
    if (!name.starts_with(kName)) return false;
    name.remove_prefix(kName.size());
    if (name.empty() || name.front() < '0' || name.front() >= static_cast<char>('0' + kCopies))
        return false;
    name.remove_prefix(1);
    return name.empty() || name == kSum || name == std::string(kSum) + ".new" ||
           name == std::string(kSum) + ".spare";
}

std::string LmdbCatalogue::path_of(unsigned copy) const {
    return fmt::format("{}/{}{}", directory_, kName, copy);
}

Result<LmdbCatalogue::Sum> LmdbCatalogue::sum_of(unsigned copy, std::uint64_t generation) const {
    const auto file = files_.open(path_of(copy), {});
    if (!file.ok()) return file.status();
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    Sum sum{generation, size->value(), 0};
    Buffer window;
    for (std::uint64_t at = 0; at < sum.bytes; at += kWindowBytes) {
        window.resize(std::min(kWindowBytes, sum.bytes - at));
        EVERSTEP_TRY((*file)->read_at(ByteOffset(at), window.bytes()));
        sum.crc = crc32c(window.bytes(), sum.crc);
    }
    return sum;
}

Result<std::uint64_t> LmdbCatalogue::generation_of(unsigned copy) const {
    const std::string path = path_of(copy);
    const auto there = files_.exists(path);
    if (!there.ok()) return there.status();
    if (!*there) return Status(ErrorCode::not_found, path + ": there is no catalogue");
    const auto text = io::load_state(files_, path + std::string(kSum));
    if (text.status().code() == ErrorCode::not_found)
        return Status(ErrorCode::not_found, path + ": it was being changed when the program ended");
    if (!text.ok()) return text.status();
    const auto wanted = Sum::parse(*text);
    if (!wanted) return Status(ErrorCode::corrupt, path + std::string(kSum) + ": not a checksum");
    const auto found = sum_of(copy, wanted->generation);
    if (!found.ok()) return found.status();
    if (*found != *wanted)
        return Status(ErrorCode::corrupt,
                      fmt::format("{}: found {} bytes with CRC {:08x}, wanted {} with {:08x}", path,
                                  found->bytes, found->crc, wanted->bytes, wanted->crc));
    return wanted->generation;
}

Result<CatalogueContent> LmdbCatalogue::read_copy(unsigned copy, const Uuid& group) const {
    const std::string path = path_of(copy);
    Opened file;
    EVERSTEP_TRY(file.open(path, MDB_RDONLY, kMapBytes));
    CatalogueContent content;
    bool first = true;
    EVERSTEP_TRY(file.each([&](Bytes key, Bytes value) -> Status {
        if (std::exchange(first, false)) {
            const Key wanted = key_of(kStateKey);
            const bool is_state =
                std::equal(key.begin(), key.end(), std::as_bytes(std::span(wanted)).begin(),
                           std::as_bytes(std::span(wanted)).end());
            if (!is_state) return {ErrorCode::corrupt, path + ": its first value is missing"};
            auto state = unpack_catalogue_state(value, group, path);
            if (!state.ok()) return state.status();
            content.state = *state;
            return {};
        }
        auto entry = unpack_entry(value);
        const Key wanted = key_of(entry ? entry->number : kStateKey);
        if (!entry || !std::equal(key.begin(), key.end(), std::as_bytes(std::span(wanted)).begin(),
                                  std::as_bytes(std::span(wanted)).end()))
            return {ErrorCode::corrupt, path + ": an entry makes no sense"};
        content.entries.emplace(entry->number, std::move(*entry));
        return {};
    }));
    if (first) return Status(ErrorCode::corrupt, path + ": it is empty");
    return content;
}

Result<CatalogueContent> LmdbCatalogue::load(const Uuid& group) {
    const std::lock_guard lock(mutex_);
    std::optional<unsigned> newest;
    std::uint64_t newest_generation = 0;
    Status missing;
    for (unsigned copy = 0; copy < kCopies; ++copy) {
        const auto generation = generation_of(copy);
        if (!generation.ok()) {
            if (missing.ok() || missing.code() == ErrorCode::not_found)
                missing = generation.status();
        } else if (!newest || *generation > newest_generation) {
            newest = copy;
            newest_generation = *generation;
        }
    }
    if (!newest) return missing;
    return read_copy(*newest, group);
}

// A copy that is not like the other one is made new first: until it is, the other may be all that
// is there.
Status LmdbCatalogue::change(const Uuid& group, const CatalogueChange& change) {
    const std::lock_guard lock(mutex_);
    std::array<std::optional<std::uint64_t>, kCopies> generations;
    for (unsigned copy = 0; copy < kCopies; ++copy)
        if (const auto found = generation_of(copy); found.ok()) generations[copy] = *found;
    const unsigned newest = generations[1] > generations[0] ? 1 : 0;
    const unsigned other = 1 - newest;
    const std::uint64_t generation = generations[newest].value_or(0) + 1;
    if (!generations[newest]) EVERSTEP_TRY(remove_copy(newest));
    CatalogueChange whole = change;
    if (generations[newest] != generations[other] || !generations[other]) {
        EVERSTEP_TRY(remove_copy(other));
        if (generations[newest]) {
            auto content = read_copy(newest, group);
            if (!content.ok()) return content.status();
            for (CatalogueEntry& entry : whole.entries)
                content->entries.insert_or_assign(entry.number, std::move(entry));
            whole.entries.clear();
            for (auto& [number, entry] : content->entries)
                whole.entries.push_back(std::move(entry));
        }
    }
    EVERSTEP_TRY(write_copy(other, group, whole, generation));
    return write_copy(newest, group, change, generation);
}

Status LmdbCatalogue::write_copy(unsigned copy, const Uuid& group, const CatalogueChange& change,
                                 std::uint64_t generation) {
    EVERSTEP_TRY(remove_sum(copy));
    EVERSTEP_TRY(files_.sync_directory(directory_));
    bool written = false;
    for (std::uint64_t map = kMapBytes; !written; map *= 2) {
        if (map > kMapBytesMax)
            return {ErrorCode::too_large, path_of(copy) + ": the catalogue is too large"};
        Opened file;
        EVERSTEP_TRY(file.open(path_of(copy), 0, map));
        const auto done = apply(file, group, change);
        if (!done.ok()) return done.status();
        written = *done;
    }
    const auto sum = sum_of(copy, generation);
    if (!sum.ok()) return sum.status();
    return io::save_state(files_, path_of(copy) + std::string(kSum), sum->text());
}

Status LmdbCatalogue::remove_copy(unsigned copy) {
    EVERSTEP_TRY(remove_sum(copy));
    const std::string sum = path_of(copy) + std::string(kSum);
    for (const std::string& name : {sum + ".new", sum + ".spare"})
        EVERSTEP_TRY(remove_if_there(files_, name));
    return remove_if_there(files_, path_of(copy));
}

Status LmdbCatalogue::remove_sum(unsigned copy) {
    return remove_if_there(files_, path_of(copy) + std::string(kSum));
}

std::vector<Finding> LmdbCatalogue::check() {
    const std::lock_guard lock(mutex_);
    std::vector<Finding> findings;
    const auto there = [&](unsigned copy) { return files_.exists(path_of(copy)); };
    const auto none = [](const Result<bool>& found) { return found.ok() && !*found; };
    if (none(there(0)) && none(there(1))) return findings;  // nothing was sealed yet
    for (unsigned copy = 0; copy < kCopies; ++copy) {
        const Status status = generation_of(copy).status();
        if (status.ok()) continue;
        Finding finding;
        finding.damage = status.code() != ErrorCode::not_found;
        finding.file = path_of(copy);
        finding.what = status.message();
        findings.push_back(std::move(finding));
    }
    return findings;
}

Status LmdbCatalogue::clear() {
    const std::lock_guard lock(mutex_);
    for (unsigned copy = 0; copy < kCopies; ++copy) EVERSTEP_TRY(remove_copy(copy));
    return files_.sync_directory(directory_);
}

}  // namespace everstep::journal
