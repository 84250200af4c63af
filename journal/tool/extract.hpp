// `extract`: the image of a step, out of a dead node's store and replica, through the one reading
// function.
//
// Thread: one; blocks on the disk. Invariants: store and replica are not changed; the replica's
// files are locked meanwhile; an output file is whole or is removed again.
#pragma once

#include "journal/tool/dead_store.hpp"
#include "journal/tool/options.hpp"
#include "journal/tool/output.hpp"

namespace everstep::journal::tool {

// refused: the step is no point (says the nearest), or a process has the replica open.
[[nodiscard]] Status extract(io::FileSystem& files, const DeadStore& store, const Options& options,
                             Surroundings& surroundings);

}  // namespace everstep::journal::tool
