#include "cli/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "cli/help.hpp"
#include "common/base/version.hpp"

namespace everstep::cli {
namespace {

using Parsed = std::variant<Invocation, HelpText>;
using Arguments = std::map<std::string, std::string>;

Status usage(const std::string& label, const std::string& message) {
    const std::string help = label.empty() ? "everstep --help" : "everstep " + label + " --help";
    return {ErrorCode::usage, (label.empty() ? "" : label + ": ") + message + "; see " + help};
}

// Every option writes its text into `to` under its key.
void add_options(CLI::App& app, std::span<const OptionSpec> options, Arguments& to) {
    for (const OptionSpec& option : options) {
        const std::string flag(option.flag);
        const std::string key(option.key);
        if (option.word.empty()) {
            app.add_flag_callback(flag, [&to, key] { to[key] = "1"; });
        } else {
            app.add_option_function<std::string>(
                   flag, [&to, key](const std::string& text) { to[key] = text; })
                ->type_name(std::string(option.word));
        }
    }
}

void add_operands(CLI::App& app, std::span<const OperandSpec> operands, Arguments& to) {
    for (const OperandSpec& operand : operands) {
        const std::string key(operand.key);
        CLI::Option* const option = app.add_option_function<std::string>(
            "operand_" + key, [&to, key](const std::string& text) { to[key] = text; });
        option->required(operand.required);
    }
}

// What is missing or too much, in the words of the synopsis.
std::string in_our_words(const CLI::ParseError& error, const CommandSpec* command) {
    std::string text = error.what();
    constexpr std::string_view kTooMuch = "not expected: ";
    if (const std::size_t at = text.find(kTooMuch); at != std::string::npos)
        return text.substr(at + kTooMuch.size()) + " is not understood";
    if (command == nullptr) return text;
    for (const OperandSpec& operand : command->operands) {
        const std::string name = "operand_" + std::string(operand.key);
        const std::size_t at = text.find(name);
        if (at != std::string::npos) text.replace(at, name.size(), operand.word);
    }
    return text;
}

enum class Answer : std::uint8_t { parsed, help };

Result<Answer> parse_words(CLI::App& app, std::vector<std::string> words,
                           const CommandSpec* command) {
    const std::string label = command == nullptr ? "" : std::string(command->name);
    try {
        std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
        app.parse(std::move(words));
    } catch (const CLI::CallForHelp&) {
        return Answer::help;
    } catch (const CLI::ParseError& error) {
        return usage(label, in_our_words(error, command));
    }
    return Answer::parsed;
}

Status check_number(const std::string& label, const Arguments& arguments, const std::string& key) {
    const auto found = arguments.find(key);
    if (found == arguments.end()) return {};
    std::string_view digits = found->second;
    if (key == "days" && digits.starts_with('-')) digits.remove_prefix(1);
    const bool good =
        !digits.empty() && digits.size() <= 9 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (good) return {};
    return usage(label, "--" + key + " is " + found->second + ", wanted a whole number");
}

// As the synopsis has it: "NAME", "--at".
std::string word_of(const CommandSpec& command, const std::string& key) {
    for (const OperandSpec& operand : command.operands) {
        if (operand.key == key) return std::string(operand.word);
    }
    for (const OptionSpec& option : command.options) {
        if (option.key == key) return std::string(option.flag);
    }
    return "--" + key;
}

Status check_not_empty(const CommandSpec& command, const Arguments& arguments) {
    for (const auto& [key, value] : arguments) {
        if (value.empty())
            return usage(std::string(command.name), word_of(command, key) + " is empty");
    }
    return {};
}

Status check_image_format(const std::string& name, const Arguments& arguments) {
    const auto format = arguments.find("format");
    if (format == arguments.end() || format->second == "raw" || format->second == "qcow2")
        return {};
    return usage(name, "--format is " + format->second + ", wanted raw or qcow2");
}

Status check_restore(const Arguments& arguments) {
    const auto has = [&](const char* key) { return arguments.contains(key) ? 1 : 0; };
    if (has("point") + has("from") + has("continue") + has("undo") != 1)
        return usage("restore", "say where to: one of P, --from FILE, --continue and --undo");
    if (has("format") > has("from")) return usage("restore", "--format goes with --from");
    return check_image_format("restore", arguments);
}

Status check_backup(const Arguments& arguments) {
    if (!arguments.contains("output")) return usage("backup", "say where to: -o FILE");
    EVERSTEP_TRY(check_image_format("backup", arguments));
    const auto format = arguments.find("format");
    const bool raw = format != arguments.end() && format->second == "raw";
    if (raw && (arguments.contains("since") || arguments.contains("base")))
        return usage("backup", "a raw image has no base: --since and --base go with qcow2");
    return {};
}

Status check_arguments(const std::string& name, const Arguments& arguments) {
    EVERSTEP_TRY(check_number(name, arguments, "limit"));
    EVERSTEP_TRY(check_number(name, arguments, "days"));
    EVERSTEP_TRY(check_number(name, arguments, "partition"));
    const auto consistency = arguments.find("consistency");
    if (consistency != arguments.end()) {
        const std::string& word = consistency->second;
        if (word != "crash" && word != "filesystem" && word != "application") {
            return usage(name,
                         "--consistency is " + word + ", wanted crash, filesystem or application");
        }
    }
    if (name == "backup") EVERSTEP_TRY(check_backup(arguments));
    if (name == "restore") EVERSTEP_TRY(check_restore(arguments));
    if (name == "adopt" && arguments.contains("from") == arguments.contains("force")) {
        return usage(name, "say whose data is the truth: --from NODE or --force");
    }
    return {};
}

// GROUP/VOLUME of an export, mount or backup; its socket for a daemon that stands in another
// directory.
Status finish_volume(const std::string& name, Arguments& arguments) {
    const std::string whole = arguments["group"];
    const std::size_t slash = whole.find('/');
    if (slash != std::string::npos) {
        arguments["group"] = whole.substr(0, slash);
        arguments["volume"] = whole.substr(slash + 1);
        if (slash == 0 || slash + 1 == whole.size()) {
            return usage(name, whole + " is no GROUP/VOLUME");
        }
    }
    const auto socket = arguments.find("socket");
    if (socket == arguments.end()) return {};
    if (arguments.contains("tcp"))
        return usage(name, "--socket and --tcp are two places to serve at");
    std::error_code error;
    const auto absolute = std::filesystem::absolute(socket->second, error);
    if (error) return usage(name, "--socket " + socket->second + ": " + error.message());
    socket->second = absolute.lexically_normal().string();
    return {};
}

std::string take(Arguments& arguments, const std::string& key) {
    const auto found = arguments.find(key);
    if (found == arguments.end()) return {};
    std::string value = std::move(found->second);
    arguments.erase(found);
    return value;
}

Result<Parsed> finish(const CommandSpec& command, Arguments global, Arguments arguments,
                      const Surroundings& surroundings) {
    const std::string name(command.name);
    EVERSTEP_TRY(check_not_empty(command, global));
    EVERSTEP_TRY(check_not_empty(command, arguments));
    EVERSTEP_TRY(check_arguments(name, arguments));
    Invocation out;
    out.command = &command;
    if (!command.operands.empty()) {
        const auto object = arguments.find(std::string(command.operands.front().key));
        if (object != arguments.end()) out.object = object->second;
    }
    if (name == "export" || name == "mount" || name == "backup" || name == "restore")
        EVERSTEP_TRY(finish_volume(name, arguments));
    out.watch = !take(arguments, "watch").empty();
    out.config = take(global, "config");
    if (out.config.empty()) {
        out.config =
            surroundings.environment("EVERSTEP_CONFIG").value_or("/etc/everstep/everstep.toml");
    }
    out.node = take(global, "node");
    if (out.node.empty()) out.node = surroundings.environment("EVERSTEP_NODE").value_or("");
    out.node_was_given = !out.node.empty();
    if (!out.node_was_given) out.node = surroundings.host_name;
    out.json = global.contains("json");
    out.quiet = global.contains("quiet");
    out.request = {name, std::move(arguments)};
    return Parsed(std::move(out));
}

// Two words name a command of `pki` and of `group`. Takes them from the front of `words`.
Result<const CommandSpec*> take_command(std::vector<std::string>& words) {
    if (words.empty()) return usage("", "no command");
    std::size_t count = 1;
    std::string name = words.front();
    if (name.starts_with('-')) return usage("", "unknown option " + name);
    const bool two = name == "pki" || name == "group";
    if (two && words.size() > 1 && !words[1].starts_with('-')) {
        name += ' ' + words[1];
        count = 2;
    }
    const CommandSpec* const command = find_command(name);
    if (command == nullptr && name == "pki") {
        return usage("", "pki what? There are pki init DIR and pki issue DIR NAME");
    }
    if (command == nullptr && name == "group")
        return usage("", "group what? There is group apply [GROUP]");
    if (command == nullptr) return usage("", name + " is no command");
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count));
    return command;
}

}  // namespace

