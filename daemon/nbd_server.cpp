#include "daemon/nbd_server.hpp"

#include <map>

#include "common/base/log.hpp"
#include "common/net/stream.hpp"
#include "daemon/nbd_connection.hpp"

namespace everstep::daemon {

namespace {

constexpr std::size_t kConnectionsMax = 128;  // of one server; the next is closed at once

// As in a URI's query and path: everything but unreserved characters and '/' becomes %XX.
std::string percent_encoded(std::string_view text) {
    static constexpr std::string_view kPlain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    static constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if (kPlain.find(c) != std::string_view::npos) {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += kDigits[byte >> 4];
        out += kDigits[byte & 15U];
    }
    return out;
}

class Server final : public NbdServer {
  public:
    Server(net::Loop& loop, std::vector<NbdExport> exports)
        : loop_(loop), exports_(std::move(exports)) {}

    ~Server() override {
        listener_.reset();
        for (auto& [id, connection] : connections_) connection->drop();
        // We may be inside a callback of one of them: they go when it has returned.
        loop_.post([gone = std::move(connections_)] {});
    }

    Status listen(const std::string& address) {
        auto listener = net::Listener::make(
            loop_, address, nullptr, {},
            [this](net::StreamPtr stream) { accept(std::move(stream)); },
            [](const std::string& peer, const Status& why) {
                log_info("nbd: client " + peer + " refused: " + why.message());
            });
        if (!listener.ok()) return listener.status();
        listener_ = std::move(*listener);
        return {};
    }

    [[nodiscard]] std::string uri() const override {
        static constexpr std::string_view kUnix = "unix:";
        static constexpr std::string_view kTcp = "tcp:";
        const std::string address = listener_->address();
        if (address.starts_with(kUnix))
            return "nbd+unix:///?socket=" + percent_encoded(address.substr(kUnix.size()));
        return "nbd://" + (address.starts_with(kTcp) ? address.substr(kTcp.size()) : address);
    }

    [[nodiscard]] std::size_t connections() const override { return connections_.size(); }

  private:
    void accept(net::StreamPtr stream) {
        if (connections_.size() >= kConnectionsMax) {
            log_warning("nbd: client " + stream->peer_address() + " refused: 128 are connected");
            return;
        }
        const std::uint64_t id = next_id_++;
        auto connection = std::make_shared<NbdConnection>(loop_, exports_, std::move(stream),
                                                          [this, id] { forget(id); });
        connections_.emplace(id, connection);
        connection->start();
    }

    void forget(std::uint64_t id) {
        const auto found = connections_.find(id);
        EVERSTEP_ASSERT(found != connections_.end(), "a connection that went twice");
        // It is in one of its callbacks: it goes when that has returned.
        loop_.post([gone = std::move(found->second)] {});
        connections_.erase(found);
    }

    net::Loop& loop_;
    std::vector<NbdExport> exports_;
    std::map<std::uint64_t, std::shared_ptr<NbdConnection>> connections_;
    std::uint64_t next_id_ = 1;
    std::unique_ptr<net::Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<NbdServer>> NbdServer::make(net::Loop& loop, const std::string& address,
                                                   std::vector<NbdExport> exports) {
    if (exports.empty()) return Status(ErrorCode::usage, address + ": nothing to serve");
    for (const NbdExport& one : exports)
        EVERSTEP_ASSERT(one.device != nullptr, "an export without its device");
    auto server = std::make_unique<Server>(loop, std::move(exports));
    if (Status status = server->listen(address); !status.ok()) return status;
    return std::unique_ptr<NbdServer>(std::move(server));
}

}  // namespace everstep::daemon
