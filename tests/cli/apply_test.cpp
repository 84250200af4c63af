// `group apply`: the plan is shown, somebody says yes, and only then it is done, as it was shown.
#include <gtest/gtest.h>

#include "fake_node.hpp"

namespace everstep::cli::test {
namespace {

Value plan(bool steps, bool force_helps) {
    Value body = Value::map();
    Value list = Value::list();
    if (steps) {
        Value one = Value::map();
        one.set("kind", "standby-added").set("object", "gamma");
        one.set("text", "initial sync: up to 1GiB are copied").set("bytes", 1U << 30);
        list.push(std::move(one));
        Value setting = Value::map();
        setting.set("kind", "setting").set("object", "history.keep_time");
        setting.set("text", "history.keep_time: 2h, was 1h").set("bytes", 0);
        list.push(std::move(setting));
    }
    Value refused = Value::list();
    if (force_helps) {
        Value one = Value::map();
        one.set("key", "standbys").set("text", "the last one goes").set("force", true);
        refused.push(std::move(one));
    }
    body.set("steps", std::move(list)).set("refused", std::move(refused));
    return body.set("group", "db").set("node", "alpha").set("plan", "d1").set("done", false);
}

struct Applied {
    explicit Applied(bool steps = true, bool force_helps = false)
        : node(world.socket(), [=](const wire::AdminRequest& request) {
              Value body = plan(steps, force_helps);
              if (!request.arguments.contains("dry_run")) body.set("done", true);
              return Replies{reply(std::move(body))};
          }) {}
    [[nodiscard]] bool done() const {
        const auto requests = node.requests();
        return !requests.empty() && !requests.back().arguments.contains("dry_run");
    }
    World world;
    FakeNode node;
};

TEST(GroupApply, ShowsThePlanAndDoesItWithYes) {
    Applied it;
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--yes"}), 0) << it.world.err;
    EXPECT_EQ(it.world.out,
              "group db, served by alpha:\n"
              "  + standby gamma: initial sync: up to 1GiB are copied\n"
              "  ~ history.keep_time: 2h, was 1h, at once\n"
              "done\n");
    ASSERT_TRUE(it.done());
    const wire::AdminRequest request = it.node.requests().back();
    EXPECT_EQ(request.verb, "group apply");
    EXPECT_EQ(request.arguments.at("plan"), "d1");
    EXPECT_EQ(request.arguments.at("group"), "db");
    EXPECT_FALSE(request.arguments.contains("yes"));
}

TEST(GroupApply, ADryRunDoesNothing) {
    Applied it;
    EXPECT_EQ(it.world.run({"group", "apply", "--dry-run"}), 0);
    EXPECT_FALSE(it.done());
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--dry-run", "--json"}), 0);
    EXPECT_NE(it.world.out.find("\"kind\":\"standby-added\""), std::string::npos) << it.world.out;
    EXPECT_FALSE(it.done());
}

TEST(GroupApply, AsksWhoSitsThere) {
    Applied it;
    it.world.asked = true;
    it.world.says = "n";
    EXPECT_EQ(it.world.run({"group", "apply", "db"}), 3);
    EXPECT_NE(it.world.err.find("nothing was changed"), std::string::npos);
    EXPECT_FALSE(it.done());
    it.world.says = "";
    EXPECT_EQ(it.world.run({"group", "apply", "db"}), 3);
    EXPECT_FALSE(it.done());
    it.world.says = "y";
    EXPECT_EQ(it.world.run({"group", "apply", "db"}), 0);
    EXPECT_TRUE(it.done());
}

TEST(GroupApply, WhereNobodySitsYesIsNeeded) {
    Applied it;
    EXPECT_EQ(it.world.run({"group", "apply", "db"}), 2);
    EXPECT_NE(it.world.err.find("--yes"), std::string::npos) << it.world.err;
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--json"}), 2);
    EXPECT_FALSE(it.done());
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--json", "--yes"}), 0);
    EXPECT_TRUE(it.done());
    EXPECT_NE(it.world.out.find("\"done\":true"), std::string::npos) << it.world.out;
}

TEST(GroupApply, WhatIsRefusedIsSaidAndNotDone) {
    Applied it(true, true);
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--yes"}), 3);
    EXPECT_NE(it.world.out.find("refused: standbys: the last one goes"), std::string::npos);
    EXPECT_NE(it.world.err.find("standbys: the last one goes"), std::string::npos);
    EXPECT_FALSE(it.done());
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--dry-run"}), 3);
    EXPECT_EQ(it.world.run({"group", "apply", "db", "--yes", "--force"}), 0);
    EXPECT_TRUE(it.done());
}

TEST(GroupApply, WithNothingToDoNobodyIsAsked) {
    Applied it(false);
    EXPECT_EQ(it.world.run({"group", "apply", "db"}), 0);
    EXPECT_NE(it.world.out.find("there is nothing to do"), std::string::npos) << it.world.out;
}

TEST(GroupApply, TheWordsAreTwo) {
    World world;
    EXPECT_EQ(world.run({"group"}), 2);
    EXPECT_NE(world.err.find("group apply [GROUP]"), std::string::npos) << world.err;
    EXPECT_EQ(world.run({"group", "change"}), 2);
}

}  // namespace
}  // namespace everstep::cli::test
