// StreamCore: a connected socket, with or without TLS, as Listener and connect() make it and Stream
// hands it out.
//
// Thread: the loop's. Invariants: those of stream.hpp; and no callback runs inside a call of the
// user's, only from the loop, so that a callback may close or destroy the stream. What waits in the
// loop holds the core, which is then `closed` and does nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/io/unique_fd.hpp"
#include "common/net/loop_impl.hpp"
#include "common/net/stream.hpp"
#include "common/net/tls_session.hpp"
#include "common/net/write_queue.hpp"

namespace everstep::net {

inline constexpr std::chrono::seconds kHandshakeTimeout{5};

struct StreamSetup {
    io::UniqueFd fd;
    std::string address;
    std::unique_ptr<TlsSession> tls{};
};

class StreamCore : public std::enable_shared_from_this<StreamCore> {
  public:
    StreamCore(Loop& loop, StreamSetup setup);
    // TLS: before start(). `done` comes once, from the loop; an error has closed the core.
    void handshake(std::chrono::nanoseconds timeout, std::function<void(const Status&)> done);

    // The peer has sent nothing, not even what still waits in the socket.
    [[nodiscard]] bool silent();

    void start(StreamEvents events);
    void write(Bytes bytes, std::shared_ptr<const void> keep);
    [[nodiscard]] std::size_t queued_bytes() const;
    void pause_reading(bool paused);
    void close();
    void finish();
    [[nodiscard]] std::string peer_name() const { return tls_ ? tls_->peer_name() : ""; }
    [[nodiscard]] const std::string& peer_address() const { return address_; }

  private:
    [[nodiscard]] bool reading() const { return handshaking() || (events_ && !paused_); }
    [[nodiscard]] bool handshaking() const { return handshake_done_ != nullptr; }
    void read_later();
    void on_readable();
    void on_received(Bytes bytes);
    void step_handshake(Bytes cipher);
    void decrypt(Bytes cipher);
    void deliver(Bytes bytes);
    void on_end_of_file();

    [[nodiscard]] bool unsent() const;
    void flush_later();
    void flush();
    [[nodiscard]] ssize_t send_plain();
    [[nodiscard]] ssize_t send_cipher();
    void fill_cipher();
    void on_all_sent();

    void end_with(const Status& status);
    void report(const Status& status);

    Loop::Impl& loop_;
    Descriptor descriptor_;
    std::string address_;
    std::unique_ptr<TlsSession> tls_;
    std::shared_ptr<const StreamEvents> events_;  // none before start() and after the end
    std::function<void(const Status&)> handshake_done_;
    std::unique_ptr<asio::steady_timer> handshake_timer_;

    WriteQueue queue_;
    Buffer staging_;               // small writes on their way into one TLS record
    std::size_t cipher_sent_ = 0;  // of tls_->output()
    Status early_end_;             // ended before start(), which then reports it
    bool ended_early_ = false;
    bool closed_ = false;
    bool heard_ = false;
    bool paused_ = false;
    bool read_pending_ = false;
    bool write_pending_ = false;
    bool flush_posted_ = false;
    bool drained_due_ = false;
    bool finishing_ = false;
    bool finished_ = false;  // our end is sent
};
using StreamCorePtr = std::shared_ptr<StreamCore>;

[[nodiscard]] StreamPtr make_stream(StreamCorePtr core);

}  // namespace everstep::net
