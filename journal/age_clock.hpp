// AgeClock: how long the daemon has run with this store, over all its runs (DESIGN.md 4, Times).
//
// Thread: learn() before another thread sees the store; now() any thread.
// Invariants: it never goes back, and wall clock, time step and downtime do not move it. What was
// not stored when the program ended is lost: history then looks younger, never older.
#pragma once

#include <algorithm>

#include "common/base/clock.hpp"
#include "journal/history_types.hpp"

namespace everstep::journal {

class AgeClock {
  public:
    explicit AgeClock(const Clock& clock) : clock_(clock), began_(clock.boot()) {}
    // A value that was stored: the clock goes on from the largest.
    void learn(Age stored) { stored_ = std::max(stored_, stored); }
    [[nodiscard]] Age now() const { return stored_ + std::max(Age(0), clock_.boot() - began_); }

  private:
    const Clock& clock_;
    Age began_;
    Age stored_{0};
};

}  // namespace everstep::journal
