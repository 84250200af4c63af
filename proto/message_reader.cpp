#include "proto/message_reader.hpp"

#include <algorithm>

#include "proto/message_header.hpp"

namespace everstep::wire {

MessageReader::~MessageReader() {
    if (gone_ != nullptr) *gone_ = true;
}

Status MessageReader::feed(Bytes bytes) {
    if (failed_) return {ErrorCode::closed, "message reader: ended by an error before"};
    bool gone = false;
    gone_ = &gone;
    while (!bytes.empty()) {
        Status status = header_bytes_ < kMessageHeaderBytes ? take_header(bytes) : take_body(bytes);
        if (gone) return {ErrorCode::closed, "message reader: destroyed by what it called"};
        if (!status.ok()) {
            gone_ = nullptr;
            failed_ = true;
            body_ = Buffer();
            return status;
        }
    }
    gone_ = nullptr;
    return {};
}

Status MessageReader::take_header(Bytes& bytes) {
    const std::size_t count = std::min(bytes.size(), kMessageHeaderBytes - header_bytes_);
    std::copy_n(bytes.begin(), count, header_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
    bytes = bytes.subspan(count);
    header_bytes_ += count;
    if (header_bytes_ < kMessageHeaderBytes) return {};
    const Result<MessageHeader> header = get_header(header_);
    if (!header.ok()) return header.status();
    const bool wanted = header->type == MessageType::control ? bool(events_.on_control)
                        : header->type == MessageType::frame ? bool(events_.on_frame)
                                                             : bool(events_.on_data);
    if (!wanted) return {ErrorCode::corrupt, "message header: this type has no place here"};
    if (events_.on_header) EVERSTEP_TRY(events_.on_header(header->type, header->body_bytes));
    type_ = header->type;
    body_wanted_ = header->body_bytes;
    return {};
}

// Nothing of the reader is touched after a callback: it may be gone.
Status MessageReader::take_body(Bytes& bytes) {
    // A control message that lies whole in what arrived is read in place.
    if (type_ == MessageType::control && body_.size() == 0 && bytes.size() >= body_wanted_) {
        const Bytes body = bytes.first(body_wanted_);
        bytes = bytes.subspan(body_wanted_);
        header_bytes_ = 0;
        return deliver_control(body);
    }
    if (body_.capacity() < body_wanted_) body_.reserve(body_wanted_);
    const std::size_t count = std::min(bytes.size(), body_wanted_ - body_.size());
    body_.append(bytes.first(count));
    bytes = bytes.subspan(count);
    if (body_.size() < body_wanted_) return {};
    header_bytes_ = 0;
    Buffer body = std::move(body_);
    body_ = Buffer();
    switch (type_) {
        case MessageType::control:
            return deliver_control(body.bytes());
        case MessageType::frame:
            return events_.on_frame(std::move(body));
        case MessageType::data:
            return events_.on_data(std::move(body));
    }
    return {};
}

Status MessageReader::deliver_control(Bytes body) {
    Result<Control> message = decode(body);
    if (!message.ok()) return message.status();
    return events_.on_control(std::move(message.value()));
}

}  // namespace everstep::wire
