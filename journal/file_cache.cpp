#include "journal/file_cache.hpp"

namespace everstep::journal {

Result<std::shared_ptr<const io::File>> FileCache::get(FileKind kind, std::uint64_t segment) {
    auto opened = get_in_pieces(kind, segment);
    if (!opened.ok()) return opened.status();
    return std::move(opened->file);
}

Result<FileCache::InPieces> FileCache::get_in_pieces(FileKind kind, std::uint64_t segment) {
    const std::string name = file_name(kind, segment);
    const std::lock_guard guard(mutex_);
    if (const auto found = by_name_.find(name); found != by_name_.end()) {
        open_.splice(open_.begin(), open_, found->second);
        return open_.front().opened;
    }
    auto file = files_.open(directory_ + "/" + name, {});
    if (!file.ok()) return file.status();
    if (open_.size() >= open_max_) {
        by_name_.erase(open_.back().name);
        open_.pop_back();
    }
    open_.push_front({name, {std::move(*file), std::make_shared<FetchAhead>()}});
    by_name_[name] = open_.begin();
    return open_.front().opened;
}

void FileCache::open_ahead(std::uint64_t segment) {
    for (const FileKind kind : {FileKind::redo, FileKind::undo})
        if (open_.size() < open_max_) (void)get(kind, segment);
}

void FileCache::forget(std::uint64_t segment) {
    const std::lock_guard guard(mutex_);
    for (const FileKind kind : {FileKind::redo, FileKind::undo}) {
        const auto found = by_name_.find(file_name(kind, segment));
        if (found == by_name_.end()) continue;
        open_.erase(found->second);
        by_name_.erase(found);
    }
}

}  // namespace everstep::journal
