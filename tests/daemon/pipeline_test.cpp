// Serving a group: what the host does not give.
#include "daemon/pipeline.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "common/base/thread.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

TEST(Pipeline, WithoutThreadsForItItIsNotServedAndLaterItIs) {
    const test::Scratch scratch;
    PipelineOptions options;
    options.capture.group = Uuid::random();
    options.capture.tip.point.timeline = Uuid::random();
    options.capture.new_timeline = true;
    options.capture.clock = &system_clock();
    options.files = &io::system_files();
    options.volumes.push_back({"data", scratch.path() + "/data.img",
                               "unix:" + scratch.path() + "/data.sock", ByteCount(1 << 20)});
    {
        auto image = options.files->open(options.volumes[0].device,
                                         {.mode = io::OpenMode::create, .direct = false});
        ASSERT_TRUE(image.ok()) << image.status().message();
        ASSERT_TRUE((*image)->resize(ByteCount(1 << 20)).ok());
    }
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

}  // namespace
}  // namespace everstep::daemon
