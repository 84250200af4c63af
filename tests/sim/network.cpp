#include "tests/sim/network.hpp"

#include <algorithm>

#include "common/base/assert.hpp"
#include "tests/sim/connection.hpp"

namespace everstep::sim {
namespace {
Network* current_network = nullptr;
}

// A listener of a world; the network knows it until it ends or its process does.
class SimListener final : public net::Listener {
  public:
    SimListener(Connection::Place at, std::string where, std::vector<std::string> who, Accept take)
        : place(std::move(at)),
          names(std::move(who)),
          accept(std::make_shared<Accept>(std::move(take))),
          address_(std::move(where)) {
        Network::current().listeners_[address_] = this;
    }
    ~SimListener() override { Network::current().listeners_.erase(address_); }
    SimListener(const SimListener&) = delete;
    SimListener& operator=(const SimListener&) = delete;
    [[nodiscard]] std::string address() const override { return address_; }

    Connection::Place place;
    std::vector<std::string> names;  // empty: anybody
    std::shared_ptr<Accept> accept;

  private:
    std::string address_;
};

// One call of connect().
struct Dial : std::enable_shared_from_this<Dial> {
    Connection::Place place;
    std::string address;
    std::string expected;
    bool tls = false;
    Time until{0};
    std::function<void(Result<net::StreamPtr>)> done;
    bool over = false;

    void fail(Status why) {
        place.loop->post([self = shared_from_this(), why = std::move(why)] {
            if (std::exchange(self->over, true)) return;
            self->done(why);
        });
    }
    void attempt();
};

void Dial::attempt() {
    if (over) return;
    Network& network = Network::current();
    World& world = network.world_;
    const auto found = network.listeners_.find(address);
    const std::string there = found == network.listeners_.end() ? "" : found->second->place.host;
    const Time free =
        std::max(network.free_at(place.host, expected), network.free_at(expected, place.host));
    if (tls && free > world.now()) {
        const Time again = world.now() + std::chrono::milliseconds(10);
        world.at(std::min({free, until, again}), place.process, [self = shared_from_this()] {
            if (World::current()->now() >= self->until)
                self->fail({ErrorCode::timeout, self->address + ": no answer"});
            else
                self->attempt();
        });
        return;
    }
    if (there.empty()) return fail({ErrorCode::unreachable, address + ": connection refused"});
    SimListener& listener = *found->second;
    const bool known =
        listener.names.empty() ||
        std::find(listener.names.begin(), listener.names.end(), place.host) != listener.names.end();
    if (tls && (!known || there != expected))
        return fail({ErrorCode::refused, address + ": another name"});
    const auto connection = std::make_shared<Connection>(network, place, listener.place, tls);
    network.connections_.push_back(connection);
    listener.place.loop->post([weak = std::weak_ptr(listener.accept), connection] {
        if (const auto accept = weak.lock())
            (*accept)(connection->stream(1));
        else
            connection->break_off();
    });
    place.loop->post([self = shared_from_this(), connection] {
        if (std::exchange(self->over, true)) {
            connection->close(0);
            return;
        }
        self->done(connection->stream(0));
    });
}

Network::Network(World& world) : world_(world) {
    EVERSTEP_ASSERT(current_network == nullptr, "two networks at once");
    current_network = this;
}

Network::~Network() {
    current_network = nullptr;
}

Network& Network::current() {
    return *current_network;
}

void Network::block(const std::string& from, const std::string& to, Time until) {
    Time& at = blocked_[{from, to}];
    at = std::max(at, until);
}

void Network::free(const std::string& a, const std::string& b) {
    blocked_.erase({a, b});
    blocked_.erase({b, a});
}

Time Network::free_at(const std::string& from, const std::string& to) const {
    const auto found = blocked_.find({from, to});
    return found == blocked_.end() ? Time(0) : found->second;
}

std::vector<std::shared_ptr<Connection>> Network::connections() {
    std::vector<std::shared_ptr<Connection>> all;
    std::erase_if(connections_, [&](const std::weak_ptr<Connection>& weak) {
        if (auto one = weak.lock()) all.push_back(std::move(one));
        return weak.expired();
    });
    return all;
}

void Network::break_all(const std::string& a, const std::string& b) {
    for (const auto& one : connections())
        if (one->tls() && one->between(a, b)) one->break_off();
}

void Network::process_gone(ProcessId process, bool silent) {
    std::erase_if(listeners_,
                  [&](const auto& one) { return one.second->place.process == process; });
    for (const auto& one : connections()) {
        for (std::size_t side = 0; side < 2; ++side)
            if (one->place(side).process == process) one->vanish(side, silent);
        if (!one->tls()) continue;
    }
}

void Network::host_up(const std::string& host) {
    for (const auto& one : connections())
        if (one->place(0).host == host || one->place(1).host == host) one->reset();
}

}  // namespace everstep::sim

namespace everstep::net {

using sim::Connection;
using sim::World;

namespace {

Connection::Place here(Loop& loop) {
    World& world = *World::current();
    return {&loop, world.process(), world.name_of(world.process())};
}

class SimConnecting final : public Connecting {
  public:
    explicit SimConnecting(std::shared_ptr<sim::Dial> dial) : dial_(std::move(dial)) {}
    ~SimConnecting() override { dial_->over = true; }
    SimConnecting(const SimConnecting&) = delete;
    SimConnecting& operator=(const SimConnecting&) = delete;

  private:
    std::shared_ptr<sim::Dial> dial_;
};

}  // namespace

void Stream::write_copy(Bytes bytes) {
    const auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    write(*copy, copy);
}

struct TlsContext::Impl {};
TlsContext::TlsContext() : impl_(std::make_unique<Impl>()) {}
TlsContext::~TlsContext() = default;
Result<std::shared_ptr<TlsContext>> TlsContext::make(const TlsOptions&) {
    return std::shared_ptr<TlsContext>(new TlsContext());
}

Result<std::unique_ptr<Listener>> Listener::make(Loop& loop, const std::string& address,
                                                 std::shared_ptr<TlsContext>,
                                                 std::vector<std::string> names, Accept accept,
                                                 std::function<void(std::string, Status)>) {
    if (sim::Network::current().listens(address))
        return Status(ErrorCode::busy, address + ": in use");
    return std::unique_ptr<Listener>(std::make_unique<sim::SimListener>(
        here(loop), address, std::move(names), std::move(accept)));
}

std::unique_ptr<Connecting> connect(Loop& loop, const std::string& address,
                                    std::shared_ptr<TlsContext> tls,
                                    const std::string& expected_name,
                                    std::chrono::milliseconds timeout,
                                    std::function<void(Result<StreamPtr>)> done) {
    World& world = *World::current();
    auto dial = std::make_shared<sim::Dial>();
    dial->place = here(loop);
    dial->address = address;
    dial->expected = expected_name;
    dial->tls = tls != nullptr;
    dial->until = world.now() + timeout;
    dial->done = std::move(done);
    const sim::Network::Shape& shape = sim::Network::current().shape;
    world.at(world.now() + world.between(shape.latency_least, shape.latency_most),
             dial->place.process, [dial] { dial->attempt(); });
    return std::make_unique<SimConnecting>(std::move(dial));
}

}  // namespace everstep::net
