// Duty: what the scenario's operator knows and does: which node the application uses, who was
// declared behind, whether `durable` is in force, takeovers, and what a node in trouble asks for.
//
// Thread: the world's.
#pragma once

#include <optional>
#include <set>

#include "tests/sim/application.hpp"
#include "tests/sim/cluster.hpp"

namespace everstep::sim {

class Duty {
  public:
    Duty(World& world, Cluster& cluster);
    void employ(Application& application) { application_ = &application; }
    [[nodiscard]] const std::string& serving() const { return serving_; }
    // Law 1 at the moment of an answer.
    [[nodiscard]] bool kept(std::uint64_t operation, const SectorRange& range, bool zero);
    void heard(const std::string& node, const std::string& line);
    // The node's next start may find less on its device.
    void device_lost(const std::string& node);
    // Cuts the serving node off, and takes over on the standby that is furthest.
    void take_over();
    // Who serves through its store, or is about to.
    [[nodiscard]] const std::string& chosen() const { return chosen_; }
    [[nodiscard]] bool taking_over() const { return taking_; }
    [[nodiscard]] std::uint64_t takeovers() const { return takeovers_; }
    // Once a second in the liveness phase: starts what is down, does what is asked for.
    void look_after();
    void tell();  // what each node last said of itself, for the trace
    [[nodiscard]] bool converged() const { return converged_ >= 2; }
    [[nodiscard]] const std::string& why_not() const { return why_not_; }

  private:
    void try_take_over(const std::string& node, unsigned left);
    void take_time(const std::string& node);
    void taken(const std::string& node);
    void tend(const std::string& node, const Value& group);
    void adopt(const std::string& node);
    void trust_disk();
    void judge();
    [[nodiscard]] std::string furthest() const;
    // Those that count in the answers of whoever serves.
    [[nodiscard]] std::vector<std::string> present() const;
    [[nodiscard]] std::size_t needed() const;
    // What the standbys keep is what its next start serves.
    [[nodiscard]] bool in_force() const;
    void count(const std::string& node, const std::string& line);

    World& world_;
    Cluster& cluster_;
    Application* application_ = nullptr;
    std::string serving_ = kNodes[0];
    std::map<std::string, std::set<std::string>> behind_;    // by primary
    std::map<std::string, std::set<std::string>> compared_;  // not yet, since its unclean start
    std::set<std::string> lost_order_;                       // primaries that have, ever
    std::map<std::string, std::uint64_t> copied_;  // by primary: operations up to here may
                                                   // have gone with a first copy
    std::map<std::string, Time> adopted_;          // when it was last asked for
    std::set<std::string> unsaved_;                // whose record cannot be saved
    std::optional<Time> in_force_since_;           // at the node that serves
    std::string lossy_;  // the node whose device lost its cache, until it serves again
    bool taking_ = false;
    std::string chosen_;  // by the newest takeover
    std::uint64_t takeovers_ = 0;
    std::map<std::string, Value> status_;
    unsigned converged_ = 0;
    std::string why_not_;
};

}  // namespace everstep::sim
