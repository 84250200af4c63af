// Which changes of the configuration a running node takes over, and which it names.
#include "daemon/reload.hpp"

#include <gtest/gtest.h>

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
    EXPECT_TRUE(same.limits.empty());
    EXPECT_TRUE(same.restart.empty());
}

TEST_F(ReloadTest, RetentionLimitsAreTakenOverInPlace) {
    const GroupConfig* group = running.group("db");
    const Reload change =
        reload("keep_time = \"24h\", keep_bytes = \"100GiB\", reserve_bytes = \"2GiB\"",
               "keep_time = \"2h\", reserve_bytes = \"1GiB\"");
    EXPECT_TRUE(change.restart.empty());
    ASSERT_EQ(change.limits.size(), 3U);
    EXPECT_EQ(change.limits[0].group, "db");
    EXPECT_EQ(change.limits[2].text, "history.reserve_bytes: 1GiB, was 2GiB");
    ASSERT_EQ(running.group("db"), group);
    EXPECT_EQ(group->keep_time, std::chrono::hours(2));
    EXPECT_EQ(group->keep_bytes, ByteCount(0));
    EXPECT_EQ(group->reserve_bytes, ByteCount(1ULL << 30));
}

TEST_F(ReloadTest, EverythingElseIsNamedAndStaysUntilItIsTheSameAgain) {
    const std::pair<std::pair<const char*, const char*>, const char*> changes[] = {
        {{"pki/ca.crt", "pki/other.crt"}, "tls.ca"},
        {{"10.0.0.2:7801", "10.0.0.3:7801"}, "node.beta.address"},
        {{"127.0.0.1:9801", "127.0.0.1:9802"}, "node.alpha.metrics"},
        {{"ack = \"durable\"", "ack = \"received\""}, "group.db.ack"},
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
            EXPECT_TRUE(told.limits.empty()) << key;
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
