// The help texts: one page for the program, one for each sub-command. Pure; any thread.
#pragma once

#include <string>

#include "cli/command_table.hpp"

namespace everstep::cli {

[[nodiscard]] std::string program_help();
[[nodiscard]] std::string command_help(const CommandSpec& command);

}  // namespace everstep::cli
