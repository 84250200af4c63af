// A good configuration: what is read, defaults, the canonical form, what a node needs from disk.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/base/config.hpp"
#include "tests/base/config_text.hpp"

namespace everstep {
namespace {

namespace fs = std::filesystem;

const std::string kFile = "/etc/everstep/everstep.toml";

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
    std::string result(text);
    const std::size_t at = result.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return result.replace(at, from.size(), to);
}

Config good(std::string_view text = test::kGoodConfig) {
    const auto config = parse_config(text, kFile);
    EXPECT_TRUE(config.ok()) << config.status().message();
    return config.ok() ? *config : Config();
}

TEST(Config, EverySettingIsRead) {
    const Config config = good();
    EXPECT_EQ(config.file, kFile);
    EXPECT_EQ(config.ca, "/etc/everstep/pki/ca.crt");
    ASSERT_EQ(config.nodes.size(), 2U);
    const NodeConfig* alpha = config.node("alpha");
    ASSERT_NE(alpha, nullptr);
    EXPECT_EQ(alpha->address, "10.0.0.1:7801");
    EXPECT_EQ(alpha->state, "/var/lib/everstep");
    EXPECT_EQ(alpha->certificate, "/etc/everstep/pki/alpha.crt");
    EXPECT_EQ(alpha->key, "/etc/everstep/pki/alpha.key");
    EXPECT_EQ(alpha->metrics, "127.0.0.1:9801");
    EXPECT_EQ(config.node("beta")->metrics, "");
    EXPECT_EQ(config.node("gamma"), nullptr);

    const GroupConfig* db = config.group("db");
    ASSERT_NE(db, nullptr);
    EXPECT_EQ(db->members(), (std::vector<std::string>{"alpha", "beta"}));
    EXPECT_EQ(db->ack, AckLevel::durable);
    EXPECT_EQ(db->ack_standbys, 1U);
    EXPECT_EQ(db->on_standby_loss, LossPolicy::stall);
    EXPECT_EQ(db->standby_timeout, std::chrono::milliseconds(250));
    EXPECT_EQ(db->start_wait, std::chrono::seconds(2));
    EXPECT_EQ(db->queue_bytes, ByteCount(128ULL << 20));
    EXPECT_EQ(db->segment_bytes, ByteCount(32ULL << 20));
    EXPECT_EQ(db->keep_time, std::chrono::hours(24));
    EXPECT_EQ(db->keep_bytes, ByteCount(100ULL << 30));
    EXPECT_EQ(db->reserve_bytes, ByteCount(2ULL << 30));
    ASSERT_EQ(db->volumes.size(), 2U);
    const VolumeConfig& data = db->volumes[0];
    EXPECT_EQ(data.size, ByteCount(10ULL << 30));
    EXPECT_EQ(data.on("alpha")->listen, "tcp:127.0.0.1:10809");
    EXPECT_EQ(data.on("beta")->device, "/etc/everstep/db.img");
    EXPECT_EQ(data.on("beta")->capture, "nbd");
    EXPECT_EQ(data.on("beta")->listen, "unix:/etc/everstep/run/db.sock");
    EXPECT_EQ(data.on("gamma"), nullptr);
    EXPECT_FALSE(db->volumes[1].size.has_value());
}

TEST(Config, MissingSettingsHaveTheirDefaults) {
    std::string text(test::kGoodConfig);
    const std::size_t from = text.find("ack = ");
    text.erase(from, text.find("[[group.volume]]") - from);
    const Config config = good(text);
    ASSERT_EQ(config.groups.size(), 1U);
    const GroupConfig& db = config.groups[0];
    EXPECT_EQ(db.ack, AckLevel::local);
    EXPECT_EQ(db.ack_standbys, 0U);
    EXPECT_EQ(db.on_standby_loss, LossPolicy::continue_alone);
    EXPECT_EQ(db.standby_timeout, std::chrono::seconds(5));
    EXPECT_EQ(db.start_wait, std::chrono::seconds(5));
    EXPECT_EQ(db.queue_bytes, ByteCount(256ULL << 20));
    EXPECT_EQ(db.spool_bytes, ByteCount(8ULL << 30));
    EXPECT_EQ(db.segment_bytes, ByteCount(64ULL << 20));
    EXPECT_EQ(db.rate_limit, ByteCount(0));
    EXPECT_EQ(db.keepalive.interval, std::chrono::seconds(1));
    EXPECT_EQ(db.keepalive.timeout, std::chrono::seconds(10));
    EXPECT_TRUE(db.compression.off());
    EXPECT_EQ(db.keep_time, std::chrono::seconds(0));
    EXPECT_EQ(db.keep_bytes, ByteCount(0));
    EXPECT_EQ(db.reserve_bytes, ByteCount(1ULL << 30));
}

TEST(Config, TheLimitsOfALinkAreRead) {
    const Config config = good(replaced(test::kGoodConfig, "history = {",
                                        "spool_bytes = \"0B\"\nrate_limit = \"10MiB\"\n"
                                        "keepalive = { interval = \"200ms\", timeout = \"1s\" }\n"
                                        "history = {"));
    ASSERT_EQ(config.groups.size(), 1U);
    const GroupConfig& db = config.groups[0];
    EXPECT_EQ(db.spool_bytes, ByteCount(0));  // none
    EXPECT_EQ(db.rate_limit, ByteCount(10U << 20));
    EXPECT_EQ(db.keepalive.interval, std::chrono::milliseconds(200));
    EXPECT_EQ(db.keepalive.timeout, std::chrono::seconds(1));
}

TEST(Config, CompressionIsAWordOrALevel) {
    const std::tuple<const char*, CompressionSetting, const char*> settings[] = {
        {"\"off\"", {}, "off"},
        {"\"auto\"", {.automatic = true}, "auto"},
        {"1", {.level = 1}, "1"},
        {"9", {.level = 9}, "9"}};
    for (const auto& [text, wanted, name] : settings) {
        const Config config =
            good(replaced(test::kGoodConfig, "ack_standbys = 1",
                          std::string("ack_standbys = 1\ncompression = ") + text));
        ASSERT_EQ(config.groups.size(), 1U);
        EXPECT_EQ(config.groups[0].compression, wanted) << text;
        const auto canonical = config.groups[0].canonical();
        const std::map<std::string, std::string> map(canonical.begin(), canonical.end());
        EXPECT_EQ(map.at("compression"), name);
    }
}

TEST(Config, VerifyEveryIsOffOrATime) {
    const std::tuple<const char*, std::int64_t, const char*> settings[] = {
        {"\"off\"", 0, "off"}, {"\"7d\"", 604800, "604800s"}, {"\"1s\"", 1, "1s"}};
    for (const auto& [text, wanted, name] : settings) {
        const Config config =
            good(replaced(test::kGoodConfig, "ack_standbys = 1",
                          std::string("ack_standbys = 1\nverify_every = ") + text));
        ASSERT_EQ(config.groups.size(), 1U);
        EXPECT_EQ(config.groups[0].verify_every, std::chrono::seconds(wanted)) << text;
        const auto canonical = config.groups[0].canonical();
        const std::map<std::string, std::string> map(canonical.begin(), canonical.end());
        EXPECT_EQ(map.at("verify_every"), name);
    }
}

TEST(Config, LocalHistoryNeedsNoStandby) {
    std::string text = replaced(test::kGoodConfig, "[\"beta\"]", "[]");
    text = replaced(text, "ack_standbys = 1", "ack_standbys = \"all\"");
    for (int i = 0; i < 2; ++i) {
        const std::size_t at = text.find("beta  =");
        text.erase(at, text.find('\n', at) - at);
    }
    const Config config = good(text);
    ASSERT_EQ(config.groups.size(), 1U);
    EXPECT_EQ(config.groups[0].members(), std::vector<std::string>{"alpha"});
}

TEST(Config, CanonicalFormHasEverySettingSorted) {
    const auto canonical = good().groups.at(0).canonical();
    EXPECT_TRUE(std::ranges::is_sorted(canonical));
    const std::map<std::string, std::string> map(canonical.begin(), canonical.end());
    ASSERT_EQ(map.size(), canonical.size());
    const std::map<std::string, std::string> wanted = {
        {"name", "db"},
        {"primary", "alpha"},
        {"standbys", "beta"},
        {"ack", "durable"},
        {"ack_standbys", "1"},
        {"on_standby_loss", "stall"},
        {"standby_timeout", "250ms"},
        {"start_wait", "2000ms"},
        {"queue_bytes", "128MiB"},
        {"spool_bytes", "8GiB"},
        {"segment_bytes", "32MiB"},
        {"sync_rate", "0B"},
        {"max_resync", "25%"},
        {"verify_every", "off"},
        {"rate_limit", "0B"},
        {"keepalive.interval", "1000ms"},
        {"keepalive.timeout", "10000ms"},
        {"compression", "off"},
        {"history.keep_time", "86400s"},
        {"history.keep_bytes", "100GiB"},
        {"history.reserve_bytes", "2GiB"},
        {"volume.data.index", "0"},
        {"volume.data.size", "10GiB"},
        {"volume.data.alpha.device", "/dev/vg0/db"},
        {"volume.data.alpha.capture", "nbd"},
        {"volume.data.alpha.listen", "tcp:127.0.0.1:10809"},
        {"volume.data.beta.device", "db.img"},
        {"volume.data.beta.capture", "nbd"},
        {"volume.data.beta.listen", "unix:run/db.sock"},
        {"volume.wal.index", "1"},
        {"volume.wal.size", ""},
        {"volume.wal.alpha.device", "/dev/vg0/wal"},
        {"volume.wal.alpha.capture", "nbd"},
        {"volume.wal.alpha.listen", "tcp:[::1]:10810"},
        {"volume.wal.beta.device", "wal.img"},
        {"volume.wal.beta.capture", "nbd"},
        {"volume.wal.beta.listen", "unix:run/wal.sock"},
    };
    EXPECT_EQ(map, wanted);
    const auto resolved = good().groups.at(0).resolved();
    const std::map<std::string, std::string> absolute(resolved.begin(), resolved.end());
    EXPECT_EQ(absolute.at("volume.data.beta.device"), "/etc/everstep/db.img");
    EXPECT_EQ(absolute.at("volume.wal.beta.listen"), "unix:/etc/everstep/run/wal.sock");
}

TEST(Config, AResyncIsLimitedByAShareOrByBytes) {
    const auto limit = [](const std::string& value) {
        const std::string key = "max_resync = \"" + value + "\"\nsegment_bytes";
        return good(replaced(test::kGoodConfig, "segment_bytes", key)).groups.at(0).max_resync;
    };
    EXPECT_EQ(limit("100%").percent, 100U);
    EXPECT_EQ(limit("8MiB").percent, 0U);
    EXPECT_EQ(limit("8MiB").bytes, ByteCount(8U << 20));
}

TEST(Config, SpellingDoesNotChangeTheCanonicalForm) {
    std::string text = replaced(test::kGoodConfig, "10GiB", "10240MiB");
    text = replaced(text, "24h", "1d");
    text = replaced(text, "ack = \"durable\"\n", "");
    text = replaced(text, "start_wait", "ack = \"durable\"\nstart_wait");
    EXPECT_EQ(good(text).groups.at(0).canonical(), good().groups.at(0).canonical());
    const std::string changed = replaced(test::kGoodConfig, "10GiB", "11GiB");
    EXPECT_NE(good(changed).groups.at(0).canonical(), good().groups.at(0).canonical());
}

TEST(Config, TheOrderOfStandbysDoesNotChangeTheCanonicalForm) {
    GroupConfig group = good().groups.at(0);
    group.standbys = {"beta", "gamma", "delta"};
    const auto canonical = group.canonical();
    group.standbys = {"gamma", "delta", "beta"};
    EXPECT_EQ(group.canonical(), canonical);
    group.standbys = {"gamma", "delta"};
    EXPECT_NE(group.canonical(), canonical);
}

TEST(Config, WhereTheFileLiesDoesNotChangeTheCanonicalForm) {
    const auto there = parse_config(test::kGoodConfig, "/srv/other/everstep.toml");
    ASSERT_TRUE(there.ok()) << there.status().message();
    EXPECT_EQ(there->groups.at(0).canonical(), good().groups.at(0).canonical());
    EXPECT_EQ(there->groups.at(0).volumes.at(1).on("beta")->device, "/srv/other/wal.img");
}

class ConfigOnDisk : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "everstep-config-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        fs::create_directory(directory_ / "pki");
        for (const std::string name : {"pki/ca.crt", "pki/alpha.crt", "pki/alpha.key"}) {
            std::ofstream(directory_ / name) << "content of " << name;
        }
        const std::string text =
            replaced(test::kGoodConfig, "state = \"/var/lib/everstep\"", "state = \"a/b/state\"");
        std::ofstream(file()) << text;
    }
    void TearDown() override { fs::remove_all(directory_); }
    [[nodiscard]] std::string file() const { return (directory_ / "everstep.toml").string(); }
    // What check_node() says of alpha; empty when it is content.
    [[nodiscard]] std::string check(std::string_view node = "alpha") const {
        const auto config = load_config(file());
        EXPECT_TRUE(config.ok()) << config.status().message();
        return config.ok() ? check_node(*config, node).message() : "";
    }
    // The same of check_volumes(), for beta, whose volumes are files beside the configuration.
    [[nodiscard]] std::string check_beta() const {
        const auto config = load_config(file());
        EXPECT_TRUE(config.ok()) << config.status().message();
        return config.ok() ? check_volumes(*config, "beta").message() : "";
    }
    fs::path directory_;
};

