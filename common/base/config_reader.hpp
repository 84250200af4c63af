// Reads the settings of one table of the configuration: typed, each key once, every refusal with
// file, line and key, what was found and what was wanted. Private to the configuration.
//
// Thread: one owner.
// Invariants: the first refusal stands and later ones are dropped, so a caller asks for all its
// settings and looks at the status once, at the end; finish() refuses keys that nobody asked for.
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/config.hpp"
#include "common/base/config_tree.hpp"
#include "common/base/types.hpp"

namespace everstep {

// What one reading of a file shares: the names for messages, the first refusal.
struct ConfigReading {
    std::string file;
    std::string directory;  // base of relative paths; absolute
    Status status;
    void refuse(std::uint32_t line, std::string_view key, std::string_view found,
                std::string_view wanted);
};

class ConfigTable {
  public:
    // `item`: a table (anything else is refused); lives longer than this. `path`: its key in
    // messages.
    ConfigTable(ConfigReading& reading, const ConfigItem& item, std::string path);
    [[nodiscard]] const ConfigItem& item() const { return item_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    void rename(std::string path) { path_ = std::move(path); }
    [[nodiscard]] std::string key_path(std::string_view key) const;

    // Null where the key is missing; the key counts as known.
    [[nodiscard]] const ConfigItem* find(std::string_view key);
    // As find(), but a missing key is refused.
    [[nodiscard]] const ConfigItem* require(std::string_view key, std::string_view wanted);

    [[nodiscard]] std::string name(std::string_view key);  // required; [A-Za-z0-9_.-]{1,64}
    // Required; absolute and normal. `written`: normal, and relative where it is in the file.
    [[nodiscard]] std::string file_path(std::string_view key, std::string* written = nullptr);
    [[nodiscard]] std::string address(std::string_view key, bool required);  // HOST:PORT
    // The same; unix:PATH or tcp:HOST:PORT.
    [[nodiscard]] std::string listen(std::string_view key, std::string* written = nullptr);
    // One of `words` (its place in the list); `otherwise` where the key is missing.
    [[nodiscard]] std::size_t word(std::string_view key, const std::vector<std::string_view>& words,
                                   std::size_t otherwise);
    [[nodiscard]] ByteCount bytes(std::string_view key, ByteCount otherwise);
    // "1%" .. "100%", or bytes, which are not 0
    [[nodiscard]] ShareLimit share(std::string_view key, ShareLimit otherwise);
    [[nodiscard]] std::chrono::nanoseconds duration(std::string_view key,
                                                    std::chrono::nanoseconds otherwise,
                                                    std::chrono::nanoseconds unit);
    // The elements of a list of tables; refused where missing or empty, or not of tables.
    [[nodiscard]] std::vector<const ConfigItem*> tables(std::string_view key);

    void refuse(const ConfigItem& at, std::string_view key, std::string_view found,
                std::string_view wanted);
    // The keys that nobody asked for.
    void finish(std::string_view wanted);

  private:
    // Text of a required (`wanted`) or present key; false where it is none.
    bool text(std::string_view key, bool required, std::string_view wanted, const ConfigItem*& out);
    ConfigReading& reading_;
    const ConfigItem& item_;
    std::string path_;
    std::set<std::string, std::less<>> known_;
};

// What messages show of an item.
[[nodiscard]] std::string shown(const ConfigItem& item);
[[nodiscard]] bool valid_name(std::string_view name);
// HOST:PORT with a port from 1 to 65535; HOST is a name, an IPv4 address or an IPv6 address in
// brackets.
[[nodiscard]] bool valid_address(std::string_view address);

}  // namespace everstep
