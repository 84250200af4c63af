// FileCache: the store's files open for reading, a bounded number of them, so that a long history
// does not use up the process's file descriptors.
//
// Thread: any; a mutex inside, not held while a file is read. A file given out stays open until its
// last user is done.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "common/base/descriptors.hpp"
#include "common/io/file.hpp"
#include "journal/fetch_ahead.hpp"
#include "journal/segment_header.hpp"

namespace everstep::journal {

inline constexpr std::size_t kOpenFilesMax = 256;

class FileCache {
  public:
    FileCache(io::FileSystem& files, std::string directory)
        : files_(files), directory_(std::move(directory)) {}
    [[nodiscard]] Result<std::shared_ptr<const io::File>> get(FileKind kind, std::uint64_t segment);
    // The same, for reads of many pieces.
    struct InPieces {
        std::shared_ptr<const io::File> file;
        std::shared_ptr<FetchAhead> ahead;
    };
    [[nodiscard]] Result<InPieces> get_in_pieces(FileKind kind, std::uint64_t segment);
    // Opens its files, if there is room for them: a read finds them so. What is wrong with one is
    // found by the read that needs it.
    void open_ahead(std::uint64_t segment);
    // Its files are gone, or somebody else's.
    void forget(std::uint64_t segment);

  private:
    struct Open {
        std::string name;
        InPieces opened;
    };
    io::FileSystem& files_;
    std::string directory_;
    const std::size_t open_max_ = files_for_cache(kOpenFilesMax);
    std::mutex mutex_;
    std::list<Open> open_;  // most recently used first
    std::unordered_map<std::string, std::list<Open>::iterator> by_name_;
};

}  // namespace everstep::journal
