#include "cli/json.hpp"

#include <nlohmann/json.hpp>

namespace everstep::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ToJson {
    Json operator()(std::monostate) const { return nullptr; }
    Json operator()(bool value) const { return value; }
    Json operator()(std::int64_t value) const { return value; }
    Json operator()(std::uint64_t value) const { return value; }
    Json operator()(double value) const { return value; }
    Json operator()(const std::string& value) const { return value; }
    Json operator()(const Value::List& list) const {
        Json out = Json::array();
        for (const Value& item : list) out.push_back(std::visit(*this, item.data()));
        return out;
    }
    Json operator()(const Value::Map& map) const {
        Json out = Json::object();
        for (const auto& [key, item] : map) out[key] = std::visit(*this, item.data());
        return out;
    }
};

}  // namespace

std::string json_text(const Value& value) {
    return std::visit(ToJson{}, value.data()).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace everstep::cli
