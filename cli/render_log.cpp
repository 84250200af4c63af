// `everstep log`: steps as columns, newest first; marks, gaps and thinned spans in place.
#include "cli/render.hpp"

namespace everstep::cli {
namespace {

std::string mark_line(const Value& mark) {
    std::string out = "-- mark " + or_dash(mark.at("name")) + " at step " + or_dash(mark.at("lsn"));
    out +=
        " (" + or_dash(mark.at("consistency")) + (is_true(mark.at("pinned")) ? ", pinned)" : ")");
    return out;
}

std::string thinned_line(const Value& span) {
    return "== thinned: steps " + or_dash(span.at("from")) + " .. " + or_dash(span.at("to")) +
           " are no points any more";
}

std::string flags(const Value& step) {
    std::string out;
    if (is_true(step.at("fua"))) out += "fua";
    if (is_true(step.at("flush"))) out += out.empty() ? "flush" : " flush";
    return out;
}

}  // namespace

std::string LogText::page(const Value& list) {
    const Value::List* const entries = list.as_list();
    if (entries == nullptr || entries->empty()) return {};
    if (!header_) table_.row({"STEP", "TIME", "VOLUME", "OFFSET", "LENGTH", "KIND", "FLAGS"});
    header_ = true;
    for (const Value& entry : *entries) {
        const std::string kind = entry.at("kind").text();
        if (kind == "mark" && entry.at("offset").is_null()) {
            if (!entry.at("timeline_number").is_null()) change_of_timeline(entry);
            table_.line(mark_line(entry));
        } else if (kind == "gap" || kind == "batch") {
            table_.line("== " + gap_text(entry));
        } else if (kind == "thinned") {
            table_.line(thinned_line(entry));
        } else {
            step(entry);
        }
    }
    return table_.take();
}

void LogText::step(const Value& step) {
    change_of_timeline(step);
    table_.row({or_dash(step.at("lsn")), or_dash(step.at("time")), or_dash(step.at("volume")),
                or_dash(step.at("offset")), or_dash(step.at("length")), or_dash(step.at("kind")),
                flags(step)});
}

void LogText::change_of_timeline(const Value& step) {
    const std::string id = step.at("timeline").text();
    if (id == timeline_) return;
    timeline_ = id;
    table_.line("-- timeline " + or_dash(step.at("timeline_number")) + " (" +
                printable(short_id(id)) + ')');
}

}  // namespace everstep::cli
