// What a record says when the standbys are others.
#include "daemon/standby_changes.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using Names = std::vector<std::string>;

GroupRecord served_with(const Names& standbys) {
    GroupRecord record;
    record.role = wire::Role::primary;
    record.timelines.emplace_back();
    record.intent = IntentRecord{Uuid::random(), Uuid::random(), standbys};
    for (const std::string& name : standbys) record.peers[name] = {};
    return record;
}

TEST(StandbyChanges, TheSameStandbysChangeNothing) {
    GroupRecord record = served_with({"beta", "gamma"});
    const std::string before = pack_record(record);
    EXPECT_TRUE(take_standbys(record, {"gamma", "beta"}).empty());
    EXPECT_EQ(pack_record(record), before);
}

TEST(StandbyChanges, OneThatIsNewJoinsAndIsComparedAsAWhole) {
    GroupRecord record = served_with({"beta"});
    record.peers["beta"].proved = Point{Uuid::random(), Lsn(7)};
    const StandbyChanges changes = take_standbys(record, {"beta", "gamma"});
    EXPECT_EQ(changes.added, Names{"gamma"});
    EXPECT_TRUE(changes.removed.empty());
    EXPECT_TRUE(record.peers["gamma"].joining);
    EXPECT_FALSE(record.peers["gamma"].compare.empty());
    EXPECT_FALSE(record.peers["beta"].joining);
    EXPECT_TRUE(record.peers["beta"].proved);
    EXPECT_EQ(record.intent->standbys, (Names{"beta", "gamma"}));
}

TEST(StandbyChanges, AStartTellsWhoWasRecordedAsBehind) {
    GroupRecord record = served_with({"beta", "gamma"});
    EXPECT_TRUE(told_behind(record).empty());
    record.peers["gamma"].behind_since = Lsn(17);
    const Names told = told_behind(record);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told.front().find("gamma is behind since step 17"), 0U);
}

TEST(StandbyChanges, NothingOfOneThatLeftIsBelievedWhenItIsBack) {
    GroupRecord record = served_with({"beta", "gamma"});
    record.peers["beta"].proved = Point{Uuid::random(), Lsn(7)};
    record.peers["beta"].behind_since = Lsn(3);
    EXPECT_EQ(take_standbys(record, {"gamma"}).removed, Names{"beta"});
    EXPECT_FALSE(record.peers.contains("beta"));
    EXPECT_EQ(take_standbys(record, {"gamma", "beta"}).added, Names{"beta"});
    EXPECT_FALSE(record.peers["beta"].proved);
    EXPECT_FALSE(record.peers["beta"].behind_since);
    EXPECT_TRUE(record.peers["beta"].joining);
}

TEST(StandbyChanges, EachKeepsItsBitAndAFreeOneIsUsedAgain) {
    GroupRecord record = served_with({"beta", "gamma", "delta"});
    take_standbys(record, {"gamma", "delta"});
    EXPECT_EQ(record.intent->standbys, (Names{"", "gamma", "delta"}));
    take_standbys(record, {"delta", "gamma", "eps", "zeta"});
    EXPECT_EQ(record.intent->standbys, (Names{"eps", "gamma", "delta", "zeta"}));
    EXPECT_EQ(bit_in(record.intent->standbys, "delta"), 2U);
    EXPECT_EQ(bit_in(record.intent->standbys, "beta"), 4U);
}

TEST(StandbyChanges, AGroupThatWasNeverServedKnowsNone) {
    GroupRecord record = served_with({"beta"});
    EXPECT_TRUE(knows_standbys(record));
    record.unserved = true;
    EXPECT_FALSE(knows_standbys(record));
    record.unserved = false;
    record.timelines.clear();
    EXPECT_FALSE(knows_standbys(record));
}

}  // namespace
}  // namespace everstep::daemon
