// The sub-commands as data: what they take, what is sent to the node, what their help says.
// options.cpp parses by it, help.cpp prints it. Constant; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace everstep::cli {

// How a command's answer is shown.
enum class Shape : std::uint8_t {
    document,  // one object
    list,      // one list, perhaps in several messages
    lines,     // a list that may be long: one JSON object a line as it arrives
    local,     // not what a node says: the command makes it
};

struct OperandSpec {
    std::string_view key;   // the argument of the admin verb that it becomes
    std::string_view word;  // in the synopsis
    std::string_view help;
    bool required = true;
};

struct OptionSpec {
    std::string_view flag;  // "--from"
    std::string_view key;
    std::string_view word;  // empty: a switch, sent as "1"
    std::string_view help;
};

struct CommandSpec {
    std::string_view name;  // the admin verb, too, unless the shape is local
    std::string_view summary;
    std::string_view description;
    std::string_view example;
    Shape shape = Shape::document;
    std::vector<OperandSpec> operands;
    std::vector<OptionSpec> options;
};

[[nodiscard]] std::span<const CommandSpec> commands();
[[nodiscard]] const CommandSpec* find_command(std::string_view name);
// Before or after the sub-command, the same for all of them.
[[nodiscard]] std::span<const OptionSpec> global_options();

}  // namespace everstep::cli
