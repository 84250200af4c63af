#include "daemon/remote_reads.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace everstep::daemon {
namespace {

class RemoteReadsTest : public testing::Test {
  protected:
    void ask(std::uint64_t length) {
        reads_.ask({0, {}, VolumeIndex(0), ByteOffset(0), ByteCount(length)},
                   [this](Result<Buffer> content) {
                       answers_.push_back(content.ok() ? Status() : content.status());
                       if (content.ok()) last_ = std::move(*content);
                   });
    }
    [[nodiscard]] std::uint64_t asked(std::size_t n) const { return asked_.at(n).id; }
    static wire::ReadReply data_reply(std::uint64_t id, std::uint32_t length) {
        wire::ReadReply reply;
        reply.id = id;
        reply.length = length;
        return reply;
    }
    static Buffer bytes(std::size_t count, int value) {
        Buffer out;
        out.resize(count);
        std::memset(out.data(), value, count);
        return out;
    }

    std::vector<wire::ReadRequest> asked_;
    std::vector<Status> answers_;
    Buffer last_;
    RemoteReads reads_{[this](const wire::Control& message) {
        asked_.push_back(std::get<wire::ReadRequest>(message));
    }};
};

TEST_F(RemoteReadsTest, AnswersComeInAnyOrder) {
    ask(512);
    ask(1024);
    ask(4096);
    ASSERT_EQ(asked_.size(), 3U);
    ASSERT_TRUE(reads_.on_reply(data_reply(asked(1), 1024)).ok());
    ASSERT_TRUE(reads_.on_data(bytes(1024, 7)).ok());
    EXPECT_EQ(last_.size(), 1024U);
    wire::ReadReply zero;
    zero.id = asked(2);
    zero.zero = true;
    ASSERT_TRUE(reads_.on_reply(zero).ok());
    EXPECT_EQ(last_.size(), 4096U);
    EXPECT_EQ(last_.bytes()[4095], std::byte{0});
    wire::ReadReply refused;
    refused.id = asked(0);
    refused.error = ErrorCode::refused;
    refused.message = "it is gone";
    ASSERT_TRUE(reads_.on_reply(refused).ok());
    EXPECT_EQ(answers_.back().message(), "it is gone");
    EXPECT_EQ(reads_.waiting(), 0U);
}

// The peer's fault, each: the link ends by it.
TEST_F(RemoteReadsTest, WhatWasNotAskedForIsRefused) {
    EXPECT_EQ(reads_.on_data(bytes(512, 1)).code(), ErrorCode::corrupt);
    EXPECT_EQ(reads_.on_reply(data_reply(1, 512)).code(), ErrorCode::corrupt);
    ask(512);
    ask(512);
    EXPECT_EQ(reads_.on_reply(data_reply(asked(0), 1024)).code(), ErrorCode::corrupt);
    EXPECT_EQ(reads_.on_data(bytes(512, 1)).code(), ErrorCode::corrupt);  // not announced
    ASSERT_TRUE(reads_.on_reply(data_reply(asked(0), 512)).ok());
    EXPECT_EQ(reads_.on_reply(data_reply(asked(1), 512)).code(), ErrorCode::corrupt);
    EXPECT_EQ(reads_.on_data(bytes(511, 1)).code(), ErrorCode::corrupt);
    ASSERT_TRUE(reads_.on_data(bytes(512, 1)).ok());
    EXPECT_EQ(reads_.on_reply(data_reply(asked(0), 512)).code(), ErrorCode::corrupt);  // twice
}

TEST_F(RemoteReadsTest, EachIsAnsweredOnceWhenTheLinkEnds) {
    ask(512);
    ask(512);
    ASSERT_TRUE(reads_.on_reply(data_reply(asked(0), 512)).ok());
    reads_.fail(Status(ErrorCode::closed, "gone"));
    ASSERT_EQ(answers_.size(), 2U);
    EXPECT_EQ(answers_[0].code(), ErrorCode::closed);
    EXPECT_EQ(reads_.on_data(bytes(512, 1)).code(), ErrorCode::corrupt);
    EXPECT_EQ(reads_.waiting(), 0U);
}

}  // namespace
}  // namespace everstep::daemon
