// The eight bytes in front of every message: length u32 | type u16 | zero u16, little-endian.
// Thread: any; pure functions.
#pragma once

#include "proto/messages.hpp"

namespace everstep::wire {

struct MessageHeader {
    MessageType type = MessageType::control;
    std::uint32_t body_bytes = 0;
};

// `to` has at least kMessageHeaderBytes.
void put_header(MutableBytes to, MessageType type, std::uint32_t body_bytes);
// Checks type, the zero field, and the length against the type's limits (1 byte at least).
[[nodiscard]] Result<MessageHeader> get_header(Bytes from);
// The longest body that a message of this type may have.
[[nodiscard]] std::uint32_t body_bytes_max(MessageType type);

}  // namespace everstep::wire
