#include "cli/commands_pki.hpp"

#include <charconv>

#include "cli/json.hpp"
#include "common/net/pki.hpp"

namespace everstep::cli {
namespace {

constexpr int kDaysDefault = 5 * 365;

struct Made {
    std::string certificate;
    std::string key;
    std::string advice;
};

Result<Made> init(const std::string& directory) {
    EVERSTEP_TRY(net::pki_init(directory));
    return Made{directory + "/ca.crt", directory + "/ca.key",
                "; give ca.crt to every node and keep ca.key off them"};
}

Result<Made> issue(const std::map<std::string, std::string>& arguments) {
    int days = kDaysDefault;
    if (const auto found = arguments.find("days"); found != arguments.end()) {
        const std::string& text = found->second;  // checked when it was parsed
        std::from_chars(text.data(), text.data() + text.size(), days);
    }
    const std::string& directory = arguments.at("directory");
    const std::string& name = arguments.at("name");
    EVERSTEP_TRY(net::pki_issue(directory, name, days));
    return Made{directory + '/' + name + ".crt", directory + '/' + name + ".key",
                days > 0 ? "" : "; it has expired already: no peer will take it"};
}

}  // namespace

Status run_pki(const Invocation& invocation, Surroundings& surroundings) {
    const auto& arguments = invocation.request.arguments;
    const Result<Made> made =
        invocation.command->name == "pki init" ? init(arguments.at("directory")) : issue(arguments);
    if (!made.ok()) return made.status();
    if (invocation.json) {
        Value body = Value::map();
        body.set("certificate", made->certificate).set("key", made->key);
        surroundings.out << json_text(body) << '\n';
    } else if (!invocation.quiet) {
        surroundings.out << "made " << made->certificate << " and " << made->key << made->advice
                         << '\n';
    }
    surroundings.out.flush();
    if (!surroundings.out) return {ErrorCode::io, "the output could not be written"};
    return {};
}

}  // namespace everstep::cli
