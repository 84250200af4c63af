#include "common/base/config_reader.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "common/base/config.hpp"

namespace everstep {
namespace {

constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kHostBytesMax = 253;   // RFC 1035 2.3.4, without the last dot
constexpr std::size_t kPathBytesMax = 4095;  // PATH_MAX without its end
constexpr std::size_t kSocketPathBytesMax = sizeof(sockaddr_un{}.sun_path) - 1;
constexpr std::size_t kShownBytesMax = 80;
constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kTcp = "tcp:";

bool letter_or_digit(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool valid_host(std::string_view host) {
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        in6_addr parsed{};
        const std::string inner(host.substr(1, host.size() - 2));
        return ::inet_pton(AF_INET6, inner.c_str(), &parsed) == 1;
    }
    return !host.empty() && host.size() <= kHostBytesMax && letter_or_digit(host.front()) &&
           std::all_of(host.begin(), host.end(), [](char c) {
               return letter_or_digit(c) || c == '.' || c == '-' || c == '_';
           });
}

bool valid_path(std::string_view path) {
    return !path.empty() && path.size() <= kPathBytesMax &&
           std::none_of(path.begin(), path.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string normal_path(const std::filesystem::path& path) {
    std::string normal = path.lexically_normal().string();
    while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
    return normal;
}

std::string absolute_path(std::string_view path, const std::string& directory) {
    return normal_path(std::filesystem::path(directory) / path);
}

}  // namespace

void ConfigReading::refuse(std::uint32_t line, std::string_view key, std::string_view found,
                           std::string_view wanted) {
    if (!status.ok()) return;
    status = Status(ErrorCode::usage, one_line(fmt::format("{}:{}: {}: found {}, wanted {}", file,
                                                           line, key, found, wanted)));
}

std::string shown(const ConfigItem& item) {
    if (item.kind == ConfigItem::Kind::list || item.kind == ConfigItem::Kind::table) {
        return std::string(kind_name(item.kind));
    }
    if (item.kind != ConfigItem::Kind::text) return item.text;
    std::string text = item.text.substr(0, kShownBytesMax);
    if (text.size() < item.text.size()) text += "..";
    return fmt::format("\"{}\"", text);
}

bool valid_name(std::string_view name) {
    return !name.empty() && name.size() <= kNameBytesMax &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return letter_or_digit(c) || c == '.' || c == '-' || c == '_';
           });
}

bool valid_address(std::string_view address) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos || !valid_host(address.substr(0, colon))) return false;
    const std::string_view port = address.substr(colon + 1);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    return error == std::errc() && end == port.data() + port.size() && number >= 1 &&
           number <= 65535;
}

ConfigTable::ConfigTable(ConfigReading& reading, const ConfigItem& item, std::string path)
    : reading_(reading), item_(item), path_(std::move(path)) {
    if (item.kind != ConfigItem::Kind::table) {
        reading_.refuse(item.line, path_, shown(item), "a table");
    }
}

