// sim SEED [OPERATIONS] [--trace]: one seed; scripts/swarm runs many of them. A failure is one
// line, "FAIL SEED: what", and exit status 1; probes and the hash of the trace stand on lines of
// their own.
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "tests/sim/scenario.hpp"

int main(int count, char** words) {
    everstep::sim::ScenarioOptions options;
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(words[i], "--trace") == 0)
            options.trace = stdout;
        else if (i == 1)
            options.seed = std::strtoull(words[i], nullptr, 10);
        else
            options.operations = std::strtoull(words[i], nullptr, 10);
    }
    const auto result = everstep::sim::run_scenario(options);
    for (const auto& [name, times] : result.probes)
        std::cout << "probe " << times << ' ' << name << '\n';
    std::cout << "hash " << std::hex << result.trace_hash << std::dec << " seconds "
              << result.seconds << " answered " << result.answered << '\n';
    if (!result.failure.empty())
        std::cout << "FAIL " << options.seed << ": " << result.failure << '\n';
    std::cout.flush();
    // What killed processes held is not taken down.
    std::_Exit(result.failure.empty() ? 0 : 1);
}
