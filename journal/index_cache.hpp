// IndexCache: the indexes of sealed files, kept in index files: looked up there by pages, or whole
// and, a bounded amount of them, in memory.
//
// Thread: any; a mutex inside, not held while a file is read; another one while one is written.
// Invariants: at most about kIndexCacheBytes stay in memory besides what is in use, and always the
// newest one; an index file that is missing or damaged is made again from the sealed file, whose
// own damage is the only error that is left.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <span>

#include "common/base/descriptors.hpp"
#include "journal/index_file.hpp"
#include "journal/merged_index.hpp"
#include "journal/store_types.hpp"

namespace everstep::journal {

inline constexpr std::uint64_t kIndexCacheBytes = 64ULL << 20;
inline constexpr std::size_t kOpenIndexesMax = 256;

class IndexCache {
  public:
    // Both outlive it.
    IndexCache(io::FileSystem& files, const StoreOptions& options)
        : files_(files), options_(options) {}
    // The pages of its index file, for look-ups; none where the whole index is small. An error of
    // any kind: ask for the whole index, which also makes the file again. At most kOpenIndexesMax
    // files are open besides what is in use.
    [[nodiscard]] Result<std::shared_ptr<const IndexPages>> pages(FileKind kind,
                                                                  std::uint64_t segment,
                                                                  std::uint64_t salt) {
        return open_pages({kind, segment, salt});
    }
    // Of a merged index.
    [[nodiscard]] Result<std::shared_ptr<const IndexPages>> merged_pages(std::uint64_t salt) {
        return open_pages({FileKind::merged_index, 0, salt});
    }
    // Opens as many of these as may be open, the first ones first: a look-up finds them so. What is
    // wrong with a merged one is noted, with another one found by the look-up that needs it.
    void open_ahead(std::span<const MergedIndexPtr> merged, std::span<const FixedSegment> segments);
    void forget_merged(std::uint64_t salt) {
        forget(
            [&](const Use& use) { return use.kind == FileKind::merged_index && use.salt == salt; });
    }
    [[nodiscard]] Status remove_merged(std::uint64_t salt);
    // Its file is missing or no good: it is to be made again.
    void note_damaged(const MergedIndex& index) {
        index.damaged = true;
        has_damaged_ = true;
    }
    [[nodiscard]] bool has_damaged() const { return has_damaged_; }
    [[nodiscard]] bool take_damaged() { return has_damaged_.exchange(false); }
    [[nodiscard]] IndexedFile of(std::uint64_t segment, std::uint64_t salt) const {
        return {options_.group, segment, salt, options_.volume_bytes};
    }
    // Whole, if it is in memory.
    [[nodiscard]] std::shared_ptr<const RedoIndex> known_redo(std::uint64_t salt) {
        return find({FileKind::redo, salt}).redo;
    }
    // Whole, of a sealed file: `salt` is the file's. Given out, it stays valid whatever is dropped.
    [[nodiscard]] Result<std::shared_ptr<const RedoIndex>> redo(std::uint64_t segment,
                                                                std::uint64_t salt);
    [[nodiscard]] Result<std::shared_ptr<const BeforeImageIndex>> undo(std::uint64_t segment,
                                                                       std::uint64_t salt);
    // What of redo() is no writes, without a look at these.
    [[nodiscard]] Result<std::shared_ptr<const RedoLists>> lists(std::uint64_t segment,
                                                                 std::uint64_t salt);
    // Writes the index file of a sealed file.
    [[nodiscard]] Status put(std::uint64_t segment, std::uint64_t salt, const RedoIndex& index);
    [[nodiscard]] Status put(std::uint64_t segment, std::uint64_t salt,
                             const BeforeImageIndex& images);

    // Of a segment that is not kept any more.
    [[nodiscard]] Status remove(std::uint64_t segment);

  private:
    using Key = std::pair<FileKind, std::uint64_t>;  // and the salt; redo_index: the lists alone
    struct Entry {
        Key key;
        std::shared_ptr<const RedoIndex> redo;
        std::shared_ptr<const RedoLists> lists;
        std::shared_ptr<const BeforeImageIndex> undo;
        std::uint64_t bytes = 0;
    };
    [[nodiscard]] Entry find(const Key& key);
    void keep(Entry entry);
    [[nodiscard]] std::string path_of(const std::string& name) const {
        return options_.directory + "/" + name;
    }
    [[nodiscard]] IndexPath index_path(FileKind kind, std::uint64_t segment) const {
        return {path_of(file_name(kind, segment)), path_of(unfinished_name(kind, segment))};
    }
    // An index file in use: redo and undo mean what is indexed.
    struct Use {
        FileKind kind = FileKind::redo;
        std::uint64_t segment = 0;
        std::uint64_t salt = 0;
        auto operator<=>(const Use&) const = default;
    };
    struct Open {
        Use use;
        std::shared_ptr<const IndexPages> pages;
    };
    [[nodiscard]] Result<std::shared_ptr<const IndexPages>> open_pages(const Use& use);
    [[nodiscard]] Status write(FileKind kind, std::uint64_t segment, Bytes content);
    void forget(const std::function<bool(const Use&)>& which);
    void forget_pages(std::uint64_t segment) {
        forget([&](const Use& use) {
            return use.kind != FileKind::merged_index && use.segment == segment;
        });
    }

    io::FileSystem& files_;
    const StoreOptions& options_;
    std::mutex mutex_;
    std::list<Entry> entries_;  // most recently used first
    std::map<Key, std::list<Entry>::iterator> by_key_;
    std::uint64_t bytes_ = 0;
    const std::size_t open_max_ = files_for_cache(kOpenIndexesMax);
    std::list<Open> open_;  // most recently used first
    std::map<Use, std::list<Open>::iterator> open_by_use_;
    std::atomic<bool> has_damaged_{false};
    std::mutex writing_;
};

}  // namespace everstep::journal
