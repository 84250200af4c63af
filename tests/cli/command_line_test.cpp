// Whole commands against a node that is only its admin socket.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "cli/admin_client.hpp"
#include "fake_node.hpp"

namespace everstep::cli::test {
namespace {

Value step(std::uint64_t lsn) {
    Value out = Value::map();
    out.set("timeline", "4f2a91c0000000000000000000000000").set("timeline_number", 1);
    out.set("lsn", lsn).set("time", "2026-11-20T20:45:00.250000Z").set("volume", "data");
    out.set("offset", lsn * 4096).set("length", 4096).set("kind", "data");
    out.set("flush", lsn % 2 == 0).set("fua", false);
    return out;
}

Value list_of(std::vector<Value> items) {
    return Value(std::move(items));
}

TEST(CommandLine, ErrorsOfTheNodeBecomeExitStatusesAndNameTheObject) {
    const std::pair<ErrorCode, int> rows[] = {
        {ErrorCode::usage, 2},     {ErrorCode::refused, 3}, {ErrorCode::unreachable, 4},
        {ErrorCode::not_found, 1}, {ErrorCode::io, 1},      {ErrorCode::corrupt, 1},
        {ErrorCode::internal, 1},
    };
    for (const auto& [code, status] : rows) {
        World world;
        const FakeNode node(world.socket(), [code = code](const wire::AdminRequest&) {
            return refusal(code, "step 9 lies\ninside a gap");
        });
        EXPECT_EQ(world.run({"rewind", "db", "step:9"}), status);
        EXPECT_EQ(world.err, "everstep: rewind db: step 9 lies?inside a gap\n");
        EXPECT_EQ(world.out, "");
    }
}

TEST(CommandLine, WhereNobodyServesTheSocketTheStatusIsFour) {
    World world;
    EXPECT_EQ(world.run({"status"}), 4);
    EXPECT_NE(world.err.find(world.socket()), std::string::npos) << world.err;
    EXPECT_NE(world.err.find("everstepd --config " + world.config() + " --node alpha"),
              std::string::npos)
        << world.err;
    std::ofstream(world.socket()) << "left over";
    EXPECT_EQ(world.run({"status"}), 4);
}

TEST(CommandLine, ANodeThatEndsBeforeItsAnswerIsUnreachable) {
    World world;
    const FakeNode node(world.socket(), [](const wire::AdminRequest&) { return Replies{}; });
    EXPECT_EQ(world.run({"pause", "db"}), 4);
    EXPECT_NE(world.err.find("may be done or not"), std::string::npos) << world.err;
}

TEST(CommandLine, TheNodeIsChosenByOptionEnvironmentOrHostName) {
    World world;
    std::filesystem::create_directory(world.directory.path() + "/state-beta");
    const auto named = [](const std::string& name) {
        return [name](const wire::AdminRequest&) {
            Value body = Value::map();
            body.set("node", name).set("groups", Value::list());
            return Replies{reply(body)};
        };
    };
    const FakeNode alpha(world.socket(), named("alpha"));
    const FakeNode beta(world.directory.path() + "/state-beta/admin.sock", named("beta"));
    EXPECT_EQ(world.run({"status"}), 0);
    EXPECT_EQ(world.out, "node alpha\nno group\n");
    EXPECT_EQ(world.run({"status", "--node", "beta"}), 0);
    EXPECT_EQ(world.out, "node beta\nno group\n");
    world.environment["EVERSTEP_NODE"] = "beta";
    EXPECT_EQ(world.run({"status"}), 0);
    EXPECT_EQ(world.out, "node beta\nno group\n");
    world.environment.erase("EVERSTEP_NODE");
    world.host_name = "alpha.example.org";
    EXPECT_EQ(world.run({"status"}), 0);
    world.host_name = "elsewhere";
    EXPECT_EQ(world.run({"status"}), 2);
    EXPECT_NE(world.err.find("it has alpha, beta"), std::string::npos) << world.err;
}

TEST(CommandLine, AMissingConfigurationIsNamed) {
    World world;
    EXPECT_NE(world.run({"status", "--config", "/nonexistent/x.toml"}), 0);
    EXPECT_NE(world.err.find("/nonexistent/x.toml"), std::string::npos) << world.err;
}

TEST(CommandLine, UsageErrorsAskNoNode) {
    World world;
    EXPECT_EQ(world.run({"rewind"}), 2);
    EXPECT_EQ(world.err.rfind("everstep: rewind: ", 0), 0U) << world.err;
    EXPECT_EQ(world.run({}), 2);
    EXPECT_EQ(world.run({"--help"}), 0);
    EXPECT_EQ(world.err, "");
    EXPECT_NE(world.out.find("Usage:"), std::string::npos);
}

TEST(CommandLine, LogAsJsonIsOneObjectALineOverAllPages) {
    World world;
    const FakeNode node(world.socket(), [](const wire::AdminRequest&) {
        return Replies{reply(list_of({step(3), step((1ULL << 53) + 1)}), true),
                       reply(list_of({step(1)}), true), reply(Value::list())};
    });
    ASSERT_EQ(world.run({"log", "db", "--json", "--limit", "3"}), 0);
    std::istringstream lines(world.out);
    std::vector<std::string> all;
    for (std::string line; std::getline(lines, line);) all.push_back(line);
    ASSERT_EQ(all.size(), 3U);
    EXPECT_EQ(all[0],
              R"({"timeline":"4f2a91c0000000000000000000000000","timeline_number":1,"lsn":3,)"
              R"("time":"2026-11-20T20:45:00.250000Z","volume":"data","offset":12288,)"
              R"("length":4096,"kind":"data","flush":false,"fua":false})");
    EXPECT_NE(all[1].find(R"("lsn":9007199254740993,)"), std::string::npos);
    EXPECT_EQ(node.requests().front().arguments.at("limit"), "3");
}

TEST(CommandLine, ListsInPartsAreOneJsonDocument) {
    World world;
    const FakeNode node(world.socket(), [](const wire::AdminRequest& request) {
        if (request.verb == "marks") return Replies{reply(Value())};
        Value extent = Value::map();
        extent.set("volume", "data").set("offset", 0).set("length", 512);
        return Replies{reply(list_of({extent}), true), reply(list_of({extent, extent}))};
    });
    ASSERT_EQ(world.run({"diff", "db", "head~1", "head", "--json"}), 0);
    const std::string one = R"({"volume":"data","offset":0,"length":512})";
    EXPECT_EQ(world.out, "[" + one + "," + one + "," + one + "]\n");
    ASSERT_EQ(world.run({"diff", "db", "head~1", "head"}), 0);
    EXPECT_NE(world.out.find("3 extents, 1.5 KiB differ\n"), std::string::npos) << world.out;
    ASSERT_EQ(world.run({"marks", "db", "--json"}), 0);
    EXPECT_EQ(world.out, "[]\n");
    ASSERT_EQ(world.run({"marks", "db"}), 0);
    EXPECT_EQ(world.out, "no mark\n");
}

TEST(CommandLine, EventsAreJsonLinesWithoutAsking) {
    World world;
    Value event = Value::map();
    event.set("time", "T")
        .set("node", "alpha")
        .set("group", "db")
        .set("kind", "k")
        .set("text", "t");
    const FakeNode node(world.socket(), [&](const wire::AdminRequest&) {
        return Replies{reply(list_of({event, event}))};
    });
    ASSERT_EQ(world.run({"events"}), 0);
    const std::string line = R"({"time":"T","node":"alpha","group":"db","kind":"k","text":"t"})";
    EXPECT_EQ(world.out, line + "\n" + line + "\n");
}

Replies long_rewind(const wire::AdminRequest&) {
    Replies out;
    for (std::uint64_t done = 0; done <= 4; ++done) {
        Value figures = Value::map();
        figures.set("done", done << 20).set("total", 4 << 20).set("unit", "bytes");
        Value body = Value::map();
        body.set("progress", figures);
        out.push_back(reply(body, true));
    }
    Value body = Value::map();
    body.set("lsn", 120).set("timeline", "4f2a91c0").set("from", 200);
    body.set("blocks", 1024).set("bytes", 4 << 20).set("seconds", 0.5);
    body.set("gaps", Value::list());
    out.push_back(reply(body));
    return out;
}

TEST(CommandLine, ProgressIsForTerminalsOnly) {
    World world;
    const FakeNode node(world.socket(), long_rewind);
    const std::string sentence =
        "the replica of db went from step 200 to step 120: 1024 blocks, 4.0 MiB written in "
        "0.500 s (8.0 MiB/s); applying is held until everstep resume db\n";
    ASSERT_EQ(world.run({"rewind", "db", "step:120"}), 0);
    EXPECT_EQ(world.out, sentence);
    EXPECT_EQ(world.err, "");
    world.terminal = true;
    ASSERT_EQ(world.run({"rewind", "db", "step:120", "--quiet"}), 0);
    EXPECT_EQ(world.out + world.err, "");
    ASSERT_EQ(world.run({"rewind", "db", "step:120"}), 0);
    EXPECT_EQ(world.out, sentence);
    EXPECT_NE(world.err.find("\reverstep: rewind db: 50%, 2.0 MiB of 4.0 MiB, 1.0 MiB/s, ETA "
                             "2.000 s\033[K"),
              std::string::npos)
        << world.err;
    EXPECT_TRUE(world.err.ends_with("\r\033[K"));
}

TEST(CommandLine, AScrubThatFindsDamageSaysWhereAndFails) {
    World world;
    Value extent = Value::map();
    extent.set("volume", "data").set("offset", 4096).set("length", 8192);
    Value damage = Value::map();
    damage.set("file", "/s/redo-1").set("offset", 8192).set("length", 512).set("what", "bad");
    damage.set("first", 7).set("last", 9).set("extents", list_of({extent}));
    Value body = Value::map();
    body.set("segments", 3).set("bytes", 4 << 20).set("seconds", 2.0).set("resumed_at", Value());
    body.set("damages_before", 0);
    Value good = body;
    good.set("damages", 0).set("damage", Value::list());
    body.set("damages", 1).set("damage", list_of({damage}));
    bool bad = true;
    const FakeNode node(world.socket(), [&](const wire::AdminRequest& request) {
        EXPECT_EQ(request.arguments.at("rate"), "1MiB");
        return Replies{reply(bad ? body : good)};
    });
    EXPECT_EQ(world.run({"scrub", "db", "--rate", "1MiB"}), 1);
    EXPECT_EQ(world.out,
              "damage: /s/redo-1: offset 8192, 512 bytes: bad, hits steps 7 to 9\n"
              "  volume data: offset 4096, 8.0 KiB\n"
              "the history of db: 3 segments, 4.0 MiB checked in 2.000 s: 1 damaged place\n");
    EXPECT_EQ(world.err,
              "everstep: scrub db: 1 damaged place found; other steps can still be read\n");
    bad = false;
    EXPECT_EQ(world.run({"scrub", "db", "--rate", "1MiB"}), 0);
    EXPECT_TRUE(world.out.ends_with("checked in 2.000 s: no damage\n")) << world.out;
}

TEST(CommandLine, WatchLooksAgainAndWaitsForARestart) {
    World world;
    world.looks = 3;
    int calls = 0;
    const FakeNode node(world.socket(), [&](const wire::AdminRequest&) {
        if (++calls == 2) return Replies{};
        Value body = Value::map();
        body.set("node", "alpha").set("groups", Value::list());
        return Replies{reply(body)};
    });
    ASSERT_EQ(world.run({"status", "--watch"}), 0);
    EXPECT_EQ(node.requests().size(), 3U);
    EXPECT_TRUE(world.out.starts_with("node alpha\nno group\n\nnode alpha ended the connection"))
        << world.out;
    EXPECT_TRUE(world.out.ends_with("\n\nnode alpha\nno group\n")) << world.out;
    EXPECT_FALSE(node.requests().front().arguments.contains("watch"));
}

TEST(CommandLine, JsonOfAChangeIsTheNodesBody) {
    World world;
    const FakeNode node(world.socket(), [](const wire::AdminRequest&) {
        Value body = Value::map();
        body.set("lsn", UINT64_MAX);
        return Replies{reply(body)};
    });
    ASSERT_EQ(world.run({"--json", "takeover", "db", "--force"}), 0);
    EXPECT_EQ(world.out, "{\"lsn\":18446744073709551615}\n");
    EXPECT_EQ(node.requests().front().arguments,
              (std::map<std::string, std::string>{{"group", "db"}, {"force", "1"}}));
}

TEST(CommandLine, PkiMakesAnAuthorityAndACertificateOnce) {
    World world;
    const std::string directory = world.directory.path() + "/pki";
    ASSERT_EQ(world.run({"pki", "init", directory}), 0) << world.err;
    EXPECT_NE(world.out.find(directory + "/ca.crt"), std::string::npos);
    ASSERT_EQ(world.run({"pki", "issue", directory, "alpha", "--json"}), 0) << world.err;
    EXPECT_EQ(world.out, "{\"certificate\":\"" + directory + "/alpha.crt\",\"key\":\"" + directory +
                             "/alpha.key\"}\n");
    struct stat key {};
    ASSERT_EQ(::stat((directory + "/alpha.key").c_str(), &key), 0);
    EXPECT_EQ(key.st_mode & 0777U, 0600U);
    EXPECT_EQ(world.run({"pki", "init", directory}), 1);
    EXPECT_EQ(world.err.rfind("everstep: pki init " + directory + ": ", 0), 0U) << world.err;
}

TEST(AskNode, ASilentNodeIsUnreachableAndNotWaitedForEver) {
    World world;
    std::promise<void> end;
    const std::shared_future<void> ended = end.get_future().share();
    const FakeNode node(world.socket(), [ended](const wire::AdminRequest&) {
        ended.wait();
        return Replies{};
    });
    const NodeSocket socket{"alpha", world.socket(), world.config()};
    const std::chrono::milliseconds limit(50);
    const Status status = ask_node(socket, {"status", {}},
                                   [](const Value&, bool) { return Status(); }, {limit, limit});
    end.set_value();
    EXPECT_EQ(status.code(), ErrorCode::unreachable) << status.message();
    EXPECT_NE(status.message().find("does not answer"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace everstep::cli::test
