// One pair of functions for each control message: ours to Protocol Buffers and back. codec.cpp
// chooses among them; codec_session.cpp, codec_stream.cpp and codec_admin.cpp hold them. Internal
// to this folder; the generated classes are only named here. Thread: any; pure functions. The bytes
// have passed check_limits(); what that cannot see is checked here.
#pragma once

#include "proto/messages.hpp"

namespace everstep::pb {
class Hello;
class Start;
class Started;
class InitialEnd;
class ResyncEnd;
class Ack;
class Keepalive;
class ReadRequest;
class ReadReply;
class Goodbye;
class HashRequest;
class HashReply;
class AdminRequest;
class AdminReply;
}  // namespace everstep::pb

namespace everstep::wire {

void to_pb(const Hello& from, pb::Hello& to);
[[nodiscard]] Status from_pb(const pb::Hello& from, Hello& to);
void to_pb(const Start& from, pb::Start& to);
[[nodiscard]] Status from_pb(const pb::Start& from, Start& to);
void to_pb(const Started& from, pb::Started& to);
[[nodiscard]] Status from_pb(const pb::Started& from, Started& to);
void to_pb(const Goodbye& from, pb::Goodbye& to);
[[nodiscard]] Status from_pb(const pb::Goodbye& from, Goodbye& to);

void to_pb(const InitialEnd& from, pb::InitialEnd& to);
[[nodiscard]] Status from_pb(const pb::InitialEnd& from, InitialEnd& to);
void to_pb(const ResyncEnd& from, pb::ResyncEnd& to);
[[nodiscard]] Status from_pb(const pb::ResyncEnd& from, ResyncEnd& to);
void to_pb(const Ack& from, pb::Ack& to);
[[nodiscard]] Status from_pb(const pb::Ack& from, Ack& to);
void to_pb(const Keepalive& from, pb::Keepalive& to);
[[nodiscard]] Status from_pb(const pb::Keepalive& from, Keepalive& to);
void to_pb(const ReadRequest& from, pb::ReadRequest& to);
[[nodiscard]] Status from_pb(const pb::ReadRequest& from, ReadRequest& to);
void to_pb(const ReadReply& from, pb::ReadReply& to);
[[nodiscard]] Status from_pb(const pb::ReadReply& from, ReadReply& to);
void to_pb(const HashRequest& from, pb::HashRequest& to);
[[nodiscard]] Status from_pb(const pb::HashRequest& from, HashRequest& to);
void to_pb(const HashReply& from, pb::HashReply& to);
[[nodiscard]] Status from_pb(const pb::HashReply& from, HashReply& to);

void to_pb(const AdminRequest& from, pb::AdminRequest& to);
[[nodiscard]] Status from_pb(const pb::AdminRequest& from, AdminRequest& to);
// The body is within_limits().
void to_pb(const AdminReply& from, pb::AdminReply& to);
[[nodiscard]] Status from_pb(const pb::AdminReply& from, AdminReply& to);
// Whether a reply's body is within the limits of a message: depth, counts, texts.
[[nodiscard]] bool within_limits(const Value& body);

}  // namespace everstep::wire
