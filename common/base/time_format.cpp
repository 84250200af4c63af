// RFC 3339 times. UTC inside; a leap second (:60) is refused, because the system's clock never
// shows one.
#include <fmt/format.h>

#include "common/base/config.hpp"

namespace everstep {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr int kFractionDigitsMax = 9;
// Whole years inside what nanoseconds since 1970 can hold in 64 bits.
constexpr int kYearMin = 1678;
constexpr int kYearMax = 2261;

// Takes characters off the front of a text; after a mismatch everything fails.
class Cutter {
  public:
    explicit Cutter(std::string_view text) : text_(text) {}
    [[nodiscard]] bool failed() const { return failed_; }
    [[nodiscard]] bool at_end() const { return text_.empty(); }
    // Exactly `count` digits.
    int number(int count) {
        int value = 0;
        for (int i = 0; i < count; ++i) {
            if (!next_is_digit()) {
                failed_ = true;
                return 0;
            }
            value = value * 10 + (text_.front() - '0');
            text_.remove_prefix(1);
        }
        return value;
    }
    [[nodiscard]] bool next_is_digit() const {
        return !text_.empty() && text_.front() >= '0' && text_.front() <= '9';
    }
    // One of `characters`; gives it.
    char one_of(std::string_view characters) {
        if (text_.empty() || characters.find(text_.front()) == std::string_view::npos) {
            failed_ = true;
            return '\0';
        }
        const char found = text_.front();
        text_.remove_prefix(1);
        return found;
    }
    bool skip(char c) {
        if (text_.empty() || text_.front() != c) return false;
        text_.remove_prefix(1);
        return true;
    }

  private:
    std::string_view text_;
    bool failed_ = false;
};

nanoseconds cut_fraction(Cutter& cutter) {
    std::int64_t value = cutter.number(1);
    int digits = 1;
    for (; digits < kFractionDigitsMax && cutter.next_is_digit(); ++digits) {
        value = value * 10 + cutter.number(1);
    }
    for (; digits < kFractionDigitsMax; ++digits) value *= 10;
    return nanoseconds(value);
}

// How far the text's clock is ahead of UTC.
minutes cut_offset(Cutter& cutter) {
    const char sign = cutter.one_of("Zz+-");
    if (cutter.failed() || sign == 'Z' || sign == 'z') return minutes(0);
    const int hour = cutter.number(2);
    cutter.one_of(":");
    const int minute = cutter.number(2);
    if (hour > 23 || minute > 59) cutter.one_of("");
    const minutes ahead = hours(hour) + minutes(minute);
    return sign == '-' ? -ahead : ahead;
}

}  // namespace

std::string format_time(WallTime time) {
    const auto whole_day = std::chrono::floor<days>(time);
    const std::chrono::year_month_day date(whole_day);
    const std::chrono::hh_mm_ss clock(std::chrono::floor<microseconds>(time - whole_day));
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                       clock.subseconds().count());
}

Result<WallTime> parse_time(std::string_view text) {
    const auto bad = [&](std::string_view why) {
        return Status(ErrorCode::usage,
                      fmt::format("time: found \"{}\"{}, wanted one like 2026-11-20T20:45:00.250Z",
                                  text, why));
    };
    Cutter cutter(text);
    const int year = cutter.number(4);
    cutter.one_of("-");
    const int month = cutter.number(2);
    cutter.one_of("-");
    const int day = cutter.number(2);
    cutter.one_of("Tt");
    const int hour = cutter.number(2);
    cutter.one_of(":");
    const int minute = cutter.number(2);
    cutter.one_of(":");
    const int second = cutter.number(2);
    const nanoseconds fraction = cutter.skip('.') ? cut_fraction(cutter) : nanoseconds(0);
    const minutes ahead = cut_offset(cutter);
    if (cutter.failed() || !cutter.at_end()) return bad("");
    if (hour > 23 || minute > 59 || second > 59) return bad(" (no such time of day)");
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok()) return bad(" (no such day)");
    if (year < kYearMin || year > kYearMax) return bad(" (out of range)");
    return WallTime(std::chrono::sys_days(date)) + hours(hour) + minutes(minute) + seconds(second) +
           fraction - ahead;
}

}  // namespace everstep
