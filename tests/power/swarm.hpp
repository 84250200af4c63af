// One seed of the power swarm: a workload, a cut of the power at every place of its log, some of
// what may be left then, a start on each, and a cut of some of those starts as well.
#pragma once

#include "tests/power/power_cut.hpp"
#include "tests/power/restart.hpp"
#include "tests/power/workload.hpp"

namespace everstep::power {

struct CutOptions {
    std::uint64_t seed = 1;
    std::uint64_t states = 2;     // sampled ones at each cut
    std::uint64_t one_in = 1;     // of the cuts
    std::uint64_t second_in = 8;  // of the starts is cut itself
};
struct SwarmOptions {
    CutOptions cut;  // its seed is the workload's too
    unsigned operations = 70;
    Bug bug = Bug::none;
};
struct CutLog {
    const Past& past;
    const NodeOptions& node;
    const std::vector<DiskOp>& log;  // of a disk that was empty
};

// Empty, or what does not hold: with the place of the cut, and what of the disk's was kept.
[[nodiscard]] std::string cut_log(const CutLog& what, const CutOptions& options, Figures& figures);
[[nodiscard]] std::string run_seed(const SwarmOptions& options, Figures& figures);
[[nodiscard]] NodeOptions small_node(std::uint64_t seed);
[[nodiscard]] std::string figures_text(const Figures& figures);
// What the figures of a whole run must show; empty if they do.
[[nodiscard]] std::string missing_in(const Figures& figures);

}  // namespace everstep::power
