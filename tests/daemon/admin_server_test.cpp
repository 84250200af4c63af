#include "daemon/admin_server.hpp"
#include "proto/message_reader.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "scratch.hpp"

namespace everstep::daemon {
namespace {

constexpr std::size_t kBound = 64U << 20;

// Reads whole messages until the stream's end.
void read_replies(net::BlockingStream& stream, std::size_t& bytes, wire::AdminReply& last) {
    wire::MessageReader::Events events;
    events.on_control = [&last](const wire::Control& message) {
        last = std::get<wire::AdminReply>(message);
        return Status();
    };
    wire::MessageReader reader(std::move(events));
    std::byte one{};
    std::vector<std::byte> header(8);
    while (stream.read(header).ok()) {
        std::vector<std::byte> body(std::to_integer<std::size_t>(header[0]) |
                                    std::to_integer<std::size_t>(header[1]) << 8 |
                                    std::to_integer<std::size_t>(header[2]) << 16);
        if (!stream.read(body).ok()) break;
        bytes += header.size() + body.size();
        EXPECT_TRUE(reader.feed(header).ok());
        EXPECT_TRUE(reader.feed(body).ok());
    }
    EXPECT_EQ(stream.read({&one, 1}).code(), ErrorCode::closed);
}

TEST(AdminServer, AClientThatDoesNotReadIsAnsweredUpToTheBoundAndToldSo) {
    const test::Scratch directory;
    net::Loop loop;
    std::atomic<bool> answered = false;
    bool gone = false;
    auto server = AdminServer::make(
        loop, directory.path() + "/admin.sock",
        [&](const wire::AdminRequest&, const AdminAnswer& answer) {
            answer.on_gone([&gone] { gone = true; });
            wire::AdminReply reply;
            reply.message = std::string(60000, 'x');
            reply.more = true;
            for (std::size_t i = 0; i < 2 * kBound / 60000; ++i) answer(reply);
            loop.post([&, answer] { answered = true; });  // the request is still held
        });
    ASSERT_TRUE(server.ok()) << server.status().message();
    std::size_t bytes = 0;
    wire::AdminReply last;
    std::thread client([&] {
        auto stream = net::BlockingStream::connect(directory.path() + "/admin.sock");
        ASSERT_TRUE(stream.ok()) << stream.status().message();
        wire::AdminRequest request;
        request.verb = "log";
        EXPECT_TRUE((*stream)->write(wire::encode(request)).ok());
        answered.wait(false);
        read_replies(**stream, bytes, last);
        loop.stop();
    });
    net::Timer wake(loop);
    wake.every(std::chrono::milliseconds(1), [&] {
        if (answered) answered.notify_all();
    });
    loop.run();
    client.join();
    EXPECT_GE(bytes, kBound);
    EXPECT_LE(bytes, kBound + (1U << 20));
    EXPECT_EQ(last.error, ErrorCode::too_large) << last.message;
    EXPECT_FALSE(last.more);
    EXPECT_TRUE(gone) << "who makes the answers hears of it";
}

}  // namespace
}  // namespace everstep::daemon
