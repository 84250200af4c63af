// Value: a tree of plain data (null, bool, integers, double, text, list, map). It is what the admin
// socket answers with; the command line prints it as JSON or as a table. Integers stay exact.
// Copyable; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace everstep {

class Value {
  public:
    using List = std::vector<Value>;
    using Map =
        std::vector<std::pair<std::string, Value>>;  // keeps the order in which keys were set
    Value() = default;                               // null
    Value(bool v) : data_(v) {}
    Value(std::int64_t v) : data_(v) {}
    Value(int v) : data_(static_cast<std::int64_t>(v)) {}
    Value(std::uint64_t v) : data_(v) {}
    Value(std::uint32_t v) : data_(static_cast<std::uint64_t>(v)) {}
    Value(double v) : data_(v) {}
    Value(std::string v) : data_(std::move(v)) {}
    Value(const char* v) : data_(std::string(v)) {}
    Value(List v) : data_(std::move(v)) {}
    [[nodiscard]] static Value map() {
        Value v;
        v.data_ = Map();
        return v;
    }
    [[nodiscard]] static Value list() { return Value(List()); }
    [[nodiscard]] bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
    Value& set(std::string key, Value value);                   // on a map; replaces; gives *this
    Value& push(Value value);                                   // on a list; gives *this
    [[nodiscard]] const Value& at(std::string_view key) const;  // null when missing or not a map
    [[nodiscard]] const Map* as_map() const { return std::get_if<Map>(&data_); }
    [[nodiscard]] const List* as_list() const { return std::get_if<List>(&data_); }
    [[nodiscard]] std::string text() const;      // scalar as text; empty for null
    [[nodiscard]] std::uint64_t number() const;  // integer scalar; 0 otherwise
    using Data = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double,
                              std::string, List, Map>;
    [[nodiscard]] const Data& data() const { return data_; }

  private:
    Data data_;
};

}  // namespace everstep
