// Link: one TLS connection between two nodes as messages: cuts the stream, sends, keeps it alive.
// Thread: the node's loop. After on_closed, or after close(), nothing comes any more.
// Invariants: a peer that sends nothing for keepalive.timeout is gone; a message that cannot be
// read, has no place now or is over control_bytes_max ends the link with the reason, never the
// daemon, before memory is taken for it; so does a peer for which more than kLinkControlBytesMax of
// control messages wait (frames and data are bounded by their own windows).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/base/config.hpp"
#include "common/net/stream.hpp"
#include "proto/message_reader.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kLinkControlBytesMax = 64U << 20;  // control messages not yet sent

struct LinkEvents {
    std::function<Status(const wire::Control&)> on_control;  // an error ends the link
    std::function<Status(Buffer)> on_frame;
    std::function<Status(Buffer)> on_data;
    std::function<void()> on_drained;
    std::function<void(const Status&)> on_closed;
    std::function<wire::Keepalive()> keepalive;  // what to send each interval
    const KeepaliveConfig* times = nullptr;      // looked at each time; null: the defaults
    std::size_t control_bytes_max = wire::kControlBytesMax;  // of a message that is taken
};

// Why a link ended, with its peer's name once in front.
[[nodiscard]] std::string link_story(const std::string& peer, const Status& why);

class Link {
  public:
    Link(net::Loop& loop, net::StreamPtr stream);
    ~Link() { *alive_ = false; }
    void start(
        LinkEvents events);  // may be called again, to hand the link on; nothing is lost between
    void send(const wire::Control& message);
    void send_frame(const FramePtr& frame);
    void send_data(Buffer data);
    // Tells the peer why, then ends. No event comes any more, on_closed included.
    void close(const Status& reason);
    [[nodiscard]] std::size_t queued_bytes() const { return stream_->queued_bytes(); }
    [[nodiscard]] const std::string& peer() const { return peer_; }
    [[nodiscard]] std::string peer_address() const { return stream_->peer_address(); }
    [[nodiscard]] bool heard() const { return heard_; }
    // The stream ended without a word of the peer's: it may be there again at once.
    [[nodiscard]] bool cut() const { return cut_; }

  private:
    [[nodiscard]] Status check_header(wire::MessageType type, std::size_t body_bytes) const;
    void received(Bytes bytes);
    void ended(const Status& status);
    [[nodiscard]] KeepaliveConfig times() const;
    void tick_later();
    void tick();
    net::Loop& loop_;
    net::StreamPtr stream_;
    std::string peer_;
    std::shared_ptr<LinkEvents> events_;
    wire::MessageReader reader_;
    net::Timer timer_;
    std::chrono::milliseconds waited_{0};  // until the next tick
    std::chrono::milliseconds silent_{0};  // by ticks: a node that was stopped itself counts none
    bool heard_ = false;
    bool started_ = false;
    bool closed_ = false;
    bool cut_ = false;
    bool unread_ = false;  // the peer reads nothing: to be ended
    // Shared with the messages that wait in the stream.
    std::shared_ptr<std::size_t> control_bytes_ = std::make_shared<std::size_t>(0);
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace everstep::daemon
