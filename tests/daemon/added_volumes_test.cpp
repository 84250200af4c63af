// From which step on a history has all of a volume that was added later.
#include "daemon/added_volumes.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

const TimelineId kFirst = Uuid::random();
const TimelineId kSecond = Uuid::random();
const TimelineId kOther = Uuid::random();

// The first timeline; two that leave it behind steps 10 and 5.
Timelines timelines() {
    Timelines all(3);
    all[0].id = kFirst;
    all[1].id = kSecond;
    all[1].parent = kFirst;
    all[1].branch_lsn = Lsn(10);
    all[2].id = kOther;
    all[2].parent = kFirst;
    all[2].branch_lsn = Lsn(5);
    return all;
}

VolumeRecord volume(std::optional<Point> whole_from) {
    VolumeRecord one;
    one.name = "more";
    one.whole_from = whole_from;
    return one;
}

bool whole(std::optional<Point> from, Point at) {
    return whole_at(volume(from), timelines(), at).ok();
}

TEST(AddedVolumes, AStepHasAllOfAVolumeFromThatStepOnAlongItsLine) {
    const Point from{kFirst, Lsn(7)};
    EXPECT_TRUE(whole(std::nullopt, {kFirst, Lsn(0)}));
    EXPECT_FALSE(whole(from, {kFirst, Lsn(6)}));
    EXPECT_TRUE(whole(from, {kFirst, Lsn(7)}));
    EXPECT_TRUE(whole(from, {kSecond, Lsn(11)}));
    EXPECT_FALSE(whole(from, {kOther, Lsn(11)}));  // left before, whatever its steps' numbers
    EXPECT_FALSE(whole(from, {Uuid::random(), Lsn(11)}));
    EXPECT_FALSE(whole(Point{}, {kSecond, Lsn(11)}));
    EXPECT_FALSE(whole(Point{kSecond, Lsn(12)}, {kFirst, Lsn(12)}));
}

TEST(AddedVolumes, WhatStandsOnAStepThatHasNotAllOfItBringsItAgain) {
    std::vector<VolumeRecord> volumes{volume(std::nullopt), volume(Point{kFirst, Lsn(7)}),
                                      volume(Point{kFirst, Lsn(5)})};
    EXPECT_EQ(stand_on(volumes, timelines(), {kFirst, Lsn(6)}), std::vector<std::string>{"more"});
    EXPECT_FALSE(volumes[0].whole_from.has_value());
    EXPECT_TRUE(coming(volumes[1]));
    EXPECT_FALSE(coming(volumes[2]));
}

TEST(AddedVolumes, AStandbyTakesWhatThePrimarySays) {
    const Point from{kFirst, Lsn(7)};
    std::vector<VolumeRecord> volumes{volume(Point{})};
    EXPECT_FALSE(take_whole_from(volumes, to_wire({volume(Point{})})));
    EXPECT_TRUE(take_whole_from(volumes, to_wire({volume(from)})));
    EXPECT_EQ(volumes[0].whole_from, from);
    // A primary without a record knows less than it.
    EXPECT_FALSE(take_whole_from(volumes, to_wire({volume(std::nullopt)})));
    EXPECT_EQ(volumes[0].whole_from, from);
    EXPECT_TRUE(take_whole_from(volumes, to_wire({volume(Point{})})));
    EXPECT_TRUE(coming(volumes[0]));
    std::vector<wire::Volume> other = to_wire({volume(from)});
    other[0].name = "other";
    EXPECT_FALSE(take_whole_from(volumes, other));
}

}  // namespace
}  // namespace everstep::daemon
