#include "journal/tool/options.hpp"

#include <algorithm>
#include <charconv>

namespace everstep::journal::tool {
namespace {

Status usage(const std::string& what) {
    return {ErrorCode::usage, what + "; see everstep-journal --help"};
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

class Parser {
  public:
    explicit Parser(const std::vector<std::string>& words) : words_(words) {}

    Result<Options> run() {
        if (std::find(words_.begin(), words_.end(), "--help") != words_.end()) return options_;
        if (words_.empty()) return usage("a command is missing");
        if (words_[0] == "--version") {
            options_.command = Command::version;
            return options_;
        }
        EVERSTEP_TRY(take_command(words_[0]));
        for (at_ = 1; at_ < words_.size();) EVERSTEP_TRY(take_word());
        EVERSTEP_TRY(check());
        return options_;
    }

  private:
    Status take_command(const std::string& word) {
        if (word == "dump")
            options_.command = Command::dump;
        else if (word == "verify")
            options_.command = Command::verify;
        else if (word == "rebuild")
            options_.command = Command::rebuild;
        else if (word == "extract")
            options_.command = Command::extract;
        else
            return usage("'" + word + "' is no command");
        return {};
    }
    // The words up to the next option.
    std::vector<std::string> values() {
        std::vector<std::string> out;
        while (at_ < words_.size() && !words_[at_].starts_with('-')) out.push_back(words_[at_++]);
        return out;
    }
    Status take_word() {
        const std::string word = words_[at_++];
        const bool extract = options_.command == Command::extract;
        if (!word.starts_with('-')) {
            if (!options_.directory.empty())
                return usage("'" + word + "': one directory is wanted");
            options_.directory = word;
            return {};
        }
        if (word == "--json") {
            options_.json = true;
            return {};
        }
        const auto given = values();
        if (given.empty()) return usage(word + ": a value is missing, or no such option");
        if (extract && word == "--replica") {
            options_.replicas.insert(options_.replicas.end(), given.begin(), given.end());
            return {};
        }
        if (extract && (word == "-o" || word == "--output")) {
            options_.outputs.insert(options_.outputs.end(), given.begin(), given.end());
            return {};
        }
        if (extract && word == "--over") {
            options_.over.insert(options_.over.end(), given.begin(), given.end());
            return {};
        }
        at_ -= given.size() - 1;  // of the others only the first is theirs
        if (extract && word == "--step") {
            options_.step = given[0];
            return parse_step(given[0]).status();
        }
        if (options_.command == Command::dump && word == "--segment") {
            options_.segment = number(given[0]);
            return options_.segment ? Status() : usage("--segment " + given[0] + ": not a number");
        }
        return usage(word + ": no such option here");
    }
    Status check() {
        if (options_.directory.empty()) return usage("the store's directory is missing");
        if (options_.command != Command::extract) return {};
        if (options_.replicas.empty()) return usage("extract: --replica is missing");
        if (options_.step.empty()) return usage("extract: --step is missing");
        if (options_.outputs.size() != options_.replicas.size())
            return usage("extract: " + std::to_string(options_.replicas.size()) +
                         " --replica and " + std::to_string(options_.outputs.size()) +
                         " -o files; wanted one of each for every volume");
        return {};
    }

    const std::vector<std::string>& words_;
    std::size_t at_ = 0;
    Options options_;
};

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& words) {
    return Parser(words).run();
}

Result<StepText> parse_step(std::string_view text) {
    StepText out;
    std::string_view rest = text;
    const Status wrong = usage("--step " + std::string(text) +
                               ": wanted N, step:N or t:HEX@step:N with 8 hex digits at least");
    if (rest.starts_with("t:")) {
        const std::size_t end = rest.find('@');
        if (end == std::string_view::npos) return wrong;
        out.timeline_hex = rest.substr(2, end - 2);
        rest = rest.substr(end + 1);
        const bool hex =
            out.timeline_hex.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (!hex || out.timeline_hex.size() < 8 || !rest.starts_with("step:")) return wrong;
    }
    if (rest.starts_with("step:")) rest.remove_prefix(5);
    const auto lsn = number(rest);
    if (!lsn) return wrong;
    out.lsn = *lsn;
    return out;
}

const char* help_text() {
    return R"(usage: everstep-journal COMMAND DIR [OPTION ..]

Looks into the history store of a node that does not run. DIR is the store's directory,
STATE/groups/GROUP/store. While it works it holds the store's lock, so that the node cannot start on
it; a running node is refused. Nothing in DIR is changed, but index files by rebuild.

  dump DIR [--segment N]     every record: file, offset, kind, number, what it holds; torn tails and
                             damage in place
  verify DIR                 every stored byte against its checksums and chains; each damage with
                             its file, offset, length, and the steps and ranges that it hits
  rebuild DIR                writes the index files anew, from the segments alone
  extract DIR --replica FILE .. --step STEP -o FILE ..
                             the volumes as they were at a step: N, step:N or t:HEX@step:N.
                             --replica are the volumes' images on that node, in the order of the
                             configuration; -o one new file for each, sparse.
                             Of a branch (STATE/groups/GROUP/branches/ID/store) also
                             --over DIR ..: the store that it lies over, the group's or another
                             branch's and then what that lies over

  --json     machine-readable: dump one object a line, the others one document
  --help     this text
  --version  which version this is

Exit status: 0 done, 1 failed or damage was found, 2 wrong words, 3 refused (the node runs, or the
step is no point).
)";
}

}  // namespace everstep::journal::tool
