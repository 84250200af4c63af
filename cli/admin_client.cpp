#include "cli/admin_client.hpp"

#include "common/net/blocking_stream.hpp"
#include "proto/message_header.hpp"

namespace everstep::cli {
namespace {

constexpr std::chrono::minutes kProofOfRoles{5};

Status nobody_there(const NodeSocket& socket, const Status& why) {
    std::string advice = "start it with: everstepd --config " + socket.config + " --node " +
                         socket.node + "; or choose the node of this machine with --node";
    if (why.message().find("ermission denied") != std::string::npos) {
        advice = "the socket is its owner's: run as the user that everstepd runs as";
    }
    return {ErrorCode::unreachable,
            "node " + socket.node + " does not answer: " + why.message() + "; " + advice};
}

Status ended_early(const NodeSocket& socket, const Status& why) {
    return {ErrorCode::unreachable,
            "node " + socket.node + " ended the connection before its answer was complete (" +
                why.message() +
                "); what was asked may be done or not: see everstep status and everstep events"};
}

Status not_read(const NodeSocket& socket, const Status& why) {
    return why.code() == ErrorCode::unreachable ? why : ended_early(socket, why);
}

// Any answer is one.
Status prove_alive(const NodeSocket& socket, std::chrono::milliseconds limit) {
    const Status silent(
        ErrorCode::unreachable,
        "node " + socket.node +
            " runs, but does not answer any more (is it stopped, or its disk?); what "
            "was asked may be done or not: see everstep events when it answers");
    const auto connected =
        net::connect_with(socket.path, {.limit = limit, .on_silence = [&] { return silent; }});
    if (!connected.ok()) return silent;
    if (!(*connected)->write(wire::encode(wire::AdminRequest{"status", {}})).ok()) return silent;
    std::array<std::byte, wire::kMessageHeaderBytes> head{};
    return (*connected)->read(head);
}

Result<wire::AdminReply> read_reply(net::BlockingStream& stream, const NodeSocket& socket) {
    std::array<std::byte, wire::kMessageHeaderBytes> head{};
    if (const Status status = stream.read(head); !status.ok()) return not_read(socket, status);
    const Result<wire::MessageHeader> header = wire::get_header(head);
    if (!header.ok()) return header.status().with_context(socket.path);
    if (header->type != wire::MessageType::control) {
        return Status(ErrorCode::corrupt, socket.path + ": the answer is no control message");
    }
    std::vector<std::byte> body(header->body_bytes);
    if (const Status status = stream.read(body); !status.ok()) return not_read(socket, status);
    Result<wire::Control> message = wire::decode(body);
    if (!message.ok()) return message.status().with_context(socket.path);
    if (auto* const reply = std::get_if<wire::AdminReply>(&*message)) return std::move(*reply);
    if (const auto* const end = std::get_if<wire::Goodbye>(&*message)) {
        const bool said = end->error != ErrorCode::ok;
        return said ? Status(end->error, end->message)
                    : ended_early(socket, Status(ErrorCode::closed, "goodbye"));
    }
    return Status(ErrorCode::corrupt, socket.path + ": the answer is no admin reply");
}

}  // namespace

AskLimits limits_of(const wire::AdminRequest& request) {
    AskLimits limits;
    if (request.verb == "takeover" || request.verb == "adopt") limits.proof = kProofOfRoles;
    return limits;
}

Status ask_node(const NodeSocket& socket, const wire::AdminRequest& request,
                const std::function<Status(const Value& body, bool last)>& on_body,
                const AskLimits& limits) {
    const auto connected = net::connect_with(
        socket.path,
        {.limit = limits.silence, .on_silence = [&] { return prove_alive(socket, limits.proof); }});
    if (!connected.ok()) return nobody_there(socket, connected.status());
    net::BlockingStream& stream = **connected;
    if (const Status status = stream.write(wire::encode(request)); !status.ok()) {
        return ended_early(socket, status);
    }
    while (true) {
        const Result<wire::AdminReply> reply = read_reply(stream, socket);
        if (!reply.ok()) return reply.status();
        if (reply->error != ErrorCode::ok) return {reply->error, reply->message};
        EVERSTEP_TRY(on_body(reply->body, !reply->more));
        if (!reply->more) return {};
    }
}

}  // namespace everstep::cli
