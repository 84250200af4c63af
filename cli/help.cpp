#include "cli/help.hpp"

#include <algorithm>

namespace everstep::cli {
namespace {

constexpr std::size_t kWidth = 80;
constexpr char kUnbroken = '\1';  // stands for a space at which a line does not end

constexpr std::string_view kPoints = R"(Points:
  head               the newest step
  head~5             five steps before it
  step:1234          that step on the line of the group; step:0 is the baseline
  3@step:1234        on timeline 3; t:4f2a91c0@step:1234: on that id's
  NAME               a mark; NAME~2 and NAME+2 count steps from it
  2026-11-20T20:45:00.250Z, ago:90s, ago:2h
                     the last step not later than that
  ...^flush          any of these: the newest completed flush at or before it
  ...^flush:VOLUME   the same, of one volume
)";

constexpr std::string_view kStatuses = R"(Exit status:
  0  done
  1  failed
  2  the command line is wrong
  3  refused for safety; the message says what to do
  4  the node cannot be reached, or does not answer any more
)";

// Words of `text` in lines that begin `indent` spaces in; the first line is already `used` columns
// long.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t used) {
    std::string out;
    std::size_t column = used;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        if (column + end > kWidth && column > indent) {
            out.erase(out.find_last_not_of(' ') + 1);
            out += '\n' + std::string(indent, ' ');
            column = indent;
        }
        out += text.substr(0, end);
        column += end;
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!text.empty()) {
            out += ' ';
            ++column;
        }
    }
    std::replace(out.begin(), out.end(), kUnbroken, ' ');
    return out + '\n';
}

std::string row(std::string_view word, std::string_view help) {
    constexpr std::size_t kColumn = 21;
    std::string line = "  " + std::string(word);
    if (line.size() + 1 > kColumn) {
        return line + '\n' + std::string(kColumn, ' ') + wrapped(help, kColumn, kColumn);
    }
    line.resize(kColumn, ' ');
    return line + wrapped(help, kColumn, kColumn);
}

std::string word_of(const OptionSpec& option) {
    std::string out(option.flag);
    if (!option.word.empty()) out += ' ' + std::string(option.word);
    return out;
}

// Keeps its words together when a line is wrapped.
std::string unbroken(std::string text) {
    std::replace(text.begin(), text.end(), ' ', kUnbroken);
    return text;
}

std::string synopsis(const CommandSpec& command) {
    std::string out = "everstep " + std::string(command.name);
    for (const OperandSpec& operand : command.operands) {
        const std::string word(operand.word);
        out += operand.required ? ' ' + word : " [" + word + ']';
    }
    for (const OptionSpec& option : command.options)
        out += ' ' + unbroken('[' + word_of(option) + ']');
    return out;
}

std::string options_part() {
    std::string out = "Global options, before or after the sub-command:\n";
    for (const OptionSpec& option : global_options()) out += row(word_of(option), option.help);
    return out + row("-h, --help", "this text, or that of the sub-command");
}

}  // namespace

std::string program_help() {
    std::string out =
        "everstep - go to every write of a disk, back and forth\n\n"
        "Usage: everstep [GLOBAL OPTIONS] COMMAND ...\n\n"
        "Talks to the node (everstepd) on this machine, which asks its peers if needed.\n\n"
        "Commands (everstep COMMAND --help says more):\n";
    for (const CommandSpec& command : commands()) out += row(command.name, command.summary);
    out += '\n' + options_part() + '\n';
    return out + std::string(kPoints) + '\n' + std::string(kStatuses);
}

std::string command_help(const CommandSpec& command) {
    std::string out = "everstep " + std::string(command.name) + " - ";
    out += std::string(command.summary) + "\n\n";
    out += "Usage: " + wrapped(synopsis(command), 9, 7) + "\n  ";
    out += wrapped(command.description, 2, 2) + '\n';
    if (!command.operands.empty()) out += "Arguments:\n";
    for (const OperandSpec& operand : command.operands) out += row(operand.word, operand.help);
    if (!command.operands.empty()) out += '\n';
    if (!command.options.empty()) out += "Options:\n";
    for (const OptionSpec& option : command.options) out += row(word_of(option), option.help);
    if (!command.options.empty()) out += '\n';
    return out + options_part() + "\nExample:\n  " + std::string(command.example) + '\n';
}

}  // namespace everstep::cli
