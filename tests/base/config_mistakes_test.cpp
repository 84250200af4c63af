// Every mistake in a configuration is refused with file, line and key, what was found and what was
// wanted.
#include <gtest/gtest.h>

#include "common/base/config.hpp"
#include "tests/base/config_text.hpp"

namespace everstep {
namespace {

// One change to the good configuration; the refusal must start with "FILE:LINE: KEY: found FOUND".
struct Mistake {
    std::string from;
    std::string to;
    int line;
    std::string key;
    std::string found;
};

void expect_refused(const std::vector<Mistake>& mistakes) {
    for (const Mistake& mistake : mistakes) {
        std::string text(test::kGoodConfig);
        const std::size_t at = text.find(mistake.from);
        ASSERT_NE(at, std::string::npos) << mistake.from;
        text.replace(at, mistake.from.size(), mistake.to);
        const auto config = parse_config(text, "/etc/e.toml");
        ASSERT_FALSE(config.ok()) << mistake.to;
        const std::string& message = config.status().message();
        EXPECT_EQ(config.status().code(), ErrorCode::usage) << message;
        const std::string start = "/etc/e.toml:" + std::to_string(mistake.line) + ": " +
                                  mistake.key + ": found " + mistake.found;
        EXPECT_TRUE(message.starts_with(start)) << message << "\nwanted " << start;
        EXPECT_NE(message.find(", wanted "), std::string::npos) << message;
    }
}

TEST(ConfigMistake, Tls) {
    expect_refused({
        {"[tls]\nca = \"pki/ca.crt\"\n", "", 1, "tls", "nothing"},
        {"ca = \"pki/ca.crt\"\n", "", 1, "tls.ca", "nothing"},
        {"ca = \"pki/ca.crt\"", "ca = 5", 2, "tls.ca", "5"},
        {"ca = \"pki/ca.crt\"", "ca = \"\"", 2, "tls.ca", "\"\""},
        {"ca = \"pki/ca.crt\"", "ca = \"a\\u0000b\"", 2, "tls.ca", "\"a?b\""},
        {"ca = \"pki/ca.crt\"", "ca = \"a\"\ncrl = \"b\"", 3, "tls.crl", "a key"},
        {"[tls]\nca = \"pki/ca.crt\"\n", "tls = 1\n", 1, "tls", "1"},
        {"[tls]", "x = 1\n[tls]", 1, "x", "a key"},
        {"ca = ", "\"a\\nb\" = 1\nca = ", 2, "tls.a?b", "a key"},
    });
}

TEST(ConfigMistake, Node) {
    expect_refused({
        {"name = \"alpha\"\n", "", 4, "node[0].name", "nothing"},
        {"name = \"alpha\"", "name = true", 5, "node[0].name", "true"},
        {"name = \"alpha\"", "name = \"al pha\"", 5, "node[0].name", "\"al pha\""},
        {"name = \"alpha\"", "name = \"\"", 5, "node[0].name", "\"\""},
        {"name = \"alpha\"", "name = \"" + std::string(65, 'a') + "\"", 5, "node[0].name", "\"aa"},
        {"name = \"alpha\"", "name = \"size\"", 5, "node.size.name", "\"size\""},
        {"name = \"beta\"", "name = \"alpha\"", 13, "node.alpha.name", "a name that another"},
        {"address = \"10.0.0.1:7801\"\n", "", 4, "node.alpha.address", "nothing"},
        {"state = \"/var/lib/everstep\"\n", "", 4, "node.alpha.state", "nothing"},
        {"certificate = \"pki/alpha.crt\"\n", "", 4, "node.alpha.certificate", "nothing"},
        {"key = \"pki/alpha.key\"\n", "", 4, "node.alpha.key", "nothing"},
        {"metrics = ", "metric = ", 10, "node.alpha.metric", "a key"},
        {"10.0.0.2:7801", "10.0.0.1:7801", 14, "node.beta.address", "\"10.0.0.1:7801\", which"},
        {"127.0.0.1:9801", "10.0.0.1:7801", 10, "node.alpha.metrics", "tcp:10.0.0.1:7801, which"},
        {"127.0.0.1:9801", "9801", 10, "node.alpha.metrics", "\"9801\""},
    });
    for (const std::string bad :
         {"10.0.0.1", "10.0.0.1:", ":7801", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x",
          "10.0.0.1:+5", "10.0.0.1: 5", "::1:7801", "[::1:7801", "[gg::]:7801", "a b:7801",
          "-a:7801", "10.0.0.1:7801/"}) {
        expect_refused({{"10.0.0.1:7801", bad, 6, "node.alpha.address", "\"" + bad + "\""}});
    }
}

TEST(ConfigMistake, SectionsThatAreNone) {
    for (const std::string section : {"node", "group"}) {
        const auto config = parse_config("[tls]\nca = \"x\"\n" + section + " = 3\n", "f");
        ASSERT_FALSE(config.ok());
    }
    const auto none = parse_config("[tls]\nca = \"x\"\n", "f");
    ASSERT_FALSE(none.ok());
    EXPECT_TRUE(none.status().message().starts_with("f:1: node: found nothing"));
    const auto table = parse_config("[tls]\nca = \"x\"\n\n[node]\nname = \"a\"\n", "f");
    ASSERT_FALSE(table.ok());
    EXPECT_TRUE(table.status().message().starts_with("f:4: node: found a table"));
    const auto item = parse_config("node = [ 1 ]\n[tls]\nca = \"x\"\n", "f");
    ASSERT_FALSE(item.ok());
    EXPECT_TRUE(item.status().message().starts_with("f:1: node: found 1"));
}

TEST(ConfigMistake, GroupMembers) {
    expect_refused({
        {"name = \"db\"\n", "", 19, "group[0].name", "nothing"},
        {"name = \"db\"", "name = \"d/b\"", 20, "group[0].name", "\"d/b\""},
        {"primary = \"alpha\"\n", "", 19, "group.db.primary", "nothing"},
        {"primary = \"alpha\"", "primary = \"gamma\"", 21, "group.db.primary", "\"gamma\""},
        {"primary = \"alpha\"", "primary = [\"alpha\"]", 21, "group.db.primary", "a list"},
        {"standbys = [\"beta\"]\n", "", 19, "group.db.standbys", "nothing"},
        {"[\"beta\"]", "\"beta\"", 22, "group.db.standbys", "\"beta\""},
        {"[\"beta\"]", "[\"gamma\"]", 22, "group.db.standbys", "\"gamma\""},
        {"[\"beta\"]", "[1]", 22, "group.db.standbys", "1"},
        {"[\"beta\"]", "[\n \"beta\",\n \"beta\"]", 24, "group.db.standbys", "\"beta\" twice"},
        {"[\"beta\"]", "[\"alpha\"]", 22, "group.db.standbys", "\"alpha\", the primary"},
    });
}

TEST(ConfigMistake, GroupSettings) {
    expect_refused({
        {"\"durable\"", "\"remote\"", 23, "group.db.ack", "\"remote\""},
        {"\"durable\"", "1", 23, "group.db.ack", "1"},
        {"ack_standbys = 1", "ack_standbys = 0", 24, "group.db.ack_standbys", "0"},
        {"ack_standbys = 1", "ack_standbys = 2", 24, "group.db.ack_standbys", "2"},
        {"ack_standbys = 1", "ack_standbys = -1", 24, "group.db.ack_standbys", "-1"},
        {"ack_standbys = 1", "ack_standbys = \"1\"", 24, "group.db.ack_standbys", "\"1\""},
        {"ack_standbys = 1", "ack_standbys = 1.5", 24, "group.db.ack_standbys", "a number"},
        {"\"stall\"", "\"stop\"", 25, "group.db.on_standby_loss", "\"stop\""},
        {"\"250ms\"", "\"250\"", 26, "group.db.standby_timeout", "\"250\""},
        {"\"250ms\"", "250", 26, "group.db.standby_timeout", "250"},
        {"\"2s\"", "\"2 s\"", 27, "group.db.start_wait", "\"2 s\""},
        {"\"2s\"", "07:32:00", 27, "group.db.start_wait", "a date or time"},
        {"ack_standbys = 1", "compression = 0", 24, "group.db.compression", "0"},
        {"ack_standbys = 1", "compression = 10", 24, "group.db.compression", "10"},
        {"ack_standbys = 1", "compression = -1", 24, "group.db.compression", "-1"},
        {"ack_standbys = 1", "compression = \"on\"", 24, "group.db.compression", "\"on\""},
        {"ack_standbys = 1", "compression = \"3\"", 24, "group.db.compression", "\"3\""},
        {"ack_standbys = 1", "compression = true", 24, "group.db.compression", "true"},
        {"\"128MiB\"", "\"128MB\"", 28, "group.db.queue_bytes", "\"128MB\""},
        {"\"128MiB\"", "134217728", 28, "group.db.queue_bytes", "134217728"},
        {"\"128MiB\"", "\"0B\"", 28, "group.db.queue_bytes", "\"0B\""},
        {"\"32MiB\"", "\"0MiB\"", 29, "group.db.segment_bytes", "\"0MiB\""},
        {"\"32MiB\"", "\"1000B\"", 29, "group.db.segment_bytes", "\"1000B\""},
        {"\"32MiB\"", "\"9999999TiB\"", 29, "group.db.segment_bytes", "\"9999999TiB\""},
        {"keep_time", "keep", 30, "group.db.history.keep", "a key"},
        {"\"24h\"", "\"1500ms\"", 30, "group.db.history.keep_time", "\"1500ms\""},
        {"\"24h\"", "\"1y\"", 30, "group.db.history.keep_time", "\"1y\""},
        {"\"100GiB\"", "\"100G\"", 30, "group.db.history.keep_bytes", "\"100G\""},
        {"\"2GiB\"", "\"511B\"", 30, "group.db.history.reserve_bytes", "\"511B\""},
        {"history = {", "history = 5 #", 30, "group.db.history", "5"},
        {"ack = ", "acks = ", 23, "group.db.acks", "a key"},
        {"ack = ", "takeover = \"manual\"\nack = ", 23, "group.db.takeover", "a key"},
    });
}

TEST(ConfigMistake, LimitsOfALink) {
    const char* const at = "history = {";
    expect_refused({
        {at, "spool_bytes = \"8GB\"\nhistory = {", 30, "group.db.spool_bytes", "\"8GB\""},
        {at, "spool_bytes = 0\nhistory = {", 30, "group.db.spool_bytes", "0"},
        {at, "rate_limit = \"10MiB/s\"\nhistory = {", 30, "group.db.rate_limit", "\"10MiB/s\""},
        {at, "rate_limit = \"100B\"\nhistory = {", 30, "group.db.rate_limit", "\"100B\""},
        {at, "keepalive = \"1s\"\nhistory = {", 30, "group.db.keepalive", "\"1s\""},
        {at, "keepalive = { period = \"1s\" }\nhistory = {", 30, "group.db.keepalive.period",
         "a key"},
        {at, "keepalive = { interval = \"50ms\" }\nhistory = {", 30, "group.db.keepalive.interval",
         "\"50ms\""},
        {at, "keepalive = { timeout = \"1s\" }\nhistory = {", 30, "group.db.keepalive.timeout",
         "1000ms"},
        {at, "keepalive = { interval = \"6s\" }\nhistory = {", 30, "group.db.keepalive.timeout",
         "10000ms"},
    });
}

TEST(ConfigMistake, AGroupWithoutVolumesIsToldHowTheyAreWritten) {
    std::string text(test::kGoodConfig);
    for (std::size_t at = 0; (at = text.find("[[group.volume]]", at)) != std::string::npos;)
        text.replace(at, 16, "[[group.volumes]]");
    const auto config = parse_config(text, "f");
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.status().message(),
              "f:19: group.db.volume: found nothing, wanted [[group.volume]] tables");
}

TEST(ConfigMistake, Volume) {
    expect_refused({
        {"name = \"data\"\n", "", 32, "group.db.volume[0].name", "nothing"},
        {"name = \"data\"", "name = \"da:ta\"", 33, "group.db.volume[0].name", "\"da:ta\""},
        {"name = \"wal\"", "name = \"data\"", 39, "group.db.volume.data.name", "a name that"},
        {"\"10GiB\"", "\"0B\"", 34, "group.db.volume.data.size", "\"0B\""},
        {"\"10GiB\"", "\"1000B\"", 34, "group.db.volume.data.size", "\"1000B\""},
        {"\"10GiB\"", "\"ten\"", 34, "group.db.volume.data.size", "\"ten\""},
        {"\"10GiB\"", "10", 34, "group.db.volume.data.size", "10"},
        {"beta  = { device = \"wal.img\"", "gamma = { device = \"wal.img\"", 41,
         "group.db.volume.wal.gamma", "a key"},
        {"size = \"10GiB\"", "gamma = { device = \"x\" }", 34, "group.db.volume.data.gamma",
         "a key"},
        {"size = \"10GiB\"", "sise = \"10GiB\"", 34, "group.db.volume.data.sise", "a key"},
        {"alpha = { device", "alpha = 7 # { device", 35, "group.db.volume.data.alpha", "7"},
    });
}

TEST(ConfigMistake, VolumeOnNode) {
    const std::string data = "group.db.volume.data.alpha.";
    const std::string wal = "group.db.volume.wal.";
    expect_refused({
        {"device = \"/dev/vg0/db\", ", "", 35, data + "device", "nothing"},
        {"device = \"/dev/vg0/db\"", "device = 4", 35, data + "device", "4"},
        {"device = \"/dev/vg0/db\"", "device = \"\"", 35, data + "device", "\"\""},
        {"capture = \"nbd\", listen = \"tcp:127", "listen = \"tcp:127", 35, data + "capture",
         "nothing"},
        {"capture = \"nbd\"", "capture = \"kernel\"", 35, data + "capture", "\"kernel\""},
        {"capture = \"nbd\"", "capture = \"ublk\"", 35, data + "capture", "\"ublk\""},
        {"capture = \"nbd\"", "capture = [\"nbd\"]", 35, data + "capture", "a list"},
        {", listen = \"tcp:127.0.0.1:10809\"", "", 35, data + "listen", "nothing"},
        {"tcp:127.0.0.1:10809", "127.0.0.1:10809", 35, data + "listen", "\"127.0.0.1:10809\""},
        {"tcp:127.0.0.1:10809", "tcp:127.0.0.1", 35, data + "listen", "\"tcp:127.0.0.1\""},
        {"tcp:127.0.0.1:10809", "tcp:127.0.0.1:0", 35, data + "listen", "\"tcp:127.0.0.1:0\""},
        {"tcp:127.0.0.1:10809", "unix:", 35, data + "listen", "\"unix:\""},
        {"tcp:127.0.0.1:10809", "unix:/" + std::string(107, 'x'), 35, data + "listen",
         "a socket path of 108 bytes"},
        {"capture = \"nbd\"", "mode = 1, capture = \"nbd\"", 35, data + "mode", "a key"},
        {"/dev/vg0/wal", "/dev/vg0/../vg0/db", 40, wal + "alpha.device",
         "device /dev/vg0/db, which"},
        {"wal.img", "/etc/db.img", 41, wal + "beta.device", "device /etc/db.img, which"},
        {"tcp:[::1]:10810", "tcp:127.0.0.1:10809", 40, wal + "alpha.listen", "tcp:127.0.0.1:10809"},
        {"unix:run/wal.sock", "unix:/etc/run/db.sock", 41, wal + "beta.listen",
         "unix:/etc/run/db.sock, which"},
        {"tcp:[::1]:10810", "tcp:10.0.0.1:7801", 40, wal + "alpha.listen", "tcp:10.0.0.1:7801"},
    });
}

TEST(ConfigMistake, TheKernelModuleIsNamed) {
    std::string text(test::kGoodConfig);
    text.replace(text.find("capture = \"nbd\""), 15, "capture = \"kernel\"");
    const auto config = parse_config(text, "f");
    ASSERT_FALSE(config.ok());
    EXPECT_NE(config.status().message().find(
                  "the kernel module's capture is not built into this version"),
              std::string::npos);
}

TEST(ConfigMistake, TwoGroupsShareNothing) {
    const std::string good(test::kGoodConfig);
    const std::string group = good.substr(good.find("[[group]]"));
    const auto same_name = parse_config(good + group, "f");
    ASSERT_FALSE(same_name.ok());
    EXPECT_TRUE(same_name.status().message().starts_with("f:43: group.db.name: found a name"))
        << same_name.status().message();
    std::string other = group;
    other.replace(other.find("\"db\""), 4, "\"db2\"");
    const auto same_device = parse_config(good + other, "f");
    ASSERT_FALSE(same_device.ok());
    EXPECT_TRUE(same_device.status().message().starts_with(
        "f:58: group.db2.volume.data.alpha.device: found device /dev/vg0/db, which "
        "group.db.volume.data.alpha.device uses"))
        << same_device.status().message();
}

TEST(ConfigMistake, SyntaxErrorsAndLimitsNameTheirLine) {
    const std::vector<std::pair<std::string, std::string>> table = {
        {"[tls\n", "f:1: "},
        {"[tls]\nca = \n", "f:2: "},
        {"[tls]\nca = \"x\"\nca = \"y\"\n", "f:3: "},
        {"[tls]\nca = \"x\"\n[tls]\nca = \"x\"\n", "f:3: "},
        {"[tls]\nca = \"\xff\"\n", "f:2: "},
        {"\n\n" + std::string(5000, '#'), "f:3: found a line"},
        {"x = " + std::string(20, '[') + std::string(20, ']'), "f:1: nested deeper"},
        {std::string((1U << 20) + 1, '\n'), "f:1: found 1048577 bytes"},
    };
    for (const auto& [text, start] : table) {
        const auto config = parse_config(text, "f");
        ASSERT_FALSE(config.ok()) << text;
        EXPECT_EQ(config.status().code(), ErrorCode::usage);
        EXPECT_TRUE(config.status().message().starts_with(start)) << config.status().message();
    }
}

TEST(ConfigMistake, LimitsOfCopies) {
    for (const std::string value : {"\"0%\"", "\"101%\"", "\"4 %\"", "\"0B\"", "\"%\"", "40"}) {
        const std::string to = "max_resync = " + value + "\nsegment_bytes";
        expect_refused({{"segment_bytes", to, 29, "group.db.max_resync", value}});
    }
    for (const std::string value : {"\"on\"", "\"0s\"", "\"1500ms\"", "\"-1d\"", "7"}) {
        const std::string to = "verify_every = " + value + "\nsegment_bytes";
        expect_refused({{"segment_bytes", to, 29, "group.db.verify_every", value}});
    }
    const std::string rate = "sync_rate = \"8\"\nsegment_bytes";
    expect_refused({{"segment_bytes", rate, 29, "group.db.sync_rate", "\"8\""}});
}

}  // namespace
}  // namespace everstep
