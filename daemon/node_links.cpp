// Node: links that other nodes opened: the first message says for which group, or that it relays
// commands.
#include "daemon/node.hpp"

namespace everstep::daemon {

namespace {
// Of one peer; the names of peers are those of the configuration.
constexpr std::size_t kUngreetedMax = 16;
constexpr std::chrono::seconds kHelloTimeout{5};
constexpr std::size_t kHelloBytesMax = 1U << 20;  // thousands of timelines
}  // namespace

wire::Hello Node::hello() const {
    wire::Hello hello;
    hello.features = wire::kFeatures;
    hello.node = name_;
    hello.node_id = id_;
    return hello;
}

void Node::accepted(net::StreamPtr stream) {
    const std::uint64_t id = next_link_++;
    auto link = std::make_unique<Link>(loop_, std::move(stream));
    const std::vector<std::uint64_t> others = links_of(link->peer(), false);
    if (others.size() >= kUngreetedMax) drop(others.front());
    LinkEvents events;
    events.control_bytes_max = kHelloBytesMax;
    events.on_control = [this, id](const wire::Control& message) -> Status {
        if (const auto* hello = std::get_if<wire::Hello>(&message)) return greeted(id, *hello);
        if (std::holds_alternative<wire::Keepalive>(message)) return {};
        return Status(ErrorCode::corrupt, "a Hello was wanted first");
    };
    events.on_closed = [this, id](const Status&) { drop(id); };
    Link& started = *link;
    Greeting& greeting = greeting_[id];
    greeting.link = std::move(link);
    greeting.deadline = std::make_unique<net::Timer>(loop_);
    greeting.deadline->after(kHelloTimeout, [this, id] {
        greeting_.at(id).link->close(Status(ErrorCode::timeout, "no Hello within 5 s"));
        drop(id);
    });
    started.start(std::move(events));
}

// Oldest first.
std::vector<std::uint64_t> Node::links_of(const std::string& peer, bool greeted) const {
    std::vector<std::uint64_t> found;
    for (const auto& [id, one] : greeting_) {
        if (one.greeted == greeted && one.link->peer() == peer) found.push_back(id);
    }
    return found;
}

void Node::drop(std::uint64_t id) {
    const auto at = greeting_.find(id);
    if (at == greeting_.end()) return;
    Greeting gone = std::move(at->second);
    greeting_.erase(at);
    gone.requests.gone();
    loop_.post([link = std::shared_ptr<Link>(std::move(gone.link))] {});
}

Status Node::greeted(std::uint64_t id, const wire::Hello& hello) {
    const auto at = greeting_.find(id);
    if (at == greeting_.end() || stopped_) return Status(ErrorCode::closed, "the node stops");
    Link& link = *at->second.link;
    if (hello.node != link.peer()) {
        return Status(ErrorCode::refused,
                      "its certificate is of " + link.peer() + ", it calls itself " + hello.node);
    }
    if (hello.protocol_min > wire::kProtocolMax || hello.protocol_max < wire::kProtocolMin) {
        return Status(ErrorCode::version, "no protocol version in common");
    }
    if (hello.purpose == wire::Purpose::admin) {
        if (links_of(hello.node, true).size() >= kRelaysMax)
            return Status(ErrorCode::busy, "too many requests of " + hello.node + " at once");
        at->second.greeted = true;
        at->second.deadline.reset();
        LinkEvents events;
        events.on_control = [this, id](const wire::Control& message) -> Status {
            const auto* request = std::get_if<wire::AdminRequest>(&message);
            if (request != nullptr) relayed(id, *request);
            return {};
        };
        events.on_closed = [this, id](const Status&) { drop(id); };
        link.start(std::move(events));
        link.send(this->hello());
        return {};
    }
    if (!hello.group) return Status(ErrorCode::corrupt, "a Hello without a group");
    const auto group = groups_.find(hello.group->group);
    if (group == groups_.end()) {
        return Status(ErrorCode::refused, "node " + name_ + " has no group " + hello.group->group);
    }
    const std::vector<std::string> peers = group->second->context().peers();
    if (std::find(peers.begin(), peers.end(), hello.node) == peers.end()) {
        return Status(ErrorCode::refused,
                      hello.node + " is no member of group " + hello.group->group);
    }
    std::unique_ptr<Link> taken = std::move(at->second.link);
    greeting_.erase(at);
    LinkEvents quiet;  // until the group has started it; it is in its own callback now
    quiet.on_control = [](const wire::Control&) { return Status(); };
    taken->start(std::move(quiet));
    group->second->on_link(std::move(taken), hello);
    return {};
}

void Node::relayed(std::uint64_t id, const wire::AdminRequest& request) {
    AdminAnswer answer([this, id](const wire::AdminReply& reply) {
        const auto at = greeting_.find(id);
        if (at != greeting_.end()) at->second.link->send(reply);
    });
    const auto at = greeting_.find(id);
    if (at != greeting_.end()) at->second.requests.asked(answer);
    run_command(request, true, std::move(answer));
}

}  // namespace everstep::daemon
