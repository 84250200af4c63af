#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>

#include "common/net/address.hpp"
#include "common/net/stream_core.hpp"

namespace everstep::net {
namespace {

using Resolver = asio::ip::tcp::resolver;

struct ConnectSetup {
    std::string address;
    std::shared_ptr<TlsContext> tls;
    std::string expected_name;
    std::chrono::milliseconds timeout;
    std::function<void(Result<StreamPtr>)> done;
};

// One attempt: look up, connect to one address after the other, shake hands. What waits in the loop
// holds it.
class ConnectCore : public std::enable_shared_from_this<ConnectCore> {
  public:
    ConnectCore(Loop& loop, ConnectSetup setup)
        : loop_(loop),
          setup_(std::move(setup)),
          resolver_(loop.impl().context),
          timer_(loop.impl().context),
          descriptor_(loop.impl().context),
          deadline_(std::chrono::steady_clock::now() + setup_.timeout) {}

    void begin() {
        timer_.expires_at(deadline_);
        timer_.async_wait([self = shared_from_this()](ErrorCodeOfAsio error) {
            if (!error) self->fail(ErrorCode::timeout, "no connection within its time");
        });
        asio::post(loop_.impl().context, [self = shared_from_this()] { self->look_up(); });
    }

    void close() {
        const auto done = std::exchange(setup_.done, nullptr);
        timer_.cancel();
        resolver_.cancel();
        ErrorCodeOfAsio ignored;  // the descriptor is gone in any case
        descriptor_.close(ignored);
        if (const StreamCorePtr core = std::exchange(core_, nullptr)) core->close();
    }

  private:
    void end(Result<StreamPtr> result) {
        const auto done = setup_.done;
        close();
        if (done) done(std::move(result));
    }

    void fail(ErrorCode code, const std::string& why) {
        end(Status(code, setup_.address + ": " + why));
    }

    void look_up() {
        if (!setup_.done) return;
        const auto address = parse_address(setup_.address);
        if (!address.ok()) return end(address.status());
        if (address->unix_socket) {
            const auto path = unix_address(address->path);
            if (!path.ok()) return end(path.status());
            candidates_ = {*path};
            return try_next();
        }
        candidates_ = numeric_addresses(*address);
        if (!candidates_.empty()) return try_next();
        resolver_.async_resolve(address->host, address->port,
                                [self = shared_from_this()](ErrorCodeOfAsio error,
                                                            const Resolver::results_type& found) {
                                    if (!self->setup_.done) return;
                                    if (error)
                                        return self->fail(ErrorCode::unreachable, error.message());
                                    self->take(found);
                                    self->try_next();
                                });
    }

    void take(const Resolver::results_type& found) {
        for (const auto& entry : found) {
            SocketAddress address;
            address.bytes = static_cast<socklen_t>(entry.endpoint().size());
            std::memcpy(&address.storage, entry.endpoint().data(), address.bytes);
            candidates_.push_back(address);
        }
    }

    void try_next() {
        while (next_ < candidates_.size()) {
            const SocketAddress& address = candidates_[next_++];
            auto fd = make_socket(address.get()->sa_family);
            if (!fd.ok()) return end(fd.status());
            if (::connect(fd->get(), address.get(), address.bytes) == 0)
                return connected(std::move(*fd));
            if (errno == EINPROGRESS) return wait_for(std::move(*fd));
            last_error_ = errno;
        }
        fail(ErrorCode::unreachable, error_text(last_error_));
    }

    void wait_for(io::UniqueFd fd) {
        ErrorCodeOfAsio error;
        descriptor_.assign(fd.get(), error);
        if (error) return fail(ErrorCode::io, error.message());
        static_cast<void>(fd.release());
        descriptor_.async_wait(Descriptor::wait_write,
                               [self = shared_from_this()](ErrorCodeOfAsio failed) {
                                   if (!failed && self->setup_.done) self->on_connected();
                               });
    }

    void on_connected() {
        io::UniqueFd fd(descriptor_.release());
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        if (error == 0) return connected(std::move(fd));
        last_error_ = error;
        try_next();
    }

    void connected(io::UniqueFd fd) {
        const SocketAddress& address = candidates_[next_ - 1];
        const int family = address.get()->sa_family;
        tune(fd.get(), family);
        StreamSetup stream{std::move(fd), family == AF_UNIX ? setup_.address : to_text(address)};
        if (!setup_.tls)
            return end(make_stream(std::make_shared<StreamCore>(loop_, std::move(stream))));
        auto session = TlsSession::make(*setup_.tls, TlsRole::client, {setup_.expected_name});
        if (!session.ok()) return end(session.status());
        stream.tls = std::move(*session);
        core_ = std::make_shared<StreamCore>(loop_, std::move(stream));
        core_->handshake(
            deadline_ - std::chrono::steady_clock::now(),
            [self = shared_from_this()](const Status& status) { self->on_handshake(status); });
    }

    void on_handshake(const Status& status) {
        if (!status.ok()) {
            // The core names the address that a name stood for; the reader of a message knows the
            // name.
            const bool named = setup_.address.ends_with(core_->peer_address());
            return end(named ? status : status.with_context(setup_.address));
        }
        end(make_stream(std::exchange(core_, nullptr)));
    }

    Loop& loop_;
    ConnectSetup setup_;  // no `done` once it has ended
    Resolver resolver_;
    asio::steady_timer timer_;
    Descriptor descriptor_;
    std::chrono::steady_clock::time_point deadline_;
    std::vector<SocketAddress> candidates_;
    std::size_t next_ = 0;
    int last_error_ = EHOSTUNREACH;
    StreamCorePtr core_;
};

class SocketConnecting final : public Connecting {
  public:
    explicit SocketConnecting(std::shared_ptr<ConnectCore> core) : core_(std::move(core)) {}
    ~SocketConnecting() override { core_->close(); }
    SocketConnecting(const SocketConnecting&) = delete;
    SocketConnecting& operator=(const SocketConnecting&) = delete;

  private:
    std::shared_ptr<ConnectCore> core_;
};

}  // namespace

std::unique_ptr<Connecting> connect(Loop& loop, const std::string& address,
                                    std::shared_ptr<TlsContext> tls,
                                    const std::string& expected_name,
                                    std::chrono::milliseconds timeout,
                                    std::function<void(Result<StreamPtr>)> done) {
    auto core = std::make_shared<ConnectCore>(
        loop, ConnectSetup{address, std::move(tls), expected_name, timeout, std::move(done)});
    core->begin();
    return std::make_unique<SocketConnecting>(std::move(core));
}

}  // namespace everstep::net
