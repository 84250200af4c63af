#include "proto/codec_fields.hpp"

#include <algorithm>

#include "everstep.pb.h"
#include "proto/limits.hpp"

namespace everstep::wire {
namespace {

// The numbers on the wire never change; ours may only while these hold.
constexpr bool same(pb::ErrorCode wire, ErrorCode ours) {
    return static_cast<int>(wire) == static_cast<int>(ours);
}
static_assert(same(pb::ERROR_OK, ErrorCode::ok) && same(pb::ERROR_USAGE, ErrorCode::usage));
static_assert(same(pb::ERROR_REFUSED, ErrorCode::refused));
static_assert(same(pb::ERROR_UNREACHABLE, ErrorCode::unreachable));
static_assert(same(pb::ERROR_NOT_FOUND, ErrorCode::not_found));
static_assert(same(pb::ERROR_EXISTS, ErrorCode::exists) && same(pb::ERROR_IO, ErrorCode::io));
static_assert(same(pb::ERROR_NO_SPACE, ErrorCode::no_space));
static_assert(same(pb::ERROR_CORRUPT, ErrorCode::corrupt));
static_assert(same(pb::ERROR_VERSION, ErrorCode::version));
static_assert(same(pb::ERROR_TOO_LARGE, ErrorCode::too_large));
static_assert(same(pb::ERROR_TIMEOUT, ErrorCode::timeout));
static_assert(same(pb::ERROR_CLOSED, ErrorCode::closed) && same(pb::ERROR_BUSY, ErrorCode::busy));
static_assert(same(pb::ERROR_INTERNAL, ErrorCode::internal));
static_assert(pb::ErrorCode_MAX == pb::ERROR_INTERNAL, "a new code needs its line above");

using Sixteen = std::array<std::uint8_t, 16>;

std::string sixteen_bytes(const Sixteen& value) {
    if (value == Sixteen{}) return {};
    return {reinterpret_cast<const char*>(value.data()), value.size()};
}

Status read_sixteen(std::string_view field, const std::string& bytes, Sixteen& out) {
    if (bytes.empty()) {
        out = {};
        return {};
    }
    if (bytes.size() != out.size()) {
        return field_error(field, std::to_string(bytes.size()) + " bytes, wanted 16 or none");
    }
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return {};
}

}  // namespace

Status field_error(std::string_view field, std::string_view problem) {
    return {ErrorCode::corrupt, std::string(field) + ": " + std::string(problem)};
}

std::string id_bytes(const Uuid& id) {
    return sixteen_bytes(id.bytes());
}

std::string hash_bytes(const Hash128& hash) {
    return sixteen_bytes(hash);
}

Status read_id(std::string_view field, const std::string& bytes, Uuid& out) {
    Sixteen value{};
    EVERSTEP_TRY(read_sixteen(field, bytes, value));
    out = Uuid(value);
    return {};
}

Status read_hash(std::string_view field, const std::string& bytes, Hash128& out) {
    return read_sixteen(field, bytes, out);
}

std::string clipped(const std::string& text) {
    return text.substr(0, kTextBytesMax);
}

pb::ErrorCode error_to_pb(ErrorCode code) {
    return static_cast<pb::ErrorCode>(code);
}

Status read_error(std::string_view field, pb::ErrorCode code, ErrorCode& out) {
    if (!pb::ErrorCode_IsValid(code)) {
        return field_error(field, "unknown error code " + std::to_string(code));
    }
    out = static_cast<ErrorCode>(code);
    return {};
}

void to_pb(const Point& from, pb::Point& to) {
    to.set_timeline(id_bytes(from.timeline));
    to.set_lsn(from.lsn.value());
}

Status from_pb(std::string_view field, const pb::Point& from, Point& to) {
    to.lsn = Lsn(from.lsn());
    return read_id(field, from.timeline(), to.timeline);
}

void to_pb(const Timeline& from, pb::Timeline& to) {
    to.set_id(id_bytes(from.id));
    to.set_parent(id_bytes(from.parent));
    to.set_branch_lsn(from.branch_lsn.value());
    to.set_branch_hash(hash_bytes(from.branch_hash));
    to.set_branch_seq(from.branch_seq.value());
    to.set_number(from.number);
    to.set_node(from.node);
}

Status from_pb(std::string_view field, const pb::Timeline& from, Timeline& to) {
    EVERSTEP_TRY(read_id(field, from.id(), to.id));
    EVERSTEP_TRY(read_id(field, from.parent(), to.parent));
    EVERSTEP_TRY(read_hash(field, from.branch_hash(), to.branch_hash));
    if (to.id.nil()) return field_error(field, "a timeline without an id");
    to.branch_lsn = Lsn(from.branch_lsn());
    to.branch_seq = FrameSeq(from.branch_seq());
    to.number = from.number();
    to.node = from.node();
    return {};
}

void to_pb(const Volume& from, pb::Volume& to) {
    to.set_name(from.name);
    to.set_id(id_bytes(from.id));
    to.set_size(from.size.value());
    if (from.whole_from) to_pb(*from.whole_from, *to.mutable_whole_from());
}

Status from_pb(std::string_view field, const pb::Volume& from, Volume& to) {
    to.name = from.name();
    to.size = ByteCount(from.size());
    if (from.has_whole_from()) {
        to.whole_from.emplace();
        EVERSTEP_TRY(from_pb(field, from.whole_from(), *to.whole_from));
    }
    return read_id(field, from.id(), to.id);
}

}  // namespace everstep::wire
