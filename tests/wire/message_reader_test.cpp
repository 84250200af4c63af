// A byte stream is cut into the same messages however its pieces fall.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"
#include "message_sample.hpp"
#include "proto/message_reader.hpp"

namespace everstep::wire::test {
namespace {

// What a reader said, one line a message.
class Heard {
  public:
    MessageReader::Events events() {
        return {
            .on_control =
                [this](const Control& message) {
                    lines.push_back("control " + describe(message));
                    return Status();
                },
            .on_frame = [this](const Buffer& body) { return raw("frame ", body); },
            .on_data = [this](const Buffer& body) { return raw("data ", body); },
        };
    }
    std::vector<std::string> lines;

  private:
    Status raw(const std::string& type, const Buffer& body) {
        lines.push_back(type + std::to_string(body.size()) + ' ' + hex(xxh3_128(body.bytes())));
        return {};
    }
};

class Stream {
  public:
    explicit Stream(MessageSample& sample, int messages) {
        for (int i = 0; i < messages; ++i) {
            switch (sample.number(4)) {
                case 0:
                    raw(sample, MessageType::frame, kFrameHeaderBytes + sample.number(9000));
                    break;
                case 1:
                    raw(sample, MessageType::data, 1 + sample.number(9000));
                    break;
                default:
                    control(sample.any());
            }
        }
    }
    std::vector<std::byte> bytes;
    std::vector<std::string> wanted;

