// From the tree of a configuration file to a checked Config.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "common/base/config.hpp"
#include "common/base/config_reader.hpp"
#include "common/base/packing.hpp"

namespace everstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kKeepaliveMin(100);

// In a message's path: the section's name once it is known, else its place.
std::string section(std::string_view kind, std::string_view name) {
    return fmt::format("{}.{}", kind, name);
}
std::string place(std::string_view kind, std::size_t index) {
    return fmt::format("{}[{}]", kind, index);
}

class ConfigParser {
  public:
    explicit ConfigParser(const std::string& file);
    [[nodiscard]] Result<Config> parse(std::string_view text);

  private:
    void read_node(const ConfigItem& item, std::size_t index);
    void read_group(const ConfigItem& item, std::size_t index);
    void read_members(ConfigTable& table, GroupConfig& group);
    void read_standbys(ConfigTable& table, GroupConfig& group);
    void read_ack(ConfigTable& table, GroupConfig& group);
    void read_link(ConfigTable& table, GroupConfig& group);
    void read_compression(ConfigTable& table, GroupConfig& group);
    static void read_verify(ConfigTable& table, GroupConfig& group);
    void read_history(ConfigTable& table, GroupConfig& group);
    void read_volume(const ConfigTable& parent, const ConfigItem& item, GroupConfig& group);
    void read_volume_nodes(ConfigTable& table, const GroupConfig& group, VolumeConfig& volume);
    [[nodiscard]] VolumeOnNode read_volume_on(ConfigTable& table, const std::string& node);
    // Refuses what another setting of the same node already uses.
    void claim(ConfigTable& table, std::string_view key, const std::string& node,
               const std::string& what);
    [[nodiscard]] bool known_node(ConfigTable& table, std::string_view key, const ConfigItem& item);

    ConfigReading reading_;
    Config config_;
    std::map<std::string, std::string> claims_;  // "node, what" -> the key that uses it
};

ConfigParser::ConfigParser(const std::string& file) {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(file, error);
    reading_.file = file;
    reading_.directory = error ? std::string("/") : absolute.parent_path().string();
    config_.file = file;
}

Result<Config> ConfigParser::parse(std::string_view text) {
    Result<ConfigItem> root = parse_config_tree(text, reading_.file);
    if (!root.ok()) return root.status();
    ConfigTable top(reading_, *root, "");
    if (const ConfigItem* item = top.require("tls", "a table [tls]"); item != nullptr) {
        ConfigTable tls(reading_, *item, "tls");
        config_.ca = tls.file_path("ca");
        if (const ConfigItem* ca = tls.find("ca")) config_.lines["tls.ca"] = ca->line;
        tls.finish("only ca");
    }
    std::size_t index = 0;
    for (const ConfigItem* node : top.tables("node")) read_node(*node, index++);
    index = 0;
    for (const ConfigItem* group : top.tables("group")) read_group(*group, index++);
    top.finish("only tls, node, group");
    if (!reading_.status.ok()) return reading_.status;
    return std::move(config_);
}

void ConfigParser::claim(ConfigTable& table, std::string_view key, const std::string& node,
                         const std::string& what) {
    const auto [at, added] =
        claims_.emplace(fmt::format("{}, {}", node, what), table.key_path(key));
    const ConfigItem* item = table.find(key);
    if (item != nullptr) config_.lines[table.key_path(key)] = item->line;
    if (added || !reading_.status.ok()) return;
    table.refuse(item == nullptr ? table.item() : *item, key,
                 fmt::format("{}, which {} uses", what, at->second),
                 fmt::format("one of its own on node {}", node));
}

