// A step as a block device, as the NBD server uses it.
#include "standby/export_device.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "checks.hpp"
#include "common/net/worker_pool.hpp"

namespace everstep::standby::testing {
namespace {

class Sink final : public BlockSink {
  public:
    void complete(std::uint64_t token, const Status& status) override {
        const std::lock_guard lock(mutex_);
        EXPECT_TRUE(done_.emplace(token, status).second) << "completed twice";
    }
    std::size_t completed() {
        const std::lock_guard lock(mutex_);
        return done_.size();
    }
    Status status(std::uint64_t token) {
        const std::lock_guard lock(mutex_);
        return done_.at(token);
    }

  private:
    std::mutex mutex_;
    std::map<std::uint64_t, Status> done_;
};

class Export : public ::testing::Test {
  protected:
    Export() : scene(directory.path(), group), random(test_seed()) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, random());
    }
    void SetUp() override {
        ASSERT_OK(scene.open());
        ASSERT_OK(scene.begin(maker->timeline()));
        for (int i = 0; i < 30; ++i) scene.push(maker->frame());
        ASSERT_TRUE(scene.wait_durable(maker->head()));
    }
    std::unique_ptr<BlockDevice> device(Point at, std::size_t volume) {
        std::unique_ptr<BlockDevice> made;
        scene.thread().on([&] {
            const auto view = scene.store().view(at);
            ASSERT_TRUE(view.ok()) << view.status().message();
            made = make_export_device(scene.standby(), scene.thread().loop(), *view,
                                      VolumeIndex(volume), maker->sizes()[volume]);
        });
        return made;
    }
    void ask_status(BlockDevice& from, Sink& sink, BlockRequest request) {
        request.op = BlockOp::status;
        scene.thread().on([&] { from.submit(request, sink); });
    }
    void away(std::unique_ptr<BlockDevice> one) {
        scene.thread().on([&] { one.reset(); });
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene;
    std::mt19937_64 random;
    std::unique_ptr<HistoryMaker> maker;
};

TEST_F(Export, ManyReadsAtOnceGiveTheStepWhileTheReplicaMoves) {
    for (int round = 0; round < 6; ++round) {
        const Point at = maker->point(Lsn(random() % (maker->head().value() + 1)));
        const std::size_t volume = round % 2;
        auto exported = device(at, volume);
        const std::vector<std::byte>& wanted = maker->image(at)[volume];
        EXPECT_EQ(exported->size_bytes(), wanted.size());
        EXPECT_TRUE(exported->read_only());
        Sink sink;
        std::vector<std::vector<std::byte>> out(3 * kExportReadsMax);
        std::vector<std::size_t> offsets;
        scene.thread().on([&] {
            for (std::size_t i = 0; i < out.size(); ++i) {
                const std::size_t sectors = wanted.size() / kSectorBytes;
                const std::size_t first = random() % sectors;
                const std::size_t count = std::min<std::size_t>(1 + random() % 20, sectors - first);
                offsets.push_back(first * kSectorBytes);
                out[i].resize(count * kSectorBytes);
                BlockRequest request;
                request.offset = offsets[i];
                request.length = out[i].size();
                request.out = out[i];
                request.token = i;
                exported->submit(request, sink);
            }
        });
        for (int i = 0; i < 5; ++i) scene.push(maker->frame());
        ASSERT_TRUE(eventually([&] { return sink.completed() == out.size(); }));
        for (std::size_t i = 0; i < out.size(); ++i) {
            ASSERT_OK(sink.status(i));
            EXPECT_TRUE(std::equal(out[i].begin(), out[i].end(),
                                   wanted.begin() + static_cast<std::ptrdiff_t>(offsets[i])));
        }
        away(std::move(exported));
        ASSERT_TRUE(scene.wait_durable(maker->head()));
    }
}

TEST_F(Export, WritesAreRefusedAndFlushIsFine) {
    auto exported = device(maker->head_point(), 0);
    Sink sink;
    scene.thread().on([&] {
        std::uint64_t token = 0;
        for (const BlockOp op : {BlockOp::write, BlockOp::trim, BlockOp::zero, BlockOp::flush}) {
            BlockRequest request;
            request.op = op;
            request.length = kSectorBytes;
            request.token = token++;
            exported->submit(request, sink);
        }
    });
    for (std::uint64_t i = 0; i < 3; ++i) EXPECT_EQ(sink.status(i).code(), ErrorCode::refused);
    EXPECT_TRUE(sink.status(3).ok());
    away(std::move(exported));
}

TEST_F(Export, EndedInTheMiddleEachReadIsCompletedOnce) {
    auto exported = device(maker->head_point(), 0);
    Sink sink;
    std::vector<std::vector<std::byte>> out(200, std::vector<std::byte>(16 * kSectorBytes));
    scene.thread().on([&] {
        for (std::size_t i = 0; i < out.size(); ++i) {
            BlockRequest request;
            request.length = out[i].size();
            request.out = out[i];
            request.token = i;
            exported->submit(request, sink);
        }
        exported.reset();
    });
    EXPECT_EQ(sink.completed(), out.size());
}

TEST_F(Export, BlockStatusCoversTheVolumeAndZeroMeansZero) {
    const Point at = maker->point(Lsn(10));
    auto exported = device(at, 0);
    const std::vector<std::byte>& wanted = maker->image(at)[0];
    std::uint64_t offset = 0;
    Sink sink;
    std::uint64_t token = 0;
    while (offset < wanted.size()) {
        std::vector<BlockExtent> extents;
        BlockRequest request;
        request.offset = offset;
        request.length = wanted.size() - offset;
        request.token = token;
        request.extents = &extents;
        request.extents_max = 3;
        ask_status(*exported, sink, request);
        ASSERT_TRUE(eventually([&] { return sink.completed() == token + 1; }));
        ASSERT_OK(sink.status(token++));
        ASSERT_FALSE(extents.empty());
        ASSERT_LE(extents.size(), 3U);
        for (const BlockExtent& extent : extents) {
            ASSERT_GT(extent.length, 0U);
            if (extent.zero) {
                for (std::uint64_t i = 0; i < extent.length; ++i)
                    ASSERT_EQ(wanted[offset + i], std::byte{0});
            }
            offset += extent.length;
        }
    }
    EXPECT_EQ(offset, wanted.size());
    away(std::move(exported));
}

TEST_F(Export, HolesAreLookedUpByTheReadersAndNotOnTheLoop) {
    auto exported = device(maker->point(Lsn(10)), 0);
    std::promise<void> open;
    const std::shared_future<void> gate = open.get_future().share();
    std::atomic<std::size_t> busy = 0;
    for (std::size_t i = 0; i < kReaderThreads; ++i) {
        scene.standby().readers().post([&busy, gate] {
            ++busy;
            gate.wait();
        });
    }
    ASSERT_TRUE(eventually([&] { return busy == kReaderThreads; }));
    Sink sink;
    std::vector<BlockExtent> extents;
    BlockRequest request;
    request.length = maker->sizes()[0].value();
    request.extents = &extents;
    request.extents_max = 8;
    ask_status(*exported, sink, request);
    scene.thread().on([] {});
    EXPECT_EQ(sink.completed(), 0U);
    open.set_value();
    ASSERT_TRUE(eventually([&] { return sink.completed() == 1; }));
    ASSERT_OK(sink.status(0));
    EXPECT_FALSE(extents.empty());
    away(std::move(exported));
}

}  // namespace
}  // namespace everstep::standby::testing
