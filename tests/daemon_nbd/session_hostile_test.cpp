// The limits of a session, and bytes that no honest client sends.
#include <gtest/gtest.h>

#include "tests/daemon_nbd/session_harness.hpp"

namespace everstep::test {
namespace {

constexpr std::uint64_t kSize = 64U << 20;

TEST(SessionLimits, TheOneRequestTooManyWaits) {
    MemoryDevice device(kSize);
    device.hold = true;
    SessionHarness client(device, false);
    ByteVector bytes;
    for (std::uint64_t i = 0; i < kNbdRequestsMax + 100; ++i)
        append(bytes, write_request(i, i * 512, pattern(512, i)));
    client.send(bytes);
    EXPECT_TRUE(client.session->full());
    EXPECT_EQ(device.held.size(), kNbdRequestsMax);
    EXPECT_FALSE(client.session->resume(0));
    device.release(0);
    EXPECT_TRUE(client.session->resume(0));
    EXPECT_EQ(device.held.size(), kNbdRequestsMax);
    while (!device.held.empty()) {
        device.release_all();
        client.session->resume(0);
    }
    EXPECT_FALSE(client.session->full());
    const ByteVector answer = client.replies();
    Bytes rest = answer;
    for (std::uint64_t i = 0; i < kNbdRequestsMax + 100; ++i) EXPECT_EQ(take_reply(rest).cookie, i);
    for (std::uint64_t i = 0; i < kNbdRequestsMax + 100; ++i)
        EXPECT_TRUE(
            std::ranges::equal(Bytes(device.memory()).subspan(i * 512, 512), pattern(512, i)));
}

TEST(SessionLimits, BytesInFlightAreBounded) {
    MemoryDevice device(kSize);
    device.hold = true;
    SessionHarness client(device, false);
    ByteVector bytes;
    for (std::uint64_t i = 0; i < 10; ++i)
        append(bytes, request(NbdCommand::read, {.cookie = i, .length = 32U << 20}));
    client.send(bytes);
    EXPECT_TRUE(client.session->full());
    EXPECT_EQ(device.held.size(), 3U) << "four and their headers are over 128 MiB";
    device.release_all();
}

TEST(SessionLimits, UnreadRepliesHoldUpRequests) {
    MemoryDevice device(kSize);
    SessionHarness client(device, true);
    const ByteVector read = request(NbdCommand::read, {.length = 1U << 20});
    client.session->feed(read, kNbdBytesMax);
    EXPECT_TRUE(client.session->full());
    EXPECT_EQ(device.submitted, 0U);
    EXPECT_FALSE(client.session->resume(kNbdBytesMax));
    EXPECT_TRUE(client.session->resume(0));
    EXPECT_FALSE(client.session->full());
    EXPECT_EQ(device.submitted, 1U);
}

TEST(SessionLimits, RequestsThatAreRefusedAreHeldUpToo) {
    MemoryDevice device(kSize);
    SessionHarness client(device, true);
    client.session->feed(request({}, {.type = 999}), kNbdBytesMax + 1);
    EXPECT_TRUE(client.session->full());
    EXPECT_TRUE(client.replies().empty());
}

// A stream that lets go of read data only much later: the buffers may not be used again before
// that.
TEST(SessionLimits, ReadDataStayUntilTheStreamLetsGo) {
    MemoryDevice device(kSize);
    SessionHarness client(device, false);
    std::vector<NbdReplies::Piece> queued;
    std::vector<std::uint64_t> order;
    std::size_t unsent = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
        const ByteVector data = pattern(4096, i);
        std::ranges::copy(data, device.memory().begin());
        client.session->feed(request(NbdCommand::read, {.cookie = i, .length = 4096}), unsent);
        for (const auto& piece : client.session->replies().pieces()) {
            queued.push_back(piece);
            unsent += piece.bytes.size();
        }
        client.session->replies().clear();
        order.push_back(i);
        if (i % 7 != 0) continue;
        for (std::size_t n = 0; n < queued.size(); ++n) {
            ASSERT_TRUE(std::ranges::equal(queued[n].bytes.subspan(kNbdSimpleReplyBytes),
                                           pattern(4096, order[n])));
        }
        if (i % 21 == 0) {
            queued.clear();
            order.clear();
            unsent = 0;
        }
    }
}

TEST(HostileSession, EveryTruncationIsHarmless) {
    const ByteVector data = pattern(4096, 5);
    ByteVector bytes = write_request(1, 0, data);
    append(bytes, request(NbdCommand::read, {.cookie = 2, .length = 4096}));
    append(bytes, request(NbdCommand::block_status, {.cookie = 3, .length = 1U << 20}));
    append(bytes, write_request(4, 100, pattern(512, 6)));
    append(bytes, request(NbdCommand::disconnect, {}));
    for (std::size_t length = 0; length <= bytes.size(); ++length) {
        MemoryDevice device(1U << 20);
        SessionHarness client(device, true);
        client.send({bytes.begin(), bytes.begin() + static_cast<long>(length)});
        const std::size_t whole = kNbdRequestBytes + data.size();
        EXPECT_EQ(device.submitted, (length >= whole ? 1U : 0U) +
                                        (length >= whole + kNbdRequestBytes ? 1U : 0U) +
                                        (length >= whole + 2 * kNbdRequestBytes ? 1U : 0U));
        EXPECT_EQ(client.session->state() == NbdSession::State::ending, length == bytes.size());
        client.session->detach();
    }
}

// Random requests, damaged now and then, in random pieces, completed in random order, with a device
// that may fail.
void run_random_client(std::mt19937_64& random, bool structured) {
    MemoryDevice device(1U << 20, random() % 4 == 0);
    device.hold = true;
    SessionHarness client(device, structured);
    ByteVector bytes;
    for (int i = 0; i < 60; ++i) {
        Request fields{.type = static_cast<std::uint16_t>(random() % 9),
                       .cookie = random(),
                       .offset = (random() % 2100) * 512,
                       .length = static_cast<std::uint32_t>(random() % 40 * 512),
                       .flags = static_cast<std::uint16_t>(random() % 3)};
        if (fields.type == 2 && random() % 8 != 0) fields.type = 3;
        if (random() % 10 == 0) fields.offset = random();
        if (random() % 10 == 0) fields.flags = static_cast<std::uint16_t>(random());
        if (random() % 10 == 0) fields.length = static_cast<std::uint32_t>(random());
        if (fields.type == 1) fields.length %= 1U << 20;
        append(bytes, request({}, fields, pattern(fields.type == 1 ? fields.length : 0, random())));
    }
    if (random() % 2 == 0) bytes[random() % bytes.size()] ^= static_cast<std::byte>(random());
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t piece = std::min<std::size_t>(1 + random() % 20000, bytes.size() - at);
        client.session->feed(Bytes(bytes).subspan(at, piece), random() % 3 == 0 ? kNbdBytesMax : 0);
        at += piece;
        while (!device.held.empty() && random() % 4 != 0)
            device.release(random() % device.held.size(),
                           random() % 5 == 0 ? Status(ErrorCode::io, "bad") : Status());
        client.session->resume(0);
        client.session->end_of_batch();
        client.session->replies().clear();
    }
    client.session->detach();
    device.release_all();
}

TEST(HostileSession, GarbageNeverReachesTheDevice) {
    std::mt19937_64 random(test_seed());
    for (int round = 0; round < 400; ++round) run_random_client(random, round % 2 == 0);
}

}  // namespace
}  // namespace everstep::test