void ConfigParser::read_node(const ConfigItem& item, std::size_t index) {
    ConfigTable table(reading_, item, place("node", index));
    NodeConfig node;
    node.name = table.name("name");
    if (!reading_.status.ok()) return;
    table.rename(section("node", node.name));
    const ConfigItem& name = *table.find("name");
    if (config_.node(node.name) != nullptr) {
        table.refuse(name, "name", "a name that another node has", "a name of its own");
    }
    // In a volume's table a node's name stands beside these keys.
    if (node.name == "name" || node.name == "size") {
        table.refuse(name, "name", shown(name), "a name other than name, size");
    }
    node.address = table.address("address", true);
    node.state = table.file_path("state");
    node.certificate = table.file_path("certificate");
    node.key = table.file_path("key");
    for (const char* key : {"state", "certificate", "key"}) {
        const ConfigItem* at = table.find(key);
        if (at != nullptr) config_.lines["node." + node.name + "." + key] = at->line;
    }
    node.metrics = table.address("metrics", false);
    for (const NodeConfig& other : config_.nodes) {
        if (other.address != node.address || !reading_.status.ok()) continue;
        table.refuse(*table.find("address"), "address",
                     fmt::format("\"{}\", which node {} has", node.address, other.name),
                     "one of its own");
    }
    claim(table, "address", node.name, "tcp:" + node.address);
    if (!node.metrics.empty()) claim(table, "metrics", node.name, "tcp:" + node.metrics);
    table.finish("only name, address, state, certificate, key, metrics");
    config_.nodes.push_back(std::move(node));
}

void ConfigParser::read_group(const ConfigItem& item, std::size_t index) {
    ConfigTable table(reading_, item, place("group", index));
    GroupConfig group;
    group.name = table.name("name");
    if (!reading_.status.ok()) return;
    table.rename(section("group", group.name));
    if (config_.group(group.name) != nullptr) {
        table.refuse(*table.find("name"), "name", "a name that another group has",
                     "a name of its own");
    }
    read_members(table, group);
    read_ack(table, group);
    group.queue_bytes = table.bytes("queue_bytes", group.queue_bytes);
    group.spool_bytes = table.bytes("spool_bytes", group.spool_bytes);
    group.segment_bytes = table.bytes("segment_bytes", group.segment_bytes);
    for (const std::string_view key : {"queue_bytes", "segment_bytes"}) {
        const ByteCount bytes = key == "queue_bytes" ? group.queue_bytes : group.segment_bytes;
        const ConfigItem* at = table.find(key);
        if (at != nullptr && bytes.value() == 0) table.refuse(*at, key, shown(*at), "more than 0");
    }
    read_link(table, group);
    read_compression(table, group);
    read_history(table, group);
    group.sync_rate = table.bytes("sync_rate", group.sync_rate);
    group.max_resync = table.share("max_resync", group.max_resync);
    read_verify(table, group);
    for (const ConfigItem* volume : table.tables("volume")) read_volume(table, *volume, group);
    table.finish(
        "only name, primary, standbys, ack, ack_standbys, on_standby_loss, standby_timeout, "
        "start_wait, queue_bytes, spool_bytes, segment_bytes, compression, rate_limit, keepalive, "
        "sync_rate, max_resync, verify_every, history, volume");
    config_.groups.push_back(std::move(group));
}

bool ConfigParser::known_node(ConfigTable& table, std::string_view key, const ConfigItem& item) {
    if (!reading_.status.ok()) return false;
    if (item.kind == ConfigItem::Kind::text && config_.node(item.text) != nullptr) return true;
    std::vector<std::string> names;
    for (const NodeConfig& node : config_.nodes) names.push_back(node.name);
    table.refuse(item, key, shown(item), fmt::format("a node: {}", fmt::join(names, ", ")));
    return false;
}

void ConfigParser::read_members(ConfigTable& table, GroupConfig& group) {
    const ConfigItem* primary = table.require("primary", "a node's name");
    if (primary != nullptr && known_node(table, "primary", *primary)) group.primary = primary->text;
    read_standbys(table, group);
}

