// Fuzz target: everything that an NBD client can send, through the handshake into the session. The
// device aborts on a request that it should never see (unaligned, beyond the end, a write to a
// read-only export). Input: byte 0: bit 0 = hold requests and complete them late, bit 1 = start in
// the transmission phase, bit 2 = structured replies there; byte 1: the size of the pieces in which
// the rest arrives, times 16 (0: all at once).
#include <cstddef>
#include <cstdint>

#include "daemon/nbd_session.hpp"
#include "tests/daemon_nbd/memory_device.hpp"

namespace {

using namespace everstep;
using namespace everstep::daemon;
using everstep::test::MemoryDevice;

constexpr std::uint64_t kSize = 1U << 20;

void run_session(const NbdTraits& traits, MemoryDevice& device, Bytes bytes, std::size_t piece) {
    const auto session = std::make_shared<NbdSession>(traits, device, [] {});
    while (!bytes.empty()) {
        const Bytes part = bytes.first(std::min(piece, bytes.size()));
        bytes = bytes.subspan(part.size());
        session->feed(part, 0);
        do {
            session->end_of_batch();
            session->replies().clear();
            if (device.held.size() > 3) device.release(device.held.size() / 2);
        } while (session->resume(0));
    }
    session->detach();
    device.release_all(Status(ErrorCode::closed, "the end"));
    EVERSTEP_ASSERT(session->idle(), "a request without its completion");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    MemoryDevice writable(kSize);
    MemoryDevice read_only(kSize, true);
    writable.hold = read_only.hold = (data[0] & 1) != 0;
    const std::vector<NbdExport> exports = {{"a", "", &writable}, {"b", "an old step", &read_only}};
    Bytes bytes = std::as_bytes(std::span(data + 2, size - 2));
    const std::size_t piece = data[1] == 0 ? bytes.size() : std::size_t{data[1]} * 16;
    NbdNegotiated agreed{.traits = {.size_bytes = kSize,
                                    .structured = (data[0] & 4) != 0,
                                    .block_status = (data[0] & 4) != 0}};
    if ((data[0] & 2) == 0) {
        std::vector<std::byte> out;
        NbdHandshake handshake(exports, out);
        while (!bytes.empty() && handshake.state() == NbdHandshake::State::haggling)
            bytes = bytes.subspan(handshake.feed(bytes.first(std::min(piece, bytes.size())), out));
        if (handshake.state() != NbdHandshake::State::transmission) return 0;
        agreed = handshake.negotiated();
    }
    MemoryDevice& device = agreed.export_index == 0 ? writable : read_only;
    run_session(agreed.traits, device, bytes, piece);
    return 0;
}
