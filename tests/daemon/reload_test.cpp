// Which changes of the configuration a running node takes over, and which it names.
#include "daemon/reload.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/base/config_text.hpp"

namespace everstep::daemon {
namespace {

Config config_of(std::string_view text) {
    auto config = parse_config(text, "/etc/everstep/everstep.toml");
    EXPECT_TRUE(config.ok()) << config.status().message();
    return std::move(*config);
}

std::string with(std::string text, const std::string& old, const std::string& changed) {
    const std::size_t at = text.find(old);
    EXPECT_NE(at, text.npos) << old;
    return text.replace(at, old.size(), changed);
}

class ReloadTest : public testing::Test {
  protected:
    Reload reload(const std::string& old, const std::string& changed) {
        return take_over(running, config_of(with(std::string(test::kGoodConfig), old, changed)));
    }
    Config running = config_of(test::kGoodConfig);
};

TEST_F(ReloadTest, TheSameConfigurationChangesNothing) {
    const Reload same = take_over(running, config_of(test::kGoodConfig));
    EXPECT_TRUE(same.taken.empty());
    EXPECT_TRUE(same.restart.empty());
}

TEST_F(ReloadTest, RetentionLimitsAreTakenOverInPlace) {
    const GroupConfig* group = running.group("db");
    const Reload change =
        reload("keep_time = \"24h\", keep_bytes = \"100GiB\", reserve_bytes = \"2GiB\"",
               "keep_time = \"2h\", reserve_bytes = \"1GiB\"");
    EXPECT_TRUE(change.restart.empty());
    ASSERT_EQ(change.taken.size(), 3U);
    EXPECT_EQ(change.taken[0].group, "db");
    EXPECT_EQ(change.taken[2].text, "history.reserve_bytes: 1GiB, was 2GiB");
    ASSERT_EQ(running.group("db"), group);
    EXPECT_EQ(group->keep_time, std::chrono::hours(2));
    EXPECT_EQ(group->keep_bytes, ByteCount(0));
    EXPECT_EQ(group->reserve_bytes, ByteCount(1ULL << 30));
}

TEST_F(ReloadTest, WhenItIsVerifiedIsTakenOver) {
    const Reload change = reload("ack_standbys = 1\n", "ack_standbys = 1\nverify_every = \"7d\"\n");
    EXPECT_TRUE(change.restart.empty());
    ASSERT_EQ(change.taken.size(), 1U);
    EXPECT_EQ(change.taken[0].text, "verify_every: 604800s, was off");
    EXPECT_EQ(running.group("db")->verify_every, std::chrono::hours(7 * 24));
}

TEST_F(ReloadTest, WhatAckAsksForAndTheLimitsOfTheLinkAreTakenOver) {
    const Reload change = reload(
        "ack = \"durable\"\nack_standbys = 1\non_standby_loss = \"stall\"\n"
        "standby_timeout = \"250ms\"\nstart_wait = \"2s\"\nqueue_bytes = \"128MiB\"\n",
        "ack = \"received\"\nstandby_timeout = \"3s\"\nstart_wait = \"1s\"\n"
        "queue_bytes = \"1MiB\"\nspool_bytes = \"2MiB\"\nrate_limit = \"4MiB\"\n"
        "keepalive = { interval = \"500ms\", timeout = \"4s\" }\n");
    EXPECT_TRUE(change.restart.empty());
    std::vector<std::string> told;
    for (const Reload::Key& key : change.taken) told.push_back(key.text);
    EXPECT_EQ(told,
              (std::vector<std::string>{
                  "ack: received, was durable", "ack_standbys: all, was 1",
                  "keepalive.interval: 500ms, was 1000ms", "keepalive.timeout: 4000ms, was 10000ms",
                  "on_standby_loss: continue, was stall", "queue_bytes: 1MiB, was 128MiB",
                  "rate_limit: 4MiB, was 0B", "spool_bytes: 2MiB, was 8GiB",
                  "standby_timeout: 3000ms, was 250ms", "start_wait: 1000ms, was 2000ms"}));
    const GroupConfig& group = *running.group("db");
    EXPECT_EQ(group.ack, AckLevel::received);
    EXPECT_EQ(group.ack_standbys, 0U);
    EXPECT_EQ(group.on_standby_loss, LossPolicy::continue_alone);
    EXPECT_EQ(group.standby_timeout, std::chrono::seconds(3));
    EXPECT_EQ(group.queue_bytes, ByteCount(1U << 20));
    EXPECT_EQ(group.spool_bytes, ByteCount(2U << 20));
    EXPECT_EQ(group.rate_limit, ByteCount(4U << 20));
    EXPECT_EQ(group.keepalive.timeout, std::chrono::seconds(4));
    EXPECT_TRUE(take_over(running, running).taken.empty());
}

// It counts standbys, and which ones there are is taken over by `group apply`.
TEST_F(ReloadTest, AckStandbysWaitsForTheStandbysThatItIsOf) {
    const std::string gamma =
        "[[node]]\nname = \"gamma\"\naddress = \"10.0.0.3:7801\"\nstate = \"/g\"\n"
        "certificate = \"g.crt\"\nkey = \"g.key\"\n[[group]]";
    std::string text = with(std::string(test::kGoodConfig), "[[group]]", gamma);
    text = with(text, "[\"beta\"]", "[\"beta\", \"gamma\"]");
    text = with(text, "ack_standbys = 1", "ack_standbys = 2");
    text = with(text, "\nbeta  = { device = \"replica",
                "\ngamma = { device = \"g0\", capture = "
                "\"nbd\", listen = \"unix:g0\" }\nbeta  = { device = \"replica");
    text = with(text, "\nbeta  = { device = \"wal",
                "\ngamma = { device = \"g1\", capture = "
                "\"nbd\", listen = \"unix:g1\" }\nbeta  = { device = \"wal");
    const Reload told = take_over(running, config_of(text));
    EXPECT_TRUE(told.taken.empty());
    EXPECT_NE(std::find(told.restart.begin(), told.restart.end(), "group.db.ack_standbys"),
              told.restart.end());
    EXPECT_EQ(running.group("db")->ack_standbys, 1U);
    const std::string apply = "`everstep group apply db` takes it over";
    for (const std::string& key : told.restart)
        EXPECT_EQ(what_takes(key, running, config_of(text), "alpha"), apply) << key;
}

TEST_F(ReloadTest, WhatMakesAKeyCountIsSaid) {
    const auto says = [&](const std::string& key, const std::string& self) {
        return what_takes(key, running, running, self);
    };
    for (const char* key : {"tls.ca", "group.db.segment_bytes", "group.db.volume.data.size",
                            "group.db.volume.data.beta.device", "group.other.standbys",
                            "node.gamma", "node.beta.certificate"})
        EXPECT_EQ(says(key, "alpha"), "it needs a restart") << key;
    EXPECT_EQ(says("node.beta.address", "beta"), "it needs a restart");
    EXPECT_EQ(says("node.beta.address", "alpha"), "`everstep group apply db` takes it over");
}

TEST_F(ReloadTest, CompressionIsTakenOverInPlace) {
    const Reload change =
        reload("segment_bytes = \"32MiB\"", "segment_bytes = \"32MiB\"\ncompression = \"auto\"");
    EXPECT_TRUE(change.restart.empty());
    ASSERT_EQ(change.taken.size(), 1U);
    EXPECT_EQ(change.taken[0].text, "compression: auto, was off");
    EXPECT_TRUE(running.group("db")->compression.automatic);
    const Reload level =
        reload("segment_bytes = \"32MiB\"", "segment_bytes = \"32MiB\"\ncompression = 9");
    ASSERT_EQ(level.taken.size(), 1U);
    EXPECT_EQ(level.taken[0].text, "compression: 9, was auto");
    EXPECT_EQ(running.group("db")->compression, (CompressionSetting{false, 9}));
}

TEST_F(ReloadTest, EverythingElseIsNamedAndStaysUntilItIsTheSameAgain) {
    const std::pair<std::pair<const char*, const char*>, const char*> changes[] = {
        {{"pki/ca.crt", "pki/other.crt"}, "tls.ca"},
        {{"10.0.0.2:7801", "10.0.0.3:7801"}, "node.beta.address"},
        {{"127.0.0.1:9801", "127.0.0.1:9802"}, "node.alpha.metrics"},
        {{"segment_bytes = \"32MiB\"", "segment_bytes = \"64MiB\""}, "group.db.segment_bytes"},
        {{"size = \"10GiB\"", "size = \"20GiB\""}, "group.db.volume.data.size"},
        {{"device = \"wal.img\"", "device = \"w.img\""}, "group.db.volume.wal.beta.device"},
        {{"[[group]]",
          "[[node]]\nname = \"gamma\"\naddress = \"10.0.0.3:7801\"\nstate = \"/g\"\n"
          "certificate = \"g.crt\"\nkey = \"g.key\"\n[[group]]"},
         "node.gamma"},
    };
    for (const auto& [change, key] : changes)
        for (int round = 0; round < 2; ++round) {
            const Reload told = reload(change.first, change.second);
            EXPECT_TRUE(told.taken.empty()) << key;
            ASSERT_EQ(told.restart.size(), 1U) << key;
            EXPECT_EQ(told.restart[0], key);
        }
    EXPECT_TRUE(take_over(running, config_of(test::kGoodConfig)).restart.empty());
}

TEST_F(ReloadTest, ANodeThatIsNotThereAnyMoreIsToldEachTime) {
    running =
        config_of(with(std::string(test::kGoodConfig), "[[group]]",
                       "[[node]]\nname = \"gamma\"\naddress = \"10.0.0.3:7801\"\n"
                       "state = \"/g\"\ncertificate = \"g.crt\"\nkey = \"g.key\"\n[[group]]"));
    for (int round = 0; round < 2; ++round) {
        const Reload told = take_over(running, config_of(test::kGoodConfig));
        EXPECT_EQ(told.removed, std::vector<std::string>{"gamma"});
        EXPECT_TRUE(told.restart.empty());
    }
}

TEST_F(ReloadTest, AGroupThatIsNotThereAnyMoreIsNamed) {
    const Reload told = reload("name = \"db\"", "name = \"other\"");
    EXPECT_EQ(told.restart, (std::vector<std::string>{"group.db", "group.other"}));
}

}  // namespace
}  // namespace everstep::daemon
