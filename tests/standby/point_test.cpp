// Point expressions against a real history: two lines, marks, a gap.
#include "standby/point.hpp"

#include <gtest/gtest.h>

#include "checks.hpp"
#include "standby/time_text.hpp"

namespace everstep::standby::testing {
namespace {

class Points : public ::testing::Test {
  protected:
    Points() : scene(directory.path(), group) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, test_seed());
    }
    void SetUp() override {
        ASSERT_OK(scene.open());
        ASSERT_OK(scene.begin(maker->timeline()));
        while (maker->head() < Lsn(40)) scene.push(maker->frame());
        first = maker->timeline();
        ASSERT_TRUE(scene.wait_durable(maker->head()));
        old_head = maker->head_point();
    }
    Result<Point> resolve(std::string_view text) {
        return resolve_point(text, {&scene.store(), {"data", "log"}, now});
    }
    void expect(std::string_view text, Point wanted) {
        const Result<Point> found = resolve(text);
        ASSERT_TRUE(found.ok()) << text << ": " << found.status().message();
        EXPECT_EQ(found->lsn, wanted.lsn) << text;
        EXPECT_EQ(found->timeline, wanted.timeline) << text;
    }
    void refused(std::string_view text, const std::vector<std::string>& parts,
                 ErrorCode code = ErrorCode::refused) {
        const Result<Point> found = resolve(text);
        ASSERT_FALSE(found.ok()) << text << ": step " << found->lsn.value();
        EXPECT_EQ(found.status().code(), code) << text << ": " << found.status().message();
        for (const std::string& part : parts) {
            EXPECT_NE(found.status().message().find(part), std::string::npos)
                << text << ": " << found.status().message();
        }
    }
    void mark(const std::string& name, Point at) {
        journal::Mark mark;
        mark.name = name;
        mark.at = at;
        ASSERT_OK(scene.task([mark](journal::Store& store) { return store.put_mark(mark); }));
    }
    void branch_at(Lsn lsn) {
        const journal::TimelineInfo next = maker->branch(lsn);
        ASSERT_OK(
            scene.task([next](journal::Store& store) { return store.append_timeline(next); }));
        for (int i = 0; i < 10; ++i) scene.push(maker->frame());
        ASSERT_TRUE(scene.wait_durable(maker->head()));
    }
    // A gap from the head; gives its two ends.
    std::pair<Point, Point> make_gap() {
        const Point from = maker->head_point();
        EXPECT_TRUE(
            scene.task([from](journal::Store& store) { return store.open_gap(from, "lost order"); })
                .ok());
        scene.push(maker->frame({.after_gap = true}));
        scene.push(maker->frame());
        EXPECT_TRUE(scene.wait_durable(maker->head()));
        return {from, {}};
    }
    void end_gap() {
        scene.push(maker->frame({.sync_step = true}));
        const Point end = maker->head_point();
        EXPECT_TRUE(scene.task([end](journal::Store& store) { return store.close_gap(end); }).ok());
        EXPECT_TRUE(scene.wait_durable(maker->head()));
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene;
    std::unique_ptr<HistoryMaker> maker;
    journal::TimelineInfo first;
    Point old_head;
    WallTime now;
};

std::string step(Lsn lsn) {
    return "step:" + std::to_string(lsn.value());
}

TEST_F(Points, HeadStepsAndShifts) {
    const Lsn head = maker->head();
    expect("head", {first.id, head});
    expect("head~5", {first.id, head - 5});
    expect("head~0", {first.id, head});
    expect("head~" + std::to_string(head.value()), {first.id, Lsn(0)});
    expect("step:0", {first.id, Lsn(0)});
    expect("step:7", {first.id, Lsn(7)});
    expect("step:7+2", {first.id, Lsn(9)});
    expect("1@step:9", {first.id, Lsn(9)});
    expect("t:" + first.id.hex().substr(0, 8) + "@step:9", {first.id, Lsn(9)});
    expect("t:" + first.id.hex() + "@step:0", {first.id, Lsn(0)});
    refused(step(head + 1), {"after head", step(head)});
    refused("head+1", {"after head"});
    refused("head~1000", {"before history", "step:0"});
    refused("head~18446744073709551615", {"before history"});
    refused("7@step:1", {"no such timeline"});
    refused("t:00000000@step:1", {"no such timeline"});
    refused("1@" + step(head + 1), {step(head)});
    refused("nothing@step:1", {"nothing@step:1"}, ErrorCode::usage);
}

TEST_F(Points, Marks) {
    mark("before-upgrade", maker->point(Lsn(20)));
    expect("before-upgrade", {first.id, Lsn(20)});
    expect("before-upgrade~2", {first.id, Lsn(18)});
    expect("before-upgrade+2", {first.id, Lsn(22)});
    refused("before-upgrade+1000", {"after head"});
    refused("after-upgrade", {"after-upgrade", "marks"}, ErrorCode::not_found);
}

TEST_F(Points, TimesMeanTheLastStepNotLater) {
    const auto& times = maker->times();
    for (const auto& [lsn, time] : times) {
        const auto floor = std::chrono::floor<std::chrono::microseconds>(time);
        expect(format_time(floor), {first.id, lsn});
        expect(format_time(floor - std::chrono::microseconds(1)), {first.id, lsn - 1});
    }
    const WallTime newest = times.rbegin()->second;
    expect(format_time(newest + std::chrono::hours(1)), maker->head_point());
    refused("2000-01-01T00:00:00Z", {"2000-01-01T00:00:00Z"});
    now = newest + std::chrono::seconds(90);
    expect("ago:90s", maker->head_point());
    expect("ago:1s", maker->head_point());
    now = times.at(Lsn(10)) + std::chrono::hours(2);
    expect("ago:2h", {first.id, Lsn(10)});
    refused("ago:52w", {"ago:52w"});
}

TEST_F(Points, FlushMarks) {
    std::vector<Lsn> flushes = maker->flushes();
    ASSERT_FALSE(flushes.empty()) << "the seed gave no flush";
    std::sort(flushes.begin(), flushes.end());
    for (Lsn lsn(1); lsn <= maker->head(); ++lsn) {
        const auto after = std::upper_bound(flushes.begin(), flushes.end(), lsn);
        if (after == flushes.begin()) {
            refused(step(lsn) + "^flush", {"no flush mark"});
        } else {
            expect(step(lsn) + "^flush", {first.id, *(after - 1)});
        }
    }
    refused("head^flush:nothing", {"nothing", "data, log"}, ErrorCode::usage);
    const Result<Point> data = resolve("head^flush:data");
    const Result<Point> log = resolve("head^flush:log");
    const Result<Point> any = resolve("head^flush");
    ASSERT_TRUE(any.ok());
    EXPECT_EQ(*any, std::max(data.ok() ? *data : Point(), log.ok() ? *log : Point(),
                             [](const Point& a, const Point& b) { return a.lsn < b.lsn; }));
}

TEST_F(Points, TheGroupsLineAndOthers) {
    mark("on-the-old-line", maker->point(Lsn(38)));
    branch_at(Lsn(30));
    const TimelineId second = maker->timeline().id;
    expect("head", maker->head_point());
    expect("step:30", {first.id, Lsn(30)});
    expect("step:31", {second, Lsn(31)});
    expect("1@step:31", {first.id, Lsn(31)});
    expect("2@step:31", {second, Lsn(31)});
    expect("2@step:5", {first.id, Lsn(5)});
    expect("on-the-old-line", {first.id, Lsn(38)});
    expect("on-the-old-line~1", {first.id, Lsn(37)});
    expect("on-the-old-line+1", {first.id, Lsn(39)});
    EXPECT_EQ(format_point({second, Lsn(31)}, scene.store()), "step:31");
    EXPECT_EQ(format_point({first.id, Lsn(30)}, scene.store()), "step:30");
    EXPECT_EQ(format_point({first.id, Lsn(31)}, scene.store()),
              "t:" + first.id.hex().substr(0, 8) + "@step:31");
}

TEST_F(Points, ANumberThatTwoTimelinesBearIsRefusedWithBothIds) {
    branch_at(Lsn(35));
    const TimelineId one = maker->timeline().id;
    // Another branch of the first timeline bears the same number.
    const journal::TimelineInfo other = maker->branch(Lsn(20));
    ASSERT_EQ(other.number, 3U);
    journal::TimelineInfo same = other;
    same.number = 2;
    ASSERT_OK(scene.task([same](journal::Store& store) { return store.append_timeline(same); }));
    refused("2@step:36", {one.hex(), same.id.hex()});
    expect("t:" + one.hex().substr(0, 8) + "@step:36", {one, Lsn(36)});
}

TEST_F(Points, NothingReachesAcrossAGap) {
    const auto [from, unused] = make_gap();
    const WallTime in_gap = maker->tip().step_time;
    refused("head", {"gap", step(from.lsn)});
    refused(step(from.lsn + 1), {"gap", "lost order", step(from.lsn)});
    expect(step(from.lsn), from);
    refused(format_time(in_gap), {"gap", step(from.lsn)});
    refused(format_time(in_gap + std::chrono::hours(1)), {"gap"});
    refused("head~1000", {"before history"});
    end_gap();
    const Point to = maker->head_point();
    expect("head", to);
    refused(step(to.lsn - 1), {"gap", step(from.lsn), step(to.lsn)});
    refused("head~1", {"gap", step(from.lsn), step(to.lsn)});
    const std::uint64_t way = to.lsn - from.lsn;
    refused("head~" + std::to_string(way), {"gap"});
    refused("head~" + std::to_string(way + 1), {"gap"});
    refused(step(from.lsn) + "+" + std::to_string(way), {"gap"});
    refused(format_time(in_gap), {"gap", step(from.lsn), step(to.lsn)});
    expect(step(from.lsn) + "~1", {first.id, from.lsn - 1});
    refused("head^flush", {"gap"});
    for (int i = 0; i < 3; ++i) scene.push(maker->frame());
    ASSERT_TRUE(scene.wait_durable(maker->head()));
    expect("head~" + std::to_string(maker->head() - to.lsn), to);
    refused("head~" + std::to_string(maker->head() - to.lsn + 1), {"gap"});
}

TEST(PointWithoutHistory, IsRefused) {
    const TempDirectory directory;
    Scene scene(directory.path(), Uuid::random());
    ASSERT_OK(scene.open());
    const Result<Point> head = resolve_point("head", {&scene.store(), {}, {}});
    ASSERT_FALSE(head.ok());
    EXPECT_EQ(head.status().code(), ErrorCode::refused);
    EXPECT_EQ(resolve_point("he ad", {&scene.store(), {}, {}}).status().code(), ErrorCode::usage);
}

}  // namespace
}  // namespace everstep::standby::testing
