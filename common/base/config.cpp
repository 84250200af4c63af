#include "common/base/config.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "common/base/config_tree.hpp"

namespace everstep {
namespace {

std::string_view ack_name(AckLevel level) {
    switch (level) {
        case AckLevel::local:
            return "local";
        case AckLevel::received:
            return "received";
        case AckLevel::durable:
            return "durable";
    }
    return "unknown";
}

// One part of a dotted key; quoted as TOML does where it holds a dot itself.
std::string key_part(const std::string& name) {
    return name.find('.') == std::string::npos ? name : fmt::format("\"{}\"", name);
}

class Descriptor {
  public:
    explicit Descriptor(const std::string& path)
        : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int fd() const { return fd_; }

  private:
    int fd_;
};

// At most `bytes_max` + 1 bytes, so that the caller sees a file that is too large.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
    const Descriptor file(path);
    if (file.fd() < 0) return status_from_errno(errno, "open", path);
    std::string text;
    std::string chunk(64U << 10, '\0');
    while (text.size() <= bytes_max) {
        const ssize_t got = ::read(file.fd(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return status_from_errno(errno, "read", path);
        if (got == 0) break;
        text.append(chunk, 0, static_cast<std::size_t>(got));
    }
    text.resize(std::min(text.size(), bytes_max + 1));
    return text;
}

Status check_readable(const std::string& path) {
    const Descriptor file(path);
    if (file.fd() < 0) return status_from_errno(errno, "open", path);
    struct stat info {};
    if (::fstat(file.fd(), &info) != 0) return status_from_errno(errno, "stat", path);
    if (!S_ISREG(info.st_mode)) {
        return {ErrorCode::usage, fmt::format("{}: found no regular file, wanted one", path)};
    }
    if (info.st_size == 0) return {ErrorCode::usage, fmt::format("{}: found an empty file", path)};
    return {};
}

// The directory itself, or the nearest one above it that exists, lets us make files in it.
Status check_state_directory(const std::string& path) {
    std::filesystem::path at = path;
    struct stat info {};
    while (::stat(at.c_str(), &info) != 0) {
        if (errno != ENOENT || at == at.parent_path()) {
            return status_from_errno(errno, "stat", at.string());
        }
        at = at.parent_path();
    }
    if (!S_ISDIR(info.st_mode)) {
        return {ErrorCode::usage, fmt::format("{}: found a file, wanted a directory", at.string())};
    }
    if (::access(at.c_str(), W_OK | X_OK) != 0)
        return status_from_errno(errno, "write", at.string());
    return {};
}

Status check_directory_of(const std::string& path) {
    const std::string directory = std::filesystem::path(path).parent_path().string();
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0) return status_from_errno(errno, "stat", directory);
    if (!S_ISDIR(info.st_mode))
        return {ErrorCode::usage, fmt::format("{}: found a file, wanted a directory", directory)};
    if (::access(directory.c_str(), W_OK | X_OK) != 0)
        return status_from_errno(errno, "write", directory);
    return {};
}

Status check_device(const std::string& path, const std::optional<ByteCount>& size) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
        if (errno != ENOENT) return status_from_errno(errno, "stat", path);
        if (size) return check_directory_of(path);
        return {ErrorCode::usage,
                fmt::format("{}: found nothing, wanted a disk or file, or a `size` to make it by",
                            path)};
    }
    if (S_ISBLK(info.st_mode)) return {};
    if (!S_ISREG(info.st_mode))
        return {ErrorCode::usage, fmt::format("{}: found neither a disk nor a file", path)};
    const auto found = static_cast<std::uint64_t>(info.st_size);
    if (!size || size->value() == found) return {};
    return {ErrorCode::usage,
            fmt::format("{}: found {} bytes, wanted the {} of `size`", path, found, size->value())};
}

}  // namespace

const VolumeOnNode* VolumeConfig::on(std::string_view node) const {
    const auto found = std::find_if(nodes.begin(), nodes.end(),
                                    [&](const VolumeOnNode& one) { return one.node == node; });
    return found == nodes.end() ? nullptr : &*found;
}

std::vector<std::string> GroupConfig::members() const {
    std::vector<std::string> names = {primary};
    names.insert(names.end(), standbys.begin(), standbys.end());
    return names;
}

std::string compression_name(const CompressionSetting& setting) {
    if (setting.automatic) return "auto";
    return setting.level == 0 ? "off" : fmt::format("{}", setting.level);
}

std::vector<std::pair<std::string, std::string>> GroupConfig::canonical() const {
    GroupConfig written = *this;
    for (VolumeConfig& volume : written.volumes) {
        for (VolumeOnNode& on : volume.nodes) {
            if (!on.written_device.empty()) on.device = on.written_device;
            if (!on.written_listen.empty()) on.listen = on.written_listen;
        }
    }
    return written.resolved();
}

