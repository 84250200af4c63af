// Stream: a connected byte stream (unix, TCP, or TLS 1.3 over TCP), and what makes one: Listener
// and connect().
//
// Thread: all calls and callbacks on the loop's thread.
// Invariants: after close() (ours) no callback comes; after on_closed (theirs, or an error) none
// comes either; on_closed comes at most once. Memory: received bytes live until the callback
// returns. Written buffers are kept by the stream (`keep`) until sent. Everything queued is bounded
// by the caller, who sees queued_bytes(). No callback comes inside a call; each may close or
// destroy the stream or the listener that it belongs to. A stream dies before its loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.hpp"
#include "common/base/types.hpp"
#include "common/net/loop.hpp"

namespace everstep::net {

struct StreamEvents {
    std::function<void(Bytes)> on_bytes;  // what one read returned (up to 1 MiB)
    std::function<void()> on_drained;     // the write queue became empty
    // ok = the peer ended it cleanly (TLS: with close_notify).
    std::function<void(const Status&)> on_closed;
};

class Stream {
  public:
    virtual ~Stream() = default;                  // closes
    virtual void start(StreamEvents events) = 0;  // begins to read
    // Sends `bytes`, which must stay valid while `keep` lives.
    virtual void write(Bytes bytes, std::shared_ptr<const void> keep) = 0;
    void write_copy(Bytes bytes);  // copies
    [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
    virtual void pause_reading(bool paused) = 0;  // back-pressure on the peer
    virtual void close() = 0;                     // at once; what is queued is dropped
    // Sends what is queued, then an orderly end; the peer's end then comes as on_closed. Until then
    // the stream has to live.
    virtual void finish() = 0;
    // TLS: the certificate's common name; else empty.
    [[nodiscard]] virtual std::string peer_name() const = 0;
    [[nodiscard]] virtual std::string peer_address() const = 0;
};
using StreamPtr = std::unique_ptr<Stream>;

// TLS 1.3, mutual. The peer's certificate must chain to the CA and its common name (and DNS
// subjectAltName) be the expected name; a listener takes any name of its list. Names come from the
// configuration, never from DNS.
struct TlsOptions {
    std::string ca;
    std::string certificate;
    std::string key;
};
class TlsContext {
  public:
    // An error names the bad file.
    [[nodiscard]] static Result<std::shared_ptr<TlsContext>> make(const TlsOptions& options);
    ~TlsContext();
    struct Impl;
    [[nodiscard]] Impl& impl() { return *impl_; }

  private:
    TlsContext();
    std::unique_ptr<Impl> impl_;
};

// "unix:/path", "tcp:HOST:PORT" or "HOST:PORT". A unix socket is made with mode 0600 and removed at
// the end; a left-over one that nobody serves is replaced, one in use is `busy`.
class Listener {
  public:
    using Accept = std::function<void(StreamPtr)>;
    // With `tls`, only streams whose handshake succeeded arrive; `on_refused` hears of the others
    // (address, why). A handshake that takes over 5 s is dropped; where more than 64 run at once,
    // or 16 from one address (IPv6: one /64), so is the oldest one that has said nothing, or else
    // the oldest.
    [[nodiscard]] static Result<std::unique_ptr<Listener>> make(
        Loop& loop, const std::string& address, std::shared_ptr<TlsContext> tls,
        std::vector<std::string> names, Accept accept,
        std::function<void(std::string, Status)> on_refused);
    virtual ~Listener() = default;
    [[nodiscard]] virtual std::string address() const = 0;  // with the real port where 0 was asked
};

// Calls `done` once with a stream or an error (unreachable, timeout, refused with the TLS reason).
// The returned handle cancels when it is destroyed.
class Connecting {
  public:
    virtual ~Connecting() = default;
};
[[nodiscard]] std::unique_ptr<Connecting> connect(Loop& loop, const std::string& address,
                                                  std::shared_ptr<TlsContext> tls,
                                                  const std::string& expected_name,
                                                  std::chrono::milliseconds timeout,
                                                  std::function<void(Result<StreamPtr>)> done);

// Blocking request and reply over the admin socket, for the command line: no loop needed.
class BlockingStream {
  public:
    [[nodiscard]] static Result<std::unique_ptr<BlockingStream>> connect(
        const std::string& unix_path);
    virtual ~BlockingStream() = default;
    [[nodiscard]] virtual Status write(Bytes bytes) = 0;
    // All of it; closed at the end of the stream.
    [[nodiscard]] virtual Status read(MutableBytes bytes) = 0;
};

}  // namespace everstep::net
