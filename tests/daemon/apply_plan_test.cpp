// From what runs, what the file says and what the members say to the plan of `group apply`.
#include "daemon/apply_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/base/config_text.hpp"

namespace everstep::daemon {
namespace {

using Changes = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kGamma = R"(
[[node]]
name = "gamma"
address = "10.0.0.3:7801"
state = "/g"
certificate = "g.crt"
key = "g.key"

[[group]])";

Config config_of(const Changes& changes = {}) {
    std::string text(test::kGoodConfig);
    for (const auto& [old, changed] : changes) {
        const std::size_t at = text.find(old);
        EXPECT_NE(at, text.npos) << old;
        text.replace(at, old.size(), changed);
    }
    auto config = parse_config(text, "/etc/everstep/everstep.toml");
    EXPECT_TRUE(config.ok()) << config.status().message();
    return std::move(*config);
}

// Standby gamma instead of, or beside, beta.
Config with_gamma(bool beta_stays) {
    const std::string beta_data = "beta  = { device = \"replica/../db.img\"";
    const std::string beta_wal = "beta  = { device = \"wal.img\"";
    const std::string gamma = "gamma = { device = \"";
    const auto line = [&](const std::string& beta, const std::string& device) {
        const std::string own = gamma + device + "\"";
        return beta_stays ? own + ", capture = \"nbd\", listen = \"unix:run/" + device +
                                ".sock\" }\n" + beta
                          : own;
    };
    return config_of({{"[[group]]", kGamma},
                      {"standbys = [\"beta\"]",
                       beta_stays ? "standbys = [\"beta\", \"gamma\"]" : "standbys = [\"gamma\"]"},
                      {beta_data, line(beta_data, "g-data")},
                      {beta_wal, line(beta_wal, "g-wal")}});
}

// A third volume, behind the others.
Config with_more() {
    Config config = config_of();
    std::vector<VolumeConfig>& volumes = config.groups[0].volumes;
    volumes.push_back(volumes[0]);
    volumes.back().name = "more";
    return config;
}

class ApplyPlanTest : public testing::Test {
  protected:
    ApplyPlan plan(const Config& wanted) {
        input.running = *running.group("db");
        input.wanted = *wanted.group("db");
        input.members.clear();
        input.volumes.clear();
        input.serves_store = input.restoring = false;
        for (const char* name : {"beta", "gamma"}) {
            ApplyMember one{name};
            one.file = input.wanted.canonical();
            if (input.running.members().back() == name || name == std::string("beta")) {
                one.running = input.running.canonical();
                one.has_history = one.connected = one.keeps = true;
            }
            if (wanted.node(name) != nullptr) input.members.push_back(one);
        }
        if (change) change(input);
        return plan_apply(input);
    }
    static std::vector<std::string> kinds(const ApplyPlan& plan) {
        std::vector<std::string> all;
        for (const ApplyStep& step : plan.steps) all.push_back(step.kind + ' ' + step.object);
        return all;
    }
    static std::string refused(const ApplyPlan& plan) {
        std::string all;
        for (const ApplyRefusal& one : plan.refused)
            all += one.key + (one.force ? " (force); " : "; ");
        return all;
    }
    Config running = config_of();
    ApplyInput input{"alpha", {}, {}, {}, {}, {}, ByteCount(11ULL << 30), 32, true, false};
    std::function<void(ApplyInput&)> change;
};

using Kinds = std::vector<std::string>;

TEST_F(ApplyPlanTest, TheSameConfigurationIsNothingToDo) {
    const ApplyPlan nothing = plan(config_of());
    EXPECT_TRUE(nothing.steps.empty());
    EXPECT_EQ(refused(nothing), "");
    EXPECT_FALSE(nothing.changes());
}

TEST_F(ApplyPlanTest, AStandbyIsAddedWithWhatItCosts) {
    const ApplyPlan added = plan(with_gamma(true));
    EXPECT_EQ(kinds(added), Kinds{"standby-added gamma"});
    EXPECT_EQ(added.steps[0].bytes, ByteCount(11ULL << 30));
    EXPECT_NE(added.steps[0].text.find("initial sync: up to 11GiB"), std::string::npos)
        << added.steps[0].text;
    EXPECT_EQ(refused(added), "");
    EXPECT_TRUE(added.changes());
    change = [](ApplyInput& in) { in.members.back().has_history = true; };
    EXPECT_NE(plan(with_gamma(true)).steps[0].text.find("compared as a whole"), std::string::npos);
}

TEST_F(ApplyPlanTest, OneThatIsAwayTakesItUpLater) {
    change = [](ApplyInput& in) { in.members.back().silent = "connection refused"; };
    const ApplyPlan added = plan(with_gamma(true));
    EXPECT_EQ(kinds(added), (Kinds{"standby-added gamma", "absent gamma"}));
    EXPECT_EQ(refused(added), "");
}

TEST_F(ApplyPlanTest, AStandbyIsRemovedWhereAnotherHoldsWhatWasAcknowledged) {
    running = with_gamma(true);
    const ApplyPlan removed = plan(with_gamma(false));
    EXPECT_EQ(kinds(removed), Kinds{"standby-removed beta"});
    EXPECT_EQ(refused(removed), "");
    change = [](ApplyInput& in) { in.members.back().keeps = false; };
    EXPECT_EQ(refused(plan(with_gamma(false))), "standbys (force); ");
    change = [](ApplyInput& in) {
        in.members.back().keeps = false;
        in.acknowledges = false;
    };
    EXPECT_EQ(refused(plan(with_gamma(false))), "");
}

TEST_F(ApplyPlanTest, TheOnlyStandbyIsReplacedByForceAlone) {
    const ApplyPlan replaced = plan(with_gamma(false));
    EXPECT_EQ(kinds(replaced), (Kinds{"standby-added gamma", "standby-removed beta"}));
    EXPECT_EQ(refused(replaced), "standbys (force); ");
}

TEST_F(ApplyPlanTest, AnEmptiedStandbyIsCopiedAnew) {
    change = [](ApplyInput& in) {
        in.members[0].has_history = in.members[0].connected = in.members[0].keeps = false;
    };
    const ApplyPlan replaced = plan(config_of());
    EXPECT_EQ(kinds(replaced), Kinds{"standby-replaced beta"});
    EXPECT_FALSE(replaced.changes());
}

TEST_F(ApplyPlanTest, ANodeAtAnotherAddressIsAChange) {
    change = [](ApplyInput& in) { in.members[0].moved = "b:1, was a:1"; };
    const ApplyPlan moved = plan(config_of());
    EXPECT_EQ(kinds(moved), Kinds{"address beta"});
    EXPECT_TRUE(moved.changes());
}

TEST_F(ApplyPlanTest, ARoleIsNotChangedByTheFile) {
    const Changes swap = {{"primary = \"alpha\"\nstandbys = [\"beta\"]",
                           "primary = \"beta\"\nstandbys = [\"alpha\"]"}};
    EXPECT_EQ(refused(plan(config_of(swap))), "primary; ");
    input.node = "beta";  // which has taken over
    EXPECT_EQ(refused(plan(config_of(swap))), "");
    input.node = "alpha";
    Config alone = config_of();
    alone.groups[0].standbys.clear();
    EXPECT_EQ(refused(plan(alone)), "standbys; standbys (force); ");
}

TEST_F(ApplyPlanTest, VolumesGoAndMoveByNoApply) {
    const std::string wal_old = "name = \"wal\"";
    EXPECT_EQ(refused(plan(config_of({{wal_old, "name = \"log\""}}))), "volume.wal; volume.log; ");
    EXPECT_EQ(refused(plan(config_of({{"size = \"10GiB\"", "size = \"20GiB\""}}))),
              "volume.data.size; ");
    Config moved = config_of();
    std::swap(moved.groups[0].volumes[0], moved.groups[0].volumes[1]);
    EXPECT_EQ(refused(plan(moved)), "volume.data.index; volume.wal.index; ");
    Config first = with_more();
    std::rotate(first.groups[0].volumes.begin(), first.groups[0].volumes.end() - 1,
                first.groups[0].volumes.end());
    EXPECT_EQ(refused(plan(first)), "volume.data.index; volume.wal.index; volume.more; ");
}

TEST_F(ApplyPlanTest, AVolumeIsAddedBehindTheOthers) {
    change = [](ApplyInput& in) {
        in.volumes = {{"more", "", ByteCount(3U << 20)}};
        in.members[0].volumes = {{"more", "", ByteCount(3U << 20)}};
    };
    const ApplyPlan added = plan(with_more());
    EXPECT_EQ(refused(added), "");
    EXPECT_EQ(kinds(added), (Kinds{"volume-added more"}));
    EXPECT_EQ(added.steps[0].bytes, ByteCount(3U << 20));
    EXPECT_TRUE(added.changes());
}

TEST_F(ApplyPlanTest, AVolumeIsNotAddedWhereANodeCannotHaveIt) {
    change = [](ApplyInput& in) { in.volumes = {{"more", "no such file", ByteCount(0)}}; };
    EXPECT_EQ(refused(plan(with_more())), "volume.more.alpha; ");
    change = [](ApplyInput& in) { in.members[0].volumes = {{"more", "taken", ByteCount(0)}}; };
    EXPECT_EQ(refused(plan(with_more())), "volume.more.beta; ");
    change = [](ApplyInput& in) {
        in.volumes = {{"more", "", ByteCount(512)}};
        in.members[0].volumes = {{"more", "", ByteCount(1024)}};
    };
    EXPECT_EQ(refused(plan(with_more())), "volume.more.beta; ");
    change = [](ApplyInput& in) { in.serves_store = true; };
    EXPECT_EQ(refused(plan(with_more())), "volume.more; ");
    change = [](ApplyInput& in) { in.restoring = true; };
    EXPECT_EQ(refused(plan(with_more())), "restore; ");
    change = {};
    Config both = with_gamma(true);
    both.groups[0].volumes = with_more().groups[0].volumes;
    EXPECT_NE(refused(plan(both)).find("volume.more; "), std::string::npos);
}

TEST_F(ApplyPlanTest, FilesThatDifferAreNamedByTheFirstKeyAndBothNodes) {
    change = [](ApplyInput& in) {
        for (auto& [key, value] : in.members[0].file)
            if (key == "volume.wal.beta.device") value = "/elsewhere";
    };
    const ApplyPlan differ = plan(config_of());
    ASSERT_EQ(refused(differ), "volume.wal.beta.device; ");
    EXPECT_NE(differ.refused[0].text.find("'wal.img' in the file on alpha, "
                                          "'/elsewhere' in that on beta"),
              std::string::npos)
        << differ.refused[0].text;
    change = [](ApplyInput& in) { in.members[0].bad_file = "x.toml:3: group: what"; };
    EXPECT_EQ(refused(plan(config_of())), "file; ");
    change = [](ApplyInput& in) { in.members[0].file.clear(); };
    EXPECT_EQ(refused(plan(config_of())), "file; ");
}

TEST_F(ApplyPlanTest, SettingsSayWhenTheyCount) {
    change = [](ApplyInput& in) {
        in.live = {"history.keep_time: 2h, was 24h"};
        in.restart = {"group.db.queue_bytes"};
    };
    EXPECT_EQ(kinds(plan(config_of())),
              (Kinds{"setting history.keep_time", "restart group.db.queue_bytes"}));
}

TEST_F(ApplyPlanTest, InARestoreNothingIsChanged) {
    change = [](ApplyInput& in) { in.restoring = true; };
    EXPECT_EQ(refused(plan(with_gamma(true))), "restore; ");
    EXPECT_EQ(refused(plan(config_of())), "");
}

TEST_F(ApplyPlanTest, WhoIsAwayIsNamedOnce) {
    change = [](ApplyInput& in) {
        for (ApplyMember& one : in.members) one.silent = "node " + one.node + ": 1.2.3.4:5: no";
    };
    for (const ApplyStep& step : plan(with_gamma(true)).steps) {
        if (step.kind != "absent") continue;
        EXPECT_TRUE(step.text.starts_with("does not answer (1.2.3.4")) << step.text;
    }
}

TEST_F(ApplyPlanTest, AnotherPlanHasAnotherDigest) {
    const Config wanted = with_gamma(true);
    const std::string one = plan_digest(plan(wanted), *wanted.group("db"));
    EXPECT_EQ(plan_digest(plan(wanted), *wanted.group("db")), one);
    change = [](ApplyInput& in) { in.members.back().silent = "away"; };
    EXPECT_NE(plan_digest(plan(wanted), *wanted.group("db")), one);
}

TEST(TakeMembers, TakesMembersAndTheirNodesAndLeavesSettings) {
    Config running = config_of();
    Config read = with_gamma(false);
    read.groups[0].queue_bytes = ByteCount(1);
    read.nodes[0].metrics = "changed";
    read.nodes[1].address = "10.0.0.9:7801";
    take_members(running, read, "db", "alpha");
    const GroupConfig& group = *running.group("db");
    EXPECT_EQ(group.standbys, std::vector<std::string>{"gamma"});
    EXPECT_EQ(group.queue_bytes, ByteCount(128ULL << 20));
    EXPECT_EQ(group.volumes[1].on("beta"), nullptr);
    EXPECT_EQ(group.volumes[1].on("gamma")->device, "/etc/everstep/g-wal");
    EXPECT_EQ(running.node("alpha")->metrics, "127.0.0.1:9801");
    EXPECT_EQ(running.node("beta")->address, "10.0.0.9:7801");
    ASSERT_NE(running.node("gamma"), nullptr);
    read.groups[0].queue_bytes = group.queue_bytes;
    read.groups[0].volumes = with_more().groups[0].volumes;
    take_members(running, read, "db", "alpha");
    EXPECT_EQ(running.group("db")->volumes.size(), 3U);
    EXPECT_EQ(section_digest(group.canonical()), section_digest(read.groups[0].canonical()));
}

TEST(TakeMembers, AGroupThatIsNewHereMovesNoOther) {
    Config running = config_of();
    const GroupConfig* const group = running.group("db");
    Config read = config_of();
    for (int i = 0; i < 9; ++i) {
        read.groups.push_back(read.groups[0]);
        read.groups.back().name = "more-" + std::to_string(i);
        take_members(running, read, read.groups.back().name, "alpha");
        ASSERT_EQ(running.group("db"), group);
    }
    EXPECT_EQ(running.groups.size(), 10U);
}

TEST(TakeMembers, ANodeThatIsInNoFileAnyMoreGoes) {
    Config running = with_gamma(true);
    take_members(running, config_of(), "db", "alpha");
    EXPECT_EQ(running.node("gamma"), nullptr);
    EXPECT_EQ(running.group("db")->standbys, std::vector<std::string>{"beta"});
    EXPECT_EQ(section_digest(running.group("db")->canonical()),
              section_digest(config_of().group("db")->canonical()));
}

}  // namespace
}  // namespace everstep::daemon
