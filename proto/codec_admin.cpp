// What the command line says to a node and what nodes relay: AdminRequest, AdminReply and the tree
// of plain data in it.
#include "everstep.pb.h"
#include "proto/codec_fields.hpp"
#include "proto/codec_messages.hpp"
#include "proto/limits.hpp"

namespace everstep::wire {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

void to_pb(const Value& from, pb::Value& to) {
    const Overloaded write{
        [](std::monostate) {},
        [&](bool v) { to.set_truth(v); },
        [&](std::int64_t v) { to.set_integer(v); },
        [&](std::uint64_t v) { to.set_natural(v); },
        [&](double v) { to.set_real(v); },
        [&](const std::string& v) { to.set_text(v); },
        [&](const Value::List& v) {
            pb::ValueList& list = *to.mutable_list();
            for (const Value& item : v) to_pb(item, *list.add_items());
        },
        [&](const Value::Map& v) {
            pb::ValueMap& map = *to.mutable_map();
            for (const auto& [key, value] : v) {
                pb::ValueEntry& entry = *map.add_entries();
                entry.set_key(key);
                to_pb(value, *entry.mutable_value());
            }
        },
    };
    std::visit(write, from.data());
}

Status from_pb(const pb::Value& from, Value& to, std::uint32_t depth);

Status read_list(const pb::ValueList& from, Value& to, std::uint32_t depth) {
    to = Value::list();
    for (const pb::Value& item : from.items()) {
        Value value;
        EVERSTEP_TRY(from_pb(item, value, depth + 1));
        to.push(std::move(value));
    }
    return {};
}

Status read_map(const pb::ValueMap& from, Value& to, std::uint32_t depth) {
    to = Value::map();
    for (const pb::ValueEntry& entry : from.entries()) {
        Value value;
        EVERSTEP_TRY(from_pb(entry.value(), value, depth + 1));
        const std::size_t before = to.as_map()->size();
        to.set(entry.key(), std::move(value));
        if (to.as_map()->size() == before) return field_error("value.map", "a key stands twice");
    }
    return {};
}

Status from_pb(const pb::Value& from, Value& to, std::uint32_t depth) {
    if (depth > kValueDepthMax) {
        return {ErrorCode::too_large,
                "value: deeper than " + std::to_string(kValueDepthMax) + " levels"};
    }
    switch (from.kind_case()) {
        case pb::Value::KIND_NOT_SET:
            to = Value();
            return {};
        case pb::Value::kTruth:
            to = Value(from.truth());
            return {};
        case pb::Value::kInteger:
            to = Value(static_cast<std::int64_t>(from.integer()));
            return {};
        case pb::Value::kNatural:
            to = Value(static_cast<std::uint64_t>(from.natural()));
            return {};
        case pb::Value::kReal:
            to = Value(from.real());
            return {};
        case pb::Value::kText:
            to = Value(from.text());
            return {};
        case pb::Value::kList:
            return read_list(from.list(), to, depth);
        case pb::Value::kMap:
            return read_map(from.map(), to, depth);
    }
    return field_error("value", "unknown kind");
}

// `parts` counts messages as check_limits() does: a value, a list, a map and an entry are one each.
bool within(const Value& value, std::uint32_t depth, std::uint32_t& parts) {
    if (depth > kValueDepthMax || ++parts > kMessagesMax) return false;
    if (const auto* text = std::get_if<std::string>(&value.data())) {
        return text->size() <= kTextBytesMax;
    }
    if (const Value::List* const list = value.as_list()) {
        if (list->size() > kListItemsMax || ++parts > kMessagesMax) return false;
        for (const Value& item : *list) {
            if (!within(item, depth + 1, parts)) return false;
        }
    }
    if (const Value::Map* const map = value.as_map()) {
        if (map->size() > kMapEntriesMax || ++parts > kMessagesMax) return false;
        for (const auto& [key, item] : *map) {
            ++parts;
            if (key.size() > kTextBytesMax || !within(item, depth + 1, parts)) return false;
        }
    }
    return true;
}

}  // namespace

bool within_limits(const Value& body) {
    std::uint32_t parts = 2;  // the control message and the reply
    return within(body, 1, parts);
}

void to_pb(const AdminRequest& from, pb::AdminRequest& to) {
    to.set_verb(from.verb);
    for (const auto& [name, value] : from.arguments) {
        pb::Argument& argument = *to.add_arguments();
        argument.set_name(name);
        argument.set_value(value);
    }
}

Status from_pb(const pb::AdminRequest& from, AdminRequest& to) {
    if (from.verb().empty()) return field_error("admin_request.verb", "missing");
    to.verb = from.verb();
    for (const pb::Argument& argument : from.arguments()) {
        if (!to.arguments.emplace(argument.name(), argument.value()).second) {
            return field_error("admin_request.arguments", "a name stands twice");
        }
    }
    return {};
}

void to_pb(const AdminReply& from, pb::AdminReply& to) {
    to.set_error(error_to_pb(from.error));
    to.set_message(clipped(from.message));
    to.set_more(from.more);
    if (!from.body.is_null()) to_pb(from.body, *to.mutable_body());
}

Status from_pb(const pb::AdminReply& from, AdminReply& to) {
    to.message = from.message();
    to.more = from.more();
    EVERSTEP_TRY(read_error("admin_reply.error", from.error(), to.error));
    return from_pb(from.body(), to.body, 1);
}

}  // namespace everstep::wire
