#include "daemon/group_record.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

GroupRecord sample() {
    GroupRecord record;
    record.group = Uuid::random();
    record.role = wire::Role::primary;
    record.clean = true;
    record.unserved = true;
    record.takeovers = 3;
    record.acked = Lsn(98);
    record.ack_kept = true;
    record.ack_answers = 2;
    record.refused = "because of that";
    record.pulling = "beta";
    record.pulled = {Uuid::random(), Lsn(77)};
    record.restore = {{Uuid::random(), Lsn(88)}, {Uuid::random(), Lsn(42)}, "beta", "", true};
    VolumeRecord volume;
    volume.name = "data";
    volume.id = Uuid::random();
    volume.size = ByteCount(8192);
    volume.identity = {1, 2, -3, 8192, "serial with blanks"};
    volume.samples = Uuid::random().bytes();
    volume.sampled_data = 7;
    record.volumes.push_back(volume);
    record.volumes.push_back(volume);
    record.volumes.back().name = "more";
    record.volumes.back().whole_from = Point{Uuid::random(), Lsn(7)};
    record.volumes.push_back(volume);
    record.volumes.back().name = "coming";
    record.volumes.back().whole_from = Point{};
    journal::TimelineInfo timeline;
    timeline.id = Uuid::random();
    timeline.parent = Uuid::random();
    timeline.branch_lsn = Lsn(12);
    timeline.branch_hash = Uuid::random().bytes();
    timeline.branch_seq = FrameSeq(4);
    timeline.number = 2;
    timeline.node = "alpha";
    record.timelines.push_back(timeline);
    record.step = {{timeline.id, Lsn(99)}, {}, FrameSeq(3), {}};
    record.tip = {{timeline.id, Lsn(99)},
                  Uuid::random().bytes(),
                  FrameSeq(17),
                  WallTime(std::chrono::seconds(5))};
    record.peers["beta"].behind_since = Lsn(40);
    record.peers["beta"].compare = "the primary stopped uncleanly";
    record.peers["beta"].proved = Point{timeline.id, Lsn(39)};
    record.intent = IntentRecord{Uuid::random(), Uuid::random(), {"beta", "", "gamma"}};
    record.peers["gamma"] = {};
    record.peers["gamma"].joining = true;
    record.peers["beta"].verified =
        VerifyRecord{WallTime(std::chrono::nanoseconds(1'790'000'000'123'456'789)), Lsn(38),
                     1 << 30, 4096, true};
    return record;
}

TEST(GroupRecord, ComesBackAsItWas) {
    GroupRecord record = sample();
    const auto back = unpack_record(pack_record(record));
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(pack_record(*back), pack_record(record));
    EXPECT_EQ(back->tip, record.tip);
    EXPECT_EQ(back->step, record.step);
    EXPECT_EQ(back->restore, record.restore);
    EXPECT_EQ(back->peers.at("beta").verified, record.peers.at("beta").verified);
    EXPECT_TRUE(back->unserved);
    EXPECT_EQ(back->takeovers, 3U);
    EXPECT_EQ(back->acked, Lsn(98));
    EXPECT_EQ(back->ack_answers, 2U);
    EXPECT_EQ(back->timelines, record.timelines);
    EXPECT_EQ(back->volumes[0].identity, record.volumes[0].identity);
    EXPECT_EQ(back->volumes[0].whole_from, std::nullopt);
    EXPECT_EQ(back->volumes[1].whole_from, record.volumes[1].whole_from);
    EXPECT_EQ(back->volumes[2].whole_from, Point());
    EXPECT_EQ(back->peers.at("beta").behind_since, Lsn(40));
    EXPECT_EQ(back->peers.at("beta").proved, record.peers["beta"].proved);
    EXPECT_EQ(back->peers.at("gamma").behind_since, std::nullopt);
    EXPECT_EQ(back->peers.at("gamma").proved, std::nullopt);
    ASSERT_TRUE(back->intent.has_value());
    EXPECT_EQ(back->intent->id, record.intent->id);
    EXPECT_EQ(back->intent->boot, record.intent->boot);
    EXPECT_EQ(back->intent->standbys, record.intent->standbys);
    EXPECT_EQ(back->refused, "because of that");
    EXPECT_EQ(back->pulling, "beta");
    EXPECT_EQ(back->pulled, record.pulled);
}

TEST(GroupRecord, EveryLineThatIsCutIsRefusedOrLeavesAWholeRecord) {
    const std::string text = pack_record(sample());
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
        const auto back = unpack_record(text.substr(0, cut));
        if (!back.ok()) {
            EXPECT_EQ(back.status().code(), ErrorCode::corrupt);
            EXPECT_NE(back.status().message().find("line "), std::string::npos);
        }
    }
}

TEST(GroupRecord, AnUnknownLineIsRefused) {
    EXPECT_EQ(unpack_record("colour blue\n").status().code(), ErrorCode::corrupt);
    EXPECT_EQ(unpack_record("role 9\n").status().code(), ErrorCode::corrupt);
}

}  // namespace
}  // namespace everstep::daemon
