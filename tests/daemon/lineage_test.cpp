#include "daemon/lineage.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

const TimelineId kA = Uuid::random();
const TimelineId kB = Uuid::random();
const TimelineId kC = Uuid::random();

journal::TimelineInfo timeline(TimelineId id, TimelineId parent, std::uint64_t branch) {
    journal::TimelineInfo info;
    info.id = id;
    info.parent = parent;
    info.branch_lsn = Lsn(branch);
    return info;
}

const Timelines kTree{timeline(kA, {}, 0), timeline(kB, kA, 10), timeline(kC, kA, 5)};

TEST(Lineage, PathLeadsFromTheFirstTimeline) {
    const Timelines path = path_to(kTree, kB);
    ASSERT_EQ(path.size(), 2U);
    EXPECT_EQ(path[0].id, kA);
    EXPECT_EQ(path[1].id, kB);
    EXPECT_TRUE(path_to({timeline(kB, kA, 10)}, kB).empty());
}

TEST(Lineage, CommonPointIsTheNewestSharedOne) {
    const Timelines path = path_to(kTree, kB);
    const Point tip{kB, Lsn(20)};
    EXPECT_EQ(common_point(path, tip, kTree, {kA, Lsn(7)}), (Point{kA, Lsn(7)}));
    EXPECT_EQ(common_point(path, tip, kTree, {kA, Lsn(15)}), (Point{kA, Lsn(10)}));
    EXPECT_EQ(common_point(path, tip, kTree, {kB, Lsn(12)}), (Point{kB, Lsn(12)}));
    EXPECT_EQ(common_point(path, tip, kTree, {kB, Lsn(30)}), (Point{kB, Lsn(20)}));
    EXPECT_EQ(common_point(path, tip, kTree, {kC, Lsn(9)}), (Point{kA, Lsn(5)}));
    EXPECT_EQ(common_point(path, tip, kTree, {Uuid::random(), Lsn(9)}), std::nullopt);
}

TEST(Lineage, StepsThatAnotherNodeLacksAreNamed) {
    const Timelines path = path_to(kTree, kB);
    const Point tip{kB, Lsn(20)};
    const std::string behind = " to 20 of timeline " + kB.hex();
    EXPECT_EQ(steps_not_there(path, tip, kTree, {kB, Lsn(12)}), "steps 13" + behind);
    EXPECT_EQ(steps_not_there(path, tip, kTree, {kC, Lsn(90)}), "steps 6" + behind);
    EXPECT_EQ(steps_not_there(path, tip, kTree, {kB, Lsn(20)}), "");
    EXPECT_EQ(steps_not_there(path, tip, kTree, {kB, Lsn(30)}), "");
    EXPECT_EQ(steps_not_there(path, tip, {}, {}), "steps 1" + behind);
    EXPECT_EQ(steps_not_there({}, {}, kTree, {kB, Lsn(30)}), "");  // none are known
}

TEST(Lineage, APointLeadsToThoseBehindItOnThePath) {
    const Timelines path = path_to(kTree, kB);
    EXPECT_TRUE(leads_to(path, {kA, Lsn(7)}, {kA, Lsn(7)}));
    EXPECT_TRUE(leads_to(path, {kA, Lsn(10)}, {kB, Lsn(10)}));
    EXPECT_TRUE(leads_to(path, {kB, Lsn(11)}, {kB, Lsn(12)}));
    EXPECT_FALSE(leads_to(path, {kA, Lsn(8)}, {kA, Lsn(7)}));
    EXPECT_FALSE(leads_to(path, {kA, Lsn(11)}, {kB, Lsn(12)}));  // left before that
    EXPECT_FALSE(leads_to(path, {kB, Lsn(10)}, {kA, Lsn(10)}));
    EXPECT_FALSE(leads_to(path, {kC, Lsn(6)}, {kB, Lsn(12)}));
    EXPECT_FALSE(leads_to(path, {kA, Lsn(5)}, {kC, Lsn(6)}));
}

TEST(Lineage, ADescendantOffThePathIsSeen) {
    EXPECT_TRUE(has_descendant(kTree, kA, path_to(kTree, kA)));
    EXPECT_FALSE(has_descendant(kTree, kB, path_to(kTree, kB)));
    EXPECT_FALSE(has_descendant({timeline(kA, {}, 0)}, kA, path_to(kTree, kA)));
}

wire::GroupState claims(wire::Role role, const Timelines& path, std::uint64_t takeovers) {
    wire::GroupState state;
    state.role = role;
    state.timelines = to_wire(path);
    state.head = {path.back().id, Lsn(30)};
    state.takeovers = takeovers;
    return state;
}

TEST(Lineage, OfTwoLinesThatPartedTheOneWithMoreTakeoversCounts) {
    const Timelines own = path_to(kTree, kB);
    const Timelines other = path_to(kTree, kC);
    const auto serving = wire::Role::primary;
    EXPECT_EQ(claim_of(own, 0, claims(serving, other, 1)), Claim::theirs);
    EXPECT_EQ(claim_of(own, 1, claims(serving, other, 0)), Claim::own);
    EXPECT_EQ(claim_of(own, 1, claims(serving, other, 1)), Claim::undecided);
    EXPECT_EQ(claim_of(own, 0, claims(wire::Role::none, other, 1)), Claim::theirs);
}

TEST(Lineage, NoClaimFromAStandbyNorOnOneLine) {
    const Timelines own = path_to(kTree, kB);
    EXPECT_EQ(claim_of(own, 0, claims(wire::Role::standby, path_to(kTree, kC), 1)), Claim::none);
    EXPECT_EQ(claim_of(own, 0, claims(wire::Role::primary, path_to(kTree, kA), 1)), Claim::none);
    EXPECT_EQ(claim_of(path_to(kTree, kA), 0, claims(wire::Role::primary, own, 1)), Claim::none);
    const Timelines foreign{timeline(Uuid::random(), {}, 0)};
    EXPECT_EQ(claim_of(own, 0, claims(wire::Role::primary, foreign, 1)), Claim::none);
}

}  // namespace
}  // namespace everstep::daemon
