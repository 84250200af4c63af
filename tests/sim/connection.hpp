// Connection: two ends of a simulated stream. Thread: the world's.
#pragma once

#include <array>
#include <deque>

#include "proto/message_reader.hpp"
#include "tests/sim/network.hpp"

namespace everstep::sim {

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    struct Place {
        net::Loop* loop = nullptr;
        ProcessId process = 0;
        std::string host;
    };
    Connection(Network& network, Place dialling, Place listening, bool tls);
    [[nodiscard]] net::StreamPtr stream(std::size_t side);
    [[nodiscard]] bool of(ProcessId process) const;
    [[nodiscard]] bool between(const std::string& a, const std::string& b) const;

    void start(std::size_t side, net::StreamEvents events);
    void write(std::size_t side, Bytes bytes, std::shared_ptr<const void> keep);
    void pause(std::size_t side, bool paused);
    void close(std::size_t side);
    void finish(std::size_t side);
    void break_off();  // both ends get an error, what is under way is lost
    void vanish(std::size_t side, bool silent);  // its process is gone
    void reset();  // the other end's host is up again and knows of nothing
    [[nodiscard]] std::size_t queued_bytes(std::size_t side) const;
    [[nodiscard]] const Place& place(std::size_t side) const { return sides_[side].place; }
    [[nodiscard]] bool tls() const { return tls_; }

  private:
    struct Piece {
        Bytes bytes;
        std::shared_ptr<const void> keep;
    };
    struct Side {
        Place place;
        std::shared_ptr<net::StreamEvents> events;
        std::deque<Piece> out;
        std::size_t out_bytes = 0;
        std::size_t under_way = 0;  // sent, and not yet read by the other side
        Time last_arrival{0};
        std::vector<std::byte> arrived;
        std::optional<Status> end;  // what comes behind the bytes
        bool closed = false;
        bool gone = false;  // its process is
        bool paused = false;
        bool posted = false;
        bool drained_due = false;
        bool finishing = false;
        bool end_sent = false;
        std::unique_ptr<wire::MessageReader> tapped;
    };
    void pump(std::size_t side);
    void send_piece(std::size_t side);
    void send_end(std::size_t side, Status status);
    void later(std::size_t to, std::function<void()> work);
    void arrive(std::size_t to, std::function<void()> work);
    void turn_later(std::size_t side);
    void turn(std::size_t side);
    void let_go(Side& side);
    void watch(std::size_t side);

    Network& network_;
    World& world_;
    bool tls_;
    bool broken_ = false;
    std::array<Side, 2> sides_;
};

}  // namespace everstep::sim
