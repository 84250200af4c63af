// Errands: what the operator asks of history while faults go on (rewinds, resumes, marks,
// exports), and what has to be true behind each answer.
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
    void mark();                           // the newest step, at the node that serves
    void look(const std::string& node);    // at some step, through an export
    void end() { over_ = true; }           // nobody asks any more; what was asked may go on

  private:
    struct Travels {
        std::uint64_t asked = 0;
        std::uint64_t answered = 0;
    };
    struct Look {
        std::string node;
        std::string socket;
        std::string id;
        Point at;
        Images found;
    };
    void read_next(const std::shared_ptr<Look>& look);
    void looked(Look& look);
    // The chronicle's, or learnt from this one. `what`: of the message when they differ.
    void compare(Point at, Images found, const std::string& what);
    void rewound(const std::string& node, const Value& told);
    World& world_;
    Cluster& cluster_;
    Duty& duty_;
    std::map<std::string, Travels> travels_;  // by node
    std::uint64_t marks_ = 0;
    std::uint64_t looks_ = 0;
    bool over_ = false;
};

}  // namespace everstep::sim