TEST_F(ConfigOnDisk, AVolumeThatCannotBeServedIsNamedWithLineAndKey) {
    const auto told = [&](const std::string& place, const std::string& what) {
        const std::string message = check_beta();
        EXPECT_TRUE(message.starts_with(file() + place + ": ")) << message;
        EXPECT_NE(message.find(what), std::string::npos) << message;
    };
    const std::string data_listen = ":36: group.db.volume.data.beta.listen";
    told(data_listen, (directory_ / "run").string());
    std::ofstream(directory_ / "run") << "a file";
    told(data_listen, "wanted a directory");
    fs::remove(directory_ / "run");
    fs::create_directory(directory_ / "run");
    told(":41: group.db.volume.wal.beta.device", "wanted a disk or file, or a `size`");
    std::ofstream(directory_ / "wal.img") << "any size will do";
    EXPECT_EQ(check_beta(), "");
    fs::create_directory(directory_ / "db.img");
    told(":36: group.db.volume.data.beta.device", "neither a disk nor a file");
    fs::remove(directory_ / "db.img");
    std::ofstream(directory_ / "db.img") << "short";
    told(":36: group.db.volume.data.beta.device", "found 5 bytes");
    fs::resize_file(directory_ / "db.img", std::uint64_t{10} << 30);
    EXPECT_EQ(check_beta(), "");
}