std::string Invocation::label() const {
    const std::string name(command->name);
    return object.empty() ? name : name + ' ' + object;
}

// In two steps, and not by CLI11's own sub-commands: those would take a group or mark that is
// called like a command for one.
Result<Parsed> parse_command_line(const std::vector<std::string>& words,
                                  const Surroundings& surroundings) {
    Arguments global;
    CLI::App before;
    before.prefix_command();
    add_options(before, global_options(), global);
    const Result<Answer> first = parse_words(before, words, nullptr);
    if (!first.ok()) return first.status();
    if (*first == Answer::help) return Parsed(HelpText{program_help()});
    if (global.contains("version"))
        return Parsed(HelpText{fmt::format("everstep {}\n", version())});
    std::vector<std::string> rest = before.remaining();
    const Result<const CommandSpec*> command = take_command(rest);
    if (!command.ok()) return command.status();

    Arguments arguments;
    CLI::App after;
    add_options(after, global_options(), global);
    add_options(after, (*command)->options, arguments);
    add_operands(after, (*command)->operands, arguments);
    const Result<Answer> second = parse_words(after, std::move(rest), *command);
    if (!second.ok()) return second.status();
    if (*second == Answer::help) return Parsed(HelpText{command_help(**command)});
    return finish(**command, std::move(global), std::move(arguments), surroundings);
}

}  // namespace everstep::cli
