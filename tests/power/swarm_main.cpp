// power_swarm RECOVERIES [SEED]: seeds one after the other until there were that many recoveries;
// scripts/swarm_power runs it.
#include <cstdlib>
#include <iostream>

#include "tests/power/swarm.hpp"

namespace {
constexpr std::uint64_t kAllSeenFrom = 10000;  // recoveries; fewer may miss a kind of place
}

int main(int count, char** words) {
    using namespace everstep::power;
    const std::uint64_t wanted = count > 1 ? std::strtoull(words[1], nullptr, 10) : 0;
    SwarmOptions options;
    options.cut.one_in = 4;
    options.cut.seed = count > 2 ? std::strtoull(words[2], nullptr, 10) : 1;
    if (wanted == 0 || count > 3) {
        std::cerr << "usage: power_swarm RECOVERIES [SEED]\n";
        return 2;
    }
    Figures figures;
    for (; figures.recoveries < wanted; ++options.cut.seed) {
        std::cout << "seed " << options.cut.seed << std::endl;
        const std::string fault = run_seed(options, figures);
        if (fault.empty()) continue;
        std::cout << "FAIL seed " << options.cut.seed << ": " << fault << "\n";
        return 1;
    }
    std::cout << figures_text(figures) << "\n";
    const std::string missing = missing_in(figures);
    if (wanted < kAllSeenFrom || missing.empty()) return 0;
    std::cout << "FAIL " << missing << "\n";
    return 1;
}
