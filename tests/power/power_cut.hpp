// What a disk holds after its power was cut somewhere inside a log. Everything below a file's last
// sync is there; of what came behind it each 512-byte sector may or may not be, in any order, and
// so may each change of a size; a name counts from the sync of its directory on, and each change of
// a name behind that may or may not. What a sync that failed was to bring is not there.
//
// Thread: one owner.
#pragma once

#include <random>

#include "tests/power/memory_disk.hpp"

namespace everstep::power {

// How much of what was not synced is there.
enum class Fate : std::uint8_t {
    nothing,
    everything,
    subset,  // operation n is there if bit n of the choice says so
    random,  // each file and directory has a way of its own, by seed
};
struct Choice {
    Fate fate = Fate::nothing;
    std::uint64_t bits = 0;  // subset, or the seed
};

class PowerCut {
  public:
    explicit PowerCut(DiskState begin) : synced_(std::move(begin)) {}
    // The next operation of the log has happened.
    void pass(const DiskOp& op);
    // Of operations that would not survive for certain.
    [[nodiscard]] std::size_t pending() const { return pending_.size(); }
    [[nodiscard]] DiskState after(const Choice& choice) const;

  private:
    [[nodiscard]] DiskState random_after(std::uint64_t seed) const;
    void keep_all(DiskState& state, const std::function<bool(const DiskOp&)>& of) const;

    DiskState synced_;
    std::vector<const DiskOp*> pending_;  // of the log, which outlives this
};

}  // namespace everstep::power
