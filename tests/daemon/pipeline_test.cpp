// Serving a group: what the host does not give, and the order in which frames and answers come.
#include "daemon/pipeline.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "common/base/thread.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

// A served volume of 1 MiB.
PipelineOptions options_in(const test::Scratch& scratch) {
    PipelineOptions options;
    options.capture.group = Uuid::random();
    options.capture.tip.point.timeline = Uuid::random();
    options.capture.new_timeline = true;
    options.capture.clock = &system_clock();
    options.files = &io::system_files();
    options.volumes.push_back({"data", scratch.path() + "/data.img",
                               "unix:" + scratch.path() + "/data.sock", ByteCount(1 << 20)});
    const auto image = options.files->open(options.volumes[0].device,
                                           {.mode = io::OpenMode::create, .direct = false});
    EXPECT_TRUE(image.ok() && (*image)->resize(ByteCount(1 << 20)).ok());
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
    pipeline.find_holes({VolumeIndex(0), ByteOffset(0), ByteCount(1 << 20)},
                        [&](const Result<FoundHoles>& found) {
                            ASSERT_TRUE(found.ok());
                            heard += "holes " + std::to_string(found->after.value()) + ", ";
                        });
    pipeline.sync_step(stepped);
    static_cast<void>(pipeline.clients());  // behind all of them on the capture thread
    node.post([&] { node.stop(); });
    node.run();
    EXPECT_EQ(heard, "frame 1, step 1, holes 1, frame 2, step 2, ");
}

}  // namespace
}  // namespace everstep::daemon
