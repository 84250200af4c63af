// Numbers and tables for people. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/value.hpp"

namespace everstep::cli {

[[nodiscard]] std::string bytes_text(std::uint64_t bytes);  // 512 B, 4.0 KiB, 1.3 GiB
[[nodiscard]] std::string seconds_text(double seconds);  // 0.012 s, 12.3 s, 2 min 5 s, 3 h 20 min
[[nodiscard]] std::string count_text(std::uint64_t count, std::string_view one);  // 1 step, 2 steps
[[nodiscard]] std::string short_id(std::string_view hex);  // its first 8 digits
[[nodiscard]] double real(const Value& value);             // any number; 0 otherwise
[[nodiscard]] bool is_true(const Value& value);
// An integer or text as it is; "-" for null.
[[nodiscard]] std::string or_dash(const Value& value);
// Text from elsewhere for a terminal: control characters become '?'.
[[nodiscard]] std::string printable(std::string_view text);

// Columns that line up. Rows may be printed in parts: a column never gets narrower.
class Table {
  public:
    // One letter a column: 'l' or 'r', the side on which the cells line up.
    explicit Table(std::string sides) : sides_(std::move(sides)), widths_(sides_.size(), 0) {}
    void row(std::vector<std::string> cells);  // as many as there are columns
    void line(std::string text);               // between the rows, as it is
    // What was added since the last time, each line with `indent` in front.
    [[nodiscard]] std::string take(std::string_view indent = "");

  private:
    struct Row {
        std::vector<std::string> cells;  // empty: `text`
        std::string text;
    };
    [[nodiscard]] std::string laid_out(const Row& row) const;

    std::string sides_;
    std::vector<std::size_t> widths_;
    std::vector<Row> rows_;
};

}  // namespace everstep::cli
