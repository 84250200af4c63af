// What an NBD client sends and how it reads what it gets, byte by byte: for tests that speak the
// protocol themselves.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "daemon/nbd_protocol.hpp"

namespace everstep::test {

using namespace everstep::daemon;
using ByteVector = std::vector<std::byte>;

// Seed of a random test: printed, and taken back from EVERSTEP_SEED.
inline std::uint64_t test_seed() {
    const char* given = std::getenv("EVERSTEP_SEED");
    const std::uint64_t seed = given ? std::strtoull(given, nullptr, 0) : std::random_device()();
    ::testing::Test::RecordProperty("seed", std::to_string(seed));
    std::printf("EVERSTEP_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
}

// Data that is different for every (write, place).
inline ByteVector pattern(std::size_t length, std::uint64_t salt) {
    ByteVector bytes(length);
    std::mt19937_64 random(salt);
    for (std::size_t i = 0; i + 8 <= length; i += 8) {
        const std::uint64_t word = random();
        std::memcpy(bytes.data() + i, &word, 8);
    }
    return bytes;
}

template <class T>
void append_be(ByteVector& out, T value) {
    const std::size_t at = out.size();
    out.resize(at + sizeof value);
    put_be(MutableBytes(out), at, value);
}
inline void append(ByteVector& out, Bytes bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}
inline void append(ByteVector& out, std::string_view text) {
    append(out, std::as_bytes(std::span(text)));
}

inline ByteVector client_flags(std::uint32_t flags = 3) {
    ByteVector out;
    append_be(out, flags);
    return out;
}

inline ByteVector option(std::uint32_t number, Bytes data = {}) {
    ByteVector out;
    append_be(out, kNbdOptionMagic);
    append_be(out, number);
    append_be(out, static_cast<std::uint32_t>(data.size()));
    append(out, data);
    return out;
}
inline ByteVector option(NbdOption number, Bytes data = {}) {
    return option(static_cast<std::uint32_t>(number), data);
}

inline ByteVector go_data(std::string_view name, const std::vector<std::uint16_t>& infos = {}) {
    ByteVector out;
    append_be(out, static_cast<std::uint32_t>(name.size()));
    append(out, name);
    append_be(out, static_cast<std::uint16_t>(infos.size()));
    for (const std::uint16_t info : infos) append_be(out, info);
    return out;
}

inline ByteVector meta_data(std::string_view name, const std::vector<std::string_view>& queries) {
    ByteVector out;
    append_be(out, static_cast<std::uint32_t>(name.size()));
    append(out, name);
    append_be(out, static_cast<std::uint32_t>(queries.size()));
    for (const std::string_view query : queries) {
        append_be(out, static_cast<std::uint32_t>(query.size()));
        append(out, query);
    }
    return out;
}

struct Request {
    std::uint16_t type = 0;
    std::uint64_t cookie = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::uint16_t flags = 0;
};
inline ByteVector request(NbdCommand type, Request fields, Bytes payload = {}) {
    ByteVector out;
    append_be(out, kNbdRequestMagic);
    append_be(out, fields.flags);
    append_be(out, type == NbdCommand{} ? fields.type : static_cast<std::uint16_t>(type));
    append_be(out, fields.cookie);
    append_be(out, fields.offset);
    append_be(out, fields.length);
    append(out, payload);
    return out;
}
inline ByteVector write_request(std::uint64_t cookie, std::uint64_t offset, Bytes payload,
                                std::uint16_t flags = 0) {
    return request(NbdCommand::write,
                   {.cookie = cookie,
                    .offset = offset,
                    .length = static_cast<std::uint32_t>(payload.size()),
                    .flags = flags},
                   payload);
}

struct OptionReply {
    std::uint32_t option = 0;
    NbdOptionReply type{};
    ByteVector data;
};
// All option replies in `bytes`, which must hold whole ones.
inline std::vector<OptionReply> option_replies(Bytes bytes) {
    std::vector<OptionReply> replies;
    while (!bytes.empty()) {
        if (bytes.size() < kNbdOptionReplyBytes) throw std::runtime_error("a torn option reply");
        EXPECT_EQ(get_be<std::uint64_t>(bytes, 0), kNbdOptionReplyMagic);
        OptionReply one;
        one.option = get_be<std::uint32_t>(bytes, 8);
        one.type = static_cast<NbdOptionReply>(get_be<std::uint32_t>(bytes, 12));
        const auto length = get_be<std::uint32_t>(bytes, 16);
        bytes = bytes.subspan(kNbdOptionReplyBytes);
        if (bytes.size() < length) throw std::runtime_error("a torn option reply");
        one.data.assign(bytes.begin(), bytes.begin() + length);
        bytes = bytes.subspan(length);
        replies.push_back(std::move(one));
    }
    return replies;
}

struct Reply {
    bool structured = false;
    std::uint16_t type = 0;  // of a chunk
    std::uint64_t cookie = 0;
    std::uint32_t error = 0;  // of a simple reply or an error chunk
    std::string text;         // of an error chunk
    std::uint64_t offset = 0;
    ByteVector data;  // of an OFFSET_DATA chunk, or all of a block status
};
// One reply from the front of `bytes`; `simple_data` bytes follow a simple reply without an error.
inline Reply take_reply(Bytes& bytes, std::size_t simple_data = 0) {
    const auto cut = [&bytes](std::size_t count) {
        if (bytes.size() < count) throw std::runtime_error("a torn reply");
        const Bytes front = bytes.first(count);
        bytes = bytes.subspan(count);
        return front;
    };
    Reply reply;
    const auto magic = get_be<std::uint32_t>(bytes.first(4), 0);
    if (magic == kNbdSimpleReplyMagic) {
        const Bytes head = cut(kNbdSimpleReplyBytes);
        reply.error = get_be<std::uint32_t>(head, 4);
        reply.cookie = get_be<std::uint64_t>(head, 8);
        if (reply.error == 0) {
            const Bytes data = cut(simple_data);
            reply.data.assign(data.begin(), data.end());
        }
        return reply;
    }
    if (magic != kNbdStructuredReplyMagic) throw std::runtime_error("no reply magic");
    const Bytes head = cut(kNbdChunkBytes);
    reply.structured = true;
    EXPECT_EQ(get_be<std::uint16_t>(head, 4), kNbdReplyDone);
    reply.type = get_be<std::uint16_t>(head, 6);
    reply.cookie = get_be<std::uint64_t>(head, 8);
    Bytes body = cut(get_be<std::uint32_t>(head, 16));
    if (reply.type == kNbdReplyError) {
        reply.error = get_be<std::uint32_t>(body, 0);
        const Bytes text = body.subspan(6, get_be<std::uint16_t>(body, 4));
        reply.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
        return reply;
    }
    if (reply.type == kNbdReplyOffsetData) {
        reply.offset = get_be<std::uint64_t>(body, 0);
        body = body.subspan(8);
    }
    reply.data.assign(body.begin(), body.end());
    return reply;
}

}  // namespace everstep::test
