#include "journal/tool/output.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace everstep::journal::tool {
namespace {

constexpr std::chrono::milliseconds kShowEvery{200};

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            out += std::string("\\") + c;
        else if (static_cast<unsigned char>(c) < 0x20)
            out += fmt::format("\\u{:04x}", static_cast<int>(c));
        else if (static_cast<unsigned char>(c) < 0x80)
            out += c;
        else  // names from damaged bytes need not be UTF-8
            out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    }
    return out + '"';
}

struct ToJson {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(std::uint64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return fmt::format("{}", value); }
    std::string operator()(const std::string& value) const { return quoted(value); }
    std::string operator()(const Value::List& list) const {
        std::string out = "[";
        for (const Value& item : list)
            out += (out.size() > 1 ? "," : "") + std::visit(*this, item.data());
        return out + ']';
    }
    std::string operator()(const Value::Map& map) const {
        std::string out = "{";
        for (const auto& [key, item] : map)
            out += (out.size() > 1 ? "," : "") + quoted(key) + ':' + std::visit(*this, item.data());
        return out + '}';
    }
};

}  // namespace

std::string json_text(const Value& value) {
    return std::visit(ToJson{}, value.data());
}

std::string printable(std::string_view text) {
    std::string out(text);
    std::replace_if(
        out.begin(), out.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }, '?');
    return out;
}

Value finding_value(const Finding& finding) {
    Value value = Value::map();
    value.set("file", finding.file);
    value.set("offset", finding.at.value());
    value.set("length", finding.length.value());
    value.set("what", finding.what);
    value.set("timeline", finding.timeline.nil() ? Value() : Value(finding.timeline.hex()));
    value.set("first", finding.first ? Value(finding.first->value()) : Value());
    value.set("last", finding.last ? Value(finding.last->value()) : Value());
    Value extents = Value::list();
    for (const GapExtent& e : finding.extents) {
        Value extent = Value::map();
        extent.set("volume", e.volume.value());
        extent.set("offset", e.offset.value());
        extent.set("length", e.length.value());
        extents.push(std::move(extent));
    }
    value.set("extents", std::move(extents));
    return value;
}

Progress::Progress(Surroundings& surroundings, std::uint64_t total_bytes)
    : surroundings_(surroundings),
      total_(total_bytes),
      began_(surroundings.now()),
      shown_at_(began_) {}

void Progress::add(std::uint64_t bytes) {
    done_ += bytes;
    const auto now = surroundings_.now();
    if (!surroundings_.err_is_terminal || now - shown_at_ < kShowEvery) return;
    shown_at_ = now;
    shown_ = true;
    const double mib = 1 << 20;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const double rate = static_cast<double>(done_) / mib / seconds;
    const double left = static_cast<double>(total_ - std::min(done_, total_)) / mib;
    surroundings_.err << fmt::format(
                             "\reverstep-journal: {:.1f} of {:.1f} MiB, {:.1f} MiB/s, ETA "
                             "{:.0f} s\033[K",
                             static_cast<double>(done_) / mib, static_cast<double>(total_) / mib,
                             rate, rate > 0 ? left / rate : 0)
                      << std::flush;
}

void Progress::clear() {
    if (shown_) surroundings_.err << "\r\033[K" << std::flush;
    shown_ = false;
}

}  // namespace everstep::journal::tool
