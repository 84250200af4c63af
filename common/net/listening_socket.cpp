#include "common/net/listening_socket.hpp"

#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/net/address.hpp"

namespace everstep::net {
namespace {

constexpr int kBacklog = 256;

[[nodiscard]] Status cannot_listen(const std::string& address, int error) {
    const ErrorCode code = error == EADDRINUSE ? ErrorCode::busy : ErrorCode::io;
    return {code, address + ": cannot listen: " + error_text(error)};
}

// Numbers first; a name only when it is one.
[[nodiscard]] Result<std::vector<SocketAddress>> resolve(const Address& address) {
    std::vector<SocketAddress> found = numeric_addresses(address);
    if (!found.empty()) return found;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &list);
        error != 0)
        return Status(ErrorCode::usage, address.host + ": " + ::gai_strerror(error));
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
        SocketAddress socket_address;
        std::memcpy(&socket_address.storage, one->ai_addr, one->ai_addrlen);
        socket_address.bytes = one->ai_addrlen;
        found.push_back(socket_address);
    }
    ::freeaddrinfo(list);
    return found;
}

// Removes a socket that nobody serves. busy: someone answers there.
[[nodiscard]] Status remove_stale(const std::string& path, const SocketAddress& address) {
    struct stat facts {};
    if (::lstat(path.c_str(), &facts) != 0) return {};
    if (!S_ISSOCK(facts.st_mode)) return {ErrorCode::exists, path + ": exists and is no socket"};
    const auto probe = make_socket(AF_UNIX);
    if (!probe.ok()) return probe.status();
    // A full backlog (EAGAIN) is someone too.
    const bool refused = ::connect(probe->get(), address.get(), address.bytes) != 0 &&
                         (errno == ECONNREFUSED || errno == ENOENT);
    if (!refused) return {ErrorCode::busy, path + ": another process serves there"};
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return status_from_errno(errno, "remove the left-over socket", path);
}

}  // namespace

ListeningSocket::ListeningSocket(io::UniqueFd fd, std::string address)
    : fd_(std::move(fd)), address_(std::move(address)) {}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(std::move(other.fd_)),
      address_(std::move(other.address_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

ListeningSocket::~ListeningSocket() {
    if (path_.empty()) return;
    struct stat facts {};
    const bool ours =
        ::lstat(path_.c_str(), &facts) == 0 && facts.st_dev == device_ && facts.st_ino == inode_;
    if (ours) ::unlink(path_.c_str());
}

Result<ListeningSocket> ListeningSocket::open_unix(const std::string& path) {
    const auto address = unix_address(path);
    if (!address.ok()) return address.status();
    auto fd = make_socket(AF_UNIX);
    if (!fd.ok()) return fd.status();
    // Linux gives the name that bind() makes the mode of the socket: 0600 from its birth, whatever
    // the umask is.
    if (::fchmod(fd->get(), 0600) != 0) return status_from_errno(errno, "set the mode", path);
    EVERSTEP_TRY(remove_stale(path, *address));
    if (::bind(fd->get(), address->get(), address->bytes) != 0) return cannot_listen(path, errno);
    ListeningSocket made(std::move(*fd), "unix:" + path);
    struct stat facts {};
    if (::lstat(path.c_str(), &facts) != 0) return status_from_errno(errno, "stat", path);
    made.path_ = path;
    made.device_ = facts.st_dev;
    made.inode_ = facts.st_ino;
    if (::listen(made.fd_.get(), kBacklog) != 0) return cannot_listen(path, errno);
    return made;
}

Result<ListeningSocket> ListeningSocket::open(const std::string& address) {
    const auto wanted = parse_address(address);
    if (!wanted.ok()) return wanted.status();
    if (wanted->unix_socket) return open_unix(wanted->path);
    const auto resolved = resolve(*wanted);
    if (!resolved.ok()) return resolved.status();
    const SocketAddress& first = resolved->front();
    auto fd = make_socket(first.get()->sa_family);
    if (!fd.ok()) return fd.status();
    // A port of ours whose old connections linger may be taken again at once.
    const int on = 1;
    static_cast<void>(::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    if (::bind(fd->get(), first.get(), first.bytes) != 0 || ::listen(fd->get(), kBacklog) != 0)
        return cannot_listen(address, errno);
    const std::string port = std::to_string(local_port(fd->get()));
    return ListeningSocket(std::move(*fd), address.substr(0, address.rfind(':') + 1) + port);
}

}  // namespace everstep::net
