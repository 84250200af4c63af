// The whole store against full images of every step: random lists of everything that can happen
// (model_world.hpp). A list that fails is made shorter while it fails, and printed.
#include <algorithm>
#include <functional>

#include "tests/journal/model_world.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kLists = 300;
constexpr std::size_t kSteps = 110;

struct Step {
    std::size_t operation;
    std::uint64_t seed;
};
using Plan = std::vector<Step>;

Plan make_plan(std::uint64_t seed, std::size_t steps) {
    std::mt19937_64 random(seed);
    const auto operations = ModelWorld::operations();
    unsigned total = 0;
    for (const auto& operation : operations) total += operation.weight;
    Plan plan(steps);
    for (Step& step : plan) {
        std::uint64_t at = random() % total;
        while (at >= operations[step.operation].weight) at -= operations[step.operation++].weight;
        step.seed = random();
    }
    return plan;
}

// What failed first, the test's own result untouched; empty if nothing did.
using Judge = std::function<std::string(const Plan&)>;

std::string run_plan(std::uint64_t seed, const Plan& plan, ModelWorld::Verbs& verbs) {
    testing::TestPartResultArray results;
    {
        const testing::ScopedFakeTestPartResultReporter reporter(
            testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
        ModelWorld world(seed, results);
        for (std::size_t n = 0; n < plan.size() && !world.failed(); ++n)
            world.run(plan[n].operation, plan[n].seed);
        if (!world.failed()) world.finish();
        for (std::size_t n = 0; n < verbs.size(); ++n) verbs[n] += world.verbs()[n];
    }
    return results.size() == 0 ? std::string() : results.GetTestPartResult(0).message();
}

// Leaves out what is not needed to fail: halves first, at last single steps.
Plan shrink(Plan plan, const Judge& run) {
    for (std::size_t chunk = plan.size() / 2; chunk > 0; chunk /= 2) {
        for (std::size_t at = 0; at < plan.size();) {
            Plan less = plan;
            const auto from = less.begin() + static_cast<std::ptrdiff_t>(at);
            less.erase(from, from + static_cast<std::ptrdiff_t>(std::min(chunk, less.size() - at)));
            if (run(less).empty())
                at += chunk;
            else
                plan = std::move(less);
        }
    }
    return plan;
}

std::string text_of(const Plan& plan) {
    std::string text;
    for (const Step& step : plan)
        text += std::string("\n  ") + ModelWorld::operations()[step.operation].name + " " +
                std::to_string(step.seed);
    return text;
}

TEST(StoreModel, EveryStepEqualsItsImageWhateverHappens) {
    const std::uint64_t first = seed_of("StoreModel", 20261121);
    ModelWorld::Verbs verbs{};
    for (std::uint64_t seed = first; seed < first + kLists; ++seed) {
        const Judge run = [&](const Plan& plan) { return run_plan(seed, plan, verbs); };
        const Plan plan = make_plan(seed, kSteps);
        const std::string fault = run(plan);
        if (fault.empty()) continue;
        const Plan least = shrink(plan, run);
        FAIL() << "seed " << seed << ": " << fault << "\nthe least that fails: " << run(least)
               << text_of(least);
    }
    for (std::size_t verb = 1; verb < verbs.size(); ++verb)
        EXPECT_GT(verbs[verb], 0U) << "retention never did its verb " << verb;
}

TEST(StoreModel, AListThatFailsIsMadeAsShortAsItCan) {
    Plan plan;
    for (std::uint64_t n = 0; n < 40; ++n) plan.push_back({0, n});
    const Judge run = [](const Plan& some) {
        std::size_t found = 0;
        for (const Step& step : some) found += step.seed == 7 || step.seed == 31 ? 1 : 0;
        return found == 2 ? std::string("both are there") : std::string();
    };
    const Plan least = shrink(plan, run);
    ASSERT_EQ(least.size(), 2U);
    EXPECT_EQ(least[0].seed, 7U);
    EXPECT_EQ(least[1].seed, 31U);
}

}  // namespace
}  // namespace everstep::journal::lab
