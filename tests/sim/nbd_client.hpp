// What an NBD client of the simulation says (tests/sim/application, tests/sim/export_reader), and a
// reader of one whole volume.
//
// Thread: the world's: the loop's, in callbacks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/net/stream.hpp"
#include "daemon/nbd_protocol.hpp"

namespace everstep::sim {

struct NbdAsk {
    daemon::NbdCommand command = daemon::NbdCommand::read;
    std::uint64_t id = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
};
// The client's flags and the export that it wants, behind the server's greeting.
[[nodiscard]] std::vector<std::byte> nbd_choose(const std::string& name);
[[nodiscard]] std::vector<std::byte> nbd_request(const NbdAsk& ask);

struct VolumeAt {
    std::string address;
    std::string volume;
    std::size_t bytes = 0;
};
// Reads all of it, in pieces; nothing where the connection or an answer does not come.
using VolumeRead = std::function<void(std::optional<std::vector<std::byte>>)>;
void read_volume(net::Loop& loop, const VolumeAt& what, VolumeRead done);

}  // namespace everstep::sim
