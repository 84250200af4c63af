#include "daemon/admin_server.hpp"
#include "proto/message_reader.hpp"

#include <map>

#include "common/base/log.hpp"

namespace everstep::daemon {

namespace {
constexpr std::size_t kClientsMax = 256;
constexpr std::size_t kUnreadBytesMax = 64U << 20;  // answers that a client has not read
}  // namespace

struct AdminServer::Client {
    net::StreamPtr stream;
    std::unique_ptr<wire::MessageReader> reader;
    AdminClient requests;
    bool unread = false;  // it asked and did not read: it gets no more
};

struct AdminServer::Shared {
    net::Loop* loop = nullptr;
    Handler handler;
    std::map<std::uint64_t, std::shared_ptr<Client>> clients;
    std::uint64_t next = 1;

    static void accept(const std::shared_ptr<Shared>& shared, net::StreamPtr stream);
    void drop(std::uint64_t id) {
        const auto at = clients.find(id);
        if (at == clients.end()) return;
        const std::shared_ptr<Client> client = std::move(at->second);
        clients.erase(at);
        client->stream->finish();
        client->requests.gone();
        loop->post([client] {});  // it may be in one of its own callbacks
    }
    void reply(std::uint64_t id, const wire::AdminReply& message) {
        const auto at = clients.find(id);
        if (at == clients.end() || at->second->unread) return;
        Client& client = *at->second;
        client.stream->write_copy(wire::encode(message));
        if (client.stream->queued_bytes() <= kUnreadBytesMax) return;
        // What waits is still sent; the client stays until it has ended the stream.
        client.unread = true;
        wire::AdminReply last;
        last.error = ErrorCode::too_large;
        last.message = "more than " + std::to_string(kUnreadBytesMax) +
                       " bytes of answers were not read; the rest is left out";
        client.stream->write_copy(wire::encode(last));
        client.stream->finish();
        loop->post([client = at->second] { client->requests.gone(); });
    }
};

void AdminServer::Shared::accept(const std::shared_ptr<Shared>& shared, net::StreamPtr stream) {
    if (shared->clients.size() >= kClientsMax) return;
    const std::uint64_t id = shared->next++;
    const auto client = std::make_shared<Client>();
    shared->clients[id] = client;
    client->stream = std::move(stream);
    wire::MessageReader::Events messages;
    messages.on_control = [weak = std::weak_ptr(shared), id,
                           client = client.get()](const wire::Control& message) -> Status {
        const auto* request = std::get_if<wire::AdminRequest>(&message);
        if (request == nullptr)
            return Status(ErrorCode::corrupt, "only admin requests are taken here");
        const auto server = weak.lock();
        if (!server || client->unread) return {};
        AdminAnswer answer([weak, id](const wire::AdminReply& reply) {
            if (const auto still = weak.lock()) still->reply(id, reply);
        });
        client->requests.asked(answer);
        server->handler(*request, std::move(answer));
        return {};
    };
    const auto no_raw = [](Buffer) {
        return Status(ErrorCode::corrupt, "only admin requests are taken here");
    };
    messages.on_frame = no_raw;
    messages.on_data = no_raw;
    client->reader = std::make_unique<wire::MessageReader>(std::move(messages));
    net::StreamEvents events;
    events.on_bytes = [weak = std::weak_ptr(shared), id, client = client.get()](Bytes bytes) {
        const Status status = client->reader->feed(bytes);
        const auto server = weak.lock();
        if (!server || status.ok()) return;
        log_warning("admin socket: " + status.message());
        wire::AdminReply reply;
        reply.error = status.code();
        reply.message = status.message();
        server->reply(id, reply);
        server->drop(id);
    };
    events.on_closed = [weak = std::weak_ptr(shared), id](const Status&) {
        if (const auto server = weak.lock()) server->drop(id);
    };
    client->stream->start(std::move(events));
}

Result<std::unique_ptr<AdminServer>> AdminServer::make(net::Loop& loop, const std::string& path,
                                                       Handler handler) {
    auto server = std::unique_ptr<AdminServer>(new AdminServer());
    server->shared_ = std::make_shared<Shared>();
    server->shared_->loop = &loop;
    server->shared_->handler = std::move(handler);
    auto listener = net::Listener::make(
        loop, "unix:" + path, nullptr, {},
        [shared = server->shared_](net::StreamPtr stream) {
            Shared::accept(shared, std::move(stream));
        },
        [](const std::string&, const Status&) {});
    if (!listener.ok()) return listener.status().with_context("admin socket");
    server->listener_ = std::move(*listener);
    return server;
}

AdminServer::~AdminServer() {
    if (shared_) shared_->clients.clear();
}

}  // namespace everstep::daemon
