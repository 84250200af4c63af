// Whole messages: the choice among the control messages, the header in front, the limits on both
// ways.
#include "everstep.pb.h"
#include "proto/codec_messages.hpp"
#include "proto/limits.hpp"
#include "proto/message_header.hpp"
#include "proto/messages.hpp"

namespace everstep::wire {
namespace {

// One name for the generated classes' differently named accessors.
void choose(const Hello& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_hello());
}
void choose(const Start& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_start());
}
void choose(const Started& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_started());
}
void choose(const InitialEnd& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_initial_end());
}
void choose(const ResyncEnd& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_resync_end());
}
void choose(const Ack& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_ack());
}
void choose(const Keepalive& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_keepalive());
}
void choose(const ReadRequest& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_read_request());
}
void choose(const ReadReply& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_read_reply());
}
void choose(const HashRequest& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_hash_request());
}
void choose(const HashReply& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_hash_reply());
}
void choose(const Goodbye& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_goodbye());
}
void choose(const AdminRequest& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_admin_request());
}
void choose(const AdminReply& m, pb::ControlMessage& to) {
    to_pb(m, *to.mutable_admin_reply());
}

template <class Ours, class Wire>
Result<Control> read(const Wire& from) {
    Ours message;
    EVERSTEP_TRY(from_pb(from, message));
    return Control(std::move(message));
}

Result<Control> read(const pb::ControlMessage& from) {
    using Wire = pb::ControlMessage;
    switch (from.body_case()) {
        case Wire::kHello:
            return read<Hello>(from.hello());
        case Wire::kStart:
            return read<Start>(from.start());
        case Wire::kStarted:
            return read<Started>(from.started());
        case Wire::kInitialEnd:
            return read<InitialEnd>(from.initial_end());
        case Wire::kResyncEnd:
            return read<ResyncEnd>(from.resync_end());
        case Wire::kAck:
            return read<Ack>(from.ack());
        case Wire::kKeepalive:
            return read<Keepalive>(from.keepalive());
        case Wire::kReadRequest:
            return read<ReadRequest>(from.read_request());
        case Wire::kReadReply:
            return read<ReadReply>(from.read_reply());
        case Wire::kHashRequest:
            return read<HashRequest>(from.hash_request());
        case Wire::kHashReply:
            return read<HashReply>(from.hash_reply());
        case Wire::kGoodbye:
            return read<Goodbye>(from.goodbye());
        case Wire::kAdminRequest:
            return read<AdminRequest>(from.admin_request());
        case Wire::kAdminReply:
            return read<AdminReply>(from.admin_reply());
        case Wire::BODY_NOT_SET:
            break;
    }
    return Status(ErrorCode::corrupt, "control message: empty or of an unknown kind");
}

constexpr const char* kTooLarge = "the message is larger than the protocol's limits";

// What goes out in place of a message that the other side would have to refuse.
Control too_large_in_place_of(const Control& message) {
    if (std::holds_alternative<AdminReply>(message)) {
        return AdminReply{
            .error = ErrorCode::too_large, .message = kTooLarge, .body = Value(), .more = false};
    }
    return Goodbye{.error = ErrorCode::too_large, .message = kTooLarge};
}

bool sendable(const Control& message) {
    const auto* const reply = std::get_if<AdminReply>(&message);
    return reply == nullptr || within_limits(reply->body);
}

}  // namespace

std::vector<std::byte> encode(const Control& message) {
    if (!sendable(message)) return encode(too_large_in_place_of(message));
    pb::ControlMessage wire;
    std::visit([&](const auto& chosen) { choose(chosen, wire); }, message);
    const std::size_t body_bytes = wire.ByteSizeLong();
    if (body_bytes > kControlBytesMax) return encode(too_large_in_place_of(message));
    std::vector<std::byte> out(kMessageHeaderBytes + body_bytes);
    put_header(out, MessageType::control, static_cast<std::uint32_t>(body_bytes));
    const bool written =
        wire.SerializeToArray(out.data() + kMessageHeaderBytes, static_cast<int>(body_bytes));
    EVERSTEP_ASSERT(written, "a control message that cannot be serialised");
    return out;
}

Result<Control> decode(Bytes body) {
    if (body.size() > kControlBytesMax) {
        return Status(ErrorCode::too_large, "control message: " + std::to_string(body.size()) +
                                                " bytes, at most " +
                                                std::to_string(kControlBytesMax) + " are taken");
    }
    EVERSTEP_TRY(check_limits(body));
    pb::ControlMessage wire;
    if (!wire.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
        return Status(ErrorCode::corrupt, "control message: not a message of this protocol");
    }
    return read(wire);
}

}  // namespace everstep::wire
