// The room that history takes: retention by itself, the reserve, and a disk that is full.
#include <gtest/gtest.h>

#include <algorithm>

#include "checks.hpp"
#include "faulty_files.hpp"

namespace everstep::standby::testing {
namespace {

constexpr std::uint64_t kReserve = 1ULL << 30;

class FullDisk : public ::testing::Test {
  protected:
    void begin(journal::KeepLimits keep = {}) {
        scene_ = std::make_unique<Scene>(directory_.path(), group_,
                                         SceneOptions{.files = &files_,
                                                      .segment_bytes = ByteCount(64U << 10),
                                                      .keep = keep,
                                                      .reserve_bytes = ByteCount(kReserve)});
        ASSERT_OK(scene_->open());
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene_->volumes()) sizes.push_back(volume.size);
        maker_ = std::make_unique<HistoryMaker>(group_, sizes, test_seed());
        ASSERT_OK(scene_->begin(maker_->timeline()));
    }
    void push(int frames) {
        for (int i = 0; i < frames; ++i) scene_->push(maker_->frame());
    }
    bool told(const std::string& kind) {
        const auto events = scene_->events();
        return std::any_of(events.begin(), events.end(), [&](const std::string& event) {
            return event.find(kind) != std::string::npos;
        });
    }

    const TempDirectory directory_;
    const Uuid group_ = Uuid::random();
    FaultyFiles files_{io::system_files(), "/store/"};
    std::unique_ptr<Scene> scene_;
    std::unique_ptr<HistoryMaker> maker_;
};

TEST_F(FullDisk, BelowTheReserveNothingIsAcknowledgedAndItGoesOnByItself) {
    begin();
    push(20);
    const Lsn before = maker_->head();
    ASSERT_TRUE(scene_->wait_durable(before));
    files_.set_free(kReserve - 1);
    ASSERT_TRUE(eventually([&] { return scene_->standby().full(); }));
    EXPECT_TRUE(eventually([&] { return told("alarm-full"); }));
    push(20);
    EXPECT_TRUE(eventually([&] { return scene_->standby().queued_bytes() > 0; }));
    EXPECT_EQ(scene_->store().durable().point.lsn, before);
    EXPECT_TRUE(scene_->failed().ok());
    files_.set_free(2 * kReserve);
    ASSERT_TRUE(scene_->wait_durable(maker_->head()));
    ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    EXPECT_TRUE(eventually([&] { return told("room"); }));
    EXPECT_IMAGE(read_step(scene_->standby(), maker_->head_point()), maker_->now());
}

TEST_F(FullDisk, WritesThatFindNoRoomAreTriedAgainAndLoseNothing) {
    begin();
    push(20);
    ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    const Lsn before = maker_->head();
    files_.fill(true);
    push(20);
    EXPECT_TRUE(eventually([&] { return scene_->standby().queued_bytes() > 0; }));
    EXPECT_EQ(scene_->store().durable().point.lsn, before);
    files_.fill(false);
    ASSERT_TRUE(scene_->wait_durable(maker_->head()));
    ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    EXPECT_TRUE(scene_->failed().ok());
    EXPECT_IMAGE(read_step(scene_->standby(), maker_->head_point()), maker_->now());
    EXPECT_IMAGE(read_step(scene_->standby(), maker_->point(before)),
                 maker_->image(maker_->point(before)));
}

TEST_F(FullDisk, WhatServesGivesUpTheOldestHistoryFirst) {
    begin();
    push(200);
    ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    ASSERT_EQ(scene_->store().baseline().lsn, Lsn(0));
    scene_->standby().set_serving(true);
    files_.set_free(kReserve - 1);
    EXPECT_TRUE(eventually([&] { return scene_->store().baseline().lsn > Lsn(0); }));
    EXPECT_TRUE(eventually([&] { return scene_->standby().full(); }));
    EXPECT_TRUE(eventually([&] { return told("alarm-history"); }));
    EXPECT_IMAGE(read_step(scene_->standby(), maker_->head_point()), maker_->now());
    files_.set_free(2 * kReserve);
    EXPECT_TRUE(eventually([&] { return !scene_->standby().full(); }));
}

TEST_F(FullDisk, RetentionByBytesWorksByItself) {
    begin({.keep_bytes = ByteCount(400U << 10)});
    push(200);
    ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    EXPECT_TRUE(eventually([&] {
        return scene_->store().baseline().lsn > Lsn(0) &&
               scene_->store().stored_bytes() <= ByteCount(500U << 10);
    }));
    EXPECT_IMAGE(read_step(scene_->standby(), maker_->head_point()), maker_->now());
}

TEST_F(FullDisk, OtherLimitsCountFromThenOn) {
    begin();
    push(200);
    ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    ASSERT_EQ(scene_->store().baseline().lsn, Lsn(0));
    files_.set_free(kReserve - 1);
    ASSERT_TRUE(eventually([&] { return scene_->standby().full(); }));
    scene_->standby().set_limits({.keep_bytes = ByteCount(400U << 10)}, ByteCount(kReserve / 2));
    EXPECT_TRUE(eventually([&] {
        return scene_->store().baseline().lsn > Lsn(0) &&
               scene_->store().stored_bytes() <= ByteCount(500U << 10);
    }));
    EXPECT_TRUE(eventually([&] { return !scene_->standby().full(); }));
    scene_->standby().set_limits({}, ByteCount(0));
    files_.set_free(0);
    push(200);
    EXPECT_TRUE(scene_->wait_applied(maker_->head()));
    EXPECT_IMAGE(read_step(scene_->standby(), maker_->head_point()), maker_->now());
}

}  // namespace
}  // namespace everstep::standby::testing
