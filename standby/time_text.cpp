#include "standby/time_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace everstep::standby {
namespace {

using std::chrono::days;
using std::chrono::nanoseconds;
using std::chrono::seconds;

bool digit(char c) {
    return c >= '0' && c <= '9';
}

// Takes what it understands off the front of a text.
class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}
    bool number(std::size_t digits, int& out) {
        if (text_.size() < digits || !std::all_of(text_.begin(), text_.begin() + digits, digit)) {
            return false;
        }
        std::from_chars(text_.data(), text_.data() + digits, out);
        text_.remove_prefix(digits);
        return true;
    }
    bool one_of(std::string_view characters, char& out) {
        if (text_.empty() || characters.find(text_.front()) == std::string_view::npos) return false;
        out = text_.front();
        text_.remove_prefix(1);
        return true;
    }
    bool one_of(std::string_view characters) {
        char ignored = 0;
        return one_of(characters, ignored);
    }
    [[nodiscard]] bool at_end() const { return text_.empty(); }

  private:
    std::string_view text_;
};

bool read_fraction(Reader& reader, nanoseconds& out) {
    out = {};
    if (!reader.one_of(".")) return true;
    std::int64_t scale = 100'000'000;
    int one = 0;
    if (!reader.number(1, one)) return false;
    do {
        out += nanoseconds(one * scale);
        scale /= 10;
    } while (reader.number(1, one));
    return true;
}

bool read_offset(Reader& reader, seconds& out) {
    char sign = 0;
    if (!reader.one_of("Zz+-", sign)) return false;
    out = {};
    if (sign == 'Z' || sign == 'z') return true;
    int hours = 0;
    int minutes = 0;
    if (!reader.number(2, hours) || !reader.one_of(":") || !reader.number(2, minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    out = seconds(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

std::optional<std::int64_t> unit_ns(std::string_view unit) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> kUnits = {
        {{"ms", kSecond / 1000},
         {"s", kSecond},
         {"m", 60 * kSecond},
         {"h", 3600 * kSecond},
         {"d", 86400 * kSecond},
         {"w", 7 * 86400 * kSecond}}};
    for (const auto& [name, ns] : kUnits) {
        if (name == unit) return ns;
    }
    return std::nullopt;
}

}  // namespace

std::optional<WallTime> parse_time(std::string_view text) {
    Reader reader(text);
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    nanoseconds fraction{};
    seconds offset{};
    const bool shaped = reader.number(4, year) && reader.one_of("-") && reader.number(2, month) &&
                        reader.one_of("-") && reader.number(2, day) && reader.one_of("Tt") &&
                        reader.number(2, hour) && reader.one_of(":") && reader.number(2, minute) &&
                        reader.one_of(":") && reader.number(2, second) &&
                        read_fraction(reader, fraction) && read_offset(reader, offset) &&
                        reader.at_end();
    // A leap second (60) counts as the first of the next minute.
    if (!shaped || hour > 23 || minute > 59 || second > 60) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok() || year < 1678 || year > 2261) return std::nullopt;  // what 64 bits of ns hold
    return WallTime(std::chrono::sys_days(date)) + seconds(hour * 3600 + minute * 60 + second) -
           offset + fraction;
}

std::string format_time(WallTime time) {
    const auto day = std::chrono::floor<days>(time);
    const std::chrono::year_month_day date(day);
    const auto us = std::chrono::floor<std::chrono::microseconds>(time - day).count();
    constexpr std::int64_t kSecond = 1'000'000;
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       us / kSecond / 3600, us / kSecond / 60 % 60, us / kSecond % 60,
                       us % kSecond);
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t value = 0;
    if (text.empty() || !std::all_of(text.begin(), text.end(), digit)) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<nanoseconds> parse_duration(std::string_view text) {
    if (text.empty()) return std::nullopt;
    std::int64_t total = 0;
    while (!text.empty()) {
        const auto number_end = std::find_if_not(text.begin(), text.end(), digit);
        const auto unit_end = std::find_if(number_end, text.end(), digit);
        const auto count = parse_number({text.begin(), number_end});
        const auto unit = unit_ns({number_end, unit_end});
        constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 2;
        if (!count || !unit || *count > static_cast<std::uint64_t>((kMost - total) / *unit)) {
            return std::nullopt;
        }
        total += static_cast<std::int64_t>(*count) * *unit;
        text = {unit_end, text.end()};
    }
    return nanoseconds(total);
}

}  // namespace everstep::standby
