// Errands: what the operator asks of history while faults go on (rewinds, resumes), and what has to
// be true behind each answer.
//
// Thread: the world's.
#pragma once

#include "tests/sim/duty.hpp"

namespace everstep::sim {

class Errands {
  public:
    Errands(World& world, Cluster& cluster, Duty& duty)
        : world_(world), cluster_(cluster), duty_(duty) {}
    void travel(const std::string& node);  // somewhere back, or to the head again
    void end() { over_ = true; }           // nobody asks any more; what was asked may go on

  private:
    struct Travels {
        std::uint64_t asked = 0;
        std::uint64_t answered = 0;
    };
    void rewound(const std::string& node, const Value& told);
    World& world_;
    Cluster& cluster_;
    Duty& duty_;
    std::map<std::string, Travels> travels_;  // by node
    bool over_ = false;
};

}  // namespace everstep::sim
