#include "journal/pool.hpp"

#include <algorithm>

#include "common/base/buffer.hpp"
#include "journal/segment_header.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint64_t kPrewriteBytes = 1ULL << 20;

Status write_zeroes(io::File& file, std::uint64_t from, std::uint64_t to) {
    Buffer zeroes;
    zeroes.resize(std::min(kPrewriteBytes, to - from));
    std::fill(zeroes.bytes().begin(), zeroes.bytes().end(), std::byte{0});
    for (std::uint64_t at = from; at < to; at += kPrewriteBytes)
        EVERSTEP_TRY(file.write_at(ByteOffset(at),
                                   Bytes(zeroes.bytes()).first(std::min(kPrewriteBytes, to - at))));
    return {};
}

}  // namespace

std::string Pool::path_of(std::uint64_t number) const {
    return directory_ + "/" + file_name(FileKind::pool, number);
}

Status Pool::end_use(io::FileSystem& files, const std::string& path) {
    auto file = files.open(path, {.mode = io::OpenMode::read_write});
    if (!file.ok()) return file.status();
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    EVERSTEP_TRY(write_zeroes(**file, 0, std::min(kFileHeaderBytes, size->value())));
    return (*file)->sync();
}

Status Pool::open() {
    const auto names = files_.list(directory_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
        const auto number = parse_file_name(FileKind::pool, name);
        if (!number) continue;
        next_ = std::max(next_, *number + 1);
        const auto file = files_.open(path_of(*number), {});
        if (!file.ok()) return file.status();
        const auto size = (*file)->size();
        if (!size.ok()) return size.status();
        if (reserve_number(*size))
            add({}, {*number, *size});
        else
            EVERSTEP_TRY(files_.remove(path_of(*number)));
    }
    return {};
}

Result<bool> Pool::take_redo(ByteCount bytes, const std::string& path) {
    const std::lock_guard guard(mutex_);
    const auto found = std::find_if(free_.begin(), free_.end(),
                                    [&](const Free& one) { return is_redo(one.bytes); });
    if (!is_redo(bytes) || found == free_.end()) return false;
    const std::string from = path_of(found->number);
    free_.erase(found);
    EVERSTEP_TRY(files_.rename(from, path));
    return true;
}

Result<bool> Pool::take_undo(const std::string& path) {
    const std::lock_guard guard(mutex_);
    auto best = free_.end();
    for (auto one = free_.begin(); one != free_.end(); ++one)
        if (!is_redo(one->bytes) && (best == free_.end() || best->bytes < one->bytes)) best = one;
    if (best == free_.end()) return false;
    const std::string from = path_of(best->number);
    free_.erase(best);
    EVERSTEP_TRY(files_.rename(from, path));
    return true;
}

// A number for a file that comes in; nothing when enough of its kind wait.
std::optional<std::uint64_t> Pool::reserve_number(ByteCount bytes) {
    const std::lock_guard guard(mutex_);
    std::size_t waiting = 0;
    for (const Free& one : free_) waiting += is_redo(one.bytes) == is_redo(bytes) ? 1U : 0U;
    for (const ByteCount one : coming_) waiting += is_redo(one) == is_redo(bytes) ? 1U : 0U;
    if (waiting >= kPoolFilesMax) return std::nullopt;
    coming_.push_back(bytes);
    return next_++;
}

void Pool::add(const Status& made, const Free& file) {
    const std::lock_guard guard(mutex_);
    coming_.erase(std::find(coming_.begin(), coming_.end(), file.bytes));
    if (made.ok()) free_.push_back(file);
}

Status Pool::retire(const std::string& path) {
    EVERSTEP_TRY(end_use(files_, path));
    ByteCount bytes;
    {
        const auto file = files_.open(path, {});
        if (!file.ok()) return file.status();
        const auto size = (*file)->size();
        if (!size.ok()) return size.status();
        bytes = *size;
    }
    const auto number = reserve_number(bytes);
    if (!number) return files_.remove(path);
    const Status renamed = files_.rename(path, path_of(*number));
    add(renamed, {*number, bytes});
    return renamed;
}

Status Pool::make_spare() {
    const auto number = reserve_number(redo_bytes_);
    if (!number) return {};
    const std::string path = path_of(*number);
    const auto make = [&]() -> Status {
        auto file = files_.open(path, {.mode = io::OpenMode::create, .direct = true});
        if (!file.ok()) return file.status();
        EVERSTEP_TRY((*file)->resize(redo_bytes_));
        EVERSTEP_TRY((*file)->allocate(ByteOffset(0), redo_bytes_));
        EVERSTEP_TRY(write_zeroes(**file, 0, redo_bytes_.value()));
        return (*file)->sync();
    };
    const Status made = make();
    if (!made.ok()) files_.remove(path).ignore("what was short is told; the next open looks again");
    add(made, {*number, redo_bytes_});
    return made;
}

bool Pool::has_redo() const {
    const std::lock_guard guard(mutex_);
    return std::any_of(free_.begin(), free_.end(),
                       [&](const Free& one) { return is_redo(one.bytes); });
}

Status Pool::clear() {
    const std::lock_guard guard(mutex_);
    while (!free_.empty()) {
        EVERSTEP_TRY(files_.remove(path_of(free_.back().number)));
        free_.pop_back();
    }
    return {};
}

}  // namespace everstep::journal
