#include "daemon/link.hpp"

#include <fmt/format.h>

namespace everstep::daemon {

namespace {

// A control message until the stream lets go of it.
struct Waiting {
    Waiting(std::vector<std::byte> message, std::shared_ptr<std::size_t> count)
        : bytes(std::move(message)), waiting_bytes(std::move(count)) {
        *waiting_bytes += bytes.size();
    }
    ~Waiting() { *waiting_bytes -= bytes.size(); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    const std::vector<std::byte> bytes;
    const std::shared_ptr<std::size_t> waiting_bytes;
};

// What arrives in the same piece as the message at which the link was closed.
Status ended_already() {
    return {ErrorCode::closed, "the link is closed"};
}

}  // namespace

std::string link_story(const std::string& peer, const Status& why) {
    const bool named = why.message().starts_with(peer + ' ');
    return named ? why.message() : peer + ": " + why.message();
}

Link::Link(net::Loop& loop, net::StreamPtr stream)
    : loop_(loop),
      stream_(std::move(stream)),
      peer_(stream_->peer_name()),
      reader_({[this](const wire::Control& message) -> Status {
                   if (closed_) return ended_already();
                   if (std::holds_alternative<wire::Goodbye>(message)) {
                       const auto& goodbye = std::get<wire::Goodbye>(message);
                       return Status(
                           goodbye.error == ErrorCode::ok ? ErrorCode::closed : goodbye.error,
                           peer_ + " says: " + goodbye.message);
                   }
                   const std::shared_ptr<LinkEvents> events = events_;
                   return events->on_control(message);
               },
               [this](Buffer frame) -> Status {
                   if (closed_) return ended_already();
                   const std::shared_ptr<LinkEvents> events = events_;
                   if (!events->on_frame) return Status(ErrorCode::corrupt, "a frame out of turn");
                   return events->on_frame(std::move(frame));
               },
               [this](Buffer data) -> Status {
                   if (closed_) return ended_already();
                   const std::shared_ptr<LinkEvents> events = events_;
                   if (!events->on_data) return Status(ErrorCode::corrupt, "data out of turn");
                   return events->on_data(std::move(data));
               },
               [this](wire::MessageType type, std::size_t body_bytes) {
                   return check_header(type, body_bytes);
               }}),
      timer_(loop) {}

void Link::start(LinkEvents events) {
    events_ = std::make_shared<LinkEvents>(std::move(events));
    if (started_) return;
    started_ = true;
    tick_later();
    net::StreamEvents stream_events;
    stream_events.on_bytes = [this](Bytes bytes) { received(bytes); };
    stream_events.on_drained = [this] {
        if (closed_) return;
        const std::shared_ptr<LinkEvents> now = events_;
        if (now->on_drained) now->on_drained();
    };
    stream_events.on_closed = [this](const Status& status) {
        cut_ = !closed_ && status.code() == ErrorCode::closed;
        ended(status.ok() ? Status(ErrorCode::closed, "the peer ended the link") : status);
    };
    stream_->start(std::move(stream_events));
}

Status Link::check_header(wire::MessageType type, std::size_t body_bytes) const {
    const LinkEvents& events = *events_;
    switch (type) {
        case wire::MessageType::control:
            if (body_bytes <= events.control_bytes_max) return {};
            return {ErrorCode::too_large,
                    "a message of " + std::to_string(body_bytes) + " bytes, at most " +
                        std::to_string(events.control_bytes_max) + " are taken now"};
        case wire::MessageType::frame:
            return events.on_frame ? Status() : Status(ErrorCode::corrupt, "a frame out of turn");
        case wire::MessageType::data:
            return events.on_data ? Status() : Status(ErrorCode::corrupt, "data out of turn");
    }
    return {};
}

void Link::received(Bytes bytes) {
    if (closed_) return;
    heard_ = true;
    silent_ = std::chrono::milliseconds(0);
    const std::shared_ptr<bool> alive = alive_;
    const Status status = reader_.feed(bytes);
    if (!*alive || closed_) return;
    if (status.ok()) return;
    if (status.code() != ErrorCode::closed) send(wire::Goodbye{status.code(), status.message()});
    ended(status);
}

void Link::ended(const Status& status) {
    if (closed_) return;
    closed_ = true;
    timer_.cancel();
    stream_->finish();
    const std::shared_ptr<LinkEvents> events = events_;
    if (events->on_closed) events->on_closed(status);
}

KeepaliveConfig Link::times() const {
    return events_->times == nullptr ? KeepaliveConfig() : *events_->times;
}

void Link::tick_later() {
    waited_ = times().interval;
    timer_.after(waited_, [this] { tick(); });
}

void Link::tick() {
    silent_ += waited_;
    const std::chrono::milliseconds dead = times().timeout;
    if (silent_ > dead) {
        ended(Status(ErrorCode::timeout,
                     fmt::format("{} has been silent for {} ms", peer_, dead.count())));
        return;
    }
    tick_later();
    const std::shared_ptr<LinkEvents> events = events_;
    send(events->keepalive ? events->keepalive() : wire::Keepalive{});
}

void Link::send(const wire::Control& message) {
    if (closed_ || unread_) return;
    const auto waiting = std::make_shared<const Waiting>(wire::encode(message), control_bytes_);
    stream_->write(waiting->bytes, waiting);
    if (*control_bytes_ <= kLinkControlBytesMax) return;
    unread_ = true;
    // The sender may be in the middle of something.
    loop_.post([this, alive = alive_] {
        if (*alive)
            ended(Status(ErrorCode::too_large, peer_ + " does not read: more than " +
                                                   std::to_string(kLinkControlBytesMax) +
                                                   " bytes of messages wait for it"));
    });
}

void Link::send_frame(const FramePtr& frame) {
    if (closed_) return;
    const auto header = wire::raw_header(wire::MessageType::frame,
                                         static_cast<std::uint32_t>(frame->bytes().size()));
    stream_->write_copy(header);
    stream_->write(frame->bytes(), frame);
}

void Link::send_data(Buffer data) {
    if (closed_) return;
    auto kept = std::make_shared<const Buffer>(std::move(data));
    stream_->write_copy(
        wire::raw_header(wire::MessageType::data, static_cast<std::uint32_t>(kept->size())));
    stream_->write(kept->bytes(), kept);
}

void Link::close(const Status& reason) {
    if (closed_) return;
    send(wire::Goodbye{reason.code(), reason.message()});
    closed_ = true;
    timer_.cancel();
    stream_->finish();
}

}  // namespace everstep::daemon
