#include "proto/message_header.hpp"

#include "common/base/pack.hpp"

namespace everstep::wire {
namespace {

constexpr std::size_t kLengthAt = 0;
constexpr std::size_t kTypeAt = 4;
constexpr std::size_t kZeroAt = 6;
static_assert(kZeroAt + sizeof(std::uint16_t) == kMessageHeaderBytes);

std::string_view type_name(MessageType type) {
    switch (type) {
        case MessageType::control:
            return "control";
        case MessageType::frame:
            return "frame";
        case MessageType::data:
            return "data";
    }
    return "unknown";
}

std::uint32_t body_bytes_min(MessageType type) {
    return type == MessageType::frame ? kFrameHeaderBytes : 1;
}

}  // namespace

std::uint32_t body_bytes_max(MessageType type) {
    switch (type) {
        case MessageType::control:
            return kControlBytesMax;
        case MessageType::frame:
            return kFrameBytesMax;
        case MessageType::data:
            return kDataBytesMax;
    }
    return 0;
}

void put_header(MutableBytes to, MessageType type, std::uint32_t body_bytes) {
    EVERSTEP_ASSERT(body_bytes <= body_bytes_max(type), "a message over its limit");
    put(to, kLengthAt, body_bytes);
    put(to, kTypeAt, static_cast<std::uint16_t>(type));
    put(to, kZeroAt, std::uint16_t{0});
}

Result<MessageHeader> get_header(Bytes from) {
    const auto length = get<std::uint32_t>(from, kLengthAt);
    const auto number = get<std::uint16_t>(from, kTypeAt);
    const auto zero = get<std::uint16_t>(from, kZeroAt);
    const auto type = static_cast<MessageType>(number);
    if (body_bytes_max(type) == 0) {
        return Status(ErrorCode::corrupt,
                      "message header: type " + std::to_string(number) + " is unknown");
    }
    if (zero != 0) {
        return Status(ErrorCode::corrupt, "message header: the reserved field is " +
                                              std::to_string(zero) + ", wanted 0");
    }
    const std::string name(type_name(type));
    if (length > body_bytes_max(type)) {
        return Status(ErrorCode::too_large,
                      "message header: a " + name + " body of " + std::to_string(length) +
                          " bytes, at most " + std::to_string(body_bytes_max(type)) + " are taken");
    }
    if (length < body_bytes_min(type)) {
        return Status(ErrorCode::corrupt, "message header: a " + name + " body of " +
                                              std::to_string(length) + " bytes, at least " +
                                              std::to_string(body_bytes_min(type)) + " are wanted");
    }
    return MessageHeader{type, length};
}

std::array<std::byte, kMessageHeaderBytes> raw_header(MessageType type, std::uint32_t body_bytes) {
    std::array<std::byte, kMessageHeaderBytes> header{};
    put_header(header, type, body_bytes);
    return header;
}

}  // namespace everstep::wire
