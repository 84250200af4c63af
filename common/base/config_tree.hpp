// A TOML text as a plain tree in which everything knows its line. The only place that sees the TOML
// package; private to the configuration. Thread: values. Limits: kConfigBytesMax,
// kConfigLineBytesMax, kConfigDepthMax.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.hpp"

namespace everstep {

inline constexpr std::size_t kConfigBytesMax = 1U << 20;
inline constexpr std::size_t kConfigLineBytesMax = 4096;
inline constexpr int kConfigDepthMax = 16;

struct ConfigItem {
    enum class Kind : std::uint8_t { text, integer, boolean, other, list, table };
    Kind kind = Kind::table;
    std::string key;  // in its table; empty in a list
    std::uint32_t line = 1;
    std::string text;          // text: the value; integer, boolean, other: as messages show it
    std::int64_t integer = 0;  // integer
    std::vector<ConfigItem> children;  // list, table
};

// "a table", "text", .. for messages.
[[nodiscard]] std::string_view kind_name(ConfigItem::Kind kind);

// A message is one line of text: control characters become '?'.
[[nodiscard]] std::string one_line(std::string text);

// usage: "FILE:LINE: what"; a syntax error, a key set twice, a limit.
[[nodiscard]] Result<ConfigItem> parse_config_tree(std::string_view text, const std::string& file);

}  // namespace everstep
