#include "cli/run.hpp"

#include <sstream>

#include "cli/admin_client.hpp"
#include "cli/commands_apply.hpp"
#include "cli/commands_backup.hpp"
#include "cli/commands_mount.hpp"
#include "cli/commands_pki.hpp"
#include "cli/commands_restore.hpp"
#include "cli/exit_status.hpp"
#include "cli/options.hpp"
#include "cli/reply_printer.hpp"

namespace everstep::cli {
namespace {

constexpr const char* kClearScreen = "\033[H\033[2J";

int fail(Surroundings& surroundings, const std::string& label, const Status& status) {
    surroundings.err << "everstep: " << label << (label.empty() ? "" : ": ")
                     << printable(status.message()) << '\n';
    return exit_status(status.code());
}

Status ask(const NodeSocket& socket, const Invocation& invocation, Surroundings& surroundings) {
    ReplyPrinter printer(invocation, surroundings);
    return ask_node(
        socket, invocation.request,
        [&](const Value& body, bool last) { return printer.take(body, last); },
        limits_of(invocation.request));
}

// Looks again each second. A node that restarts meanwhile is waited for; at the first look it must
// be there.
Status watch(const NodeSocket& socket, const Invocation& invocation, Surroundings& surroundings) {
    for (bool first = true;; first = false) {
        std::ostringstream page;
        Surroundings onto_page{.out = page,
                               .err = surroundings.err,
                               .out_is_terminal = false,
                               .err_is_terminal = false,
                               .environment = surroundings.environment,
                               .host_name = surroundings.host_name,
                               .now = surroundings.now,
                               .next_look = surroundings.next_look};
        const Status status = ask(socket, invocation, onto_page);
        const bool gone = status.code() == ErrorCode::unreachable && !first;
        if (!status.ok() && !gone) return status;
        if (gone) page << printable(status.message()) << '\n';
        if (surroundings.out_is_terminal && !invocation.json) surroundings.out << kClearScreen;
        if (!gone || !invocation.json) surroundings.out << page.str();
        surroundings.out.flush();
        if (!surroundings.out) return {ErrorCode::io, "the output could not be written"};
        if (!surroundings.next_look()) return {};
        if (!surroundings.out_is_terminal && !invocation.json) surroundings.out << '\n';
    }
}

Status run_command(const Invocation& invocation, Surroundings& surroundings) {
    const std::string_view name = invocation.command->name;
    if (name == "mount") return run_mount(invocation, surroundings);
    if (name == "umount") return run_umount(invocation, surroundings);
    if (name == "backup") return run_backup(invocation, surroundings);
    if (name == "group apply") return run_apply(invocation, surroundings);
    if (name == "restore" && invocation.request.arguments.contains("from"))
        return run_restore_file(invocation, surroundings);
    if (invocation.command->shape == Shape::local) return run_pki(invocation, surroundings);
    const Result<NodeSocket> socket = find_socket(invocation);
    if (!socket.ok()) return socket.status();
    return invocation.watch ? watch(*socket, invocation, surroundings)
                            : ask(*socket, invocation, surroundings);
}

}  // namespace

int run(const std::vector<std::string>& words, Surroundings& surroundings) {
    const auto parsed = parse_command_line(words, surroundings);
    if (!parsed.ok()) return fail(surroundings, "", parsed.status());
    if (const auto* const help = std::get_if<HelpText>(&*parsed)) {
        surroundings.out << help->text << std::flush;
        return surroundings.out ? kDone : kFailed;
    }
    const auto& invocation = std::get<Invocation>(*parsed);
    const Status status = run_command(invocation, surroundings);
    return status.ok() ? kDone : fail(surroundings, invocation.label(), status);
}

}  // namespace everstep::cli