std::string ConfigTable::key_path(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void ConfigTable::refuse(const ConfigItem& at, std::string_view key, std::string_view found,
                         std::string_view wanted) {
    reading_.refuse(at.line, key_path(key), found, wanted);
}

const ConfigItem* ConfigTable::find(std::string_view key) {
    known_.emplace(key);
    if (item_.kind != ConfigItem::Kind::table) return nullptr;
    const auto found = std::find_if(item_.children.begin(), item_.children.end(),
                                    [&](const ConfigItem& child) { return child.key == key; });
    return found == item_.children.end() ? nullptr : &*found;
}

const ConfigItem* ConfigTable::require(std::string_view key, std::string_view wanted) {
    const ConfigItem* found = find(key);
    if (found == nullptr) refuse(item_, key, "nothing", wanted);
    return found;
}

bool ConfigTable::text(std::string_view key, bool required, std::string_view wanted,
                       const ConfigItem*& out) {
    out = required ? require(key, wanted) : find(key);
    if (out == nullptr) return false;
    if (out->kind == ConfigItem::Kind::text) return true;
    refuse(*out, key, shown(*out), wanted);
    return false;
}

std::string ConfigTable::name(std::string_view key) {
    constexpr std::string_view kWanted = "a name: 1 to 64 of A-Z a-z 0-9 _ . -";
    const ConfigItem* item = nullptr;
    if (!text(key, true, kWanted, item)) return {};
    if (!valid_name(item->text)) refuse(*item, key, shown(*item), kWanted);
    return item->text;
}

std::string ConfigTable::file_path(std::string_view key, std::string* written) {
    constexpr std::string_view kWanted = "a path";
    const ConfigItem* item = nullptr;
    if (!text(key, true, kWanted, item)) return {};
    if (!valid_path(item->text)) refuse(*item, key, shown(*item), kWanted);
    if (written != nullptr) *written = normal_path(item->text);
    return absolute_path(item->text, reading_.directory);
}

std::string ConfigTable::address(std::string_view key, bool required) {
    constexpr std::string_view kWanted = "HOST:PORT";
    const ConfigItem* item = nullptr;
    if (!text(key, required, kWanted, item)) return {};
    if (!valid_address(item->text)) refuse(*item, key, shown(*item), kWanted);
    return item->text;
}

std::string ConfigTable::listen(std::string_view key, std::string* written) {
    constexpr std::string_view kWanted =
        "\"unix:PATH\" or \"tcp:HOST:PORT\" (a node that may be promoted serves by NBD)";
    const ConfigItem* item = nullptr;
    if (!text(key, true, kWanted, item)) return {};
    const std::string_view value = item->text;
    if (value.starts_with(kTcp) && valid_address(value.substr(kTcp.size()))) return item->text;
    if (!value.starts_with(kUnix) || !valid_path(value.substr(kUnix.size()))) {
        refuse(*item, key, shown(*item), kWanted);
        return {};
    }
    if (written != nullptr)
        *written = fmt::format("{}{}", kUnix, normal_path(value.substr(kUnix.size())));
    const std::string path = absolute_path(value.substr(kUnix.size()), reading_.directory);
    if (path.size() > kSocketPathBytesMax) {
        refuse(*item, key, fmt::format("a socket path of {} bytes ({})", path.size(), path),
               fmt::format("at most {} bytes", kSocketPathBytesMax));
    }
    return fmt::format("{}{}", kUnix, path);
}

std::size_t ConfigTable::word(std::string_view key, const std::vector<std::string_view>& words,
                              std::size_t otherwise) {
    const std::string wanted = fmt::format("\"{}\"", fmt::join(words, "\" or \""));
    const ConfigItem* item = nullptr;
    if (!text(key, false, wanted, item)) return otherwise;
    const auto found = std::find(words.begin(), words.end(), item->text);
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
    refuse(*item, key, shown(*item), wanted);
    return otherwise;
}

ByteCount ConfigTable::bytes(std::string_view key, ByteCount otherwise) {
    const ConfigItem* item = nullptr;
    if (!text(key, false, "text: an integer and B, KiB, MiB, GiB or TiB", item)) return otherwise;
    const Result<ByteCount> count = parse_byte_count(item->text);
    if (!count.ok()) {
        refuse(*item, key, shown(*item), "an integer and B, KiB, MiB, GiB or TiB, below 8 EiB");
        return otherwise;
    }
    if (count->value() % kSectorBytes != 0) {
        refuse(*item, key, shown(*item), "a multiple of 512 bytes");
    }
    return *count;
}

ShareLimit ConfigTable::share(std::string_view key, ShareLimit otherwise) {
    constexpr std::string_view kWanted =
        "text: an integer from 1 to 100 and %, or one and B, KiB, MiB, GiB or TiB";
    const ConfigItem* item = nullptr;
    if (!text(key, false, kWanted, item)) return otherwise;
    const char* const end = item->text.data() + item->text.size();
    ShareLimit limit;
    const auto read = std::from_chars(item->text.data(), end, limit.percent);
    const bool percent = read.ec == std::errc() && read.ptr + 1 == end && *read.ptr == '%';
    if (percent && limit.percent >= 1 && limit.percent <= 100) return limit;
    const Result<ByteCount> bytes = parse_byte_count(item->text);
    if (!percent && bytes.ok() && bytes->value() != 0) return {0, *bytes};
    refuse(*item, key, shown(*item), kWanted);
    return otherwise;
}

std::chrono::nanoseconds ConfigTable::duration(std::string_view key,
                                               std::chrono::nanoseconds otherwise,
                                               std::chrono::nanoseconds unit) {
    const ConfigItem* item = nullptr;
    if (!text(key, false, "text: an integer and ms, s, m, h or d", item)) return otherwise;
    const auto time = parse_duration(item->text);
    if (!time.ok()) {
        refuse(*item, key, shown(*item), "an integer and ms, s, m, h or d, below 292 years");
        return otherwise;
    }
    if (*time % unit != std::chrono::nanoseconds(0)) {
        refuse(*item, key, shown(*item), "whole seconds");
    }
    return *time;
}

std::vector<const ConfigItem*> ConfigTable::tables(std::string_view key) {
    // As it is written in the file: the table's own name is no part of it.
    const std::string outer = path_.substr(0, path_.find('.'));
    const std::string wanted =
        fmt::format("[[{}{}{}]] tables", outer, outer.empty() ? "" : ".", key);
    std::vector<const ConfigItem*> found;
    const ConfigItem* list = require(key, wanted);
    if (list == nullptr) return found;
    if (list->kind != ConfigItem::Kind::list) {
        refuse(*list, key, shown(*list), wanted);
        return found;
    }
    if (list->children.empty()) refuse(*list, key, "an empty list", wanted);
    for (const ConfigItem& child : list->children) {
        if (child.kind != ConfigItem::Kind::table) refuse(child, key, shown(child), wanted);
        found.push_back(&child);
    }
    return found;
}

void ConfigTable::finish(std::string_view wanted) {
    if (!reading_.status.ok()) return;
    for (const ConfigItem& child : item_.children) {
        if (known_.contains(child.key)) continue;
        reading_.refuse(child.line, key_path(child.key), "a key that nothing reads", wanted);
        return;
    }
}

}  // namespace everstep
