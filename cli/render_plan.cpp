// The plan of `group apply`, a line for each step.
#include "cli/render.hpp"

namespace everstep::cli {
namespace {

std::string sign_of(const std::string& kind) {
    if (kind == "standby-added") return "+ standby ";
    if (kind == "standby-removed") return "- standby ";
    if (kind == "standby-replaced") return "* standby ";
    if (kind == "volume-added") return "+ volume ";
    if (kind == "address") return "~ address of ";
    if (kind == "absent" || kind == "takes") return "node ";
    if (kind == "restart") return "! ";
    return "~ ";
}

std::string step_text(const Value& step) {
    const std::string kind = step.at("kind").text();
    // A setting's text begins with its key.
    const std::string text = printable(step.at("text").text());
    if (kind == "setting") return "  ~ " + text + ", at once\n";
    if (kind == "restart") return "  ! " + printable(step.at("object").text()) + ' ' + text + '\n';
    return "  " + sign_of(kind) + printable(step.at("object").text()) + ": " + text + '\n';
}

}  // namespace

std::string plan_text(const Value& body) {
    std::string out = "group " + printable(body.at("group").text()) + ", served by " +
                      printable(body.at("node").text()) + ":\n";
    const Value::List* const steps = body.at("steps").as_list();
    const Value::List* const refused = body.at("refused").as_list();
    const bool any_refused = refused != nullptr && !refused->empty();
    if ((steps == nullptr || steps->empty()) && !any_refused)
        return out + "  runs as the configuration says; there is nothing to do\n";
    if (steps != nullptr)
        for (const Value& step : *steps) out += step_text(step);
    if (refused != nullptr)
        for (const Value& one : *refused)
            out += "  refused: " + printable(one.at("key").text()) + ": " +
                   printable(one.at("text").text()) + '\n';
    return out;
}

}  // namespace everstep::cli
