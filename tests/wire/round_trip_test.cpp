// What goes in comes out: every message, every field.
#include <gtest/gtest.h>

#include "message_sample.hpp"
#include "proto/limits.hpp"

namespace everstep::wire::test {
namespace {

Bytes body_of(const std::vector<std::byte>& message) {
    return Bytes(message).subspan(kMessageHeaderBytes);
}

AdminReply reply_with(Value body, bool more = false) {
    return {ErrorCode::ok, "", std::move(body), more};
}

TEST(RoundTrip, EveryFieldOfEveryMessageComesBack) {
    MessageSample sample(seed());
    for (int round = 0; round < 300; ++round) {
        for (std::size_t kind = 0; kind < std::variant_size_v<Control>; ++kind) {
            const Control message = sample.message(kind);
            const auto bytes = encode(message);
            const auto back = decode(body_of(bytes));
            ASSERT_TRUE(back.ok()) << back.status().message() << '\n' << describe(message);
            ASSERT_EQ(back->index(), kind);
            ASSERT_EQ(describe(*back), describe(message));
        }
    }
}

TEST(RoundTrip, TheSameMessageIsTheSameBytes) {
    MessageSample sample(seed());
    for (int round = 0; round < 300; ++round) {
        const Control message = sample.any();
        EXPECT_EQ(encode(message), encode(message));
    }
}

TEST(RoundTrip, IntegersStayExactAtTheirEnds) {
    Value list = Value::list();
    list.push(UINT64_MAX)
        .push(INT64_MIN)
        .push(INT64_MAX)
        .push((std::uint64_t{1} << 53) + 1)
        .push(-1);
    const auto back = decode(body_of(encode(AdminReply{ErrorCode::ok, "", list, false})));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(describe(std::get<AdminReply>(*back).body), describe(list));
}

TEST(RoundTrip, KeysKeepTheirOrder) {
    Value map = Value::map();
    map.set("z", 1).set("a", 2).set("m", 3);
    const auto back = decode(body_of(encode(AdminReply{ErrorCode::ok, "", map, false})));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(describe(std::get<AdminReply>(*back).body), describe(map));
}

Value nested(std::uint32_t depth) {
    Value value = 7;
    for (std::uint32_t i = 1; i < depth; ++i) {
        Value outer = i % 2 == 0 ? Value::list() : Value::map();
        if (outer.as_map() != nullptr) {
            outer.set("in", std::move(value));
        } else {
            outer.push(std::move(value));
        }
        value = std::move(outer);
    }
    return value;
}

TEST(RoundTrip, TheDeepestValueFitsAndADeeperOneIsAnError) {
    const auto fits = decode(body_of(encode(reply_with(nested(kValueDepthMax)))));
    ASSERT_TRUE(fits.ok()) << fits.status().message();
    EXPECT_EQ(describe(std::get<AdminReply>(*fits).body), describe(nested(kValueDepthMax)));

    const auto over = decode(body_of(encode(reply_with(nested(kValueDepthMax + 1)))));
    ASSERT_TRUE(over.ok());
    EXPECT_EQ(std::get<AdminReply>(*over).error, ErrorCode::too_large);
}

TEST(RoundTrip, AnAnswerOverTheLimitsBecomesAnErrorThatFits) {
    Value long_list = Value::list();
    for (std::uint32_t i = 0; i <= kListItemsMax; ++i) long_list.push(i);
    Value wide = Value::list();
    for (int i = 0; i < 100; ++i) wide.push(std::string(kTextBytesMax, 'x'));
    for (const Value& body : {long_list, wide, Value(std::string(kTextBytesMax + 1, 'x'))}) {
        const auto bytes = encode(reply_with(body, true));
        const auto back = decode(body_of(bytes));
        ASSERT_TRUE(back.ok());
        const auto& reply = std::get<AdminReply>(*back);
        EXPECT_EQ(reply.error, ErrorCode::too_large);
        EXPECT_FALSE(reply.more);
    }
}

TEST(RoundTrip, ASessionMessageOverTheLimitsBecomesAGoodbye) {
    Start start;
    for (int i = 0; i < 100; ++i) start.volumes.push_back({std::string(60000, 'v'), Uuid(), {}});
    const auto back = decode(body_of(encode(start)));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(std::get<Goodbye>(*back).error, ErrorCode::too_large);
}

TEST(RoundTrip, ALongMessageTextIsCutAndStillSent) {
    const auto back = decode(body_of(encode(Goodbye{ErrorCode::io, std::string(100000, 'e')})));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(std::get<Goodbye>(*back).message.size(), kTextBytesMax);
}

}  // namespace
}  // namespace everstep::wire::test
