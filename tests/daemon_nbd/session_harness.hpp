// An NbdSession over a MemoryDevice, without any socket: bytes in, the bytes of its replies out.
#pragma once

#include "daemon/nbd_session.hpp"
#include "tests/daemon_nbd/client_bytes.hpp"
#include "tests/daemon_nbd/memory_device.hpp"

namespace everstep::test {

class SessionHarness {
  public:
    using State = NbdSession::State;

    SessionHarness(MemoryDevice& device, bool structured, bool block_status = true)
        : session(std::make_shared<NbdSession>(NbdTraits{device.size_bytes(), device.read_only(),
                                                         structured, structured && block_status},
                                               device, [this] { ++wakes; })) {}

    // Everything in one read; gives the replies' bytes.
    ByteVector send(const ByteVector& bytes, std::size_t unsent = 0) {
        session->feed(bytes, unsent);
        session->end_of_batch();
        return replies();
    }
    ByteVector replies() {
        ByteVector out;
        for (const auto& piece : session->replies().pieces()) append(out, piece.bytes);
        EXPECT_EQ(out.size(), session->replies().bytes());
        session->replies().clear();
        return out;
    }
    // The single reply to one request.
    Reply ask(const ByteVector& bytes, std::size_t simple_data = 0) {
        const ByteVector answer = send(bytes);
        Bytes rest = answer;
        if (rest.empty()) throw std::runtime_error("no reply");
        Reply reply = take_reply(rest, simple_data);
        EXPECT_TRUE(rest.empty());
        return reply;
    }
    std::uint32_t error_of(const ByteVector& bytes) { return ask(bytes).error; }

    std::shared_ptr<NbdSession> session;
    int wakes = 0;
};

}  // namespace everstep::test
