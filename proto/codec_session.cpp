// How a session begins and ends: Hello, Start, Started, Goodbye.
#include "everstep.pb.h"
#include "proto/codec_fields.hpp"
#include "proto/codec_messages.hpp"

namespace everstep::wire {
namespace {

static_assert(static_cast<int>(pb::PURPOSE_REPLICATE) == static_cast<int>(Purpose::replicate));
static_assert(static_cast<int>(pb::PURPOSE_ADMIN) == static_cast<int>(Purpose::admin));
static_assert(pb::Purpose_MAX == pb::PURPOSE_ADMIN);
static_assert(static_cast<int>(pb::ROLE_NONE) == static_cast<int>(Role::none));
static_assert(static_cast<int>(pb::ROLE_PRIMARY) == static_cast<int>(Role::primary));
static_assert(static_cast<int>(pb::ROLE_STANDBY) == static_cast<int>(Role::standby));
static_assert(pb::Role_MAX == pb::ROLE_STANDBY);
static_assert(static_cast<int>(pb::START_STREAM) == static_cast<int>(StartMode::stream));
static_assert(static_cast<int>(pb::START_INITIAL) == static_cast<int>(StartMode::initial));
static_assert(static_cast<int>(pb::START_RESYNC) == static_cast<int>(StartMode::resync));
static_assert(pb::StartMode_MAX == pb::START_RESYNC);

std::string element(std::string_view list, int index) {
    return std::string(list) + "[" + std::to_string(index) + "]";
}

template <class Ours, class Wire>
Status read_list(std::string_view field, const Wire& from, std::vector<Ours>& to) {
    to.resize(static_cast<std::size_t>(from.size()));
    for (int i = 0; i < from.size(); ++i) {
        EVERSTEP_TRY(from_pb(element(field, i), from[i], to[static_cast<std::size_t>(i)]));
    }
    return {};
}

void to_pb(const GroupState& from, pb::GroupState& to) {
    to.set_group(from.group);
    to.set_group_id(id_bytes(from.group_id));
    to.set_role(static_cast<pb::Role>(from.role));
    for (const auto& [key, value] : from.configuration) {
        pb::Setting& setting = *to.add_configuration();
        setting.set_key(key);
        setting.set_value(value);
    }
    for (const Volume& volume : from.volumes) wire::to_pb(volume, *to.add_volumes());
    for (const Timeline& timeline : from.timelines) wire::to_pb(timeline, *to.add_timelines());
    to.set_has_history(from.has_history);
    to.set_has_state(from.has_state);
    wire::to_pb(from.head, *to.mutable_head());
    to.set_head_hash(hash_bytes(from.head_hash));
    to.set_head_seq(from.head_seq.value());
    to.set_head_step_time_ns(from.head_step_time_ns);
    to.set_step_hash(hash_bytes(from.step_hash));
    to.set_step_seq(from.step_seq.value());
    to.set_applied(from.applied.value());
    to.set_gap_open(from.gap_open);
    wire::to_pb(from.consistent, *to.mutable_consistent());
    to.set_refused(clipped(from.refused));
    to.set_takeovers(from.takeovers);
}

Status from_pb(const pb::GroupState& from, GroupState& to) {
    if (from.group().empty()) return field_error("hello.group", "no name");
    if (!pb::Role_IsValid(from.role())) return field_error("hello.group.role", "unknown role");
    to.group = from.group();
    to.role = static_cast<Role>(from.role());
    for (const pb::Setting& setting : from.configuration()) {
        to.configuration.emplace_back(setting.key(), setting.value());
    }
    EVERSTEP_TRY(read_id("hello.group.group_id", from.group_id(), to.group_id));
    EVERSTEP_TRY(read_list("hello.group.volumes", from.volumes(), to.volumes));
    EVERSTEP_TRY(read_list("hello.group.timelines", from.timelines(), to.timelines));
    EVERSTEP_TRY(wire::from_pb("hello.group.head", from.head(), to.head));
    EVERSTEP_TRY(read_hash("hello.group.head_hash", from.head_hash(), to.head_hash));
    EVERSTEP_TRY(read_hash("hello.group.step_hash", from.step_hash(), to.step_hash));
    EVERSTEP_TRY(wire::from_pb("hello.group.consistent", from.consistent(), to.consistent));
    to.has_history = from.has_history();
    to.has_state = from.has_state();
    to.head_seq = FrameSeq(from.head_seq());
    to.head_step_time_ns = from.head_step_time_ns();
    to.step_seq = FrameSeq(from.step_seq());
    to.applied = Lsn(from.applied());
    to.gap_open = from.gap_open();
    to.refused = from.refused();
    to.takeovers = from.takeovers();
    return {};
}

}  // namespace

void to_pb(const Hello& from, pb::Hello& to) {
    to.set_protocol_min(from.protocol_min);
    to.set_protocol_max(from.protocol_max);
    to.set_features(from.features);
    to.set_node(from.node);
    to.set_node_id(id_bytes(from.node_id));
    to.set_purpose(static_cast<pb::Purpose>(from.purpose));
    to.set_error(error_to_pb(from.error));
    to.set_message(clipped(from.message));
    if (from.group) to_pb(*from.group, *to.mutable_group());
}

Status from_pb(const pb::Hello& from, Hello& to) {
    if (from.protocol_min() == 0 || from.protocol_min() > from.protocol_max()) {
        return field_error("hello.protocol_min", "no range of protocol versions");
    }
    if (from.purpose() == pb::PURPOSE_UNSET || !pb::Purpose_IsValid(from.purpose())) {
        return field_error("hello.purpose", "missing or unknown");
    }
    to.protocol_min = from.protocol_min();
    to.protocol_max = from.protocol_max();
    to.features = from.features();
    to.node = from.node();
    to.purpose = static_cast<Purpose>(from.purpose());
    to.message = from.message();
    EVERSTEP_TRY(read_id("hello.node_id", from.node_id(), to.node_id));
    EVERSTEP_TRY(read_error("hello.error", from.error(), to.error));
    if (!from.has_group()) return {};
    return from_pb(from.group(), to.group.emplace());
}

void to_pb(const Start& from, pb::Start& to) {
    to.set_mode(static_cast<pb::StartMode>(from.mode));
    to.set_group_id(id_bytes(from.group_id));
    for (const Volume& volume : from.volumes) to_pb(volume, *to.add_volumes());
    for (const Timeline& timeline : from.timelines) to_pb(timeline, *to.add_timelines());
    to_pb(from.from, *to.mutable_from());
    to.set_reason(clipped(from.reason));
}

Status from_pb(const pb::Start& from, Start& to) {
    if (from.mode() == pb::START_UNSET || !pb::StartMode_IsValid(from.mode())) {
        return field_error("start.mode", "missing or unknown");
    }
    to.mode = static_cast<StartMode>(from.mode());
    to.reason = from.reason();
    EVERSTEP_TRY(read_id("start.group_id", from.group_id(), to.group_id));
    EVERSTEP_TRY(read_list("start.volumes", from.volumes(), to.volumes));
    EVERSTEP_TRY(read_list("start.timelines", from.timelines(), to.timelines));
    return from_pb("start.from", from.from(), to.from);
}

void to_pb(const Started& from, pb::Started& to) {
    to.set_error(error_to_pb(from.error));
    to.set_message(clipped(from.message));
}

Status from_pb(const pb::Started& from, Started& to) {
    to.message = from.message();
    return read_error("started.error", from.error(), to.error);
}

void to_pb(const Goodbye& from, pb::Goodbye& to) {
    to.set_error(error_to_pb(from.error));
    to.set_message(clipped(from.message));
}

Status from_pb(const pb::Goodbye& from, Goodbye& to) {
    to.message = from.message();
    return read_error("goodbye.error", from.error(), to.error);
}

}  // namespace everstep::wire
