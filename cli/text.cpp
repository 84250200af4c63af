#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "common/base/assert.hpp"

namespace everstep::cli {
namespace {

std::string fixed(double value, int digits) {
    std::array<char, 64> out{};
    std::snprintf(out.data(), out.size(), "%.*f", digits, value);
    return out.data();
}

std::string two_units(std::uint64_t large, const char* large_name, std::uint64_t small,
                      const char* small_name) {
    return std::to_string(large) + ' ' + large_name + ' ' + std::to_string(small) + ' ' +
           small_name;
}

// Characters as a terminal counts them: UTF-8 continuation bytes take no column.
std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned>(c) & 0xc0) != 0x80;
    }));
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
    static constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) return std::to_string(bytes) + " B";
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
    return fixed(value, 1) + ' ' + kUnits[unit];
}

std::string seconds_text(double seconds) {
    if (!(seconds > 0)) return "0 s";
    if (seconds < 10) return fixed(seconds, 3) + " s";
    if (seconds < 60) return fixed(seconds, 1) + " s";
    if (seconds > 1e15) return fixed(seconds, 0) + " s";
    const auto whole = static_cast<std::uint64_t>(seconds);
    if (whole < 3600) return two_units(whole / 60, "min", whole % 60, "s");
    if (whole < 86400) return two_units(whole / 3600, "h", whole % 3600 / 60, "min");
    return two_units(whole / 86400, "d", whole % 86400 / 3600, "h");
}

std::string count_text(std::uint64_t count, std::string_view one) {
    return std::to_string(count) + ' ' + std::string(one) + (count == 1 ? "" : "s");
}

std::string short_id(std::string_view hex) {
    return std::string(hex.substr(0, 8));
}

double real(const Value& value) {
    if (const auto* const exact = std::get_if<double>(&value.data())) return *exact;
    if (const auto* const natural = std::get_if<std::uint64_t>(&value.data())) {
        return static_cast<double>(*natural);
    }
    if (const auto* const integer = std::get_if<std::int64_t>(&value.data())) {
        return static_cast<double>(*integer);
    }
    return 0;
}

bool is_true(const Value& value) {
    const bool* const truth = std::get_if<bool>(&value.data());
    return truth != nullptr && *truth;
}

std::string or_dash(const Value& value) {
    return value.is_null() ? "-" : printable(value.text());
}

std::string printable(std::string_view text) {
    std::string out(text);
    std::replace_if(
        out.begin(), out.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }, '?');
    return out;
}

void Table::row(std::vector<std::string> cells) {
    EVERSTEP_ASSERT(cells.size() == sides_.size(), "a row of another table");
    for (std::size_t i = 0; i < cells.size(); ++i) {
        widths_[i] = std::max(widths_[i], columns(cells[i]));
    }
    rows_.push_back({std::move(cells), {}});
}

void Table::line(std::string text) {
    rows_.push_back({{}, std::move(text)});
}

std::string Table::laid_out(const Row& row) const {
    std::string out;
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
        const std::string pad(widths_[i] - columns(row.cells[i]), ' ');
        if (i > 0) out += "  ";
        out += sides_[i] == 'r' ? pad + row.cells[i] : row.cells[i] + pad;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out;
}

std::string Table::take(std::string_view indent) {
    std::string out;
    for (const Row& row : rows_) {
        out += std::string(indent) + (row.cells.empty() ? row.text : laid_out(row)) + '\n';
    }
    rows_.clear();
    return out;
}

}  // namespace everstep::cli
