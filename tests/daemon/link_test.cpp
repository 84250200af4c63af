#include "daemon/link.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

// A stream whose other end takes what is written only when the test says so.
class FakeStream final : public net::Stream {
  public:
    struct Wire {
        net::StreamEvents events;
        std::vector<std::shared_ptr<const void>> kept;
        std::size_t queued = 0;
        std::size_t most = 0;
        void take_all() {
            kept.clear();
            queued = 0;
        }
    };
    explicit FakeStream(Wire& wire) : wire_(wire) {}
    void start(net::StreamEvents events) override { wire_.events = std::move(events); }
    void write(Bytes bytes, std::shared_ptr<const void> keep) override {
        wire_.kept.push_back(std::move(keep));
        wire_.queued += bytes.size();
        wire_.most = std::max(wire_.most, wire_.queued);
    }
    [[nodiscard]] std::size_t queued_bytes() const override { return wire_.queued; }
    void pause_reading(bool) override {}
    void close() override {}
    void finish() override {}
    [[nodiscard]] std::string peer_name() const override { return "beta"; }
    [[nodiscard]] std::string peer_address() const override { return "nowhere"; }

  private:
    Wire& wire_;
};

class LinkTest : public ::testing::Test {
  protected:
    LinkTest() : link(std::make_unique<Link>(loop, std::make_unique<FakeStream>(wire))) {
        events.on_control = [this](const wire::Control&) {
            ++heard;
            return Status();
        };
        events.on_closed = [this](const Status& status) {
            ++ends;
            ended = status;
        };
    }
    void run_what_is_posted() {
        loop.post([this] { loop.stop(); });
        loop.run();
    }
    // The header of a message, and no byte of its body.
    void announce(wire::MessageType type, std::uint32_t body_bytes) {
        wire.events.on_bytes(wire::raw_header(type, body_bytes));
    }
    net::Loop loop;
    FakeStream::Wire wire;
    std::unique_ptr<Link> link;
    LinkEvents events;
    Status ended;
    int ends = 0;
    int heard = 0;
};

TEST_F(LinkTest, ACutIsToldFromAnEndThatWasSaid) {
    const Status cut(ErrorCode::closed, "connection cut");
    for (const bool said : {true, false}) {
        Link one(loop, std::make_unique<FakeStream>(wire));
        one.start(events);
        if (said) wire.events.on_bytes(wire::encode(wire::Goodbye{ErrorCode::ok, "paused"}));
        wire.events.on_closed(cut);
        EXPECT_EQ(ended.message(), said ? "beta says: paused" : "connection cut");
        EXPECT_EQ(one.cut(), !said);
    }
    Link orderly(loop, std::make_unique<FakeStream>(wire));
    orderly.start(events);
    wire.events.on_closed(Status());
    EXPECT_FALSE(orderly.cut());
}

TEST_F(LinkTest, NoEventComesBehindItsClose) {
    std::size_t drained = 0;
    events.on_drained = [&drained] { ++drained; };
    link->start(std::move(events));
    wire.events.on_drained();
    EXPECT_EQ(drained, 1U);
    link->close(Status(ErrorCode::ok, "done"));
    wire.events.on_drained();  // the Goodbye leaves
    const std::vector<std::byte> late = wire::encode(wire::Keepalive{});
    wire.events.on_bytes(late);
    wire.events.on_closed(Status());
    EXPECT_EQ(drained, 1U);
    EXPECT_EQ(heard, 0);
    EXPECT_EQ(ends, 0);
}

TEST_F(LinkTest, RawBytesOutOfTurnAreRefusedAtTheirHeader) {
    link->start(events);
    announce(wire::MessageType::frame, kFrameBytesMax);
    EXPECT_EQ(ended.code(), ErrorCode::corrupt);
    EXPECT_NE(ended.message().find("a frame out of turn"), std::string::npos);
}

TEST_F(LinkTest, AMessageOverTheLinksOwnLimitIsRefusedAtItsHeader) {
    events.control_bytes_max = 1U << 20;
    link->start(events);
    wire.events.on_bytes(wire::encode(wire::Keepalive{}));
    EXPECT_EQ(heard, 1);
    announce(wire::MessageType::control, (1U << 20) + 1);
    EXPECT_EQ(ended.code(), ErrorCode::too_large);
}

TEST_F(LinkTest, APeerThatNeverReadsIsEndedAndCostsNoMoreThanTheBound) {
    link->start(events);
    wire::AdminReply reply;
    reply.message = std::string(60000, 'x');
    const std::size_t one = wire::encode(reply).size();
    for (std::size_t i = 0; i < 2 * kLinkControlBytesMax / one; ++i) link->send(reply);
    EXPECT_EQ(ends, 0) << "not inside send()";
    run_what_is_posted();
    EXPECT_EQ(ends, 1);
    EXPECT_EQ(ended.code(), ErrorCode::too_large) << ended.message();
    EXPECT_LE(wire.most, kLinkControlBytesMax + one);
}

TEST_F(LinkTest, FramesDoNotCountAndWhatWasTakenDoesNotEither) {
    link->start(events);
    wire::AdminReply reply;
    reply.message = std::string(60000, 'x');
    const std::size_t one = wire::encode(reply).size();
    for (std::size_t i = 0; i < 3 * kLinkControlBytesMax / one; ++i) {
        link->send(reply);
        if (i % 100 == 0) wire.take_all();
    }
    wire.take_all();
    for (int i = 0; i < 12; ++i) {
        Buffer data;
        data.resize(wire::kDataBytesMax);
        link->send_data(std::move(data));
    }
    link->send(reply);
    run_what_is_posted();
    EXPECT_EQ(ends, 0) << ended.message();
}

TEST_F(LinkTest, APeerThatIsSilentForItsTimeIsGoneAndOneThatSpeaksIsNot) {
    KeepaliveConfig times;
    times.interval = std::chrono::milliseconds(20);
    times.timeout = std::chrono::milliseconds(200);
    events.times = &times;
    int sent = 0;
    events.keepalive = [&sent] {
        ++sent;
        return wire::Keepalive{};
    };
    events.on_closed = [this](const Status& status) {
        ++ends;
        ended = status;
        loop.stop();
    };
    link->start(events);
    net::Timer speaks(loop);
    int spoken = 0;
    const auto began = std::chrono::steady_clock::now();
    speaks.every(std::chrono::milliseconds(50), [&] {
        if (++spoken > 20) return speaks.cancel();
        wire.events.on_bytes(wire::encode(wire::Keepalive{}));
    });
    loop.run();
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_EQ(ends, 1);
    EXPECT_EQ(ended.code(), ErrorCode::timeout) << ended.message();
    EXPECT_NE(ended.message().find("beta has been silent for 200 ms"), std::string::npos);
    EXPECT_GE(took, std::chrono::milliseconds(1200));  // 20 times 50 ms, and its time
    EXPECT_GE(sent, 20);
}

TEST_F(LinkTest, OtherTimesCountFromTheNextLookOn) {
    KeepaliveConfig times;
    times.interval = std::chrono::milliseconds(20);
    times.timeout = std::chrono::hours(1);
    events.times = &times;
    events.on_closed = [this](const Status&) {
        ++ends;
        loop.stop();
    };
    link->start(events);
    net::Timer changes(loop);
    changes.after(std::chrono::milliseconds(100),
                  [&times] { times.timeout = std::chrono::milliseconds(40); });
    loop.run();
    EXPECT_EQ(ends, 1);
}

}  // namespace
}  // namespace everstep::daemon
