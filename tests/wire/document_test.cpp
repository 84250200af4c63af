// The worked example of docs/wire-protocol.md is what the encoder gives: a change of the bytes
// changes the document.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "proto/messages.hpp"

namespace everstep::wire::test {
namespace {

Uuid id(std::uint8_t first) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
    return Uuid(bytes);
}

std::string hex_lines(Bytes bytes) {
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        char digits[4];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(bytes[i]));
        out += digits;
        out += i % 16 == 15 || i + 1 == bytes.size() ? '\n' : ' ';
    }
    return out;
}

// The fenced block that follows the heading `### Example: NAME`.
std::string block_of(const std::string& name) {
    std::ifstream file(EVERSTEP_DOCS "/wire-protocol.md");
    std::string line, block;
    bool found = false, inside = false;
    while (std::getline(file, line)) {
        if (line == "### Example: " + name) found = true;
        if (!found) continue;
        if (inside && line == "```") return block;
        if (inside) block += line + '\n';
        if (line == "```hex") inside = true;
    }
    return "docs/wire-protocol.md has no block for " + name;
}

TEST(WireDocument, TheHelloExampleIsWhatTheEncoderGives) {
    GroupState group;
    group.group = "db";
    group.group_id = id(0x20);
    group.role = Role::primary;
    group.configuration = {{"ack", "local"}};
    group.volumes = {{"data", id(0x30), ByteCount(1 << 20)}};
    group.timelines = {{id(0x40), {}, Lsn(0), {}, FrameSeq(0), 1, "alpha"}};
    group.has_state = true;
    group.head = {id(0x40), Lsn(300)};
    group.head_seq = FrameSeq(7);
    Hello hello;
    hello.node = "alpha";
    hello.node_id = id(0x10);
    hello.group = group;
    EXPECT_EQ(hex_lines(encode(hello)), block_of("Hello"));
}

TEST(WireDocument, TheAckExampleIsWhatTheEncoderGives) {
    const Ack ack{id(0x40), Lsn(300), Lsn(300), Lsn(298), 65536, true};
    EXPECT_EQ(hex_lines(encode(ack)), block_of("Ack"));
}

TEST(WireDocument, TheFrameHeaderExampleIsWhatTheEncoderGives) {
    EXPECT_EQ(hex_lines(raw_header(MessageType::frame, 4288)), block_of("frame header"));
}

}  // namespace
}  // namespace everstep::wire::test
