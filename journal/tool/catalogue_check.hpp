// The catalogue of a dead store against what its segments say: for `verify` and `rebuild`.
//
// Thread: one; blocks on the disk. Invariants: only rebuild_catalogue() changes a file.
#pragma once

#include "journal/catalogue.hpp"
#include "journal/tool/dead_store.hpp"

namespace everstep::journal::tool {

// What the segments alone say: the store is opened, every file read, and nothing changed. Its
// error: why the store does not open.
[[nodiscard]] Result<CatalogueContent> read_segments(io::FileSystem& files, const DeadStore& store);

// What of the stored catalogue is damaged or does not follow from `right`. None: no finding.
[[nodiscard]] std::vector<Finding> check_catalogue(io::FileSystem& files, const DeadStore& store,
                                                   const CatalogueContent& right);

// Puts `right` in the place of what is there. `files` has to be the machine's own. False: what is
// there says the same already.
[[nodiscard]] Result<bool> rebuild_catalogue(io::FileSystem& files, const DeadStore& store,
                                             const CatalogueContent& right);

}  // namespace everstep::journal::tool