void ConfigParser::read_standbys(ConfigTable& table, GroupConfig& group) {
    constexpr std::string_view kWanted = "a list of nodes' names ([] = local history only)";
    const ConfigItem* list = table.require("standbys", kWanted);
    if (list == nullptr) return;
    if (list->kind != ConfigItem::Kind::list) {
        table.refuse(*list, "standbys", shown(*list), kWanted);
        return;
    }
    for (const ConfigItem& item : list->children) {
        if (!known_node(table, "standbys", item)) return;
        if (item.text == group.primary) {
            table.refuse(item, "standbys", fmt::format("{}, the primary", shown(item)),
                         "other nodes than the primary");
        }
        if (std::find(group.standbys.begin(), group.standbys.end(), item.text) !=
            group.standbys.end()) {
            table.refuse(item, "standbys", fmt::format("{} twice", shown(item)), "each node once");
        }
        group.standbys.push_back(item.text);
    }
}

void ConfigParser::read_ack(ConfigTable& table, GroupConfig& group) {
    group.ack = static_cast<AckLevel>(
        table.word("ack", {"local", "received", "durable"}, static_cast<std::size_t>(group.ack)));
    group.on_standby_loss = static_cast<LossPolicy>(table.word(
        "on_standby_loss", {"continue", "stall"}, static_cast<std::size_t>(group.on_standby_loss)));
    constexpr milliseconds kUnit(1);
    group.standby_timeout = std::chrono::duration_cast<milliseconds>(
        table.duration("standby_timeout", group.standby_timeout, kUnit));
    group.start_wait = std::chrono::duration_cast<milliseconds>(
        table.duration("start_wait", group.start_wait, kUnit));
    const ConfigItem* count = table.find("ack_standbys");
    if (count == nullptr || (count->kind == ConfigItem::Kind::text && count->text == "all")) return;
    const auto standbys = static_cast<std::int64_t>(group.standbys.size());
    if (count->kind != ConfigItem::Kind::integer || count->integer < 1 ||
        count->integer > standbys) {
        table.refuse(
            *count, "ack_standbys", shown(*count),
            fmt::format("\"all\" or an integer from 1 to the number of standbys ({})", standbys));
        return;
    }
    group.ack_standbys = static_cast<std::uint32_t>(count->integer);
}

void ConfigParser::read_link(ConfigTable& table, GroupConfig& group) {
    group.rate_limit = table.bytes("rate_limit", group.rate_limit);
    const ConfigItem* item = table.find("keepalive");
    if (item == nullptr) return;
    ConfigTable keepalive(reading_, *item, table.key_path("keepalive"));
    KeepaliveConfig& times = group.keepalive;
    constexpr milliseconds kUnit(1);
    times.interval = std::chrono::duration_cast<milliseconds>(
        keepalive.duration("interval", times.interval, kUnit));
    times.timeout = std::chrono::duration_cast<milliseconds>(
        keepalive.duration("timeout", times.timeout, kUnit));
    keepalive.finish("only interval, timeout");
    const ConfigItem* interval = keepalive.find("interval");
    if (times.interval < kKeepaliveMin) {
        keepalive.refuse(*interval, "interval", shown(*interval), "100ms or more");
    }
    // One that is late is no loss.
    if (times.timeout < 2 * times.interval) {
        const ConfigItem* timeout = keepalive.find("timeout");
        keepalive.refuse(timeout == nullptr ? *item : *timeout, "timeout",
                         fmt::format("{}ms", times.timeout.count()),
                         fmt::format("twice the interval of {}ms or more", times.interval.count()));
    }
}

void ConfigParser::read_compression(ConfigTable& table, GroupConfig& group) {
    const ConfigItem* item = table.find("compression");
    if (item == nullptr) return;
    const bool text = item->kind == ConfigItem::Kind::text;
    const bool level = item->kind == ConfigItem::Kind::integer && item->integer >= 1 &&
                       item->integer <= kPackLevelMax;
    if (!level && !(text && (item->text == "off" || item->text == "auto"))) {
        table.refuse(*item, "compression", shown(*item),
                     fmt::format("\"off\", \"auto\" or an integer from 1 to {}", kPackLevelMax));
        return;
    }
    group.compression.automatic = text && item->text == "auto";
    group.compression.level = level ? static_cast<int>(item->integer) : 0;
}

