// Chaos: the faults of a seed's safety phase: connections, directions, machines, disks, clocks,
// takeovers, rewinds, and inspections in between. A seed draws its own profile first: which faults,
// how often.
//
// Thread: the world's.
#pragma once

#include "tests/sim/errands.hpp"

namespace everstep::sim {

class Chaos {
  public:
    Chaos(World& world, Cluster& cluster, Duty& duty);
    void begin();
    void end();  // everything works from here on
    void inspect_now(const std::string& node);

  private:
    struct Profile {
        std::uint64_t links = 0;  // weights
        std::uint64_t kills = 0;
        std::uint64_t disks = 0;
        std::uint64_t stops = 0;
        std::uint64_t travels = 0;
        std::uint64_t takeovers = 0;
        std::uint64_t clocks = 0;
        std::uint64_t marks = 0;
        std::uint64_t looks = 0;
        Time every{0};
    };
    void draw_profile();
    void tick();
    void harm_links();
    void harm_machine();
    void harm_disk();
    void stop_machine();
    void step_clock();
    void revive();
    void watch(const std::string& node);
    [[nodiscard]] const std::string& any_node() { return kNodes[world_.below(kNodes.size())]; }
    [[nodiscard]] std::string any_standby();
    void end_machine(const std::string& node, Machine::End how);

    World& world_;
    Cluster& cluster_;
    Duty& duty_;
    Errands errands_;
    Profile profile_;
    bool over_ = false;
};

}  // namespace everstep::sim
