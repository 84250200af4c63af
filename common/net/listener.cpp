#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/net/address.hpp"
#include "common/net/listening_socket.hpp"
#include "common/net/stream_core.hpp"

namespace everstep::net {
namespace {

constexpr std::size_t kHandshakesMax = 64;
constexpr std::size_t kHandshakesMaxOfSource = 16;
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kPauseWithoutResources{100};

// Whom a handshake counts for: an IPv4 address, or an IPv6 network of 64 bits.
std::uint64_t source_of(const SocketAddress& peer) {
    std::uint64_t source = 0;
    if (peer.get()->sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &peer.storage, sizeof v4);
        source = v4.sin_addr.s_addr;
    } else if (peer.get()->sa_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &peer.storage, sizeof v6);
        const std::uint8_t* bytes = v6.sin6_addr.s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
            std::memcpy(&source, bytes + 12, 4);
        else
            std::memcpy(&source, bytes, sizeof source);
    }
    return source;
}

struct ListenerSetup {
    std::shared_ptr<TlsContext> tls;
    std::vector<std::string> names;
    Listener::Accept accept;
    std::function<void(std::string, Status)> on_refused;
};

// What waits in the loop holds it; a closed one does nothing.
class ListenerCore : public std::enable_shared_from_this<ListenerCore> {
  public:
    ListenerCore(Loop& loop, ListeningSocket socket, ListenerSetup setup)
        : loop_(loop),
          socket_(std::move(socket)),
          descriptor_(loop.impl().context, socket_.release_fd()),
          pause_(loop.impl().context),
          setup_(std::make_shared<const ListenerSetup>(std::move(setup))) {}

    [[nodiscard]] const std::string& address() const { return socket_.address(); }

    void wait() {
        if (!setup_) return;
        descriptor_.async_wait(Descriptor::wait_read,
                               [self = shared_from_this()](ErrorCodeOfAsio error) {
                                   if (!error) self->accept_all();
                               });
    }

    void close() {
        const auto setup = std::move(setup_);
        const auto handshakes = std::move(handshakes_);
        handshakes_.clear();
        for (const Handshake& one : handshakes) one.core->close();
        ErrorCodeOfAsio ignored;  // the descriptor is gone in any case
        descriptor_.close(ignored);
        pause_.cancel();
        const ListeningSocket removed = std::move(socket_);
    }

  private:
    void accept_all() {
        for (int i = 0; i < kAcceptsPerTurn && setup_; ++i) {
            SocketAddress peer;
            peer.bytes = sizeof peer.storage;
            io::UniqueFd fd(::accept4(descriptor_.native_handle(), peer.get(), &peer.bytes,
                                      SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (fd.valid()) {
                accepted(std::move(fd), peer);
                continue;
            }
            if (errno == EAGAIN) break;
            // Out of descriptors or memory: the waiting peer would wake us again and again.
            if (errno != EINTR && errno != ECONNABORTED) return wait_for_resources();
        }
        wait();
    }

    void wait_for_resources() {
        pause_.expires_after(kPauseWithoutResources);
        pause_.async_wait([self = shared_from_this()](ErrorCodeOfAsio error) {
            if (!error) self->wait();
        });
    }

    void accepted(io::UniqueFd fd, const SocketAddress& peer) {
        const int family = peer.get()->sa_family;
        tune(fd.get(), family);
        StreamSetup stream{std::move(fd), family == AF_UNIX ? address() : to_text(peer)};
        if (setup_->tls) return shake_hands(std::move(stream), source_of(peer));
        const auto setup = setup_;
        setup->accept(make_stream(std::make_shared<StreamCore>(loop_, std::move(stream))));
    }

    void shake_hands(StreamSetup stream, std::uint64_t source) {
        const std::string peer = stream.address;
        make_room(source);
        if (!setup_) return;  // the user's callback closed it
        auto session = TlsSession::make(*setup_->tls, TlsRole::server, setup_->names);
        if (!session.ok()) return refused(peer, session.status());
        stream.tls = std::move(*session);
        auto core = std::make_shared<StreamCore>(loop_, std::move(stream));
        handshakes_.push_back({core, source});
        core->handshake(kHandshakeTimeout,
                        [self = shared_from_this(), raw = core.get()](const Status& status) {
                            self->handshake_ended(raw->shared_from_this(), status);
                        });
    }

    // A newcomer is never turned away for those that are there: who connects and says nothing would
    // lock out everybody. A source at its limit loses one of its own, so that it cannot push out
    // others.
    void make_room(std::uint64_t source) {
        const auto of_source = [&](const Handshake& one) { return one.source == source; };
        const auto count = std::count_if(handshakes_.begin(), handshakes_.end(), of_source);
        if (static_cast<std::size_t>(count) >= kHandshakesMaxOfSource)
            drop_one(of_source);
        else if (handshakes_.size() >= kHandshakesMax)
            drop_one([](const Handshake&) { return true; });
    }

    // The oldest that has said nothing, else the oldest.
    template <class Among>
    void drop_one(const Among& among) {
        const auto end = handshakes_.end();
        auto found = std::find_if(handshakes_.begin(), end, [&](const Handshake& one) {
            return among(one) && one.core->silent();
        });
        if (found == end) found = std::find_if(handshakes_.begin(), end, among);
        const StreamCorePtr core = found->core;
        handshakes_.erase(found);
        core->close();
        refused(core->peer_address(),
                {ErrorCode::busy, core->peer_address() + ": too many TLS handshakes at once"});
    }

    void handshake_ended(StreamCorePtr core, const Status& status) {
        std::erase_if(handshakes_, [&](const Handshake& one) { return one.core == core; });
        const auto setup = setup_;
        if (!setup) return core->close();
        if (!status.ok()) return refused(core->peer_address(), status);
        setup->accept(make_stream(std::move(core)));
    }

    void refused(const std::string& peer, const Status& status) const {
        const auto setup = setup_;
        if (setup->on_refused) setup->on_refused(peer, status);
    }

    Loop& loop_;
    ListeningSocket socket_;
    Descriptor descriptor_;
    asio::steady_timer pause_;
    std::shared_ptr<const ListenerSetup> setup_;  // none once closed
    struct Handshake {
        StreamCorePtr core;
        std::uint64_t source = 0;
    };
    std::vector<Handshake> handshakes_;  // oldest first; at most kHandshakesMax
};

class SocketListener final : public Listener {
  public:
    explicit SocketListener(std::shared_ptr<ListenerCore> core)
        : core_(std::move(core)), address_(core_->address()) {}
    ~SocketListener() override { core_->close(); }
    SocketListener(const SocketListener&) = delete;
    SocketListener& operator=(const SocketListener&) = delete;
    [[nodiscard]] std::string address() const override { return address_; }

  private:
    std::shared_ptr<ListenerCore> core_;
    std::string address_;
};

}  // namespace

Result<std::unique_ptr<Listener>> Listener::make(
    Loop& loop, const std::string& address, std::shared_ptr<TlsContext> tls,
    std::vector<std::string> names, Accept accept,
    std::function<void(std::string, Status)> on_refused) {
    auto socket = ListeningSocket::open(address);
    if (!socket.ok()) return socket.status();
    auto core = std::make_shared<ListenerCore>(
        loop, std::move(*socket),
        ListenerSetup{std::move(tls), std::move(names), std::move(accept), std::move(on_refused)});
    core->wait();
    return std::unique_ptr<Listener>(std::make_unique<SocketListener>(std::move(core)));
}

}  // namespace everstep::net
