// The index of a sealed file, made again from the file itself: where its index file is lost or
// damaged.
//
// Thread: any; it reads only.
// Invariants: what it gives equals what was in memory when the file was sealed.
#pragma once

#include "journal/index_file.hpp"

namespace everstep::journal {

// corrupt: the file at `path` is damaged, is another file, or is not sealed; names the place.
[[nodiscard]] Result<RedoIndex> rebuild_redo_index(io::FileSystem& files, const std::string& path,
                                                   const IndexedFile& of);
[[nodiscard]] Result<BeforeImageIndex> rebuild_undo_index(io::FileSystem& files,
                                                          const std::string& path,
                                                          const IndexedFile& of);

}  // namespace everstep::journal
