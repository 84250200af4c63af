// Programs of the system that a command runs, by their argument vectors, never through a shell.
// Looked for in PATH and in the usual directories of the system, which a user's PATH may lack.
// Thread: the command line's.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.hpp"

namespace everstep::cli {

struct Tool {
    const char* name;
    const char* package;  // of Debian, for the advice when it is missing
};

struct ToolEnd {
    int status = 0;  // of its exit; 128 + N where signal N ended it
    std::string out;
    std::string err;
    // What it said that went wrong, on one line.
    [[nodiscard]] std::string said() const;
};

// not_found: it is not installed, and in which package it is.
[[nodiscard]] Result<std::string> find_tool(const Tool& tool);

// Runs it to its end, with nothing to read; blocks. An error: it could not be started.
[[nodiscard]] Result<ToolEnd> run_tool(const Tool& tool, const std::vector<std::string>& words);
// The same; io: it ended with another status than 0, and what it said.
[[nodiscard]] Result<std::string> tool_output(const Tool& tool,
                                              const std::vector<std::string>& words);

// Starts one that goes on when the command ends, in a session of its own; what it says goes to the
// file `log`. Gives its process id.
[[nodiscard]] Result<int> start_tool(const Tool& tool, const std::vector<std::string>& words,
                                     const std::string& log);

}  // namespace everstep::cli
