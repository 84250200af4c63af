// One NBD request as the client sent it, and whether it is allowed. Pure: no I/O, no state.
// Place in the walk: stage 1 (capture), between the socket's bytes and the device.
// Invariant: a request that check_nbd_request() lets pass is one that BlockDevice::submit() takes:
// aligned, inside the device, of a length within the limits.
#pragma once

#include <string_view>

#include "common/base/status.hpp"
#include "daemon/nbd_protocol.hpp"

namespace everstep::daemon {

struct NbdRequest {
    std::uint64_t cookie = 0;  // the client's, opaque
    std::uint64_t offset = 0;  // bytes
    std::uint32_t length = 0;  // bytes
    std::uint16_t flags = 0;
    std::uint16_t type = 0;  // any value: an NbdCommand only once it was checked
    [[nodiscard]] bool is(NbdCommand command) const {
        return type == static_cast<std::uint16_t>(command);
    }
};

// What the device and the handshake allow.
struct NbdTraits {
    std::uint64_t size_bytes = 0;
    bool read_only = false;
    bool structured = false;    // structured replies were negotiated
    bool block_status = false;  // base:allocation was selected
};

// Why a request is refused; `error` none = it is allowed. The text is static.
struct NbdRefusal {
    NbdError error = NbdError::none;
    std::string_view text;
};

// `header` is kNbdRequestBytes long. False: the magic is wrong, the stream cannot be trusted any
// more.
[[nodiscard]] bool unpack_nbd_request(Bytes header, NbdRequest& request);
// For every command but disconnect.
[[nodiscard]] NbdRefusal check_nbd_request(const NbdRequest& request, const NbdTraits& traits);
// The transmission flags that go with `traits`.
[[nodiscard]] std::uint16_t nbd_transmission_flags(const NbdTraits& traits);
[[nodiscard]] NbdError nbd_error(ErrorCode code);

}  // namespace everstep::daemon
