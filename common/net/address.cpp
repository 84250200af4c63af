#include "common/net/address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <system_error>

namespace everstep::net {
namespace {

[[nodiscard]] Status bad_address(const std::string& text) {
    return {ErrorCode::usage,
            "'" + text + "' is no address; wanted unix:/path, tcp:HOST:PORT or HOST:PORT"};
}

[[nodiscard]] bool is_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), port);
    return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

}  // namespace

Result<Address> parse_address(const std::string& text) {
    constexpr std::string_view kUnix = "unix:";
    constexpr std::string_view kTcp = "tcp:";
    if (text.starts_with(kUnix)) {
        Address address{.unix_socket = true, .path = text.substr(kUnix.size())};
        return address.path.empty() ? Result<Address>(bad_address(text)) : address;
    }
    const std::string rest = text.starts_with(kTcp) ? text.substr(kTcp.size()) : text;
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string::npos || !is_port(rest.substr(colon + 1))) return bad_address(text);
    Address address{.host = rest.substr(0, colon), .port = rest.substr(colon + 1)};
    const bool bracketed = address.host.starts_with('[') && address.host.ends_with(']');
    if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
    if (address.host.empty() || (!bracketed && address.host.find(':') != std::string::npos))
        return bad_address(text);
    return address;
}

Result<SocketAddress> unix_address(const std::string& path) {
    sockaddr_un wanted{};
    if (path.size() >= sizeof wanted.sun_path)
        return Status(ErrorCode::usage, path + ": " + std::to_string(path.size()) +
                                            " bytes, the path of a unix socket has at most " +
                                            std::to_string(sizeof wanted.sun_path - 1));
    wanted.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), wanted.sun_path);
    SocketAddress address;
    std::memcpy(&address.storage, &wanted, sizeof wanted);
    address.bytes = sizeof wanted;
    return address;
}

std::vector<SocketAddress> numeric_addresses(const Address& address) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    std::vector<SocketAddress> found;
    if (::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &list) != 0) return found;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
        SocketAddress numeric;
        std::memcpy(&numeric.storage, one->ai_addr, one->ai_addrlen);
        numeric.bytes = one->ai_addrlen;
        found.push_back(numeric);
    }
    ::freeaddrinfo(list);
    return found;
}

std::string to_text(const SocketAddress& address) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (address.get()->sa_family == AF_UNIX) return "unix";
    if (::getnameinfo(address.get(), address.bytes, host.data(), host.size(), port.data(),
                      port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return "an address that cannot be shown";
    const std::string text = host.data();
    const bool v6 = address.get()->sa_family == AF_INET6;
    return (v6 ? "[" + text + "]" : text) + ":" + port.data();
}

Result<io::UniqueFd> make_socket(int family) {
    io::UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return status_from_errno(errno, "make a socket", "network");
    return fd;
}

void tune(int fd, int family) {
    if (family == AF_UNIX) return;
    const auto set = [fd](int level, int option, int value) {
        // A kernel that refuses one of these is only slower to notice things.
        static_cast<void>(::setsockopt(fd, level, option, &value, sizeof value));
    };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

void tune_link(int fd) {
    const auto timeout_ms = static_cast<int>(std::chrono::milliseconds(kUnansweredMax).count());
    static_cast<void>(
        ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms));
}

std::uint16_t local_port(int fd) {
    SocketAddress address;
    address.bytes = sizeof address.storage;
    if (::getsockname(fd, address.get(), &address.bytes) != 0) return 0;
    if (address.get()->sa_family == AF_INET6)
        return ntohs(reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port);
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

std::string error_text(int error) {
    return std::generic_category().message(error);
}

}  // namespace everstep::net
