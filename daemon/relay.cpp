#include "daemon/relay.hpp"

namespace everstep::daemon {

namespace {
constexpr std::chrono::milliseconds kDialTimeout{2000};
}

struct RelayClient::Job {
    std::uint64_t id = 0;
    RelayTarget target;
    wire::AdminRequest request;
    AdminAnswer answer;
    std::unique_ptr<net::Connecting> connecting{};
    std::unique_ptr<Link> link{};
    bool ended = false;
};

RelayClient::RelayClient(net::Loop& loop, std::shared_ptr<net::TlsContext> tls, wire::Hello hello)
    : loop_(loop),
      tls_(std::move(tls)),
      hello_(std::move(hello)),
      alive_(std::make_shared<RelayClient*>(this)) {
    hello_.purpose = wire::Purpose::admin;
}

RelayClient::~RelayClient() {
    *alive_ = nullptr;
}

void RelayClient::ask(const RelayTarget& target, const wire::AdminRequest& request,
                      AdminAnswer answer) {
    const auto job = std::make_shared<Job>(Job{next_++, target, request, std::move(answer)});
    if (jobs_.size() >= kRelaysMax) {
        end(job, {ErrorCode::busy, "too many requests to other nodes at once", {}, false});
        return;
    }
    jobs_[job->id] = job;
    job->answer.on_gone([this, alive = alive_, weak = std::weak_ptr(job)] {
        const auto still = weak.lock();
        if (*alive != nullptr && still)
            end(still, {ErrorCode::closed, "the asker is gone", {}, false});
    });
    job->connecting = net::connect(loop_, target.address, tls_, target.node, kDialTimeout,
                                   [this, alive = alive_, job](Result<net::StreamPtr> stream) {
                                       if (*alive != nullptr) connected(job, std::move(stream));
                                   });
}

void RelayClient::connected(const std::shared_ptr<Job>& job, Result<net::StreamPtr> stream) {
    if (job->ended) return;
    if (!stream.ok()) {
        end(job, {ErrorCode::unreachable,
                  "node " + job->target.node + ": " + stream.status().message(),
                  {},
                  false});
        return;
    }
    job->link = std::make_unique<Link>(loop_, std::move(*stream));
    LinkEvents events;
    events.on_control = [this, job](const wire::Control& message) -> Status {
        if (const auto* reply = std::get_if<wire::AdminReply>(&message)) {
            if (reply->more) {
                job->answer(*reply);
            } else {
                end(job, *reply);
            }
            return {};
        }
        if (const auto* hello = std::get_if<wire::Hello>(&message)) {
            return hello->error == ErrorCode::ok ? Status() : Status(hello->error, hello->message);
        }
        return {};
    };
    events.on_closed = [this, job](const Status& status) {
        end(job, {ErrorCode::unreachable,
                  "node " + job->target.node + ": " + status.message(),
                  {},
                  false});
    };
    job->link->start(std::move(events));
    job->link->send(hello_);
    job->link->send(job->request);
}

void RelayClient::end(const std::shared_ptr<Job>& job, const wire::AdminReply& reply) {
    if (job->ended) return;
    job->ended = true;
    jobs_.erase(job->id);
    // Its link and its connecting are in one of their own callbacks now.
    loop_.post([job] {
        if (job->link) job->link->close(Status(ErrorCode::ok, "answered"));
        job->connecting.reset();
        const auto link = std::move(job->link);
    });
    job->answer(reply);
}

}  // namespace everstep::daemon
