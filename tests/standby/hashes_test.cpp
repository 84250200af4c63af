// What a standby says of what it holds: as of the place of the question in the stream.
#include <gtest/gtest.h>

#include "checks.hpp"
#include "common/base/checksum.hpp"
#include "faulty_files.hpp"
#include "sender.hpp"
#include "standby/receive_hashes.hpp"

namespace everstep::standby::testing {
namespace {

constexpr std::uint64_t kSeed = 0x5eed;

class Hashes : public ::testing::Test {
  protected:
    Hashes() : scene(directory.path(), group, SceneOptions{.files = &files}) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, test_seed());
    }
    void SetUp() override {
        ASSERT_OK(scene.open());
        sender = std::make_unique<Sender>(scene, *maker);
        ASSERT_OK(sender->begin(sender->start(wire::StartMode::initial, maker->head_point())));
    }
    void end_initial() {
        wire::InitialEnd end;
        end.base = maker->head_point();
        ASSERT_OK(sender->control(end));
    }
    [[nodiscard]] wire::HashRequest question(std::uint64_t id, std::size_t volume = 0) const {
        return {id, VolumeIndex(volume), ByteOffset(0), maker->sizes()[volume], kSeed};
    }
    static void expect_of(const std::vector<std::byte>& content, const wire::HashReply& reply) {
        ASSERT_EQ(reply.error, ErrorCode::ok) << reply.message;
        if (is_zero(Bytes(content))) {
            EXPECT_TRUE(reply.zero);
            EXPECT_TRUE(reply.hashes.empty());
            return;
        }
        constexpr std::size_t kBlock = wire::kHashedBlockBytes;
        ASSERT_EQ(reply.hashes.size(), (content.size() + kBlock - 1) / kBlock);
        for (std::size_t i = 0; i < reply.hashes.size(); ++i) {
            const Bytes block = Bytes(content)
                                    .subspan(i * kBlock)
                                    .first(std::min(kBlock, content.size() - i * kBlock));
            EXPECT_EQ(hex(reply.hashes[i]), hex(xxh3_128(block, kSeed))) << "block " << i;
        }
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    FaultyFiles files{io::system_files(), "/data.img"};
    Scene scene;
    std::unique_ptr<HistoryMaker> maker;
    std::unique_ptr<Sender> sender;
};

TEST_F(Hashes, AreOfTheStepBehindWhichTheQuestionWasSent) {
    end_initial();
    std::vector<Point> asked;
    for (std::uint64_t id = 1; id <= 20; ++id) {
        ASSERT_OK(sender->frame(maker->frame()));
        ASSERT_OK(sender->control(question(id)));
        asked.push_back(maker->head_point());
    }
    for (std::uint64_t id = 1; id <= 20; ++id) {
        const auto reply = sender->hashes();
        ASSERT_TRUE(reply.has_value());
        EXPECT_EQ(reply->id, id);
        expect_of(maker->image(asked[id - 1])[0], *reply);
    }
}

// A verify of a replica on a disk that is slow to read: its answers wait, acknowledgements do not.
TEST_F(Hashes, AReadThatWaitsForTheDiskHoldsNoAcknowledgement) {
    end_initial();
    for (int i = 0; i < 5; ++i) ASSERT_OK(sender->frame(maker->frame()));
    ASSERT_TRUE(scene.wait_applied(maker->head_point().lsn));
    const Point asked = maker->head_point();
    files.hold_reads(true);
    for (std::uint64_t id = 1; id <= kHashRequestsMax; ++id)
        ASSERT_OK(sender->control(question(id)));
    EXPECT_TRUE(eventually([&] { return files.holds_reads(); }));
    for (int i = 0; i < 20; ++i) ASSERT_OK(sender->frame(maker->frame()));
    const bool acknowledged = sender->acked(maker->head_point().lsn);
    files.hold_reads(false);
    EXPECT_TRUE(acknowledged);
    ASSERT_TRUE(scene.wait_applied(maker->head_point().lsn));
    for (std::uint64_t id = 1; id <= kHashRequestsMax; ++id) {
        const auto reply = sender->hashes();
        ASSERT_TRUE(reply.has_value());
        EXPECT_EQ(reply->id, id);
        expect_of(maker->image(asked)[0], *reply);
    }
}

TEST_F(Hashes, AreOfTheReplicaDuringAnInitialSync) {
    const auto before = [this] {
        ASSERT_OK(sender->control(question(1)));
        const auto reply = sender->hashes();
        ASSERT_TRUE(reply.has_value());
        EXPECT_TRUE(reply->zero);
    };
    before();
    for (int i = 0; i < 20; ++i) (void)maker->frame();
    for (const FramePtr& frame : maker->content_frames()) ASSERT_OK(sender->frame(frame));
    for (std::size_t volume = 0; volume < maker->sizes().size(); ++volume) {
        ASSERT_OK(sender->control(question(2 + volume, volume)));
        const auto reply = sender->hashes();
        ASSERT_TRUE(reply.has_value());
        expect_of(maker->now()[volume], *reply);
    }
}

TEST_F(Hashes, ARangeThatIsNoneEndsTheSession) {
    end_initial();
    wire::HashRequest past = question(1);
    past.offset = ByteOffset(kSectorBytes);
    EXPECT_EQ(sender->control(past).code(), ErrorCode::corrupt);
}

TEST_F(Hashes, AVolumeThatIsNoneEndsTheSession) {
    end_initial();
    wire::HashRequest other = question(1);
    other.volume = VolumeIndex(maker->sizes().size());
    EXPECT_EQ(sender->control(other).code(), ErrorCode::corrupt);
}

TEST_F(Hashes, PartsOfSectorsEndTheSession) {
    end_initial();
    wire::HashRequest part = question(1);
    part.length = ByteCount(100);
    EXPECT_EQ(sender->control(part).code(), ErrorCode::corrupt);
}

TEST_F(Hashes, AreNotToldBeforeStart) {
    Sender fresh(scene, *maker);
    EXPECT_EQ(fresh.control(question(1)).code(), ErrorCode::corrupt);
}

TEST_F(Hashes, MoreQuestionsThanMayWaitEndTheSession) {
    end_initial();
    Status status;
    scene.thread().on([&] {  // no answer arrives meanwhile
        for (std::uint64_t id = 1; id <= kHashRequestsMax + 1 && status.ok(); ++id)
            status = sender->session().on_control(question(id));
    });
    EXPECT_EQ(status.code(), ErrorCode::too_large);
}

}  // namespace
}  // namespace everstep::standby::testing
