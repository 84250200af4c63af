// One command of everstep-journal from its words to its exit status: 0 done, 1 failed or damage, 2
// usage, 3 refused. What was asked for goes to `out`; an error is one line on `err`.
// Thread: the caller's; blocks until the command is done.
#pragma once

#include <string>
#include <vector>

#include "common/io/file.hpp"
#include "journal/tool/output.hpp"

namespace everstep::journal::tool {

// `words`: the command line without the program's name.
[[nodiscard]] int run(io::FileSystem& files, const std::vector<std::string>& words,
                      Surroundings& surroundings);

}  // namespace everstep::journal::tool
