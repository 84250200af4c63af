#include "cli/progress.hpp"

#include <algorithm>

#include "cli/text.hpp"

namespace everstep::cli {
namespace {

std::string amount(double value, const std::string& unit) {
    const auto whole = static_cast<std::uint64_t>(std::clamp(value, 0.0, 1e18));
    return unit == "bytes" ? bytes_text(whole) : std::to_string(whole) + ' ' + unit;
}

}  // namespace

Progress::Progress(Surroundings& surroundings, std::string label, bool wanted)
    : surroundings_(surroundings),
      label_(std::move(label)),
      wanted_(wanted && surroundings.err_is_terminal) {}

bool Progress::take(const Value& body) {
    const Value& progress = body.at("progress");
    if (progress.is_null()) return false;
    if (!wanted_) return true;
    surroundings_.err << '\r' << line(progress) << "\033[K" << std::flush;
    shown_ = true;
    return true;
}

std::string Progress::line(const Value& progress) {
    const std::string unit = printable(progress.at("unit").text());
    const double done = real(progress.at("done"));
    const double total = real(progress.at("total"));
    const std::chrono::nanoseconds now = surroundings_.now();
    if (!began_ || unit != unit_) {
        began_ = now;
        unit_ = unit;
        done_at_beginning_ = done;
    }
    const double seconds = std::chrono::duration<double>(now - *began_).count();
    const double rate = seconds > 0 ? (done - done_at_beginning_) / seconds : 0;
    std::string out = "everstep: " + label_ + ": ";
    if (total > 0) {
        const double percent = std::clamp(100 * done / total, 0.0, 100.0);
        out += std::to_string(static_cast<int>(percent)) + "%, ";
    }
    out += amount(done, unit);
    if (total > 0) out += " of " + amount(total, unit);
    if (rate > 0) out += ", " + amount(rate, unit) + "/s";
    if (rate > 0 && total > done) out += ", ETA " + seconds_text((total - done) / rate);
    return out;
}

void Progress::clear() {
    if (shown_) surroundings_.err << "\r\033[K" << std::flush;
    shown_ = false;
}

}  // namespace everstep::cli
