// Serving a group: what the host does not give, and the order in which frames and answers come.
#include "daemon/pipeline.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/base/thread.hpp"
#include "tests/daemon/piecewise_files.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

// A served volume.
PipelineOptions options_in(const test::Scratch& scratch, ByteCount size = ByteCount(1 << 20)) {
    PipelineOptions options;
    options.capture.group = Uuid::random();
    options.capture.tip.point.timeline = Uuid::random();
    options.capture.new_timeline = true;
    options.capture.clock = &system_clock();
    options.files = &io::system_files();
    options.volumes.push_back(
        {"data", scratch.path() + "/data.img", "unix:" + scratch.path() + "/data.sock", size});
    const auto image = options.files->open(options.volumes[0].device,
                                           {.mode = io::OpenMode::create, .direct = false});
    EXPECT_TRUE(image.ok() && (*image)->resize(size).ok());
    return options;
}

TEST(Pipeline, WithoutThreadsForItItIsNotServedAndLaterItIs) {
    const test::Scratch scratch;
    const PipelineOptions options = options_in(scratch);
    net::Loop node;
    std::int64_t given = 0;
    for (bool served = false; !served; ++given) {
        ASSERT_LT(given, 10);
        Pipeline pipeline(node, options, {});
        threads_to_give() = given;
        const Status started = pipeline.start();
        threads_to_give() = std::numeric_limits<std::int64_t>::max();
        served = started.ok();
        if (served) {
            EXPECT_FALSE(pipeline.uris()[0].empty());
            continue;
        }
        EXPECT_EQ(started.code(), ErrorCode::refused);
        EXPECT_NE(started.message().find("no more threads"), std::string::npos);
    }
    EXPECT_GT(given, 2);
}

// What belongs behind a frame is sent behind it only if it is known before the next one: also where
// the node's loop is so busy that many frames wait for it.
TEST(Pipeline, AnAnswerComesBehindItsFrameAndBeforeTheNext) {
    const test::Scratch scratch;
    net::Loop node;
    std::string heard;
    PipelineEvents events;
    events.on_frame = [&](const FramePtr& frame) {
        heard += "frame " + std::to_string(frame->header().seq.value()) + ", ";
    };
    Pipeline pipeline(node, options_in(scratch), events);
    ASSERT_TRUE(pipeline.start().ok());
    const auto stepped = [&](const journal::Tip& tip) {
        heard += "step " + std::to_string(tip.seq.value()) + ", ";
    };
    pipeline.sync_step(stepped);
    pipeline.read_exact({VolumeIndex(0), ByteOffset(0), ByteCount(1 << 20)},
                        [&](const Result<ExactExtent>& read) {
                            ASSERT_TRUE(read.ok());
                            heard += "read " + std::to_string(read->after.value()) + ", ";
                        });
    pipeline.sync_step(stepped);
    static_cast<void>(pipeline.clients());  // behind all of them on the capture thread
    node.post([&] { node.stop(); });
    node.run();
    EXPECT_EQ(heard, "frame 1, step 1, read 1, frame 2, step 2, ");
}

// A look for holes may wait for the disk, and for very many pieces: the writes do not.
TEST(Pipeline, ALookForHolesHoldsNoWriteAndIsBounded) {
    constexpr ByteCount kSize{256ULL << 20};
    const test::Scratch scratch;
    std::promise<void> go_on;
    test::Looks looks;
    looks.go_on = go_on.get_future().share();
    test::PiecewiseFiles files(looks);
    PipelineOptions options = options_in(scratch, kSize);
    options.files = &files;
    net::Loop node;
    std::string heard;
    Pipeline pipeline(node, options, {[](const FramePtr&) {}, {}, {}, {}});
    ASSERT_TRUE(pipeline.start().ok());
    net::Timer deadline(node);
    deadline.after(std::chrono::seconds(60), [&] {
        heard += "deadline";
        go_on.set_value();
        node.stop();
    });
    pipeline.find_holes({VolumeIndex(0), ByteOffset(0), kSize},
                        [&](const Result<FoundHoles>& found) {
                            ASSERT_TRUE(found.ok());
                            heard += "holes " + std::to_string(found->after.value());
                            EXPECT_GE(found->data.size(), 1U);
                            EXPECT_LT(found->covered, kSize);
                            EXPECT_LE(looks.extents, 4 * kHolesExtentsMax);
                            node.stop();
                        });
    pipeline.sync_step([&](const journal::Tip& tip) {
        heard += "step " + std::to_string(tip.seq.value()) + ", ";
        deadline.cancel();
        go_on.set_value();
    });
    node.run();
    EXPECT_EQ(heard, "step 1, holes 0");
}

