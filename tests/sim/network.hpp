// Network: what net::Listener and net::connect() give in a world. Connections between hosts whose
// bytes come in pieces of any size, late, or never: a connection may break behind any byte, a
// direction may be cut (what was sent waits, as TCP's does), a host may be gone without a word.
// What is sent over a TLS connection is shown to a tap, message by message; the bytes are plain.
//
// Thread: the world's. Invariants: those of common/net/stream.hpp; bytes come in order, each once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/net/stream.hpp"
#include "proto/messages.hpp"
#include "tests/sim/world.hpp"

namespace everstep::sim {

class Connection;

struct Tap {
    std::function<void(const std::string& from, const std::string& to, const wire::Control&)>
        on_control;
    std::function<void(const std::string& from, const std::string& to, const FramePtr&)> on_frame;
};

class Network {
  public:
    explicit Network(World& world);
    ~Network();
    [[nodiscard]] static Network& current();

    struct Shape {
        Time latency_least{50'000};
        Time latency_most{500'000};
        std::size_t piece_bytes_most = 64U << 10;
        std::size_t window_bytes = 256U << 10;  // sent and not yet read by the peer
        std::uint64_t break_one_in = 0;         // pieces; 0: none
    };
    Shape shape;
    Tap tap;
    // Nothing arrives in this direction before then.
    void block(const std::string& from, const std::string& to, Time until);
    void heal() { blocked_.clear(); }
    void free(const std::string& a, const std::string& b);  // both directions
    void break_all(const std::string& a, const std::string& b);
    // The process ended: its peers hear of it, or (`silent`) not before the host is up again.
    void process_gone(ProcessId process, bool silent);
    void host_up(const std::string& host);
    [[nodiscard]] bool listens(const std::string& address) const {
        return listeners_.contains(address);
    }

  private:
    friend class Connection;
    friend class SimListener;
    friend struct Dial;
    friend std::string local_host();
    [[nodiscard]] Time free_at(const std::string& from, const std::string& to) const;
    [[nodiscard]] std::vector<std::shared_ptr<Connection>> connections();
    World& world_;
    std::map<std::string, class SimListener*> listeners_;
    std::map<std::pair<std::string, std::string>, Time> blocked_;
    std::vector<std::weak_ptr<Connection>> connections_;
};

}  // namespace everstep::sim
