// The fields that many messages share, between our types and what Protocol Buffers keep: ids,
// hashes, points, codes, texts. Internal to this folder; the generated classes are only named here,
// never included. Thread: any; pure functions.
#pragma once

#include <string>

#include "proto/messages.hpp"

namespace everstep::pb {
class Point;
class Timeline;
class Volume;
enum ErrorCode : int;
}  // namespace everstep::pb

namespace everstep::wire {

[[nodiscard]] Status field_error(std::string_view field, std::string_view problem);

// Nil is written as no bytes.
[[nodiscard]] std::string id_bytes(const Uuid& id);
[[nodiscard]] std::string hash_bytes(const Hash128& hash);
[[nodiscard]] Status read_id(std::string_view field, const std::string& bytes, Uuid& out);
[[nodiscard]] Status read_hash(std::string_view field, const std::string& bytes, Hash128& out);

// Cut to kTextBytesMax: for messages to people, which must never make their carrier unsendable.
[[nodiscard]] std::string clipped(const std::string& text);

[[nodiscard]] pb::ErrorCode error_to_pb(ErrorCode code);
[[nodiscard]] Status read_error(std::string_view field, pb::ErrorCode code, ErrorCode& out);

void to_pb(const Point& from, pb::Point& to);
[[nodiscard]] Status from_pb(std::string_view field, const pb::Point& from, Point& to);
void to_pb(const Timeline& from, pb::Timeline& to);
[[nodiscard]] Status from_pb(std::string_view field, const pb::Timeline& from, Timeline& to);
void to_pb(const Volume& from, pb::Volume& to);
[[nodiscard]] Status from_pb(std::string_view field, const pb::Volume& from, Volume& to);

}  // namespace everstep::wire
