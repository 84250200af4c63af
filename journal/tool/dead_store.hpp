// DeadStore: the store of a node that does not run, locked for as long as it lives.
//
// Thread: one. Invariants: nothing in the store is changed, the lock file included; no daemon opens
// the store meanwhile.
#pragma once

#include "journal/scrub.hpp"

namespace everstep::journal::tool {

struct DeadStore {
    std::string directory;
    std::unique_ptr<io::File> lock;       // none in a copy of a store
    std::vector<ScrubSegment> segments;   // by number; a missing one between others is listed, too
    std::vector<Finding> notes;           // files that no segment needs
    std::vector<std::uint64_t> merged;    // the salts of merged indexes
    std::vector<TimelineInfo> timelines;  // as the newest segment's head has them
    Uuid group;                           // nil: no header can be read
    std::uint64_t bytes = 0;              // of all redo and undo files
};

// refused: a process has the lock; says which, where that can be seen. usage: no store there.
[[nodiscard]] Result<DeadStore> open_dead_store(io::FileSystem& files,
                                                const std::string& directory);

}  // namespace everstep::journal::tool