  private:
    void control(const Control& message) {
        const auto encoded = encode(message);
        bytes.insert(bytes.end(), encoded.begin(), encoded.end());
        wanted.push_back("control " + describe(message));
    }
    void raw(MessageSample& sample, MessageType type, std::size_t size) {
        const auto header = raw_header(type, static_cast<std::uint32_t>(size));
        bytes.insert(bytes.end(), header.begin(), header.end());
        std::vector<std::byte> body(size);
        for (auto& byte : body) byte = static_cast<std::byte>(sample.number(256));
        bytes.insert(bytes.end(), body.begin(), body.end());
        wanted.push_back((type == MessageType::frame ? "frame " : "data ") + std::to_string(size) +
                         ' ' + hex(xxh3_128(body)));
    }
};

TEST(MessageReader, PiecesOfAnySizeGiveTheSameMessages) {
    MessageSample sample(seed());
    const Stream stream(sample, 60);
    for (const std::size_t most : {std::size_t{1}, std::size_t{7}, std::size_t{9}, std::size_t{300},
                                   std::size_t{20000}, stream.bytes.size()}) {
        Heard heard;
        MessageReader reader(heard.events());
        Bytes rest(stream.bytes);
        while (!rest.empty()) {
            const std::size_t piece =
                std::min(rest.size(), most == 1 || most == stream.bytes.size()
                                          ? most
                                          : static_cast<std::size_t>(sample.number(most + 1)));
            ASSERT_TRUE(reader.feed(rest.first(piece)).ok());
            rest = rest.subspan(piece);
        }
        EXPECT_EQ(heard.lines, stream.wanted) << "pieces of " << most;
    }
}

std::vector<std::byte> header(std::uint32_t length, std::uint16_t type, std::uint16_t zero) {
    std::vector<std::byte> bytes(kMessageHeaderBytes);
    put(MutableBytes(bytes), 0, length);
    put(MutableBytes(bytes), 4, type);
    put(MutableBytes(bytes), 6, zero);
    return bytes;
}

struct BadHeader {
    std::uint32_t length;
    std::uint16_t type;
    std::uint16_t zero;
    ErrorCode code;
};

TEST(MessageReader, ABadHeaderEndsTheSessionBeforeItsBody) {
    const BadHeader bad[] = {
        {10, 0, 0, ErrorCode::corrupt},
        {10, 4, 0, ErrorCode::corrupt},
        {10, 257, 0, ErrorCode::corrupt},
        {10, 1, 1, ErrorCode::corrupt},
        {0, 1, 0, ErrorCode::corrupt},
        {0, 3, 0, ErrorCode::corrupt},
        {kFrameHeaderBytes - 1, 2, 0, ErrorCode::corrupt},
        {kControlBytesMax + 1, 1, 0, ErrorCode::too_large},
        {kFrameBytesMax + 1, 2, 0, ErrorCode::too_large},
        {kDataBytesMax + 1, 3, 0, ErrorCode::too_large},
        {UINT32_MAX, 2, 0, ErrorCode::too_large},
    };
    for (const BadHeader& row : bad) {
        Heard heard;
        MessageReader reader(heard.events());
        const auto bytes = header(row.length, row.type, row.zero);
        const Status status = reader.feed(bytes);
        EXPECT_EQ(status.code(), row.code) << row.length << ' ' << row.type << ' ' << row.zero;
        EXPECT_NE(status.message().find("message header"), std::string::npos) << status.message();
        EXPECT_EQ(reader.feed(encode(Goodbye{})).code(), ErrorCode::closed);
        EXPECT_TRUE(heard.lines.empty());
    }
}

TEST(MessageReader, TheLargestFrameIsTaken) {
    Heard heard;
    MessageReader reader(heard.events());
    ASSERT_TRUE(reader.feed(raw_header(MessageType::frame, kFrameBytesMax)).ok());
    const std::vector<std::byte> body(kFrameBytesMax, std::byte{7});
    ASSERT_TRUE(reader.feed(body).ok());
    ASSERT_EQ(heard.lines.size(), 1U);
}

TEST(MessageReader, ATypeWithoutACallbackIsRefusedAtItsHeader) {
    MessageReader reader({.on_control = [](const Control&) { return Status(); }});
    EXPECT_EQ(reader.feed(raw_header(MessageType::frame, 4096)).code(), ErrorCode::corrupt);
}

TEST(MessageReader, WhatACallbackSaysEndsTheFeed) {
    int calls = 0;
    MessageReader reader({.on_control = [&](const Control&) {
        ++calls;
        return Status(ErrorCode::refused, "not now");
    }});
    auto two = encode(Goodbye{});
    const auto second = encode(Goodbye{ErrorCode::ok, "second"});
    two.insert(two.end(), second.begin(), second.end());
    EXPECT_EQ(reader.feed(two).code(), ErrorCode::refused);
    EXPECT_EQ(calls, 1);
}

TEST(MessageReader, ACallbackMayDestroyTheReader) {
    std::unique_ptr<MessageReader> reader;
    int calls = 0;
    reader =
        std::make_unique<MessageReader>(MessageReader::Events{.on_control = [&](const Control&) {
            ++calls;
            reader.reset();
            return Status();
        }});
    auto two = encode(Goodbye{});
    const auto second = encode(Goodbye{ErrorCode::ok, "second"});
    two.insert(two.end(), second.begin(), second.end());
    MessageReader* const fed = reader.get();
    EXPECT_EQ(fed->feed(two).code(), ErrorCode::closed);
    EXPECT_EQ(calls, 1);
}

TEST(MessageReader, ADamagedControlBodyEndsTheSession) {
    Heard heard;
    MessageReader reader(heard.events());
    auto bytes = encode(Goodbye{ErrorCode::io, "disk"});
    bytes[kMessageHeaderBytes] = std::byte{0xff};
    EXPECT_FALSE(reader.feed(bytes).ok());
    EXPECT_TRUE(heard.lines.empty());
}

TEST(MessageReader, EveryByteChangeOfAStreamIsMessagesOrAnError) {
    MessageSample sample(seed());
    const Stream stream(sample, 12);
    for (int round = 0; round < 3000; ++round) {
        auto bytes = stream.bytes;
        bytes[sample.number(bytes.size())] ^= static_cast<std::byte>(1 + sample.number(255));
        Heard heard;
        MessageReader reader(heard.events());
        reader.feed(bytes).ignore("either answer is right; a crash is not");
    }
}

}  // namespace
}  // namespace everstep::wire::test
