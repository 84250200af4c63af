#include "common/base/config_tree.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>

namespace everstep {
namespace {

Status bad(const std::string& file, std::size_t line, std::string_view what) {
    return {ErrorCode::usage, one_line(fmt::format("{}:{}: {}", file, line, what))};
}

std::uint32_t line_of(const toml::source_region& region, std::uint32_t otherwise) {
    return region.begin.line != 0 ? region.begin.line : otherwise;
}

// Depth is bounded before descending, so that a hostile file cannot use up the stack here.
Status convert(const toml::node& from, ConfigItem& to, int depth, const std::string& file) {
    if (depth > kConfigDepthMax) {
        return bad(file, to.line, fmt::format("nested deeper than {} levels", kConfigDepthMax));
    }
    if (const auto* table = from.as_table(); table != nullptr) {
        to.kind = ConfigItem::Kind::table;
        for (const auto& [key, child] : *table) {
            ConfigItem& item = to.children.emplace_back();
            item.key = std::string(key.str());
            item.line = line_of(key.source(), line_of(child.source(), to.line));
            EVERSTEP_TRY(convert(child, item, depth + 1, file));
        }
        // In the order of the file, so that the first mistake is the one that is reported.
        std::stable_sort(to.children.begin(), to.children.end(),
                         [](const ConfigItem& a, const ConfigItem& b) { return a.line < b.line; });
        return {};
    }
    if (const auto* array = from.as_array(); array != nullptr) {
        to.kind = ConfigItem::Kind::list;
        for (const toml::node& child : *array) {
            ConfigItem& item = to.children.emplace_back();
            item.line = line_of(child.source(), to.line);
            EVERSTEP_TRY(convert(child, item, depth + 1, file));
        }
        return {};
    }
    if (const auto* text = from.as_string(); text != nullptr) {
        to.kind = ConfigItem::Kind::text;
        to.text = text->get();
    } else if (const auto* integer = from.as_integer(); integer != nullptr) {
        to.kind = ConfigItem::Kind::integer;
        to.integer = integer->get();
        to.text = fmt::format("{}", to.integer);
    } else if (const auto* boolean = from.as_boolean(); boolean != nullptr) {
        to.kind = ConfigItem::Kind::boolean;
        to.text = boolean->get() ? "true" : "false";
    } else {
        to.kind = ConfigItem::Kind::other;
        to.text = from.is_floating_point() ? "a number with a fraction" : "a date or time";
    }
    return {};
}

Status check_limits(std::string_view text, const std::string& file) {
    if (text.size() > kConfigBytesMax) {
        return bad(file, 1,
                   fmt::format("found {} bytes, at most {}", text.size(), kConfigBytesMax));
    }
    std::size_t line = 1;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        if (end > kConfigLineBytesMax) {
            return bad(
                file, line,
                fmt::format("found a line of {} bytes, at most {}", end, kConfigLineBytesMax));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
        ++line;
    }
    return {};
}

}  // namespace

std::string one_line(std::string text) {
    std::replace_if(
        text.begin(), text.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return text;
}

std::string_view kind_name(ConfigItem::Kind kind) {
    switch (kind) {
        case ConfigItem::Kind::text:
            return "text";
        case ConfigItem::Kind::integer:
            return "an integer";
        case ConfigItem::Kind::boolean:
            return "a boolean";
        case ConfigItem::Kind::other:
            return "another type";
        case ConfigItem::Kind::list:
            return "a list";
        case ConfigItem::Kind::table:
            return "a table";
    }
    return "unknown";
}

Result<ConfigItem> parse_config_tree(std::string_view text, const std::string& file) {
    EVERSTEP_TRY(check_limits(text, file));
    try {
        const toml::table table = toml::parse(text, file);
        ConfigItem root;
        EVERSTEP_TRY(convert(table, root, 0, file));
        return root;
    } catch (const toml::parse_error& error) {
        return bad(file, line_of(error.source(), 1), error.description());
    } catch (const std::exception& error) {
        return bad(file, 1, error.what());
    }
}

}  // namespace everstep
