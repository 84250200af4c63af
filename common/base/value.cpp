#include "common/base/value.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/assert.hpp"

namespace everstep {
namespace {

const Value& null_value() {
    static const Value value;
    return value;
}

struct ToText {
    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(std::uint64_t v) const { return fmt::format("{}", v); }
    std::string operator()(double v) const { return fmt::format("{}", v); }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(const Value::List&) const { return {}; }
    std::string operator()(const Value::Map&) const { return {}; }
};

}  // namespace

Value& Value::set(std::string key, Value value) {
    if (is_null()) data_ = Map();
    auto* entries = std::get_if<Map>(&data_);
    EVERSTEP_ASSERT(entries != nullptr, "set() on a value that is no map");
    const auto found = std::find_if(entries->begin(), entries->end(),
                                    [&](const auto& entry) { return entry.first == key; });
    if (found != entries->end()) {
        found->second = std::move(value);
    } else {
        entries->emplace_back(std::move(key), std::move(value));
    }
    return *this;
}

Value& Value::push(Value value) {
    if (is_null()) data_ = List();
    auto* items = std::get_if<List>(&data_);
    EVERSTEP_ASSERT(items != nullptr, "push() on a value that is no list");
    items->push_back(std::move(value));
    return *this;
}

const Value& Value::at(std::string_view key) const {
    if (const Map* entries = as_map(); entries != nullptr) {
        for (const auto& [name, value] : *entries) {
            if (name == key) return value;
        }
    }
    return null_value();
}

std::string Value::text() const {
    return std::visit(ToText{}, data_);
}

std::uint64_t Value::number() const {
    if (const auto* v = std::get_if<std::uint64_t>(&data_); v != nullptr) return *v;
    if (const auto* v = std::get_if<std::int64_t>(&data_); v != nullptr) {
        return static_cast<std::uint64_t>(*v);
    }
    return 0;
}

}  // namespace everstep