TEST_F(ConfigOnDisk, ANodeWithItsFilesIsContent) {
    EXPECT_EQ(check(), "");
    fs::create_directories(directory_ / "a/b/state");
    EXPECT_EQ(check(), "");
}

TEST_F(ConfigOnDisk, MissingFilesAreNamedWithLineAndKey) {
    for (const auto& [key, name] : std::vector<std::pair<std::string, std::string>>{
             {":9: node.alpha.key", "pki/alpha.key"},
             {":8: node.alpha.certificate", "pki/alpha.crt"},
             {":2: tls.ca", "pki/ca.crt"}}) {
        fs::remove(directory_ / name);
        const std::string message = check();
        EXPECT_NE(message.find(file() + key + ": "), std::string::npos) << message;
        EXPECT_NE(message.find((directory_ / name).string()), std::string::npos) << message;
        fs::create_directory(directory_ / name);
        EXPECT_NE(check().find("regular file"), std::string::npos);
        fs::remove(directory_ / name);
        std::ofstream(directory_ / name).flush();
        EXPECT_NE(check().find("empty"), std::string::npos);
    }
}

TEST_F(ConfigOnDisk, AStateThatCannotBeADirectoryIsRefused) {
    std::ofstream(directory_ / "a") << "a file";
    EXPECT_NE(check().find("node.alpha.state"), std::string::npos) << check();
}

TEST_F(ConfigOnDisk, AnUnknownNodeIsRefusedWithTheKnownOnes) {
    const std::string message = check("gamma");
    EXPECT_NE(message.find("\"gamma\""), std::string::npos);
    EXPECT_NE(message.find("alpha, beta"), std::string::npos);
}

TEST_F(ConfigOnDisk, AFileThatCannotBeReadIsNamed) {
    const std::string missing = (directory_ / "none.toml").string();
    const auto config = load_config(missing);
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.status().code(), ErrorCode::not_found);
    EXPECT_NE(config.status().message().find(missing), std::string::npos);
    EXPECT_FALSE(load_config(directory_.string()).ok());
}

}  // namespace
}  // namespace everstep
