#include "tests/sim/connection.hpp"

#include <algorithm>
#include <cstring>

namespace everstep::sim {
namespace {

constexpr std::size_t kReadBytesMost = 1U << 20;

Status cut() {
    return {ErrorCode::closed, "connection cut"};
}

class SimStream final : public net::Stream {
  public:
    SimStream(std::shared_ptr<Connection> connection, std::size_t side)
        : connection_(std::move(connection)), side_(side) {}
    ~SimStream() override { connection_->close(side_); }
    SimStream(const SimStream&) = delete;
    SimStream& operator=(const SimStream&) = delete;
    void start(net::StreamEvents events) override { connection_->start(side_, std::move(events)); }
    void write(Bytes bytes, std::shared_ptr<const void> keep) override {
        connection_->write(side_, bytes, std::move(keep));
    }
    [[nodiscard]] std::size_t queued_bytes() const override {
        return connection_->queued_bytes(side_);
    }
    void pause_reading(bool paused) override { connection_->pause(side_, paused); }
    void close() override { connection_->close(side_); }
    void finish() override { connection_->finish(side_); }
    [[nodiscard]] std::string peer_name() const override {
        return connection_->tls() ? connection_->place(1 - side_).host : "";
    }
    [[nodiscard]] std::string peer_address() const override {
        return "sim:" + connection_->place(1 - side_).host;
    }