std::vector<std::pair<std::string, std::string>> GroupConfig::resolved() const {
    std::vector<std::string> names = standbys;
    std::sort(names.begin(), names.end());  // their order says nothing
    std::vector<std::pair<std::string, std::string>> all = {
        {"name", name},
        {"primary", primary},
        {"standbys", fmt::format("{}", fmt::join(names, ","))},
        {"ack", std::string(ack_name(ack))},
        {"ack_standbys", ack_standbys == 0 ? "all" : fmt::format("{}", ack_standbys)},
        {"on_standby_loss", on_standby_loss == LossPolicy::stall ? "stall" : "continue"},
        {"standby_timeout", fmt::format("{}ms", standby_timeout.count())},
        {"start_wait", fmt::format("{}ms", start_wait.count())},
        {"queue_bytes", format_byte_count(queue_bytes)},
        {"spool_bytes", format_byte_count(spool_bytes)},
        {"segment_bytes", format_byte_count(segment_bytes)},
        {"sync_rate", format_byte_count(sync_rate)},
        {"max_resync", max_resync.percent == 0 ? format_byte_count(max_resync.bytes)
                                               : fmt::format("{}%", max_resync.percent)},
        {"verify_every",
         verify_every.count() == 0 ? "off" : fmt::format("{}s", verify_every.count())},
        {"rate_limit", format_byte_count(rate_limit)},
        {"keepalive.interval", fmt::format("{}ms", keepalive.interval.count())},
        {"keepalive.timeout", fmt::format("{}ms", keepalive.timeout.count())},
        {"compression", compression_name(compression)},
        {"history.keep_time", fmt::format("{}s", keep_time.count())},
        {"history.keep_bytes", format_byte_count(keep_bytes)},
        {"history.reserve_bytes", format_byte_count(reserve_bytes)},
    };
    for (std::size_t i = 0; i < volumes.size(); ++i) {
        const VolumeConfig& volume = volumes[i];
        const std::string prefix = fmt::format("volume.{}", key_part(volume.name));
        // Frames name a volume by its place.
        all.emplace_back(prefix + ".index", fmt::format("{}", i));
        all.emplace_back(prefix + ".size", volume.size ? format_byte_count(*volume.size) : "");
        for (const VolumeOnNode& on : volume.nodes) {
            const std::string node = fmt::format("{}.{}", prefix, key_part(on.node));
            all.emplace_back(node + ".device", on.device);
            all.emplace_back(node + ".capture", on.capture);
            all.emplace_back(node + ".listen", on.listen);
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

const NodeConfig* Config::node(std::string_view name) const {
    const auto found = std::find_if(nodes.begin(), nodes.end(),
                                    [&](const NodeConfig& one) { return one.name == name; });
    return found == nodes.end() ? nullptr : &*found;
}

const GroupConfig* Config::group(std::string_view name) const {
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const GroupConfig& one) { return one.name == name; });
    return found == groups.end() ? nullptr : &*found;
}

Result<Config> load_config(const std::string& file) {
    Result<std::string> text = read_file(file, kConfigBytesMax);
    if (text.status().code() == ErrorCode::not_found) {
        return Status(ErrorCode::not_found,
                      text.status().message() + "; --config or EVERSTEP_CONFIG names the file");
    }
    if (!text.ok()) return text.status();
    return parse_config(*text, file);
}

std::string config_place(const Config& config, const std::string& key) {
    const auto at = config.lines.find(key);
    return fmt::format("{}:{}: {}", config.file, at == config.lines.end() ? 1 : at->second, key);
}

Status check_node(const Config& config, std::string_view node) {
    const NodeConfig* own = config.node(node);
    if (own == nullptr) {
        std::vector<std::string> names;
        for (const NodeConfig& one : config.nodes) names.push_back(one.name);
        return {ErrorCode::usage, fmt::format("{}: node: found \"{}\", wanted one of {}",
                                              config.file, node, fmt::join(names, ", "))};
    }
    const auto context = [&](const std::string& key) { return config_place(config, key); };
    const std::string prefix = fmt::format("node.{}.", own->name);
    if (const Status s = check_readable(config.ca); !s.ok())
        return s.with_context(context("tls.ca"));
    if (const Status s = check_readable(own->certificate); !s.ok()) {
        return s.with_context(context(prefix + "certificate"));
    }
    if (const Status s = check_readable(own->key); !s.ok())
        return s.with_context(context(prefix + "key"));
    return check_state_directory(own->state).with_context(context(prefix + "state"));
}

Status check_volumes(const Config& config, std::string_view node) {
    constexpr std::string_view kUnix = "unix:";
    for (const GroupConfig& group : config.groups) {
        for (const VolumeConfig& volume : group.volumes) {
            const VolumeOnNode* on = volume.on(node);
            if (on == nullptr) continue;
            const std::string key =
                fmt::format("group.{}.volume.{}.{}.", group.name, volume.name, node);
            EVERSTEP_TRY(check_device(on->device, volume.size)
                             .with_context(config_place(config, key + "device")));
            if (!std::string_view(on->listen).starts_with(kUnix)) continue;
            EVERSTEP_TRY(check_directory_of(on->listen.substr(kUnix.size()))
                             .with_context(config_place(config, key + "listen")));
        }
    }
    return {};
}

}  // namespace everstep
