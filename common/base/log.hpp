// The log of a process: one line an event, to stderr, with the time in UTC. The caller makes the
// text; nothing of the logging package shows here. Thread: any. Blocks only as long as stderr takes
// the line.
#pragma once

#include <cstdint>
#include <string_view>

namespace everstep {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

// Lines below `level` are dropped. At the start: info.
void set_log_level(LogLevel level);
// For a text that is costly to make.
[[nodiscard]] bool log_wanted(LogLevel level);

void log_debug(std::string_view text);
void log_info(std::string_view text);
void log_warning(std::string_view text);
void log_error(std::string_view text);

}  // namespace everstep
