// Bytes from the other side are hostile: each damage gives a message or an error, never a crash,
// and nothing is allocated for what is over a limit.
#include <gtest/gtest.h>

#include "message_sample.hpp"
#include "proto/limits.hpp"

namespace everstep::wire::test {
namespace {

std::vector<std::byte> body_of(const Control& message) {
    auto bytes = encode(message);
    bytes.erase(bytes.begin(), bytes.begin() + kMessageHeaderBytes);
    return bytes;
}

// Hand-made Protocol Buffers bytes.
class Raw {
  public:
    Raw& varint(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) byte(static_cast<unsigned>(value & 0x7f) | 0x80);
        return byte(static_cast<unsigned>(value));
    }
    Raw& byte(unsigned value) {
        bytes_.push_back(static_cast<std::byte>(value));
        return *this;
    }
    Raw& tag(unsigned field, unsigned wire) { return varint(field << 3 | wire); }
    Raw& number(unsigned field, std::uint64_t value) { return tag(field, 0).varint(value); }
    Raw& text(unsigned field, const std::string& content) {
        tag(field, 2).varint(content.size());
        for (const char c : content) byte(static_cast<unsigned char>(c));
        return *this;
    }
    Raw& message(unsigned field, const Raw& content) {
        tag(field, 2).varint(content.bytes_.size());
        bytes_.insert(bytes_.end(), content.bytes_.begin(), content.bytes_.end());
        return *this;
    }
    [[nodiscard]] Status decoded() const { return decode(bytes_).status(); }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

constexpr unsigned kHello = 1, kStart = 2, kAck = 5, kReadRequest = 7, kReadReply = 8, kGoodbye = 9,
                   kAdminRequest = 10, kAdminReply = 11, kHashRequest = 13, kHashReply = 14;

void expect_error(const Raw& raw, ErrorCode code, std::string_view names) {
    const Status status = raw.decoded();
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(names), std::string::npos) << status.message();
}

TEST(Hostile, EveryTruncationIsAMessageOrAnError) {
    MessageSample sample(seed());
    for (std::size_t kind = 0; kind < std::variant_size_v<Control>; ++kind) {
        const auto body = body_of(sample.message(kind));
        for (std::size_t size = 0; size < body.size(); ++size) {
            const auto result = decode(Bytes(body).first(size));
            if (result.ok()) (void)encode(*result);
        }
    }
}

TEST(Hostile, EveryByteChangeIsAMessageOrAnError) {
    MessageSample sample(seed());
    std::size_t refused = 0;
    for (std::size_t kind = 0; kind < std::variant_size_v<Control>; ++kind) {
        const auto whole = body_of(sample.message(kind));
        for (std::size_t at = 0; at < whole.size(); ++at) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                auto body = whole;
                body[at] ^= static_cast<std::byte>(1U << bit);
                const auto result = decode(body);
                if (!result.ok()) ++refused;
                if (result.ok()) (void)encode(*result);  // what was taken in can be said again
            }
        }
    }
    EXPECT_GT(refused, 0U);
}

TEST(Hostile, NoiseIsAMessageOrAnError) {
    MessageSample sample(seed());
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::byte> body(sample.number(64));
        for (auto& byte : body) byte = static_cast<std::byte>(sample.number(256));
        (void)decode(body).status();
    }
}

TEST(Hostile, AnEmptyOrUnknownMessageIsRefused) {
    expect_error(Raw(), ErrorCode::corrupt, "unknown kind");
    expect_error(Raw().message(77, Raw()), ErrorCode::corrupt, "unknown kind");
}

TEST(Hostile, UnknownFieldsAreIgnoredUpToALimit) {
    Raw goodbye;
    goodbye.text(2, "bye").text(99, "from a newer version").number(98, 5);
    EXPECT_TRUE(Raw().message(kGoodbye, goodbye).decoded().ok());
    for (std::uint32_t i = 0; i <= kUnknownFieldsMax; ++i) goodbye.number(98, i);
    expect_error(Raw().message(kGoodbye, goodbye), ErrorCode::too_large, "unknown fields");
}

TEST(Hostile, TwoMessagesInOneAreRefused) {
    Raw both;
    both.message(kGoodbye, Raw()).message(kAck, Raw());
    expect_error(both, ErrorCode::corrupt, "twice");
}

TEST(Hostile, AFieldThatStandsTwiceIsRefused) {
    expect_error(Raw().message(kAck, Raw().number(2, 1).number(2, 2)), ErrorCode::corrupt,
                 "Ack.received");
}

TEST(Hostile, IdsAreSixteenBytes) {
    for (const std::size_t size : {1U, 15U}) {
        expect_error(Raw().message(kAck, Raw().text(1, std::string(size, 'i'))), ErrorCode::corrupt,
                     "ack.timeline");
    }
    expect_error(Raw().message(kAck, Raw().text(1, std::string(17, 'i'))), ErrorCode::too_large,
                 "Ack.timeline");
}

TEST(Hostile, UnknownEnumValuesAreRefused) {
    expect_error(Raw().message(kGoodbye, Raw().number(1, 15)), ErrorCode::corrupt, "Goodbye.error");
    expect_error(Raw().message(kGoodbye, Raw().number(1, 1ULL << 32)), ErrorCode::corrupt,
                 "Goodbye.error");
    expect_error(Raw().message(kStart, Raw()), ErrorCode::corrupt, "start.mode");
    expect_error(Raw().message(kStart, Raw().number(1, 4)), ErrorCode::corrupt, "Start.mode");
    expect_error(Raw().message(kHello, Raw().number(1, 1).number(2, 1)), ErrorCode::corrupt,
                 "hello.purpose");
}

