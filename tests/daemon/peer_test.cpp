// A peer that reads no compressed frames: refused while the group compresses, and never sent one.
#include "daemon/peer.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

FramePtr frame_of(bool compressed) {
    const std::vector<std::byte> data(4096, std::byte{7});
    FrameEntry entry;
    entry.lsn = Lsn(1);
    entry.length = ByteCount(data.size());
    FrameBuilder builder;
    builder.add(entry, data);
    FrameHeader header;
    header.seq = FrameSeq(1);
    header.first_lsn = header.last_lsn = Lsn(1);
    Packer packer(1);
    return builder.seal(header, compressed ? &packer : nullptr);
}

class PeerTest : public testing::Test {
  protected:
    PeerTest() {
        config.nodes.resize(1);
        config.nodes[0].name = "beta";
        config.nodes[0].address = "unix:" + scratch.path() + "/beta";
        group.name = "db";
        context.loop = &loop;
        context.config = &config;
        context.group = &group;
        context.node = "alpha";
        context.events = &events;
        auto made = net::Listener::make(
            loop, config.nodes[0].address, nullptr, {},
            [this](net::StreamPtr stream) { accepted(std::move(stream)); },
            [](const std::string&, const Status&) {});
        EXPECT_TRUE(made.ok()) << made.status().message();
        listener = std::move(*made);
    }
    // beta, which offers `features`.
    void accepted(net::StreamPtr stream) {
        beta = std::make_unique<Link>(loop, std::move(stream));
        LinkEvents of_beta;
        of_beta.on_control = [this](const wire::Control& message) {
            const auto* hello = std::get_if<wire::Hello>(&message);
            if (hello == nullptr) return Status();
            heard = hello->features;
            wire::Hello answer;
            answer.features = features;
            answer.node = "beta";
            answer.group = state();
            beta->send(answer);
            return Status();
        };
        of_beta.on_frame = [this](Buffer frame) {
            frames.push_back(std::move(frame));
            return Status();
        };
        beta->start(std::move(of_beta));
    }
    [[nodiscard]] wire::GroupState state() const {
        wire::GroupState state;
        state.group = group.name;
        state.configuration = group.canonical();
        return state;
    }
    void dial() {
        PeerEvents of_peer;
        of_peer.own_state = [this] { return state(); };
        of_peer.on_greeted = [] {};
        of_peer.on_ended = [](const Status&) {};
        of_peer.keepalive = [] { return wire::Keepalive(); };
        peer = std::make_unique<Peer>(context, "beta", std::move(of_peer));
        peer->dial();
    }
    template <class Condition>
    [[nodiscard]] bool until(Condition condition) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        bool held = false;
        net::Timer poll(loop);
        poll.every(std::chrono::milliseconds(1), [&] {
            held = condition();
            if (held || std::chrono::steady_clock::now() > end) loop.stop();
        });
        loop.run();
        return held;
    }
    [[nodiscard]] bool is(const char* link_state) {
        return until([&] { return peer->link_state() == link_state; });
    }
    test::Scratch scratch;
    net::Loop loop;
    Config config;
    GroupConfig group;
    Events events{"alpha", system_clock()};
    GroupContext context;
    std::uint64_t features = wire::kFeatures;
    std::uint64_t heard = 0;
    std::vector<Buffer> frames;
    std::unique_ptr<net::Listener> listener;
    std::unique_ptr<Link> beta;
    std::unique_ptr<Peer> peer;
};

TEST_F(PeerTest, OneThatReadsCompressedFramesGetsThem) {
    group.compression.level = 3;
    dial();
    ASSERT_TRUE(is("connected"));
    EXPECT_EQ(heard, wire::kFeatureCompressedFrames);
    const FramePtr frame = frame_of(true);
    ASSERT_TRUE(frame->header().compressed);
    peer->send_frame(frame);
    ASSERT_TRUE(until([&] { return frames.size() == 1; }));
    EXPECT_EQ(frames[0].size(), frame->bytes().size());
    EXPECT_TRUE(SealedFrame::parse(std::move(frames[0])).ok());
}

TEST_F(PeerTest, OneThatReadsNoneIsRefusedWhileTheGroupCompresses) {
    features = ~wire::kFeatureCompressedFrames;
    group.compression.automatic = true;
    dial();
    ASSERT_TRUE(is("refused"));
    EXPECT_NE(peer->why().find("beta reads no compressed frames"), std::string::npos)
        << peer->why();
    group.compression = {};
    EXPECT_TRUE(is("connected"));  // it dials again
}

TEST_F(PeerTest, OneThatReadsNoneIsNeverSentOne) {
    features = 0;
    dial();
    ASSERT_TRUE(is("connected"));
    peer->send_frame(frame_of(false));
    ASSERT_TRUE(until([&] { return frames.size() == 1; }));
    peer->send_frame(frame_of(true));            // sealed before the setting was changed
    EXPECT_EQ(peer->link_state(), "connected");  // not in the middle of what sends
    ASSERT_TRUE(is("refused"));
    EXPECT_EQ(frames.size(), 1U);
}

}  // namespace
}  // namespace everstep::daemon
