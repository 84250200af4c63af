// The other end of encode() and raw_header(): from a stream's bytes to messages
// (docs/wire-protocol.md, section 1). Thread: the one that feeds it.
#pragma once

#include "proto/messages.hpp"

namespace everstep::wire {

// Cuts a byte stream into messages. Feed it what arrived; it calls back for each whole message. A
// frame or data body is handed over as a Buffer of its own (no second copy). After an error it
// takes nothing more. A type whose callback is empty is refused at its header. A callback may
// destroy the reader (feed() then returns `closed`) but not feed it; its error ends the feed.
class MessageReader {
  public:
    struct Events {
        std::function<Status(Control)> on_control = {};
        std::function<Status(Buffer)> on_frame = {};  // empty: this type is refused
        std::function<Status(Buffer)> on_data = {};
        std::function<Status(MessageType, std::size_t)> on_header = {};  // before its body's bytes
    };
    explicit MessageReader(Events events) : events_(std::move(events)) {}
    MessageReader(const MessageReader&) = delete;
    MessageReader& operator=(const MessageReader&) = delete;
    ~MessageReader();
    // An error ends the session: a bad header, a body over its limit, or what a callback said.
    [[nodiscard]] Status feed(Bytes bytes);

  private:
    [[nodiscard]] Status take_header(Bytes& bytes);
    [[nodiscard]] Status take_body(Bytes& bytes);
    [[nodiscard]] Status deliver_control(Bytes body);

    Events events_;
    Buffer body_;
    std::array<std::byte, kMessageHeaderBytes> header_{};
    std::size_t header_bytes_ = 0;
    std::size_t body_wanted_ = 0;
    MessageType type_ = MessageType::control;
    bool failed_ = false;
    bool* gone_ = nullptr;  // of the feed() that is running: set by the destructor
};

}  // namespace everstep::wire
