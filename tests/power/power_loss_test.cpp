// The power is cut at every place of what a standby's store and replica wrote, and again during the
// recovery: what was promised is there and right. And the checker finds the bugs that are planted.
#include <gtest/gtest.h>

#include "tests/power/swarm.hpp"

namespace everstep::power {
namespace {

constexpr std::uint64_t kRecoveriesMin = 2000;
constexpr int kSeedsMax = 12;

TEST(PowerSwarm, WhateverACutLeavesEveryPromiseHolds) {
    SwarmOptions options;
    options.operations = 24;
    options.cut.states = 1;
    options.cut.second_in = 12;
    options.cut.seed = journal::lab::seed_of("PowerSwarm", 20261126);
    Figures figures;
    const auto more = [&](int n) {
        return figures.recoveries < kRecoveriesMin ||
               (n < kSeedsMax && !missing_in(figures).empty());
    };
    for (int n = 0; more(n); ++n, ++options.cut.seed) {
        ASSERT_EQ(run_seed(options, figures), "") << "seed " << options.cut.seed;
    }
    EXPECT_EQ(missing_in(figures), "");
    std::cout << figures_text(figures) << "\n";
}

// What is found first, by one seed after the other.
std::string found(Bug bug) {
    SwarmOptions options;
    options.bug = bug;
    options.operations = 30;
    options.cut.one_in = 2;
    options.cut.second_in = 50;
    options.cut.seed = journal::lab::seed_of("planted", 20261126);
    Figures figures;
    for (int n = 0; n < 4; ++n, ++options.cut.seed)
        if (std::string fault = run_seed(options, figures); !fault.empty()) return fault;
    return {};
}

void expect_found(Bug bug, const std::vector<std::string>& words) {
    const std::string fault = found(bug);
    EXPECT_EQ(fault.find("before any cut"), std::string::npos) << fault;
    for (const std::string& word : words)
        if (fault.find(word) != std::string::npos) return;
    ADD_FAILURE() << "not found: '" << fault << "'";
}

TEST(PlantedBug, LowBeforeTheReplicaIsFlushed) {
    expect_found(Bug::low_before_flush, {"wrong: ", "raw replica"});
}
TEST(PlantedBug, AFrameAcknowledgedBeforeItsSync) {
    expect_found(Bug::ack_before_sync, {"lost: "});
}
TEST(PlantedBug, ASyncOfRedoFilesThatDoesNothing) {
    expect_found(Bug::redo_sync_lies, {"lost: ", "does not open", "history is gone"});
}
TEST(PlantedBug, ASyncOfUndoFilesThatDoesNothing) {
    expect_found(Bug::undo_sync_lies, {"does not open", "wrong: "});
}
TEST(PlantedBug, ASyncOfTheReplicaThatDoesNothing) {
    expect_found(Bug::image_sync_lies, {"wrong: ", "raw replica"});
}
TEST(PlantedBug, ASyncOfCondensedFilesThatDoesNothing) {
    expect_found(Bug::condensed_sync_lies, {"does not open", "wrong: ", "lost: "});
}
TEST(PlantedBug, ASyncOfDirectoriesThatDoesNothing) {
    expect_found(Bug::directory_sync_lies, {"lost: ", "does not open", "history is gone"});
}

}  // namespace
}  // namespace everstep::power
