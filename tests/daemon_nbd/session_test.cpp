#include <gtest/gtest.h>

#include "tests/daemon_nbd/session_harness.hpp"

namespace everstep::test {
namespace {

constexpr std::uint64_t kSize = 64U << 20;
constexpr std::uint32_t kEinval = 22;
constexpr std::uint32_t kEnospc = 28;

Bytes part(MemoryDevice& device, std::uint64_t offset, std::size_t length) {
    return Bytes(device.memory()).subspan(offset, length);
}

class Session : public ::testing::TestWithParam<bool> {
  protected:
    MemoryDevice device_{kSize};
    SessionHarness client_{device_, GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Replies, Session, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Structured" : "Simple"; });

TEST_P(Session, WriteThenReadGivesTheSameBytes) {
    const ByteVector data = pattern(8192, 1);
    EXPECT_EQ(client_.error_of(write_request(7, 512, data)), 0U);
    const Reply reply =
        client_.ask(request(NbdCommand::read, {.cookie = 8, .offset = 512, .length = 8192}), 8192);
    EXPECT_EQ(reply.cookie, 8U);
    EXPECT_EQ(reply.data, data);
    EXPECT_EQ(reply.structured, GetParam());
    EXPECT_EQ(reply.offset, GetParam() ? 512U : 0U);
    EXPECT_EQ(device_.batches, 2U);
}

TEST_P(Session, RepliesLeaveInTheOrderOfCompletion) {
    device_.hold = true;
    ByteVector bytes;
    for (std::uint64_t i = 0; i < 4; ++i)
        append(bytes, write_request(100 + i, i * 4096, pattern(4096, i)));
    EXPECT_TRUE(client_.send(bytes).empty());
    EXPECT_EQ(client_.wakes, 0);
    EXPECT_EQ(device_.batches, 1U) << "all that one read returned is one batch";
    for (const std::size_t pick : {2U, 0U, 1U, 0U}) device_.release(pick);
    EXPECT_EQ(client_.wakes, 1) << "one wake for the group";
    const ByteVector answer = client_.replies();
    Bytes rest = answer;
    for (const std::uint64_t cookie : {102U, 100U, 103U, 101U})
        EXPECT_EQ(take_reply(rest).cookie, cookie);
    EXPECT_TRUE(client_.session->idle());
}

TEST_P(Session, AWriteInPiecesIsTheSameWrite) {
    for (const std::size_t piece : {1U, 3U, 27U, 28U, 29U, 100U, 4096U, 5000U, 9999U}) {
        const ByteVector data = pattern(12288, piece);
        ByteVector bytes = write_request(1, 4096, data, kNbdCmdFua);
        append(bytes, write_request(2, 65536, pattern(512, piece + 1000)));
        append(bytes, request(NbdCommand::flush, {.cookie = 3}));
        const std::size_t flushed = device_.submitted;
        ByteVector answer;
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            const auto end = std::min(bytes.size(), at + piece);
            append(answer, client_.send({bytes.begin() + static_cast<long>(at),
                                         bytes.begin() + static_cast<long>(end)}));
        }
        Bytes rest = answer;
        for (std::uint64_t cookie = 1; cookie <= 3; ++cookie) {
            const Reply reply = take_reply(rest);
            EXPECT_EQ(reply.cookie, cookie);
            EXPECT_EQ(reply.error, 0U);
        }
        EXPECT_EQ(device_.submitted, flushed + 3);
        EXPECT_TRUE(std::ranges::equal(part(device_, 4096, data.size()), data));
    }
    EXPECT_EQ(device_.fua_seen, 9U);
}

TEST_P(Session, BadRequestsGetTheErrorOfTheSpecification) {
    const ByteVector data = pattern(512, 3);
    EXPECT_EQ(client_.error_of(request(NbdCommand::read, {.offset = 100, .length = 512})), kEinval);
    EXPECT_EQ(client_.error_of(request(NbdCommand::read, {.offset = 512, .length = 100})), kEinval);
    EXPECT_EQ(client_.error_of(request(NbdCommand::read, {.offset = kSize, .length = 512})),
              kEinval);
    EXPECT_EQ(client_.error_of(write_request(1, kSize, data)), kEnospc);
    EXPECT_EQ(client_.error_of(write_request(1, ~511ULL, data)), kEnospc);
    EXPECT_EQ(client_.error_of(write_request(1, 3, data)), kEinval);
    EXPECT_EQ(client_.error_of(write_request(1, 0, pattern(511, 1))), kEinval);
    EXPECT_EQ(client_.error_of(request(NbdCommand::write_zeroes, {.offset = kSize, .length = 512})),
              kEnospc);
    EXPECT_EQ(client_.error_of(request(NbdCommand::trim, {.offset = kSize, .length = 512})),
              kEinval);
    EXPECT_EQ(client_.error_of(
                  request(NbdCommand::write_zeroes, {.length = 512, .flags = kNbdCmdFastZero})),
              kEinval)
        << "not advertised";
    EXPECT_EQ(client_.error_of(request(NbdCommand::flush, {.length = 512})), kEinval);
    EXPECT_EQ(client_.error_of(request({}, {.type = 5, .length = 512})), kEinval) << "cache";
    EXPECT_EQ(client_.error_of(request({}, {.type = 4000, .length = 512})), kEinval);
    EXPECT_EQ(client_.error_of(write_request(1, 0, data, 1U << 9)), kEinval) << "unknown flag";
    const Reply big = client_.ask(request(NbdCommand::read, {.length = (32U << 20) + 512}));
    EXPECT_EQ(big.error, GetParam() ? 75U : kEinval);
    EXPECT_EQ(big.text.empty(), !GetParam());
    EXPECT_EQ(device_.submitted, 0U);
    EXPECT_EQ(client_.session->state(), NbdSession::State::open);
}

TEST_P(Session, PayloadOfARefusedWriteIsDrained) {
    const ByteVector data = pattern(4096, 4);
    ByteVector bytes = write_request(1, kSize - 512, data);
    append(bytes, write_request(2, 100, data));
    append(bytes, write_request(3, 0, data));
    for (const std::size_t piece : {bytes.size(), std::size_t{1000}}) {
        ByteVector answer;
        for (std::size_t at = 0; at < bytes.size(); at += piece)
            append(answer, client_.send({bytes.begin() + static_cast<long>(at),
                                         bytes.begin() + static_cast<long>(
                                                             std::min(bytes.size(), at + piece))}));
        Bytes rest = answer;
        EXPECT_EQ(take_reply(rest).error, kEnospc);
        EXPECT_EQ(take_reply(rest).error, kEinval);
        EXPECT_EQ(take_reply(rest).error, 0U);
        EXPECT_TRUE(rest.empty());
    }
}

TEST_P(Session, AWriteOverTheLimitIsDrainedAnAbsurdOneEndsIt) {
    ByteVector head = request(NbdCommand::write, {.cookie = 1, .length = (32U << 20) + 512});
    EXPECT_TRUE(client_.send(head).empty());
    const ByteVector chunk(1U << 20);
    for (int i = 0; i < 32; ++i) EXPECT_TRUE(client_.send(chunk).empty());
    EXPECT_EQ(client_.error_of(ByteVector(512)), kEinval);
    client_.send(request(NbdCommand::write, {.cookie = 1, .length = 0xfffffe00}));
    EXPECT_EQ(client_.session->state(), NbdSession::State::broken);
}

TEST_P(Session, WrongMagicBreaksIt) {
    ByteVector bytes = request(NbdCommand::flush, {});
    bytes[0] ^= std::byte{0x80};
    EXPECT_TRUE(client_.send(bytes).empty());
    EXPECT_EQ(client_.session->state(), NbdSession::State::broken);
    EXPECT_FALSE(client_.session->why().empty());
    client_.send(request(NbdCommand::flush, {}));
    EXPECT_EQ(device_.submitted, 0U);
}

TEST_P(Session, FlagsReachTheDevice) {
    device_.hold = true;
    ByteVector bytes =
        request(NbdCommand::write_zeroes, {.length = 4096, .flags = kNbdCmdFua | kNbdCmdNoHole});
    append(bytes,
           request(NbdCommand::trim, {.offset = 4096, .length = 0x3ffe000, .flags = kNbdCmdFua}));
    append(bytes, request(NbdCommand::flush, {}));
    client_.send(bytes);
    ASSERT_EQ(device_.held.size(), 3U);
    const BlockRequest& zero = device_.held[0].request;
    EXPECT_TRUE(zero.op == BlockOp::zero && zero.fua && zero.no_hole && zero.length == 4096);
    const BlockRequest& trim = device_.held[1].request;
    EXPECT_TRUE(trim.op == BlockOp::trim && trim.fua && !trim.no_hole && trim.offset == 4096);
    EXPECT_EQ(trim.length, 0x3ffe000U);
    EXPECT_EQ(device_.held[2].request.op, BlockOp::flush);
    device_.release_all();
}

TEST_P(Session, DeviceErrorsBecomeNbdErrors) {
    device_.hold = true;
    const std::pair<Status, std::uint32_t> cases[] = {
        {{ErrorCode::io, "disk: read: bad sector"}, 5},
        {{ErrorCode::no_space, "history is full"}, kEnospc},
        {{ErrorCode::refused, "fenced"}, 1},
        {{ErrorCode::closed, "stopping"}, 108},
    };
    for (const auto& [status, error] : cases) {
        client_.send(request(NbdCommand::read, {.cookie = 9, .length = 4096}));
        device_.release(0, status);
        const ByteVector answer = client_.replies();
        Bytes rest = answer;
        const Reply reply = take_reply(rest);
        EXPECT_EQ(reply.error, error);
        EXPECT_EQ(reply.text, GetParam() ? status.message() : "");
        EXPECT_TRUE(rest.empty());
    }
}

TEST_P(Session, RequestsOfNoBytesSucceedWithoutTheDevice) {
    EXPECT_EQ(client_.error_of(request(NbdCommand::read, {.offset = kSize})), 0U);
    EXPECT_EQ(client_.error_of(write_request(1, 0, {})), 0U);
    EXPECT_EQ(client_.error_of(request(NbdCommand::trim, {})), 0U);
    EXPECT_EQ(client_.error_of(request(NbdCommand::write_zeroes, {})), 0U);
    EXPECT_EQ(device_.submitted, 0U);
}

TEST_P(Session, ReadOnlyRefusesEveryKindOfWrite) {
    MemoryDevice device(kSize, true);
    SessionHarness client(device, GetParam());
    EXPECT_EQ(client.error_of(write_request(1, 0, pattern(512, 1))), 1U);
    EXPECT_EQ(client.error_of(request(NbdCommand::trim, {.length = 512})), 1U);
    EXPECT_EQ(client.error_of(request(NbdCommand::write_zeroes, {.length = 512})), 1U);
    EXPECT_EQ(client.error_of(request(NbdCommand::flush, {})), 0U);
}

TEST_P(Session, DisconnectWaitsForWhatIsInFlight) {
    device_.hold = true;
    ByteVector bytes = write_request(1, 0, pattern(4096, 1));
    append(bytes, request(NbdCommand::disconnect, {}));
    append(bytes, write_request(2, 0, pattern(4096, 2)));
    client_.send(bytes);
    EXPECT_EQ(client_.session->state(), NbdSession::State::ending);
    EXPECT_FALSE(client_.session->idle());
    EXPECT_EQ(device_.submitted, 1U) << "nothing is taken behind it";
    device_.release_all();
    EXPECT_TRUE(client_.session->idle());
    EXPECT_EQ(client_.replies().size(), kNbdSimpleReplyBytes);
}

TEST_P(Session, CompletionsAfterTheClientIsGoneAreDropped) {
    device_.hold = true;
    ByteVector bytes = request(NbdCommand::read, {.length = 65536});
    append(bytes, write_request(2, 0, pattern(4096, 2)));
    client_.send(bytes);
    const std::weak_ptr<NbdSession> session = client_.session;
    client_.session->detach();
    client_.session.reset();
    EXPECT_FALSE(session.expired()) << "the device still has its requests and a read's buffer";
    device_.release(1);
    EXPECT_FALSE(session.expired());
    device_.release(0);
    EXPECT_TRUE(session.expired());
    EXPECT_EQ(client_.wakes, 0);
}

TEST(StructuredSession, BlockStatusListsExtents) {
    MemoryDevice device(kSize);
    SessionHarness client(device, true);
    device.memory()[(1U << 20) + 5] = std::byte{1};
    const auto status = [&](std::uint16_t flags) {
        return client.ask(request(NbdCommand::block_status, {.length = 4U << 20, .flags = flags}));
    };
    const Reply all = status(0);
    EXPECT_EQ(all.type, kNbdReplyBlockStatus);
    ASSERT_EQ(all.data.size(), 4U + 3 * 8);
    EXPECT_EQ(get_be<std::uint32_t>(all.data, 0), kNbdBaseAllocationId);
    EXPECT_EQ(get_be<std::uint32_t>(all.data, 4), 1U << 20);
    EXPECT_EQ(get_be<std::uint32_t>(all.data, 8), 3U);
    EXPECT_EQ(get_be<std::uint32_t>(all.data, 12), 64U << 10);
    EXPECT_EQ(get_be<std::uint32_t>(all.data, 16), 0U);
    const Reply one = status(kNbdCmdReqOne);
    ASSERT_EQ(one.data.size(), 4U + 8);
    EXPECT_EQ(get_be<std::uint32_t>(one.data, 4), 1U << 20);
    SessionHarness without(device, true, false);
    EXPECT_EQ(without.error_of(request(NbdCommand::block_status, {.length = 4096})), kEinval);
    EXPECT_EQ(client.error_of(request(NbdCommand::block_status, {.length = 0})), kEinval);
}

TEST(StructuredSession, UnfragmentedReadsAreOneChunk) {
    MemoryDevice device(kSize);
    SessionHarness client(device, true);
    const Reply reply =
        client.ask(request(NbdCommand::read, {.length = 32U << 20, .flags = kNbdCmdDf}));
    EXPECT_EQ(reply.data.size(), 32U << 20);
    SessionHarness simple(device, false);
    EXPECT_EQ(simple.error_of(request(NbdCommand::read, {.length = 512, .flags = kNbdCmdDf})),
              kEinval)
        << "not advertised without structured replies";
}

}  // namespace
}  // namespace everstep::test
