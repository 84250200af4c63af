// One NBD client: its socket, its handshake, its session. Moves bytes between the three and keeps
// their limits.
//
// Thread: the loop's. Invariants: the socket is not read while the session is full; everything that
// came up in one turn leaves at its end; a client that takes over kDeadline for its handshake, or
// for its last replies, is dropped.
#pragma once

#include <functional>
#include <memory>

#include "common/net/stream.hpp"
#include "daemon/nbd_session.hpp"

namespace everstep::daemon {

class NbdConnection : public std::enable_shared_from_this<NbdConnection> {
  public:
    static constexpr std::chrono::seconds kDeadline{30};

    // `exports` lives longer than this; `gone` is called once, unless drop() came first.
    NbdConnection(net::Loop& loop, std::span<const NbdExport> exports, net::StreamPtr stream,
                  std::function<void()> gone);
    void start();
    void drop();  // at once, without a word to the client

  private:
    void on_bytes(Bytes bytes);
    Bytes haggle(Bytes bytes);
    void on_reply();
    void turn();
    void send_replies();
    void say_goodbye();
    void end(std::string_view why);

    net::Loop& loop_;
    std::span<const NbdExport> exports_;
    net::StreamPtr stream_;
    std::function<void()> gone_;
    net::Timer deadline_;
    std::unique_ptr<NbdHandshake> handshake_;
    std::shared_ptr<NbdSession> session_;
    bool in_turn_ = false;
    bool turn_posted_ = false;
    bool leaving_ = false;  // nothing is read any more, what is queued is still sent
    bool over_ = false;
};

}  // namespace everstep::daemon
