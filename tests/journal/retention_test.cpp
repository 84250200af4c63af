// The decision table of retention: what goes next, row by row.
#include <gtest/gtest.h>

#include "journal/retention.hpp"

namespace everstep::journal {
namespace {

using std::chrono::hours;

// A trunk of one line: segment n is `ages[n]` hours old, 10 bytes, and may go.
KeepInput trunk(const std::vector<int>& ages) {
    KeepInput in;
    for (const int age : ages) {
        TrunkSegment one;
        one.number = in.trunk.size() + 1;
        one.bytes = ByteCount(10);
        one.age = hours(age);
        one.ends_at_point = one.free = true;
        in.trunk.push_back(one);
        in.bytes = in.bytes + 10;
    }
    return in;
}

SideLine side(std::size_t root, const std::vector<int>& ages) {
    SideLine line;
    line.root = root;
    for (const int age : ages) line.segments.push_back({100 + line.segments.size(), hours(age)});
    return line;
}

const KeepLimits kDay{.keep_time = hours(24)};
const KeepLimits kForced{.force = true};

KeepAction drop(std::size_t first, std::size_t last) {
    return {.verb = KeepVerb::drop_trunk, .first = first, .last = last};
}
KeepAction condense(std::size_t first, std::size_t last) {
    return {.verb = KeepVerb::condense_trunk, .first = first, .last = last};
}
KeepAction drop_side(std::size_t n) {
    return {.verb = KeepVerb::drop_side, .side = n};
}

TEST(RetentionTest, WithoutLimitsNothingGoes) {
    EXPECT_EQ(next_action(trunk({900, 800}), {}), KeepAction());
}

TEST(RetentionTest, TheOldestGoesByAge) {
    EXPECT_EQ(next_action(trunk({25, 24, 3}), kDay), drop(0, 0));
    EXPECT_EQ(next_action(trunk({24, 23}), kDay), KeepAction());
}

TEST(RetentionTest, AsMuchGoesAtOnceAsHasTo) {
    EXPECT_EQ(next_action(trunk({30, 29, 28, 3}), kDay), drop(0, 2));
    EXPECT_EQ(next_action(trunk({4, 3, 2, 1}), {.keep_bytes = ByteCount(25)}), drop(0, 1));
    KeepInput in = trunk({30, 29, 28});
    in.trunk[1].keeps = true;
    EXPECT_EQ(next_action(in, kDay), drop(0, 0));
    in.trunk[1].keeps = false;
    in.sides.push_back(side(1, {1}));
    EXPECT_EQ(next_action(in, kDay), drop(0, 0));
}

TEST(RetentionTest, TheOldestGoesByBytesWhateverItsAge) {
    EXPECT_EQ(next_action(trunk({2, 1}), {.keep_bytes = ByteCount(19)}), drop(0, 0));
    EXPECT_EQ(next_action(trunk({2, 1}), {.keep_bytes = ByteCount(20)}), KeepAction());
}

TEST(RetentionTest, WhatIsInUseStaysWhateverIsWanted) {
    KeepInput in = trunk({30, 29});
    in.trunk[0].free = false;
    EXPECT_EQ(next_action(in, kForced), KeepAction());
    in = trunk({30});
    in.sides.push_back(side(0, {30}));
    in.sides[0].held = true;
    EXPECT_EQ(next_action(in, kForced), KeepAction());
}

TEST(RetentionTest, HistoryBeginsAtAPointOnly) {
    KeepInput in = trunk({30, 29, 28});
    in.trunk[0].ends_at_point = false;
    EXPECT_EQ(next_action(in, {.keep_bytes = ByteCount(29)}), drop(0, 1));
    in.trunk[1].age = hours(1);  // not yet
    EXPECT_EQ(next_action(in, kDay), KeepAction());
}

TEST(RetentionTest, ASideGoesNewestFirst) {
    KeepInput in = trunk({3, 2});
    in.sides.push_back(side(1, {40, 30}));
    EXPECT_EQ(next_action(in, kDay), drop_side(0));
    in.sides[0].segments[1].age = hours(1);  // the newest is young: the older wait for it
    EXPECT_EQ(next_action(in, kDay), KeepAction());
}

TEST(RetentionTest, ASideGoesBeforeTheSegmentInWhichItLeaves) {
    KeepInput in = trunk({30, 2});
    in.sides.push_back(side(0, {5, 4}));
    EXPECT_EQ(next_action(in, kDay), drop_side(0));
    in.sides[0].root = 1;
    EXPECT_EQ(next_action(in, kDay), drop(0, 0));
}

TEST(RetentionTest, BehindAKeptStepIsCondensed) {
    KeepInput in = trunk({30, 29, 2});
    in.trunk[0].keeps = true;
    EXPECT_EQ(next_action(in, kDay), condense(0, 0));
    in.trunk[0].condensed = true;
    in.trunk[0].bytes = ByteCount(8);
    EXPECT_EQ(next_action(in, kDay), condense(0, 1));
    in.trunk[0].bytes = ByteCount(11);  // more than what would be added
    EXPECT_EQ(next_action(in, kDay), condense(1, 1));
    in.trunk[1].condensed = true;
    EXPECT_EQ(next_action(in, kDay), KeepAction());
    in.trunk[0].keeps = false;  // the pin is gone
    EXPECT_EQ(next_action(in, kDay), drop(0, 1));
}

TEST(RetentionTest, WhatLiesBeforeAKeptStepIsDropped) {
    KeepInput in = trunk({30, 29, 2});
    in.trunk[1].keeps = true;
    EXPECT_EQ(next_action(in, kDay), drop(0, 0));
}

TEST(RetentionTest, OneLineIsCondensedAtATime) {
    KeepInput in = trunk({30, 29, 28});
    in.trunk[0].keeps = in.trunk[0].condensed = true;
    in.trunk[1].line = in.trunk[2].line = 1;
    EXPECT_EQ(next_action(in, kDay), condense(1, 1));
    in.trunk[1].ends_at_point = false;
    in.trunk[1].line = 0;  // a gap over both lines
    EXPECT_EQ(next_action(in, kDay), KeepAction());
}

TEST(RetentionTest, BehindWhatCannotBeCondensedTheRestIs) {
    KeepInput in = trunk({30, 29, 28, 27, 26, 2});
    in.trunk[0].keeps = true;
    in.trunk[1].ends_at_point = false;
    in.trunk[2].line = in.trunk[3].line = in.trunk[4].line = 1;
    EXPECT_EQ(next_action(in, kDay), condense(0, 0));
    in.trunk[0].condensed = true;
    in.trunk[0].bytes = ByteCount(100);
    // Segments 1 and 2 hold a gap onto another line: never a part of what is made behind them.
    EXPECT_EQ(next_action(in, kDay), condense(3, 3));
    in.trunk[3].condensed = true;
    EXPECT_EQ(next_action(in, kDay), condense(3, 4));
    in.trunk[4].condensed = true;
    EXPECT_EQ(next_action(in, kDay), KeepAction());

    // What is empty goes with what stands behind it, whatever its line.
    in = trunk({30, 29, 28, 27, 2});
    in.trunk[0].keeps = in.trunk[0].condensed = true;
    in.trunk[0].bytes = ByteCount(100);
    in.trunk[1].empty = in.trunk[2].empty = true;
    in.trunk[2].line = in.trunk[3].line = 1;
    EXPECT_EQ(next_action(in, kDay), condense(1, 3));
    in.trunk[3].empty = true;
    EXPECT_EQ(next_action(in, kDay), KeepAction());

    in = trunk({30, 29, 28});
    in.trunk[0].keeps = in.trunk[0].stays = true;
    EXPECT_EQ(next_action(in, kDay), condense(1, 1));
    in.trunk[0].keeps = false;
    EXPECT_EQ(next_action(in, kDay), drop(0, 2));
}

TEST(RetentionTest, ASideWithAKeptStepIsCondensedOnce) {
    KeepInput in = trunk({3});
    in.sides.push_back(side(0, {40, 30}));
    in.sides[0].segments[1].keeps = true;
    EXPECT_EQ(next_action(in, kDay), (KeepAction{.verb = KeepVerb::condense_side}));
    in.sides[0].condensed = true;
    EXPECT_EQ(next_action(in, kDay), KeepAction());
}

TEST(RetentionTest, EveryRunEnds) {
    KeepInput in = trunk({30, 29, 28, 27, 26});
    in.sides.push_back(side(1, {30, 29}));
    in.sides.push_back(side(3, {30}));
    int actions = 0;
    for (KeepAction next = next_action(in, kForced); next.verb != KeepVerb::nothing;
         next = next_action(in, kForced)) {
        ASSERT_LT(++actions, 20);
        if (next.verb == KeepVerb::drop_side) {
            in.sides[next.side].segments.pop_back();
            continue;
        }
        ASSERT_EQ(next.verb, KeepVerb::drop_trunk);
        const std::size_t count = next.last + 1;
        in.trunk.erase(in.trunk.begin(), in.trunk.begin() + static_cast<std::ptrdiff_t>(count));
        for (SideLine& one : in.sides) one.root -= std::min(one.root, count);
    }
    EXPECT_TRUE(in.trunk.empty());
    EXPECT_TRUE(in.sides[0].segments.empty() && in.sides[1].segments.empty());
}

}  // namespace
}  // namespace everstep::journal
