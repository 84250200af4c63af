// One command from its words to its exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 node not
// reachable. Thread: the caller's; blocks until the command is done. What holds: what was asked for
// goes to `out`, everything else to `err`; an error is one line there, "everstep: COMMAND OBJECT:
// message"; output that could not be written is a failure.
#pragma once

#include <string>
#include <vector>

#include "cli/surroundings.hpp"

namespace everstep::cli {

// `words`: the command line without the program's name.
[[nodiscard]] int run(const std::vector<std::string>& words, Surroundings& surroundings);

}  // namespace everstep::cli