struct Shipped {
    std::vector<FramePtr> frames;
    // "KIND VOLUME+OFFSET/LENGTH" of every write.
    [[nodiscard]] std::string writes() const {
        std::string out;
        for (const FramePtr& frame : frames)
            for (const FrameEntry& one : frame->entries())
                out += fmt::format("{} {}+{}/{}, ", static_cast<int>(one.kind), one.volume.value(),
                                   one.offset.value(), one.length.value());
        return out;
    }
};

// What the volume held before comes as steps, holes as zeroes, in the order of the device.
TEST(Pipeline, AVolumeThatComesIsServedAndWhatItHeldIsShipped) {
    const test::Scratch scratch;
    net::Loop node;
    Shipped shipped;
    PipelineEvents events;
    events.on_frame = [&](const FramePtr& frame) { shipped.frames.push_back(frame); };
    PipelineOptions options = options_in(scratch);
    options.intent = {scratch.path() + "/intent", Uuid::random(), IntentBegin::all_clear, 1};
    Pipeline pipeline(node, options, events);
    ASSERT_TRUE(pipeline.start().ok());
    PipelineVolume more{"more", scratch.path() + "/more.img",
                        "unix:" + scratch.path() + "/more.sock", ByteCount(1 << 20)};
    more.coming = true;
    {
        const auto image = options.files->open(more.device, {.mode = io::OpenMode::create});
        const std::vector<std::byte> block(4096, std::byte{7});
        ASSERT_TRUE(image.ok() && (*image)->resize(more.size).ok());
        ASSERT_TRUE((*image)->write_at(ByteOffset(8192), block).ok());
    }
    // Nothing of it stays where it cannot be recorded.
    const Status unsaved = pipeline.add_volumes({more}, [] { return Status(ErrorCode::io, "no"); });
    EXPECT_EQ(unsaved.code(), ErrorCode::io);
    EXPECT_EQ(pipeline.uris().size(), 1U);
    PipelineVolume gone = more;
    gone.device += ".gone";
    EXPECT_FALSE(pipeline.add_volumes({more, gone}, [] { return Status(); }).ok());
    ASSERT_TRUE(pipeline.add_volumes({more}, [] { return Status(); }).ok());
    ASSERT_EQ(pipeline.uris().size(), 2U);
    EXPECT_FALSE(pipeline.uris()[1].empty());
    Lsn whole;
    std::string compared;  // what a resync would compare of it, before each piece and behind all
    std::function<void()> next = [&] {
        pipeline.may_differ(0, false, [&](const std::vector<journal::GapExtent>& extents) {
            for (const journal::GapExtent& one : extents)
                compared += fmt::format("{}+{}", one.offset.value(), one.length.value());
            compared += ", ";
            if (whole != Lsn()) node.stop();
        });
        if (whole != Lsn()) return;
        pipeline.take_in(VolumeIndex(1), [&](Result<Pipeline::TakenIn> taken) {
            ASSERT_TRUE(taken.ok()) << taken.status().message();
            whole = taken->tip.point.lsn;
            next();
        });
    };
    node.post(next);
    node.run();
    EXPECT_EQ(whole, Lsn(3));
    EXPECT_EQ(compared, ", 0+8192, 0+12288, 0+1048576, ");
    const int zero = static_cast<int>(EntryKind::zero);
    const int reread = static_cast<int>(EntryKind::reread);
    EXPECT_EQ(shipped.writes(),
              fmt::format("{0} 1+0/8192, {1} 1+8192/4096, {0} 1+12288/1036288, ", zero, reread));
}

}  // namespace
}  // namespace everstep::daemon
