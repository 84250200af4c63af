#include "cli/commands_apply.hpp"

#include <fmt/format.h>

#include "cli/admin_client.hpp"
#include "cli/json.hpp"
#include "cli/render.hpp"

namespace everstep::cli {
namespace {

bool has(const Invocation& invocation, const char* key) {
    return invocation.request.arguments.contains(key);
}

Result<Value> ask(const NodeSocket& socket, wire::AdminRequest request) {
    Value answer;
    const Status asked = ask_node(
        socket, request,
        [&](const Value& body, bool last) {
            if (last) answer = body;
            return Status();
        },
        limits_of(request));
    if (!asked.ok()) return asked;
    return answer;
}

// What is in the way; empty: nothing.
std::string refusals(const Value& plan, bool force) {
    std::string text;
    const Value::List* const list = plan.at("refused").as_list();
    if (list == nullptr) return text;
    for (const Value& one : *list) {
        if (force && is_true(one.at("force"))) continue;
        text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", one.at("key").text(),
                            one.at("text").text());
    }
    return text;
}

Status print(const Invocation& invocation, Surroundings& surroundings, const Value& body) {
    if (invocation.json) {
        surroundings.out << json_text(body) << '\n';
    } else if (!invocation.quiet) {
        surroundings.out << plan_text(body);
    }
    surroundings.out.flush();
    if (!surroundings.out) return {ErrorCode::io, "the output could not be written"};
    return {};
}

// Yes, by the command's words or by who sits there.
Status confirm(const Invocation& invocation, Surroundings& surroundings) {
    if (has(invocation, "yes")) return {};
    if (!surroundings.in_is_terminal || invocation.json)
        return {ErrorCode::usage,
                "nobody can be asked here: --yes does it, --dry-run only shows "
                "the plan"};
    surroundings.err << "Do it? [y/N] " << std::flush;
    const std::string said = surroundings.answer ? surroundings.answer() : std::string();
    if (said == "y" || said == "Y" || said == "yes") return {};
    return {ErrorCode::refused, "not confirmed; nothing was changed"};
}

}  // namespace

Status run_apply(const Invocation& invocation, Surroundings& surroundings) {
    const Result<NodeSocket> socket = find_socket(invocation);
    if (!socket.ok()) return socket.status();
    wire::AdminRequest request = invocation.request;
    request.arguments.erase("yes");
    request.arguments.emplace("dry_run", "1");
    const Result<Value> plan = ask(*socket, request);
    if (!plan.ok()) return plan.status();
    const bool dry = has(invocation, "dry_run");
    const std::string refused = refusals(*plan, has(invocation, "force"));
    if (dry || !invocation.json) EVERSTEP_TRY(print(invocation, surroundings, *plan));
    if (!refused.empty()) return {ErrorCode::refused, refused};
    if (dry) return {};
    const Value::List* const steps = plan->at("steps").as_list();
    const bool nothing = steps == nullptr || steps->empty();
    if (!nothing) EVERSTEP_TRY(confirm(invocation, surroundings));
    request.arguments.erase("dry_run");
    request.arguments["group"] = plan->at("group").text();
    request.arguments["plan"] = plan->at("plan").text();
    const Result<Value> done = ask(*socket, request);
    if (!done.ok()) return done.status();
    if (invocation.json) return print(invocation, surroundings, *done);
    if (!nothing && !invocation.quiet) surroundings.out << "done\n" << std::flush;
    return {};
}

}  // namespace everstep::cli
