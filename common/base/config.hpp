// everstep.toml: the configuration of all nodes and groups (DESIGN.md 10). Reading checks
// everything that can be checked without touching a device; an error names file, line and key.
// Values; read once, passed by const reference.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep {

struct NodeConfig {
    std::string name;
    std::string address;      // HOST:PORT
    std::string state;        // directory, absolute
    std::string certificate;  // absolute paths
    std::string key;
    std::string metrics;  // HOST:PORT or empty
};

struct VolumeOnNode {
    std::string node;
    std::string device;   // absolute path
    std::string capture;  // "nbd" (or "kernel", refused until the module is built in)
    std::string listen;   // "unix:/path" or "tcp:HOST:PORT"; empty: not served
    // Both as they stand in the file, so that a relative path is the same wherever the file lies;
    // empty: as above.
    std::string written_device{};
    std::string written_listen{};
};

struct VolumeConfig {
    std::string name;
    std::optional<ByteCount> size;
    std::vector<VolumeOnNode> nodes;
    [[nodiscard]] const VolumeOnNode* on(std::string_view node) const;
};

enum class AckLevel : std::uint8_t { local, received, durable };
enum class LossPolicy : std::uint8_t { continue_alone, stall };

// A part of the whole in percent, or, where that is 0, bytes.
struct ShareLimit {
    std::uint32_t percent = 0;
    ByteCount bytes{0};
};

// Of the group's links.
struct KeepaliveConfig {
    std::chrono::milliseconds interval{1000};  // something is sent so often at least
    std::chrono::milliseconds timeout{10000};  // who is silent for so long is gone
    bool operator==(const KeepaliveConfig&) const = default;
};

// How the frames of a group are compressed: not, by this level of zstd's, or where it pays.
struct CompressionSetting {
    bool automatic = false;
    int level = 0;  // 1 to kPackLevelMax; 0: not, or automatic
    [[nodiscard]] bool off() const { return !automatic && level == 0; }
    bool operator==(const CompressionSetting&) const = default;
};
[[nodiscard]] std::string compression_name(const CompressionSetting& setting);  // off, auto, 3

struct GroupConfig {
    std::string name;
    std::string primary;
    std::vector<std::string> standbys;
    AckLevel ack = AckLevel::local;
    std::uint32_t ack_standbys = 0;  // 0 = all
    LossPolicy on_standby_loss = LossPolicy::continue_alone;
    std::chrono::milliseconds standby_timeout{5000};
    std::chrono::milliseconds start_wait{5000};
    ByteCount queue_bytes{256ULL << 20};  // memory for frames that some standby lacks
    ByteCount spool_bytes{8ULL << 30};    // and disk, behind it; 0 = none
    ByteCount rate_limit{0};              // of frames to each standby, a second; 0 = no limit
    KeepaliveConfig keepalive;
    ByteCount segment_bytes{64ULL << 20};
    CompressionSetting compression;
    ByteCount sync_rate{0};  // a second, compared by an initial sync or resync; 0 = no limit
    ShareLimit max_resync{25, ByteCount(0)};  // more of the volumes different stops a resync
    std::chrono::seconds verify_every{0};     // the standbys are compared so often; 0 = never
    std::chrono::seconds keep_time{0};        // history = { .. }; 0 = no limit by time
    ByteCount keep_bytes{0};                  // 0 = no limit by bytes
    ByteCount reserve_bytes{1ULL << 30};
    std::vector<VolumeConfig> volumes;
    // The nodes that take part: primary, then standbys.
    [[nodiscard]] std::vector<std::string> members() const;
    // The section in a canonical order, "key" and "value", for the handshake's comparison; paths as
    // they were written.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> canonical() const;
    // The same with absolute paths.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> resolved() const;
};

struct Config {
    std::string file;
    std::string ca;  // absolute path
    std::vector<NodeConfig> nodes;
    std::deque<GroupConfig> groups;              // one more moves none of them
    std::map<std::string, std::uint32_t> lines;  // of the keys whose files are looked at
    [[nodiscard]] const NodeConfig* node(std::string_view name) const;
    [[nodiscard]] const GroupConfig* group(std::string_view name) const;
};

[[nodiscard]] Result<Config> load_config(const std::string& file);
// The same from text; `file` is only for messages and as the base of relative paths.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& file);
// What `node` itself needs from disk: certificate, key and CA readable, state directory usable.
// Names file and key.
[[nodiscard]] Status check_node(const Config& config, std::string_view node);
// For --check: what the node's volumes need from disk. An image that is not there can be made, one
// that is there is a file or disk of the size that is configured, a socket has a directory. A
// running node says the same of a group as its state, and stays up.
[[nodiscard]] Status check_volumes(const Config& config, std::string_view node);
// "FILE:LINE: KEY" of such a key: tls.ca, node.NAME.certificate, .key, .state,
// group.NAME.volume.NAME.NODE.device, .listen.
[[nodiscard]] std::string config_place(const Config& config, const std::string& key);
[[nodiscard]] Result<ByteCount> parse_byte_count(
    std::string_view text);  // integer + B, KiB, MiB, GiB, TiB
[[nodiscard]] std::string format_byte_count(ByteCount count);
[[nodiscard]] Result<std::chrono::nanoseconds> parse_duration(
    std::string_view text);                                        // 250ms, 5s, 2m, 3h, 7d
[[nodiscard]] std::string format_time(WallTime time);              // RFC 3339, UTC, microseconds
[[nodiscard]] Result<WallTime> parse_time(std::string_view text);  // RFC 3339 with Z or an offset

}  // namespace everstep
