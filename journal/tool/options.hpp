// The words of everstep-journal's command line. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.hpp"

namespace everstep::journal::tool {

enum class Command : std::uint8_t { help, version, dump, verify, rebuild, extract };

struct Options {
    Command command = Command::help;
    std::string directory;
    bool json = false;
    std::optional<std::uint64_t> segment;  // dump
    std::vector<std::string> replicas;     // extract: the volumes' images, in their order
    std::vector<std::string> outputs;      // extract: one for each
    std::vector<std::string> over;  // extract: the stores below a branch's, the nearest first
    std::string step;               // extract: N, step:N or t:HEX@step:N
};

// usage: says what was found and what is wanted.
[[nodiscard]] Result<Options> parse_options(const std::vector<std::string>& words);
[[nodiscard]] const char* help_text();

struct StepText {
    std::uint64_t lsn = 0;
    std::string timeline_hex;  // 8 digits at least; empty: the group's line
};
[[nodiscard]] Result<StepText> parse_step(std::string_view text);

}  // namespace everstep::journal::tool
