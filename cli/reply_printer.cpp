#include "cli/reply_printer.hpp"

#include "cli/json.hpp"

namespace everstep::cli {

ReplyPrinter::ReplyPrinter(const Invocation& invocation, Surroundings& surroundings)
    : invocation_(invocation),
      surroundings_(surroundings),
      progress_(surroundings, invocation.label(), !invocation.quiet) {}

Status ReplyPrinter::take(const Value& body, bool last) {
    if (progress_.take(body) && !last) return {};
    progress_.clear();
    switch (invocation_.command->shape) {
        case Shape::lines:
            lines(body, last);
            break;
        case Shape::list:
            if (const Value::List* const part = body.as_list()) {
                for (const Value& item : *part) list_.push(item);
            }
            if (last && invocation_.json) surroundings_.out << json_text(list_) << '\n';
            if (last && !invocation_.json) surroundings_.out << list_text();
            break;
        case Shape::document:
        case Shape::local:
            if (last) document(body);
            break;
    }
    surroundings_.out.flush();
    if (!surroundings_.out) return {ErrorCode::io, "the output could not be written"};
    return last ? outcome(body) : Status();
}

// A command can be done and have found what is an error to who asked.
Status ReplyPrinter::outcome(const Value& body) const {
    if (invocation_.command->name == "verify") return verified(body);
    const std::uint64_t damages = body.at("damages").number() + body.at("damages_before").number();
    if (invocation_.command->name != "scrub" || damages == 0) return {};
    return {ErrorCode::corrupt,
            count_text(damages, "damaged place") + " found; other steps can still be read"};
}

Status ReplyPrinter::verified(const Value& body) {
    const Value::List* const standbys = body.at("standbys").as_list();
    if (standbys == nullptr) return {};
    for (const Value& one : *standbys) {
        const std::string node = one.at("node").text();
        if (!one.at("error").is_null())
            return {ErrorCode::io, node + " was not compared: " + one.at("error").text()};
        if (one.at("differing_bytes").number() > 0 && !is_true(one.at("repaired")))
            return {ErrorCode::corrupt, node + " differs from the primary; `everstep verify " +
                                            "GROUP --repair` brings it what differs"};
    }
    return {};
}

void ReplyPrinter::lines(const Value& list, bool last) {
    const bool events = invocation_.command->name == "events";
    if (!invocation_.json && !events) {
        surroundings_.out << log_.page(list);
        if (last && log_.empty() && !invocation_.quiet) surroundings_.err << "no step\n";
        return;
    }
    const Value::List* const items = list.as_list();
    if (items == nullptr) return;
    for (const Value& item : *items) surroundings_.out << json_text(item) << '\n';
}

void ReplyPrinter::document(const Value& body) {
    surroundings_.out << (invocation_.json ? json_text(body) + '\n' : text(body));
}

std::string ReplyPrinter::text(const Value& body) const {
    const std::string_view name = invocation_.command->name;
    if (name == "status") return status_text(body);
    if (name == "export") return export_text(body, invocation_.quiet);
    return invocation_.quiet ? std::string() : change_text(invocation_, body);
}

std::string ReplyPrinter::list_text() const {
    const std::string_view name = invocation_.command->name;
    if (name == "marks") return marks_text(list_);
    if (name == "exports") return exports_text(list_);
    return diff_text(list_);
}

}  // namespace everstep::cli
