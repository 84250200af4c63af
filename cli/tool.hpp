// Programs of the system that a command runs, by their argument vectors, never through a shell.
// Looked for in PATH and in the usual directories of the system, which a user's PATH may lack.
// Thread: the command line's.
#pragma once

#include <signal.h>

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

// As long as one lives, the signals that a terminal or an init sends to end a command (SIGINT,
// SIGTERM, SIGHUP) wait; tools are started without that, so that Ctrl-C ends them. For work that is
// either done or undone: who does it looks for them, and those that came are taken away when it is
// gone.
class HeldSignals {
  public:
    HeldSignals();
    ~HeldSignals();
    HeldSignals(const HeldSignals&) = delete;
    HeldSignals& operator=(const HeldSignals&) = delete;

  private:
    sigset_t before_{};
};
// closed: one waits.
[[nodiscard]] Status check_not_interrupted();

// Starts one that goes on when the command ends, in a session of its own; what it says goes to the
// file `log`. Gives its process id.
[[nodiscard]] Result<int> start_tool(const Tool& tool, const std::vector<std::string>& words,
                                     const std::string& log);

}  // namespace everstep::cli
