// `verify` and `rebuild`: one pass over every file of a dead store.
//
// Thread: one; blocks on the disk. Invariants: verify writes nothing; a store of which verify found
// no damage can be opened; rebuild writes index files only, of sealed files without damage.
#pragma once

#include "journal/tool/dead_store.hpp"
#include "journal/tool/output.hpp"

namespace everstep::journal::tool {

// corrupt: damage was found and printed.
[[nodiscard]] Status verify(io::FileSystem& files, const DeadStore& store, bool json,
                            Surroundings& surroundings);
[[nodiscard]] Status rebuild(io::FileSystem& files, const DeadStore& store, bool json,
                             Surroundings& surroundings);

}  // namespace everstep::journal::tool
