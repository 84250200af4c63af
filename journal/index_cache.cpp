#include "journal/index_cache.hpp"

#include "journal/index_rebuild.hpp"

namespace everstep::journal {
namespace {

// About what an index takes in memory, its hash tables included.
std::uint64_t memory_of(const RedoLists& lists) {
    return lists.frames.size() * sizeof(FrameRef) + lists.flushes.size() * sizeof(FlushMark) + 4096;
}
std::uint64_t memory_of(const RedoIndex& index) {
    return index.writes.unit_count() * 176 + memory_of(static_cast<const RedoLists&>(index));
}
std::uint64_t memory_of(const BeforeImageIndex& images) {
    return images.image_count() * 80 + 4096;
}

}  // namespace

IndexCache::Entry IndexCache::find(const Key& key) {
    const std::lock_guard guard(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return {};
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front();
}

void IndexCache::keep(Entry entry) {
    const std::lock_guard guard(mutex_);
    if (by_key_.contains(entry.key)) return;
    bytes_ += entry.bytes;
    entries_.push_front(std::move(entry));
    by_key_[entries_.front().key] = entries_.begin();
    while (bytes_ > kIndexCacheBytes && entries_.size() > 1) {
        bytes_ -= entries_.back().bytes;
        by_key_.erase(entries_.back().key);
        entries_.pop_back();
    }
}

Result<std::shared_ptr<const RedoIndex>> IndexCache::redo(std::uint64_t segment,
                                                          std::uint64_t salt) {
    Entry entry;
    entry.key = {FileKind::redo, salt};
    if (Entry known = find(entry.key); known.redo != nullptr) return known.redo;
    const IndexedFile file = of(segment, salt);
    const std::string path = path_of(file_name(FileKind::redo_index, segment));
    const auto bytes = read_index(files_, path);
    auto index = bytes.ok() ? unpack_redo_index(bytes->bytes(), file, path)
                            : Result<RedoIndex>(bytes.status());
    if (!index.ok()) {
        index = rebuild_redo_index(files_, path_of(file_name(FileKind::redo, segment)), file);
        if (!index.ok()) return index.status();
        put(segment, salt, *index).ignore("it is made again the next time");
    }
    entry.bytes = memory_of(*index);
    entry.redo = std::make_shared<RedoIndex>(std::move(*index));
    const auto out = entry.redo;
    keep(std::move(entry));
    return out;
}

Result<std::shared_ptr<const RedoLists>> IndexCache::lists(std::uint64_t segment,
                                                           std::uint64_t salt) {
    using Lists = std::shared_ptr<const RedoLists>;
    if (Lists whole = known_redo(salt); whole != nullptr) return whole;
    Entry entry;
    entry.key = {FileKind::redo_index, salt};
    if (Entry known = find(entry.key); known.lists != nullptr) return known.lists;
    const std::string path = path_of(file_name(FileKind::redo_index, segment));
    const auto head = read_index_head(files_, path);
    auto lists = head.ok() ? unpack_redo_lists(head->bytes(), of(segment, salt), path)
                           : Result<RedoLists>(head.status());
    if (!lists.ok()) {
        auto made_again = redo(segment, salt);
        return made_again.ok() ? Result<Lists>(*made_again) : made_again.status();
    }
    entry.bytes = memory_of(*lists);
    entry.lists = std::make_shared<RedoLists>(std::move(*lists));
    Lists out = entry.lists;
    keep(std::move(entry));
    return out;
}

Result<std::shared_ptr<const BeforeImageIndex>> IndexCache::undo(std::uint64_t segment,
                                                                 std::uint64_t salt) {
    Entry entry;
    entry.key = {FileKind::undo, salt};
    if (Entry known = find(entry.key); known.undo != nullptr) return known.undo;
    const IndexedFile file = of(segment, salt);
    const std::string path = path_of(file_name(FileKind::undo_index, segment));
    const auto bytes = read_index(files_, path);
    auto images = bytes.ok() ? unpack_undo_index(bytes->bytes(), file, path)
                             : Result<BeforeImageIndex>(bytes.status());
    if (!images.ok()) {
        images = rebuild_undo_index(files_, path_of(file_name(FileKind::undo, segment)), file);
        if (!images.ok()) return images.status();
        put(segment, salt, *images).ignore("it is made again the next time");
    }
    entry.bytes = memory_of(*images);
    entry.undo = std::make_shared<BeforeImageIndex>(std::move(*images));
    const auto out = entry.undo;
    keep(std::move(entry));
    return out;
}

Result<std::shared_ptr<const IndexPages>> IndexCache::open_pages(const Use& use) {
    {
        const std::lock_guard guard(mutex_);
        if (const auto found = open_by_use_.find(use); found != open_by_use_.end()) {
            open_.splice(open_.begin(), open_, found->second);
            return open_.front().pages;
        }
    }
    const bool merged = use.kind == FileKind::merged_index;
    const FileKind of_segment =
        use.kind == FileKind::redo ? FileKind::redo_index : FileKind::undo_index;
    const std::string name =
        merged ? file_name(FileKind::merged_index, use.salt) : file_name(of_segment, use.segment);
    auto opened = open_index_pages(files_, path_of(name), of(use.segment, use.salt), use.kind);
    if (!opened.ok()) return opened;
    if (!merged && (*opened)->file_bytes() <= options_.whole_index_bytes)
        return std::shared_ptr<const IndexPages>();
    const std::lock_guard guard(mutex_);
    if (open_by_use_.contains(use)) return opened;  // another look-up was quicker
    open_.push_front({use, *opened});
    open_by_use_[use] = open_.begin();
    if (open_.size() > open_max_) {
        open_by_use_.erase(open_.back().use);
        open_.pop_back();
    }
    return opened;
}

void IndexCache::open_ahead(std::span<const MergedIndexPtr> merged,
                            std::span<const FixedSegment> segments) {
    const auto has_room = [&] { return open_.size() + 2 <= open_max_; };
    for (const MergedIndexPtr& one : merged)
        if (has_room() && !merged_pages(one->salt).ok()) note_damaged(*one);
    for (const FixedSegment& one : segments) {
        if (!has_room()) return;
        (void)pages(FileKind::redo, one.number, one.redo_salt);
        (void)pages(FileKind::undo, one.number, one.undo_salt);
    }
}

void IndexCache::forget(const std::function<bool(const Use&)>& which) {
    const std::lock_guard guard(mutex_);
    for (auto one = open_.begin(); one != open_.end();) {
        if (which(one->use)) {
            open_by_use_.erase(one->use);
            one = open_.erase(one);
        } else {
            ++one;
        }
    }
}

Status IndexCache::remove_merged(std::uint64_t salt) {
    forget_merged(salt);
    const std::string path = path_of(file_name(FileKind::merged_index, salt));
    const auto there = files_.exists(path);
    if (!there.ok()) return there.status();
    return *there ? files_.remove(path) : Status();
}

Status IndexCache::remove(std::uint64_t segment) {
    forget_pages(segment);
    for (const FileKind kind : {FileKind::redo_index, FileKind::undo_index}) {
        const std::string path = path_of(file_name(kind, segment));
        const auto there = files_.exists(path);
        if (!there.ok()) return there.status();
        if (*there) EVERSTEP_TRY(files_.remove(path));
    }
    return {};
}

// A reader that makes one again may do so beside who tends the store.
Status IndexCache::write(FileKind kind, std::uint64_t segment, Bytes content) {
    const std::lock_guard one_at_a_time(writing_);
    const Status written = write_index(files_, index_path(kind, segment), content);
    forget_pages(segment);  // of the file before
    return written;
}

Status IndexCache::put(std::uint64_t segment, std::uint64_t salt, const RedoIndex& index) {
    return write(FileKind::redo_index, segment, pack_redo_index(of(segment, salt), index));
}

Status IndexCache::put(std::uint64_t segment, std::uint64_t salt, const BeforeImageIndex& images) {
    return write(FileKind::undo_index, segment, pack_undo_index(of(segment, salt), images));
}

}  // namespace everstep::journal
