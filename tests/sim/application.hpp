// Application: what uses the group's volumes: an NBD client for each of them on a process of its
// own, with several operations in flight that never overlap. It knows what it may find
// (Expectation).
//
// Thread: the world's: its own loop, in callbacks.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "common/net/stream.hpp"
#include "tests/sim/expectation.hpp"

namespace everstep::sim {

struct ApplicationOptions {
    std::vector<std::string> volumes;
    std::vector<ByteCount> sizes;
    std::uint64_t operations = 300;  // of all volumes
    std::size_t depth = 4;           // in flight, of a volume
    Time think_most{20'000'000};
};

class Application {
  public:
    // Where a volume is served: an address of net::connect().
    using Address = std::function<std::string(std::size_t volume)>;
    // Whether an operation that is being answered is durable on enough standbys.
    using Kept = std::function<bool(std::uint64_t operation, const SectorRange&, bool zero)>;
    Application(World& world, ApplicationOptions options, Address address, Kept kept);
    ~Application();
    // Connections end; it connects anew, perhaps elsewhere. `then` runs in between.
    void leave(std::function<void()> then);
    void verify();  // reads everything
    [[nodiscard]] bool verified() const;
    [[nodiscard]] bool done() const { return issued_ >= options_.operations && pending() == 0; }
    void stop_writing() { options_.operations = issued_; }
    [[nodiscard]] Expectation& expectation() { return expectation_; }
    [[nodiscard]] std::uint64_t answered() const { return answered_; }
    [[nodiscard]] std::uint64_t newest() const { return next_ - 1; }  // operation
    // How long the oldest operation that a connection waits for has waited.
    [[nodiscard]] Time oldest_wait() const;

  private:
    enum class Kind : std::uint8_t { write, zero, trim, flush, read };
    struct Operation {
        Kind kind = Kind::read;
        SectorRange range;
        Time at{0};
        std::vector<std::uint64_t> before;  // a flush: what had been answered
    };
    struct Client {
        std::unique_ptr<net::Connecting> connecting;
        net::StreamPtr stream;
        std::unique_ptr<net::Timer> retry;
        std::unique_ptr<net::Timer> think;
        std::vector<std::byte> in;
        bool greeted = false;
        bool open = false;
        std::map<std::uint64_t, Operation> pending;
        std::set<std::uint64_t> answered;  // and not flushed
        std::uint64_t verify_next = 0;
        std::uint64_t verify_end = 0;
    };
    [[nodiscard]] std::size_t pending() const;
    void dial(std::size_t volume);
    void received(std::size_t volume, Bytes bytes);
    void lost(std::size_t volume);
    void fill(std::size_t volume);
    void issue(std::size_t volume);
    [[nodiscard]] Operation choose(std::size_t volume);
    void send(std::size_t volume, std::uint64_t id, const Operation& operation);
    [[nodiscard]] bool take_reply(std::size_t volume);
    void complete(std::size_t volume, std::uint64_t id, std::uint32_t error, Bytes data);

    World& world_;
    ApplicationOptions options_;
    Address address_;
    Kept kept_;
    Expectation expectation_;
    std::unique_ptr<net::Loop> loop_;
    std::vector<Client> clients_;
    std::uint64_t next_ = 1;
    std::uint64_t issued_ = 0;
    std::uint64_t answered_ = 0;
};

}  // namespace everstep::sim
