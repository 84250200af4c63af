// The words of the command line: where they may stand, what they become, what is refused.
#include "cli/options.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/version.hpp"

namespace everstep::cli {
namespace {

using Words = std::vector<std::string>;
using Arguments = std::map<std::string, std::string>;

class Options : public testing::Test {
  protected:
    Result<std::variant<Invocation, HelpText>> parse(const Words& words) {
        Surroundings surroundings{
            .out = stream_,
            .err = stream_,
            .environment = [this](const std::string& name) -> std::optional<std::string> {
                const auto found = environment_.find(name);
                if (found == environment_.end()) return std::nullopt;
                return found->second;
            },
            .host_name = "host",
            .now = {},
            .next_look = {}};
        return parse_command_line(words, surroundings);
    }
    Invocation good(const Words& words) {
        const auto parsed = parse(words);
        EXPECT_TRUE(parsed.ok()) << parsed.status().message();
        return parsed.ok() ? std::get<Invocation>(*parsed) : Invocation{};
    }
    std::string help(const Words& words) {
        const auto parsed = parse(words);
        const bool is_help = parsed.ok() && std::holds_alternative<HelpText>(*parsed);
        EXPECT_TRUE(is_help);
        return is_help ? std::get<HelpText>(*parsed).text : "";
    }
    void bad(const Words& words, const std::string& names) {
        const auto parsed = parse(words);
        ASSERT_FALSE(parsed.ok()) << names;
        EXPECT_EQ(parsed.status().code(), ErrorCode::usage);
        EXPECT_NE(parsed.status().message().find(names), std::string::npos)
            << parsed.status().message();
    }
    std::map<std::string, std::string> environment_;
    std::ostringstream stream_;
};

TEST_F(Options, GlobalOptionsStandBeforeOrAfterTheCommand) {
    const Words orders[] = {
        {"--json", "--config", "f.toml", "--node", "beta", "--quiet", "rewind", "db", "head~5"},
        {"rewind", "--json", "--config", "f.toml", "db", "--node=beta", "head~5", "--quiet"},
        {"--json", "--config=f.toml", "rewind", "db", "head~5", "--node", "beta", "--quiet"},
    };
    for (const Words& words : orders) {
        const Invocation invocation = good(words);
        EXPECT_EQ(invocation.request.verb, "rewind");
        EXPECT_EQ(invocation.request.arguments, (Arguments{{"group", "db"}, {"point", "head~5"}}));
        EXPECT_EQ(invocation.config, "f.toml");
        EXPECT_EQ(invocation.node, "beta");
        EXPECT_TRUE(invocation.json);
        EXPECT_TRUE(invocation.quiet);
        EXPECT_EQ(invocation.label(), "rewind db");
    }
}

TEST_F(Options, TheEnvironmentStandsInForOptions) {
    Invocation invocation = good({"status"});
    EXPECT_EQ(invocation.config, "/etc/everstep/everstep.toml");
    EXPECT_EQ(invocation.node, "host");
    EXPECT_FALSE(invocation.node_was_given);
    environment_ = {{"EVERSTEP_CONFIG", "env.toml"}, {"EVERSTEP_NODE", "gamma"}};
    invocation = good({"status"});
    EXPECT_EQ(invocation.config, "env.toml");
    EXPECT_EQ(invocation.node, "gamma");
    EXPECT_TRUE(invocation.node_was_given);
    invocation = good({"status", "--node", "beta", "--config", "x.toml"});
    EXPECT_EQ(invocation.config, "x.toml");
    EXPECT_EQ(invocation.node, "beta");
}

TEST_F(Options, EveryCommandBecomesItsVerbAndArguments) {
    const std::pair<Words, Arguments> rows[] = {
        {{"status"}, {}},
        {{"status", "db"}, {{"group", "db"}}},
        {{"log", "db", "--from", "ago:10m", "--to", "head", "--limit", "5", "--flushes"},
         {{"group", "db"}, {"from", "ago:10m"}, {"to", "head"}, {"limit", "5"}, {"flushes", "1"}}},
        {{"mark", "db", "m1", "--at", "step:7", "--pin", "--consistency", "filesystem"},
         {{"group", "db"},
          {"name", "m1"},
          {"at", "step:7"},
          {"pin", "1"},
          {"consistency", "filesystem"}}},
        {{"marks", "db", "--on", "beta"}, {{"group", "db"}, {"on", "beta"}}},
        {{"unmark", "db", "m1"}, {{"group", "db"}, {"name", "m1"}}},
        {{"rewind", "db", "3@step:12^flush:data", "--dry-run"},
         {{"group", "db"}, {"point", "3@step:12^flush:data"}, {"dry_run", "1"}}},
        {{"resume", "db"}, {{"group", "db"}}},
        {{"exports"}, {}},
        {{"unexport", "7"}, {{"id", "7"}}},
        {{"mount", "db", "m1", "/mnt", "--writable", "--partition", "2"},
         {{"group", "db"},
          {"point", "m1"},
          {"directory", "/mnt"},
          {"writable", "1"},
          {"partition", "2"}}},
        {{"mount", "db/data", "head", "sub", "--on", "beta"},
         {{"group", "db"},
          {"volume", "data"},
          {"point", "head"},
          {"directory", "sub"},
          {"on", "beta"}}},
        {{"umount", "/mnt", "--keep"}, {{"directory", "/mnt"}, {"keep", "1"}}},
        {{"log", "db", "--volume", "data", "--range=4KiB+512", "--limit", "3"},
         {{"group", "db"}, {"volume", "data"}, {"range", "4KiB+512"}, {"limit", "3"}}},
        {{"resume", "db", "--dry-run"}, {{"group", "db"}, {"dry_run", "1"}}},
        {{"diff", "db", "m1", "head"}, {{"group", "db"}, {"from", "m1"}, {"to", "head"}}},
        {{"takeover", "db"}, {{"group", "db"}}},
        {{"takeover", "db", "step:3", "--force", "--dry-run"},
         {{"group", "db"}, {"point", "step:3"}, {"force", "1"}, {"dry_run", "1"}}},
        {{"adopt", "db", "--from", "beta"}, {{"group", "db"}, {"from", "beta"}}},
        {{"adopt", "db", "--force"}, {{"group", "db"}, {"force", "1"}}},
        {{"pause", "db"}, {{"group", "db"}}},
        {{"unpause", "db"}, {{"group", "db"}}},
        {{"events", "--follow"}, {{"follow", "1"}}},
    };
    for (const auto& [words, arguments] : rows) {
        const Invocation invocation = good(words);
        EXPECT_EQ(invocation.request.verb, words.front());
        EXPECT_EQ(invocation.request.arguments, arguments) << words.front();
    }
}

TEST_F(Options, ABackupNamesItsFileAndItsBase) {
    EXPECT_EQ(good({"backup", "db/data", "m1", "-o", "f", "--since", "last", "--force"})
                  .request.arguments,
              (Arguments{{"group", "db"},
                         {"volume", "data"},
                         {"point", "m1"},
                         {"output", "f"},
                         {"since", "last"},
                         {"force", "1"}}));
    EXPECT_EQ(good({"backup", "db", "head", "--base", "b", "--format", "qcow2", "-o", "f"})
                  .request.arguments,
              (Arguments{{"group", "db"},
                         {"point", "head"},
                         {"base", "b"},
                         {"format", "qcow2"},
                         {"output", "f"}}));
    bad({"backup", "db", "head"}, "-o FILE");
    bad({"backup", "db", "head", "-o", ""}, "-o is empty");
    bad({"backup", "db", "head", "-o", "f", "--format", "vmdk"}, "--format is vmdk");
    bad({"backup", "db", "head", "-o", "f", "--format", "raw", "--since", "last"}, "no base");
    bad({"backup", "db/", "head", "-o", "f"}, "backup: db/ is no GROUP/VOLUME");
}

TEST_F(Options, TheVersionIsSaidWithoutACommand) {
    EXPECT_EQ(help({"--version"}), std::string("everstep ") + version() + "\n");
}

TEST_F(Options, AnExportNamesGroupVolumeAndAnAbsoluteSocket) {
    const Invocation invocation = good({"export", "db/data", "head", "--socket", "sub/../x.sock"});
    EXPECT_EQ(invocation.request.arguments,
              (Arguments{{"group", "db"},
                         {"volume", "data"},
                         {"point", "head"},
                         {"socket", (std::filesystem::current_path() / "x.sock").string()}}));
    EXPECT_EQ(invocation.label(), "export db/data");
    EXPECT_EQ(good({"export", "db", "head", "--tcp", "[::1]:10809"}).request.arguments,
              (Arguments{{"group", "db"}, {"point", "head"}, {"tcp", "[::1]:10809"}}));
    bad({"export", "db", "head", "--tcp", "h:1", "--socket", "x"}, "--tcp");
    bad({"export", "db/", "head"}, "GROUP/VOLUME");
    bad({"export", "/data", "head"}, "GROUP/VOLUME");
}

TEST_F(Options, AGroupMayBeCalledLikeACommand) {
    EXPECT_EQ(good({"mark", "log", "status"}).request.arguments,
              (Arguments{{"group", "log"}, {"name", "status"}}));
    EXPECT_EQ(good({"status", "events"}).request.arguments, (Arguments{{"group", "events"}}));
}

TEST_F(Options, PkiTakesItsDirectoryAndName) {
    const Invocation made = good({"pki", "init", "d"});
    EXPECT_EQ(made.command->shape, Shape::local);
    EXPECT_EQ(made.label(), "pki init d");
    EXPECT_EQ(good({"--quiet", "pki", "issue", "d", "alpha", "--days", "-1"}).request.arguments,
              (Arguments{{"directory", "d"}, {"name", "alpha"}, {"days", "-1"}}));
}

TEST_F(Options, WrongWordsAreUsageErrorsThatNameThem) {
    bad({}, "no command");
    bad({"--jsn", "status"}, "--jsn");
    bad({"stat"}, "stat is no command");
    bad({"pki"}, "pki init");
    bad({"pki", "make"}, "pki");
    bad({"log"}, "log: GROUP");
    bad({"rewind", "db"}, "P ");
    bad({"rewind", "db", "head", "more"}, "more");
    bad({"status", "--force"}, "--force");
    bad({"status", "--config"}, "--config: 1 required FILE missing");
    bad({"log", "db", "--limit", "many"}, "--limit");
    bad({"log", "db", "--limit", "-3"}, "--limit");
    bad({"log", "db", "--limit", "99999999999999999999"}, "--limit");
    bad({"mark", "db", "m", "--consistency", "perfect"}, "perfect");
    bad({"adopt", "db"}, "--from NODE or --force");
    bad({"adopt", "db", "--from", "beta", "--force"}, "--from NODE or --force");
    bad({"rewind", "", "head"}, "GROUP is empty");
    bad({"--config", "", "status"}, "--config is empty");
    bad({"mount", "db", "head"}, "mount: DIR");
    bad({"mount", "db/", "head", "/mnt"}, "mount: db/ is no GROUP/VOLUME");
    bad({"mount", "db", "head", "/mnt", "--partition", "two"}, "--partition is two");
    bad({"umount"}, "umount: DIR");
    bad({"umount", "/mnt", "--drop"}, "--drop");
    bad({"export", "db", "head", "--writeable"}, "--writeable is not understood");
}

TEST_F(Options, HelpIsAPageForEachCommand) {
    const std::string program = help({"--help"});
    for (const CommandSpec& command : commands()) {
        EXPECT_NE(program.find(command.name), std::string::npos) << command.name;
        Words words;
        const std::string name(command.name);
        if (name.starts_with("pki ")) words = {"pki", name.substr(4)};
        if (words.empty()) words = {name};
        words.push_back("--help");
        const std::string page = help(words);
        EXPECT_NE(page.find("Usage: everstep " + name), std::string::npos) << page;
        EXPECT_NE(page.find("Example:\n  everstep " + name), std::string::npos) << page;
        for (const OptionSpec& option : command.options) {
            EXPECT_NE(page.find(option.flag), std::string::npos) << option.flag;
        }
    }
    EXPECT_NE(program.find("^flush"), std::string::npos);
    EXPECT_NE(program.find("Exit status"), std::string::npos);
}

TEST_F(Options, HelpFitsATerminal) {
    std::string all = help({"-h"});
    for (const char* const name : {"status", "log", "takeover", "export", "mark"}) {
        all += help({name, "-h"});
    }
    std::istringstream lines(all);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
}

TEST_F(Options, EveryExampleParses) {
    for (const CommandSpec& command : commands()) {
        Words words;
        std::istringstream text{std::string(command.example)};
        for (std::string word; text >> word;) words.push_back(word);
        words.erase(words.begin());
        EXPECT_EQ(good(words).command, &command) << command.example;
    }
}

}  // namespace
}  // namespace everstep::cli
