// Addresses: "unix:/path", "tcp:HOST:PORT", "HOST:PORT" ("[::1]:PORT" for IPv6), and the socket
// calls that take them. Thread: any; no function here blocks.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <vector>

#include "common/base/status.hpp"
#include "common/io/unique_fd.hpp"

namespace everstep::net {

struct Address {
    bool unix_socket = false;
    std::string path{};  // unix_socket
    std::string host{};
    std::string port{};  // digits
};
[[nodiscard]] Result<Address> parse_address(const std::string& text);

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t bytes = 0;
    [[nodiscard]] const sockaddr* get() const {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
    [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};
// usage: the path does not fit a socket address (107 bytes).
[[nodiscard]] Result<SocketAddress> unix_address(const std::string& path);
// Empty when `address.host` is no number but a name that has to be looked up.
[[nodiscard]] std::vector<SocketAddress> numeric_addresses(const Address& address);
[[nodiscard]] std::string to_text(const SocketAddress& address);

// A socket that neither blocks nor is inherited.
[[nodiscard]] Result<io::UniqueFd> make_socket(int family);
// TCP_NODELAY and keepalive (a dead peer is noticed within about 30 s); nothing for unix sockets.
void tune(int fd, int family);
// Of a link between nodes, whose ends notice silence by themselves: what the other end does not
// take for so long, the kernel gives up as well (TCP_USER_TIMEOUT), closed or not.
inline constexpr std::chrono::seconds kUnansweredMax{60};
void tune_link(int fd);
[[nodiscard]] std::uint16_t local_port(int fd);
[[nodiscard]] std::string error_text(int error);

}  // namespace everstep::net
