#include "tests/sim/cluster.hpp"

#include <csignal>

#include <fmt/format.h>

#include "daemon/node.hpp"
#include "proto/message_reader.hpp"
#include "tests/sim/signals.hpp"

namespace everstep::sim {
namespace {

constexpr std::chrono::milliseconds kAskTimeout{500};

// One request to an admin socket. Its connection ends with the answer: a node serves a bounded
// number of them.
struct Ask {
    net::Loop* loop = nullptr;
    std::unique_ptr<net::Connecting> connecting;
    net::StreamPtr stream;
    std::unique_ptr<wire::MessageReader> reader;
    Cluster::Done done;
    void end(const wire::AdminReply& reply) {
        const auto once = std::exchange(done, nullptr);
        if (!once) return;
        // It may be in the middle of one of its callbacks.
        if (stream) loop->post([gone = std::shared_ptr<net::Stream>(std::move(stream))] {});
        once(reply);
    }
};

wire::AdminReply unreachable() {
    wire::AdminReply reply;
    reply.error = ErrorCode::unreachable;
    reply.message = "the node cannot be reached";
    return reply;
}

void connected(const std::shared_ptr<Ask>& ask, const wire::AdminRequest& request,
               Result<net::StreamPtr> stream) {
    if (!stream.ok()) return ask->end(unreachable());
    ask->stream = std::move(*stream);
    wire::MessageReader::Events messages;
    messages.on_control = [weak = std::weak_ptr(ask)](const wire::Control& message) -> Status {
        const auto one = weak.lock();
        const auto* reply = std::get_if<wire::AdminReply>(&message);
        if (one && reply != nullptr && !reply->more) one->end(*reply);
        return {};
    };
    ask->reader = std::make_unique<wire::MessageReader>(std::move(messages));
    net::StreamEvents events;
    events.on_bytes = [ask](Bytes bytes) { ask->reader->feed(bytes).ignore("then no answer"); };
    events.on_closed = [ask](const Status&) { ask->end(unreachable()); };
    ask->stream->start(std::move(events));
    ask->stream->write_copy(wire::encode(request));
}

}  // namespace

Cluster::Cluster(World& world, ClusterOptions options)
    : world_(world), options_(std::move(options)), network_(world), chronicle_(world, sizes()) {
    for (const std::string& name : kNodes) machines_[name] = std::make_unique<Machine>(world, name);
    network_.tap.on_control = [this](const std::string& from, const std::string& to,
                                     const wire::Control& message) {
        chronicle_.heard(from, to, message);
    };
    network_.tap.on_frame = [this](const std::string& from, const std::string&,
                                   const FramePtr& frame) { chronicle_.heard(from, frame); };
    world_.begin_process("operator", [this] {
        operator_ = new net::Loop();
        operator_->run();
    });
}

Cluster::~Cluster() = default;

std::vector<ByteCount> Cluster::sizes() const {
    std::vector<ByteCount> all;
    for (const std::uint64_t size : options_.sizes) all.emplace_back(size);
    return all;
}

std::vector<std::string> Cluster::volumes() const {
    std::vector<std::string> names;
    for (std::size_t v = 0; v < options_.sizes.size(); ++v) names.push_back(fmt::format("v{}", v));
    return names;
}

std::string Cluster::address(const std::string& node, std::size_t volume) const {
    return fmt::format("unix:/{}/v{}.sock", node, volume);
}

InspectedNode Cluster::inspected(const std::string& node) const {
    InspectedNode one;
    one.name = node;
    one.store = fmt::format("/{}/state/groups/db/store", node);
    for (std::size_t v = 0; v < options_.sizes.size(); ++v)
        one.images.push_back(fmt::format("/{}/v{}.img", node, v));
    one.sizes = sizes();
    one.segment_bytes = ByteCount(options_.segment_bytes);
    return one;
}

Config Cluster::configuration() const {
    std::string text = "[tls]\nca = \"/ca.crt\"\n";
    for (std::size_t n = 0; n < kNodes.size(); ++n)
        text += fmt::format(
            "[[node]]\nname = \"{0}\"\naddress = \"10.0.0.{1}:7801\"\nstate = \"/{0}/state\"\n"
            "certificate = \"/{0}.crt\"\nkey = \"/{0}.key\"\n",
            kNodes[n], n + 1);
    text += fmt::format(
        "[[group]]\nname = \"db\"\nprimary = \"alpha\"\nstandbys = [\"beta\", \"gamma\"]\n"
        "ack = \"{}\"\nack_standbys = {}\non_standby_loss = \"{}\"\nstandby_timeout = \"{}ms\"\n"
        "start_wait = \"3s\"\nqueue_bytes = \"{}B\"\nsegment_bytes = \"{}B\"\n"
        "history = {{ reserve_bytes = \"{}B\", keep_bytes = \"{}B\" }}\n",
        options_.ack, options_.ack_standbys, options_.loss, options_.standby_timeout_ms,
        options_.queue_bytes, options_.segment_bytes, options_.reserve_bytes, options_.keep_bytes);
    for (std::size_t v = 0; v < options_.sizes.size(); ++v) {
        text +=
            fmt::format("[[group.volume]]\nname = \"v{}\"\nsize = \"{}B\"\n", v, options_.sizes[v]);
        for (const std::string& node : kNodes)
            text += fmt::format(
                "{0} = {{ device = \"/{0}/v{1}.img\", capture = \"nbd\", "
                "listen = \"unix:/{0}/v{1}.sock\" }}\n",
                node, v);
    }
    Result<Config> config = parse_config(text, "/everstep.toml");
    EVERSTEP_ASSERT(config.ok(), config.status().message().c_str());
    return std::move(*config);
}

void Cluster::start(const std::string& node) {
    Machine& machine = *machines_.at(node);
    if (machine.up()) return;
    world_.trace(node + ": start");
    machine.run([this, &machine, node] {
        // On the heap: a killed one is never taken down.
        auto* running = new daemon::Node(configuration(), node);
        const Status started = running->start();
        if (started.ok())
            running->run();
        else
            world_.trace(node + ": " + started.message());
        delete running;
        machine.ended();
        network_.process_gone(world_.process(), false);
    });
}

void Cluster::stop(const std::string& node) {
    Machine& machine = *machines_.at(node);
    world_.trace(node + ": SIGTERM");
    if (machine.up()) send_signal(machine.process(), SIGTERM);
}

void Cluster::ask(const std::string& node, wire::AdminRequest request, Done done) {
    operator_->post([this, node, request = std::move(request), done = std::move(done)] {
        const auto ask = std::make_shared<Ask>();
        ask->loop = operator_;
        ask->done = done;
        ask->connecting = net::connect(
            *operator_, "unix:/" + node + "/state/admin.sock", nullptr, "", kAskTimeout,
            [this, ask, request](Result<net::StreamPtr> stream) {
                operator_->post(
                    [gone = std::shared_ptr<net::Connecting>(std::move(ask->connecting))] {});
                connected(ask, request, std::move(stream));
            });
    });
}

void Cluster::status(const std::string& node, std::function<void(const Value&)> done) {
    ask(node, {"status", {{"group", "db"}}},
        [done = std::move(done)](const wire::AdminReply& reply) {
            const Value::List* groups = reply.body.at("groups").as_list();
            done(groups == nullptr || groups->empty() ? Value() : groups->front());
        });
}

Image Cluster::raw(const std::string& node, std::size_t volume) {
    const power::DiskState& state = machines_.at(node)->disk().files_now();
    const auto name = state.names.find(inspected(node).images[volume]);
    return name == state.names.end() ? Image() : *state.files.at(name->second);
}

}  // namespace everstep::sim
