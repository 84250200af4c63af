// The file descriptors of the process.
#pragma once

#include <cstddef>

namespace everstep {

// For programs that keep many files open, called once, first in main(): the limit becomes the
// largest one that the process may give itself (the usual one, 1024, is for programs with
// select()).
void allow_many_files();

// How many files one cache may keep open: `most`, or a sixteenth of the limit where that is less,
// so that some groups fit beside each other under any limit.
[[nodiscard]] std::size_t files_for_cache(std::size_t most);

}  // namespace everstep