void ConfigParser::read_verify(ConfigTable& table, GroupConfig& group) {
    const ConfigItem* item = table.find("verify_every");
    if (item == nullptr || (item->kind == ConfigItem::Kind::text && item->text == "off")) return;
    const auto every = item->kind == ConfigItem::Kind::text
                           ? parse_duration(item->text)
                           : Result<std::chrono::nanoseconds>(std::chrono::nanoseconds(0));
    if (!every.ok() || *every < seconds(1) || *every % seconds(1) != seconds(0)) {
        table.refuse(*item, "verify_every", shown(*item),
                     "\"off\", or an integer and s, m, h or d, one second or more");
        return;
    }
    group.verify_every = std::chrono::duration_cast<seconds>(*every);
}

void ConfigParser::read_history(ConfigTable& table, GroupConfig& group) {
    const ConfigItem* item = table.find("history");
    if (item == nullptr) return;
    ConfigTable history(reading_, *item, table.key_path("history"));
    group.keep_time = std::chrono::duration_cast<seconds>(
        history.duration("keep_time", group.keep_time, seconds(1)));
    group.keep_bytes = history.bytes("keep_bytes", group.keep_bytes);
    group.reserve_bytes = history.bytes("reserve_bytes", group.reserve_bytes);
    history.finish("only keep_time, keep_bytes, reserve_bytes");
}

void ConfigParser::read_volume(const ConfigTable& parent, const ConfigItem& item,
                               GroupConfig& group) {
    ConfigTable table(reading_, item, parent.key_path(place("volume", group.volumes.size())));
    VolumeConfig volume;
    volume.name = table.name("name");
    if (!reading_.status.ok()) return;
    table.rename(parent.key_path(section("volume", volume.name)));
    for (const VolumeConfig& other : group.volumes) {
        if (other.name != volume.name) continue;
        table.refuse(*table.find("name"), "name", "a name that another volume of the group has",
                     "a name of its own");
    }
    if (const ConfigItem* size = table.find("size"); size != nullptr) {
        volume.size = table.bytes("size", ByteCount(0));
        if (volume.size->value() == 0) table.refuse(*size, "size", shown(*size), "more than 0");
    }
    read_volume_nodes(table, group, volume);
    group.volumes.push_back(std::move(volume));
}

void ConfigParser::read_volume_nodes(ConfigTable& table, const GroupConfig& group,
                                     VolumeConfig& volume) {
    const std::vector<std::string> members = group.members();
    for (const std::string& node : members) static_cast<void>(table.find(node));  // known keys
    table.finish(
        fmt::format("only name, size and the group's nodes: {}", fmt::join(members, ", ")));
    for (const std::string& node : members) {
        const ConfigItem* item = table.require(node, "a table with device, capture and listen");
        if (item == nullptr) return;
        ConfigTable on(reading_, *item, table.key_path(node));
        volume.nodes.push_back(read_volume_on(on, node));
    }
}

VolumeOnNode ConfigParser::read_volume_on(ConfigTable& table, const std::string& node) {
    VolumeOnNode on;
    on.node = node;
    on.device = table.file_path("device", &on.written_device);
    const ConfigItem* capture = table.require("capture", "\"nbd\"");
    if (capture != nullptr && capture->text == "kernel") {
        table.refuse(*capture, "capture", shown(*capture),
                     "\"nbd\": the kernel module's capture is not built into this version");
    } else if (capture != nullptr &&
               (capture->kind != ConfigItem::Kind::text || capture->text != "nbd")) {
        table.refuse(*capture, "capture", shown(*capture), "\"nbd\"");
    }
    on.capture = "nbd";
    on.listen = table.listen("listen", &on.written_listen);
    table.finish("only device, capture, listen");
    if (!reading_.status.ok()) return on;
    claim(table, "device", node, "device " + on.device);
    claim(table, "listen", node, on.listen);
    return on;
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file) {
    return ConfigParser(file).parse(text);
}

}  // namespace everstep
