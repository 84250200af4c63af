// From the words of the command line to what is to be done. Pure but for the environment that is
// handed in.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cli/command_table.hpp"
#include "cli/surroundings.hpp"
#include "common/base/status.hpp"
#include "proto/messages.hpp"

namespace everstep::cli {

struct Invocation {
    const CommandSpec* command = nullptr;  // of the table
    std::string object;                    // what it is about, for messages; may be empty
    wire::AdminRequest request;            // local commands: their arguments by key
    std::string config;
    std::string node;
    bool node_was_given = false;  // not only the host name
    bool json = false;
    bool quiet = false;
    bool watch = false;
    [[nodiscard]] std::string label() const;  // "COMMAND OBJECT"
};

struct HelpText {
    std::string text;
};

// A failure is `usage`, its message begins with the sub-command where there is one.
[[nodiscard]] Result<std::variant<Invocation, HelpText>> parse_command_line(
    const std::vector<std::string>& words, const Surroundings& surroundings);

}  // namespace everstep::cli
