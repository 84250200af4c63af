// Scenario: one seed: three nodes and an application; faults for a while (safety: nothing wrong may
// happen), then none (liveness: all of it must come to streaming and to equality by itself, or by
// what an operator is told to do).
//
// Thread: the world's.
#pragma once

#include <cstdio>
#include <map>
#include <string>

namespace everstep::sim {

struct ScenarioOptions {
    std::uint64_t seed = 1;
    std::uint64_t operations = 250;  // of the application
    std::FILE* trace = nullptr;
};

struct ScenarioResult {
    std::string failure;  // empty: all laws held
    std::uint64_t trace_hash = 0;
    std::map<std::string, std::uint64_t> probes;
    double seconds = 0;  // of the world
    std::uint64_t answered = 0;
};
[[nodiscard]] ScenarioResult run_scenario(const ScenarioOptions& options);

}  // namespace everstep::sim