TEST(Hostile, VersionRangesHaveAnOrder) {
    expect_error(Raw().message(kHello, Raw().number(1, 3).number(2, 2).number(6, 1)),
                 ErrorCode::corrupt, "protocol_min");
    expect_error(Raw().message(kHello, Raw().number(2, 2).number(6, 1)), ErrorCode::corrupt,
                 "protocol_min");
}

TEST(Hostile, RangesOfReadsAreChecked) {
    expect_error(Raw().message(kReadRequest, Raw().number(5, 0)), ErrorCode::corrupt, "length");
    expect_error(Raw().message(kReadRequest, Raw().number(5, kDataBytesMax + 1)),
                 ErrorCode::corrupt, "length");
    expect_error(Raw().message(kReadRequest, Raw().number(5, 1ULL << 32 | 512)), ErrorCode::corrupt,
                 "length");
    expect_error(Raw().message(kReadRequest, Raw().number(5, 512).number(4, UINT64_MAX)),
                 ErrorCode::corrupt, "offset");
    expect_error(Raw().message(kReadRequest, Raw().number(5, 512).number(3, 256)),
                 ErrorCode::corrupt, "volume");
    expect_error(Raw().message(kReadReply, Raw().number(5, kDataBytesMax + 1)), ErrorCode::corrupt,
                 "length");
}

TEST(Hostile, RangesAndHashesOfAHashRequestAreChecked) {
    expect_error(Raw().message(kHashRequest, Raw().number(4, 0)), ErrorCode::corrupt, "length");
    expect_error(Raw().message(kHashRequest, Raw().number(4, kHashedBytesMax + 1)),
                 ErrorCode::corrupt, "length");
    expect_error(Raw().message(kHashRequest, Raw().number(4, 512).number(3, UINT64_MAX)),
                 ErrorCode::corrupt, "offset");
    expect_error(Raw().message(kHashRequest, Raw().number(4, 512).number(2, 256)),
                 ErrorCode::corrupt, "volume");
    expect_error(Raw().message(kHashReply, Raw().text(5, std::string(17, 'x'))), ErrorCode::corrupt,
                 "hashes");
    expect_error(Raw().message(kHashReply, Raw().text(5, std::string(4112, 'x'))),
                 ErrorCode::too_large, "hashes");
}

TEST(Hostile, CountsOverTheirLimitAreRefusedBeforeParsing) {
    Raw volumes, timelines, settings;
    for (int i = 0; i < 257; ++i) volumes.message(3, Raw());
    for (int i = 0; i < 4097; ++i) timelines.message(4, Raw());
    for (int i = 0; i < 4097; ++i) settings.message(4, Raw());
    expect_error(Raw().message(kStart, volumes), ErrorCode::too_large, "Start.volumes");
    expect_error(Raw().message(kStart, timelines), ErrorCode::too_large, "Start.timelines");
    expect_error(Raw().message(kHello, Raw().message(9, settings)), ErrorCode::too_large,
                 "GroupState.configuration");
}

TEST(Hostile, TextsOverTheirLimitAreRefused) {
    expect_error(Raw().message(kGoodbye, Raw().text(2, std::string(kTextBytesMax + 1, 't'))),
                 ErrorCode::too_large, "Goodbye.message");
    expect_error(Raw().message(kAdminRequest, Raw().text(1, std::string(kTextBytesMax + 1, 't'))),
                 ErrorCode::too_large, "AdminRequest.verb");
}

TEST(Hostile, ALengthPastTheEndIsRefused) {
    Raw lying;
    lying.tag(kGoodbye, 2).varint(4).tag(2, 2).varint(4ULL << 30).byte('x');
    expect_error(lying, ErrorCode::corrupt, "longer");
}

TEST(Hostile, AnEndlessNestOfValuesIsRefused) {
    Raw value;
    value.number(2, 1);
    for (int depth = 0; depth < 2000; ++depth) {
        Raw outer;
        outer.message(6, Raw().message(1, value));
        value = outer;
    }
    expect_error(Raw().message(kAdminReply, Raw().message(3, value)), ErrorCode::too_large,
                 "too deep");
}

TEST(Hostile, AMillionEmptyPartsAreRefused) {
    Raw list;
    for (std::uint32_t i = 0; i < kListItemsMax; ++i) list.message(1, Raw());
    Raw lists;
    for (int i = 0; i < 16; ++i) lists.message(1, Raw().message(6, list));
    const Raw reply = Raw().message(kAdminReply, Raw().message(3, Raw().message(6, lists)));
    ASSERT_LE(reply.bytes().size(), kControlBytesMax);
    expect_error(reply, ErrorCode::too_large, "parts");
}

TEST(Hostile, DuplicateNamesAreRefused) {
    const Raw argument = Raw().text(1, "group").text(2, "db");
    expect_error(Raw().message(kAdminRequest,
                               Raw().text(1, "log").message(2, argument).message(2, argument)),
                 ErrorCode::corrupt, "twice");
    const Raw entry = Raw().text(1, "key");
    const Raw map = Raw().message(1, entry).message(1, entry);
    expect_error(Raw().message(kAdminReply, Raw().message(3, Raw().message(7, map))),
                 ErrorCode::corrupt, "twice");
}

TEST(Hostile, ABodyOverTheLimitIsRefused) {
    EXPECT_EQ(decode(std::vector<std::byte>(kControlBytesMax + 1)).status().code(),
              ErrorCode::too_large);
}

}  // namespace
}  // namespace everstep::wire::test
