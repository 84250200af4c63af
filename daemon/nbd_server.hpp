// The NBD server: serves BlockDevices to NBD clients (QEMU, nbd-client, nbdfuse, libnbd, fio) over
// unix sockets and TCP. Source of the protocol: github.com/NetworkBlockDevice/nbd, doc/proto.md.
// Baseline plus structured replies, FUA, flush, trim, write-zeroes, block status (base:allocation),
// CAN_MULTI_CONN, 512-byte blocks.
//
// Place in the walk: stage 1 (capture), and stage 8 for exports. Thread: the loop's thread only.
// Invariants: a bad client gets an NBD error or is disconnected; it never harms another connection.
// Per connection: at most kNbdRequestsMax requests and kNbdBytesMax bytes in flight, then its
// socket is not read. Replies leave in the order in which the device completes. All requests that
// one read of the socket returned are submitted before end_of_batch(); their replies leave in one
// write.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/block_device.hpp"
#include "common/net/loop.hpp"

namespace everstep::daemon {

inline constexpr std::uint32_t kNbdRequestsMax = 1024;
inline constexpr std::uint64_t kNbdBytesMax = 128ULL << 20;

struct NbdExport {
    std::string
        name;  // "" or the volume's name selects it; a server with one export takes any of the two
    std::string description;
    BlockDevice* device = nullptr;  // lives longer than the server
};

class NbdServer {
  public:
    // Listens on `address` ("unix:/path" or "tcp:HOST:PORT"); busy when somebody serves there
    // already.
    [[nodiscard]] static Result<std::unique_ptr<NbdServer>> make(net::Loop& loop,
                                                                 const std::string& address,
                                                                 std::vector<NbdExport> exports);
    virtual ~NbdServer() =
        default;  // disconnects everybody; completions that come later are dropped
    [[nodiscard]] virtual std::string uri()
        const = 0;  // "nbd+unix:///?socket=/path" or "nbd://HOST:PORT"
    [[nodiscard]] virtual std::size_t connections() const = 0;
};

}  // namespace everstep::daemon
