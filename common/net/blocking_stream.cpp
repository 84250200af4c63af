#include "common/net/blocking_stream.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "common/net/address.hpp"

namespace everstep::net {
namespace {

class BlockingSocket final : public BlockingStream {
  public:
    BlockingSocket(io::UniqueFd fd, std::string path, Patience patience)
        : fd_(std::move(fd)), path_(std::move(path)), patience_(std::move(patience)) {}

    [[nodiscard]] Status write(Bytes bytes) override {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0) return {ErrorCode::closed, path_ + ": " + error_text(errno)};
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        }
        return {};
    }

    [[nodiscard]] Status read(MutableBytes bytes) override {
        while (!bytes.empty()) {
            EVERSTEP_TRY(wait());
            const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return {ErrorCode::closed, path_ + ": " + error_text(errno)};
            if (got == 0) return {ErrorCode::closed, path_ + ": ended by the other side"};
            bytes = bytes.subspan(static_cast<std::size_t>(got));
        }
        return {};
    }

  private:
    // Until something can be read, or the end.
    [[nodiscard]] Status wait() {
        if (patience_.limit.count() == 0) return {};
        while (true) {
            pollfd one{fd_.get(), POLLIN, 0};
            const int ready = ::poll(&one, 1, static_cast<int>(patience_.limit.count()));
            if (ready < 0 && errno != EINTR)
                return {ErrorCode::closed, path_ + ": " + error_text(errno)};
            if (ready > 0) return {};
            if (ready == 0) EVERSTEP_TRY(patience_.on_silence());
        }
    }
    io::UniqueFd fd_;
    std::string path_;
    Patience patience_;
};

}  // namespace

Result<std::unique_ptr<BlockingStream>> BlockingStream::connect(const std::string& unix_path) {
    return connect_with(unix_path, {});
}

Result<std::unique_ptr<BlockingStream>> connect_with(const std::string& unix_path,
                                                     Patience patience) {
    const auto address = unix_address(unix_path);
    if (!address.ok()) return address.status();
    io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return status_from_errno(errno, "make a socket", unix_path);
    // Of connect() too, which waits while the listener's queue is full (unix(7)).
    timeval limit{};
    limit.tv_sec = patience.limit.count() / 1000;
    limit.tv_usec = patience.limit.count() % 1000 * 1000;
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        return status_from_errno(errno, "set a limit", unix_path);
    while (::connect(fd.get(), address->get(), address->bytes) != 0)
        if (errno != EINTR)
            return Status(ErrorCode::unreachable, unix_path + ": " + error_text(errno));
    return std::unique_ptr<BlockingStream>(
        std::make_unique<BlockingSocket>(std::move(fd), unix_path, std::move(patience)));
}

}  // namespace everstep::net
