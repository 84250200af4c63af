#include "standby/point_text.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/frame.hpp"
#include "standby/time_text.hpp"

namespace everstep::standby {
namespace {

constexpr std::size_t kHexDigitsMin = 8;
constexpr std::size_t kHexDigitsMax = 32;

Status not_a_point(std::string_view expression, std::string_view why) {
    return {ErrorCode::usage,
            fmt::format(
                "point '{}': {}; wanted head, step:N, T@step:N, t:HEX@step:N (or @head), a mark's "
                "name (each may have ~N, a name +N too), an RFC 3339 time, or ago:90s; any of them "
                "may end "
                "in ^flush or ^flush:VOLUME",
                expression, why)};
}

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool looks_like_date(std::string_view text) {
    constexpr std::string_view kShape = "dddd-dd-dd";
    return text.size() >= kShape.size() &&
           std::equal(kShape.begin(), kShape.end(), text.begin(), [](char shape, char c) {
               return shape == 'd' ? c >= '0' && c <= '9' : shape == c;
           });
}

class Parser {
  public:
    explicit Parser(std::string_view expression) : expression_(expression), rest_(expression) {}

    Result<PointText> parse() {
        EVERSTEP_TRY(take_flush());
        if (rest_.starts_with("ago:")) return take_ago();
        if (looks_like_date(rest_)) return take_time();
        EVERSTEP_TRY(take_shift());
        if (rest_ == "head") return std::move(point_);
        const std::size_t at = rest_.find('@');
        if (at != std::string_view::npos) {
            EVERSTEP_TRY(take_timeline(rest_.substr(0, at)));
            rest_.remove_prefix(at + 1);
            if (rest_ == "head") return std::move(point_);
            if (!rest_.starts_with("step:"))
                return error("only step:N or head may follow a timeline");
        }
        if (rest_.starts_with("step:")) return take_step();
        if (const Status name = check_mark_name(rest_); !name.ok()) return error("no such form");
        point_.base = PointText::Base::mark;
        point_.mark = rest_;
        return std::move(point_);
    }

  private:
    [[nodiscard]] Status error(std::string_view why) const { return not_a_point(expression_, why); }

    Status take_flush() {
        const std::size_t caret = rest_.find('^');
        if (caret == std::string_view::npos) return {};
        std::string_view suffix = rest_.substr(caret + 1);
        rest_ = rest_.substr(0, caret);
        if (!suffix.starts_with("flush")) return error("only ^flush may follow a point");
        suffix.remove_prefix(std::string_view("flush").size());
        point_.flush = true;
        if (suffix.empty()) return {};
        if (suffix.front() != ':' || suffix.size() == 1)
            return error("only ^flush:VOLUME follows ^flush");
        point_.flush_volume = std::string(suffix.substr(1));
        return {};
    }

    Status take_shift() {
        const std::size_t sign = rest_.find_first_of("~+");
        if (sign == std::string_view::npos) return {};
        const auto steps = parse_number(rest_.substr(sign + 1));
        if (!steps) return error("a number of steps must follow ~ or +");
        point_.forward = rest_[sign] == '+';
        point_.shift = *steps;
        rest_ = rest_.substr(0, sign);
        return {};
    }

    Status take_timeline(std::string_view text) {
        if (const auto number = parse_number(text)) {
            point_.timeline_number = *number;
            return {};
        }
        if (!text.starts_with("t:")) return error("a timeline is a number or t:HEX");
        text.remove_prefix(2);
        if (text.size() < kHexDigitsMin || text.size() > kHexDigitsMax ||
            !std::all_of(text.begin(), text.end(), is_hex)) {
            return error("a timeline's id has 8 to 32 hex digits");
        }
        point_.timeline_hex = text;
        std::transform(text.begin(), text.end(), point_.timeline_hex.begin(), [](char c) {
            return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
        });
        return {};
    }

    Result<PointText> take_step() {
        const auto lsn = parse_number(rest_.substr(std::string_view("step:").size()));
        if (!lsn) return error("a step is a number");
        point_.base = PointText::Base::step;
        point_.lsn = Lsn(*lsn);
        return std::move(point_);
    }

    Result<PointText> take_time() {
        const auto time = parse_time(rest_);
        if (!time) return error("not an RFC 3339 time, as 2026-11-20T20:45:00.250Z is one");
        point_.base = PointText::Base::time;
        point_.time = *time;
        return std::move(point_);
    }

    Result<PointText> take_ago() {
        const auto ago = parse_duration(rest_.substr(std::string_view("ago:").size()));
        if (!ago) return error("a duration is a number with ms, s, m, h, d or w");
        point_.base = PointText::Base::ago;
        point_.ago = *ago;
        return std::move(point_);
    }

    std::string_view expression_;
    std::string_view rest_;
    PointText point_;
};

}  // namespace

Result<PointText> parse_point(std::string_view expression) {
    if (expression.empty()) return not_a_point(expression, "empty");
    return Parser(expression).parse();
}

}  // namespace everstep::standby
