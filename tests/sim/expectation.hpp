// Expectation: what the application may find in each sector, from what it has written, what was
// answered, and what has been lost since.
//
// Thread: the world's. An operation is pending, answered, or unknown: its connection ended first,
// or it was answered and what may have lost it has happened. What is found is the newest operation
// that is answered, or a newer one that is not.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "tests/sim/content.hpp"
#include "tests/sim/world.hpp"

namespace everstep::sim {

struct SectorRange {
    std::uint64_t volume = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

class Expectation {
  public:
    explicit Expectation(const std::vector<ByteCount>& sizes);
    void begun(std::uint64_t operation, const SectorRange& range, bool zero);
    // `kept`: it was durable on as many standbys as `ack` asks for, which was in force.
    void answered(std::uint64_t operation, const SectorRange& range, bool kept);
    void unanswered(std::uint64_t operation, const SectorRange& range);
    // A flush that was begun when `operation` was the newest was answered.
    void flushed(std::uint64_t volume, const std::vector<std::uint64_t>& before);
    // The primary's device lost what was in its cache. An answer that was on its way is one of what
    // was there before.
    void device_lost(bool kept_too);
    // A standby took over.
    void taken_over();
    // Empty, or what is wrong with it.
    [[nodiscard]] std::string check(std::uint64_t volume, std::uint64_t sector,
                                    Bytes content) const;
    [[nodiscard]] std::uint64_t sectors(std::uint64_t volume) const {
        return versions_[volume].size();
    }

  private:
    enum class State : std::uint8_t { pending, answered, unknown };
    struct Version {
        std::uint64_t operation = 0;
        bool zero = true;
        State state = State::answered;
        bool flushed = true;
        bool kept = true;
        bool exposed = false;  // what could lose it happened before its answer was here
        bool keepable = true;  // and what the standbys keep was not lost
    };
    using Versions = std::deque<Version>;  // oldest first
    void lose(const std::function<bool(const Version&)>& safe);
    template <class Change>
    void change(std::uint64_t operation, const SectorRange& range, Change change);
    static void prune(Versions& versions);
    std::vector<std::vector<Versions>> versions_;  // by volume and sector
};

}  // namespace everstep::sim
