// Cluster: three machines that run the daemon's real Node with one configuration, the network
// between them, and an operator who asks their admin sockets.
//
// Thread: the world's.
#pragma once

#include <array>

#include "common/base/config.hpp"
#include "tests/sim/inspection.hpp"
#include "tests/sim/machine.hpp"
#include "tests/sim/network.hpp"

namespace everstep::sim {

inline const std::array<std::string, 3> kNodes{"alpha", "beta", "gamma"};

struct ClusterOptions {
    std::string ack = "local";
    std::string ack_standbys = "\"all\"";
    std::string loss = "continue";
    std::uint64_t standby_timeout_ms = 2000;
    std::uint64_t queue_bytes = 512;
    std::uint64_t segment_bytes = 64U << 10;
    std::uint64_t reserve_bytes = 1U << 20;
    std::uint64_t keep_bytes = 0;  // 0: no limit
    std::vector<std::uint64_t> sizes;
};

class Cluster {
  public:
    Cluster(World& world, ClusterOptions options);
    ~Cluster();
    [[nodiscard]] Machine& machine(const std::string& name) { return *machines_.at(name); }
    [[nodiscard]] Chronicle& chronicle() { return chronicle_; }
    [[nodiscard]] Network& network() { return network_; }
    [[nodiscard]] const ClusterOptions& options() const { return options_; }
    [[nodiscard]] std::vector<ByteCount> sizes() const;
    [[nodiscard]] std::vector<std::string> volumes() const;
    [[nodiscard]] std::string address(const std::string& node, std::size_t volume) const;
    [[nodiscard]] InspectedNode inspected(const std::string& node) const;

    void start(const std::string& node);
    void stop(const std::string& node);  // SIGTERM
    // `done` in the operator's process; unreachable where the node is down.
    using Done = std::function<void(const wire::AdminReply&)>;
    void ask(const std::string& node, wire::AdminRequest request, Done done);
    [[nodiscard]] net::Loop& operators_loop() { return *operator_; }
    // The first group of its status.
    void status(const std::string& node, std::function<void(const Value&)> done);
    // A volume's bytes as they lie on the node's disk.
    [[nodiscard]] Image raw(const std::string& node, std::size_t volume);

  private:
    [[nodiscard]] Config configuration() const;
    World& world_;
    ClusterOptions options_;
    Network network_;
    Chronicle chronicle_;
    std::map<std::string, std::unique_ptr<Machine>> machines_;
    net::Loop* operator_ = nullptr;  // of a process that never ends
};

}  // namespace everstep::sim