  private:
    std::shared_ptr<Connection> connection_;
    std::size_t side_;
};

}  // namespace

Connection::Connection(Network& network, Place dialling, Place listening, bool tls)
    : network_(network), world_(network.world_), tls_(tls) {
    sides_[0].place = std::move(dialling);
    sides_[1].place = std::move(listening);
    if (!tls) return;
    watch(0);
    watch(1);
}

// A second reader of what this side sends.
void Connection::watch(std::size_t side) {
    wire::MessageReader::Events events;
    events.on_control = [this, side](const wire::Control& message) -> Status {
        const auto& tap = network_.tap.on_control;
        if (tap) tap(sides_[side].place.host, sides_[1 - side].place.host, message);
        return {};
    };
    events.on_frame = [this, side](Buffer bytes) -> Status {
        const auto frame = SealedFrame::parse(std::move(bytes));
        if (!frame.ok()) {
            world_.fail("law 8", sides_[side].place.host +
                                     " sent a damaged frame: " + frame.status().message());
        } else if (network_.tap.on_frame) {
            network_.tap.on_frame(sides_[side].place.host, sides_[1 - side].place.host, *frame);
        }
        return {};
    };
    events.on_data = [](Buffer) { return Status(); };
    sides_[side].tapped = std::make_unique<wire::MessageReader>(std::move(events));
}

net::StreamPtr Connection::stream(std::size_t side) {
    return std::make_unique<SimStream>(shared_from_this(), side);
}

bool Connection::of(ProcessId process) const {
    return sides_[0].place.process == process || sides_[1].place.process == process;
}

bool Connection::between(const std::string& a, const std::string& b) const {
    const std::string& here = sides_[0].place.host;
    const std::string& there = sides_[1].place.host;
    return (here == a && there == b) || (here == b && there == a);
}

void Connection::start(std::size_t side, net::StreamEvents events) {
    Side& own = sides_[side];
    if (own.closed) return;
    own.events = std::make_shared<net::StreamEvents>(std::move(events));
    turn_later(side);
}

void Connection::write(std::size_t side, Bytes bytes, std::shared_ptr<const void> keep) {
    Side& own = sides_[side];
    if (own.closed || own.finishing || bytes.empty()) return;
    if (own.tapped) own.tapped->feed(bytes).ignore("the other side says so too");
    own.out.push_back({bytes, std::move(keep)});
    own.out_bytes += bytes.size();
    own.drained_due = true;
    pump(side);
}

void Connection::pump(std::size_t side) {
    Side& own = sides_[side];
    while (!own.closed && !broken_ && own.out_bytes > 0 &&
           own.under_way < network_.shape.window_bytes)
        send_piece(side);
    if (own.closed || own.out_bytes > 0) return;
    if (own.finishing && !own.end_sent) send_end(side, Status());
    if (!std::exchange(own.drained_due, false)) return;
    own.place.loop->post([self = shared_from_this(), side] {
        const auto events = self->sides_[side].events;
        if (events && self->sides_[side].out_bytes == 0 && events->on_drained) events->on_drained();
    });
}

void Connection::send_piece(std::size_t side) {
    Side& own = sides_[side];
    const Network::Shape& shape = network_.shape;
    const std::size_t room = shape.window_bytes - own.under_way;
    const std::size_t wanted = 1 + world_.below(shape.piece_bytes_most);
    std::vector<std::byte> bytes;
    while (!own.out.empty() && bytes.size() < std::min(room, wanted)) {
        Piece& first = own.out.front();
        const std::size_t count =
            std::min(first.bytes.size(), std::min(room, wanted) - bytes.size());
        bytes.insert(bytes.end(), first.bytes.begin(),
                     first.bytes.begin() + static_cast<std::ptrdiff_t>(count));
        first.bytes = first.bytes.subspan(count);
        if (first.bytes.empty()) own.out.pop_front();
    }
    own.out_bytes -= bytes.size();
    own.under_way += bytes.size();
    if (tls_ && world_.one_in(shape.break_one_in)) {
        world_.probe("a connection broke while it sent");
        break_off();
        return;
    }
    later(1 - side, [this, side, bytes = std::move(bytes)] {
        Side& other = sides_[1 - side];
        if (other.closed) return;
        other.arrived.insert(other.arrived.end(), bytes.begin(), bytes.end());
        turn_later(1 - side);
    });
}

// Behind what was sent before, when the direction is free.
void Connection::later(std::size_t to, std::function<void()> work) {
    Side& from = sides_[1 - to];
    const Time takes = world_.between(network_.shape.latency_least, network_.shape.latency_most);
    from.last_arrival = std::max(from.last_arrival, world_.now() + takes);
    world_.at(from.last_arrival, 0,
              [self = shared_from_this(), to, work = std::move(work)] { self->arrive(to, work); });
}

void Connection::arrive(std::size_t to, std::function<void()> work) {
    Side& from = sides_[1 - to];
    const Time free = network_.free_at(from.place.host, sides_[to].place.host);
    if (tls_ && free > world_.now()) {
        from.last_arrival = std::max(from.last_arrival, free);
        world_.at(free, 0, [self = shared_from_this(), to, work] { self->arrive(to, work); });
        return;
    }
    if (broken_ || sides_[to].gone) return;
    work();
}

void Connection::send_end(std::size_t side, Status status) {
    sides_[side].end_sent = true;
    later(1 - side, [this, side, status] {
        Side& other = sides_[1 - side];
        if (other.closed) return;
        if (!other.end) other.end = status;
        turn_later(1 - side);
    });
}

void Connection::turn_later(std::size_t side) {
    Side& own = sides_[side];
    if (own.posted || own.closed || !world_.alive(own.place.process)) return;
    own.posted = true;
    own.place.loop->post([self = shared_from_this(), side] { self->turn(side); });
}

void Connection::turn(std::size_t side) {
    Side& own = sides_[side];
    own.posted = false;
    const auto events = own.events;
    if (own.closed || !events) return;
    if (!own.paused && !own.arrived.empty()) {
        const std::size_t count = 1 + world_.below(std::min(own.arrived.size(), kReadBytesMost));
        const auto middle = own.arrived.begin() + static_cast<std::ptrdiff_t>(count);
        const std::vector<std::byte> bytes(own.arrived.begin(), middle);
        own.arrived.erase(own.arrived.begin(), middle);
        sides_[1 - side].under_way -= std::min(sides_[1 - side].under_way, count);
        if (!sides_[1 - side].gone) pump(1 - side);
        if (events->on_bytes) events->on_bytes(bytes);
    }
    if (own.closed) return;
    if (!own.arrived.empty()) {
        if (!own.paused) turn_later(side);
        return;
    }
    if (!own.end) return;
    const Status end = *own.end;
    if (end.ok() && !own.end_sent) send_end(side, Status());
    own.closed = true;
    let_go(own);
    if (events->on_closed) events->on_closed(end);
}

void Connection::let_go(Side& side) {
    const auto events = std::move(side.events);
    const auto out = std::move(side.out);
    side.out.clear();
    side.out_bytes = 0;
}

void Connection::pause(std::size_t side, bool paused) {
    sides_[side].paused = paused;
    if (!paused) turn_later(side);
}

void Connection::close(std::size_t side) {
    Side& own = sides_[side];
    if (own.closed) return;
    own.closed = true;
    if (!own.end_sent) send_end(side, tls_ ? cut() : Status());
    let_go(own);
}

void Connection::finish(std::size_t side) {
    sides_[side].finishing = true;
    pump(side);
}

void Connection::break_off() {
    if (std::exchange(broken_, true)) return;
    for (std::size_t side = 0; side < 2; ++side) {
        Side& own = sides_[side];
        if (world_.one_in(2)) own.arrived.clear();
        own.out.clear();
        own.out_bytes = 0;
        if (!own.end) own.end = cut();
        world_.at(world_.now() + world_.between(Time(0), Time(50'000'000)), own.place.process,
                  [self = shared_from_this(), side] { self->turn_later(side); });
    }
}

void Connection::vanish(std::size_t side, bool silent) {
    Side& own = sides_[side];
    if (own.gone) return;
    own.gone = true;
    own.closed = true;
    // Nothing of the dead process runs.
    static_cast<void>(new std::shared_ptr<net::StreamEvents>(std::move(own.events)));
    static_cast<void>(new std::deque<Piece>(std::move(own.out)));
    own.out.clear();
    own.out_bytes = 0;
    if (!silent) send_end(side, cut());
}

void Connection::reset() {
    for (std::size_t side = 0; side < 2; ++side) {
        if (sides_[side].gone && !sides_[side].end_sent) send_end(side, cut());
    }
}

std::size_t Connection::queued_bytes(std::size_t side) const {
    return sides_[side].out_bytes;
}

}  // namespace everstep::sim
