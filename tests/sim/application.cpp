#include "tests/sim/application.hpp"

#include <algorithm>

#include "tests/sim/nbd_client.hpp"

namespace everstep::sim {

using namespace everstep::daemon;

namespace {

constexpr std::uint64_t kSectorsMost = 24;
constexpr Time kRetry{200'000'000};

bool writes(std::uint64_t kind) {
    return kind <= 2;
}

}  // namespace

Application::Application(World& world, ApplicationOptions options, Address address, Kept kept)
    : world_(world),
      options_(std::move(options)),
      address_(std::move(address)),
      kept_(std::move(kept)),
      expectation_(options_.sizes),
      clients_(options_.volumes.size()) {
    world_.begin_process("application", [this] {
        loop_ = std::make_unique<net::Loop>();
        for (std::size_t v = 0; v < clients_.size(); ++v) {
            clients_[v].retry = std::make_unique<net::Timer>(*loop_);
            clients_[v].think = std::make_unique<net::Timer>(*loop_);
            dial(v);
        }
        loop_->run();
    });
}

// Its process never ends: what it holds goes with the world.
Application::~Application() {
    for (Client& client : clients_) {
        static_cast<void>(client.connecting.release());
        static_cast<void>(client.stream.release());
        static_cast<void>(client.retry.release());
        static_cast<void>(client.think.release());
    }
    static_cast<void>(loop_.release());
}

std::size_t Application::pending() const {
    std::size_t count = 0;
    for (const Client& client : clients_) count += client.pending.size();
    return count;
}

bool Application::verified() const {
    const bool all = std::all_of(clients_.begin(), clients_.end(), [](const Client& client) {
        return client.verify_end != 0 && client.verify_next == client.verify_end;
    });
    return all && pending() == 0;
}

Time Application::oldest_wait() const {
    Time oldest = world_.now();
    for (const Client& client : clients_)
        for (const auto& [id, operation] : client.pending) oldest = std::min(oldest, operation.at);
    return world_.now() - oldest;
}

void Application::dial(std::size_t volume) {
    Client& client = clients_[volume];
    client.connecting = net::connect(
        *loop_, address_(volume), nullptr, "", std::chrono::seconds(1),
        [this, volume](Result<net::StreamPtr> stream) {
            Client& here = clients_[volume];
            loop_->post([gone = std::shared_ptr<net::Connecting>(std::move(here.connecting))] {});
            if (!stream.ok()) {
                here.retry->after(kRetry, [this, volume] { dial(volume); });
                return;
            }
            here.stream = std::move(*stream);
            net::StreamEvents events;
            events.on_bytes = [this, volume](Bytes bytes) { received(volume, bytes); };
            events.on_closed = [this, volume](const Status&) { lost(volume); };
            here.stream->start(std::move(events));
        });
}

void Application::lost(std::size_t volume) {
    Client& client = clients_[volume];
    if (!client.stream) return;
    loop_->post([gone = std::shared_ptr<net::Stream>(std::move(client.stream))] {});
    client.think->cancel();
    client.in.clear();
    client.greeted = client.open = false;
    for (const auto& [id, operation] : client.pending) {
        if (writes(static_cast<std::uint64_t>(operation.kind)))
            expectation_.unanswered(id, operation.range);
    }
    client.verify_next = 0;  // from the beginning
    client.pending.clear();
    client.answered.clear();
    client.retry->after(kRetry, [this, volume] { dial(volume); });
}

void Application::leave(std::function<void()> then) {
    loop_->post([this, then = std::move(then)] {
        for (std::size_t v = 0; v < clients_.size(); ++v) {
            Client& client = clients_[v];
            if (client.stream) lost(v);
            if (!client.connecting) continue;
            loop_->post([gone = std::shared_ptr<net::Connecting>(std::move(client.connecting))] {});
            client.retry->after(kRetry, [this, v] { dial(v); });
        }
        then();
    });
}

void Application::verify() {
    loop_->post([this] {
        for (std::size_t v = 0; v < clients_.size(); ++v) {
            clients_[v].verify_next = 0;
            clients_[v].verify_end = expectation_.sectors(v);
            fill(v);
        }
    });
}

void Application::received(std::size_t volume, Bytes bytes) {
    Client& client = clients_[volume];
    client.in.insert(client.in.end(), bytes.begin(), bytes.end());
    if (!client.greeted) {
        if (client.in.size() < kNbdGreetingBytes) return;
        client.in.erase(client.in.begin(), client.in.begin() + kNbdGreetingBytes);
        client.greeted = true;
        client.stream->write_copy(nbd_choose(options_.volumes[volume]));
    }
    if (!client.open) {
        if (client.in.size() < kNbdExportNameReplyBytes) return;
        const auto size = get_be<std::uint64_t>(client.in, 0);
        if (size != options_.sizes[volume].value())
            world_.fail("law 1", "the volume is served with another size");
        client.in.erase(client.in.begin(), client.in.begin() + kNbdExportNameReplyBytes);
        client.open = true;
    }
    while (client.stream && take_reply(volume)) {
    }
    if (client.stream) fill(volume);
}

bool Application::take_reply(std::size_t volume) {
    Client& client = clients_[volume];
    if (client.in.size() < kNbdSimpleReplyBytes) return false;
    const auto magic = get_be<std::uint32_t>(client.in, 0);
    const auto error = get_be<std::uint32_t>(client.in, 4);
    const auto id = get_be<std::uint64_t>(client.in, 8);
    const auto found = client.pending.find(id);
    if (magic != kNbdSimpleReplyMagic || found == client.pending.end()) {
        world_.fail("law 7", "an answer that nobody waits for");
        return false;
    }
    std::size_t bytes = 0;
    if (found->second.kind == Kind::read && error == 0)
        bytes = found->second.range.count * kSectorBytes;
    if (client.in.size() < kNbdSimpleReplyBytes + bytes) return false;
    const std::vector<std::byte> data(
        client.in.begin() + kNbdSimpleReplyBytes,
        client.in.begin() + static_cast<std::ptrdiff_t>(kNbdSimpleReplyBytes + bytes));
    client.in.erase(client.in.begin(),
                    client.in.begin() + static_cast<std::ptrdiff_t>(kNbdSimpleReplyBytes + bytes));
    complete(volume, id, error, data);
    return true;
}

void Application::complete(std::size_t volume, std::uint64_t id, std::uint32_t error, Bytes data) {
    Client& client = clients_[volume];
    const Operation operation = client.pending.at(id);
    client.pending.erase(id);
    if (error != 0) {
        world_.trace("application: error " + std::to_string(error));
        probe("an error for the application");
        if (writes(static_cast<std::uint64_t>(operation.kind)))
            expectation_.unanswered(id, operation.range);
        return;
    }
    ++answered_;
    switch (operation.kind) {
        case Kind::write:
        case Kind::zero:
        case Kind::trim: {
            const bool zero = operation.kind != Kind::write;
            expectation_.answered(id, operation.range, kept_(id, operation.range, zero));
            client.answered.insert(id);
            return;
        }
        case Kind::flush:
            expectation_.flushed(volume, operation.before);
            for (const std::uint64_t one : operation.before) client.answered.erase(one);
            return;
        case Kind::read:
            for (std::uint64_t s = 0; s < operation.range.count; ++s) {
                const std::string wrong =
                    expectation_.check(volume, operation.range.first + s,
                                       data.subspan(s * kSectorBytes, kSectorBytes));
                if (!wrong.empty()) world_.fail("law 1", "the application reads: " + wrong);
            }
            return;
    }
}

void Application::fill(std::size_t volume) {
    Client& client = clients_[volume];
    if (!client.open) return;
    while (client.verify_next < client.verify_end && client.pending.size() < options_.depth) {
        Operation read;
        read.range = {volume, client.verify_next,
                      std::min(kSectorsMost, client.verify_end - client.verify_next)};
        client.verify_next += read.range.count;
        send(volume, next_++, read);
    }
    if (issued_ >= options_.operations || client.pending.size() >= options_.depth) return;
    client.think->after(world_.between(Time(0), options_.think_most), [this, volume] {
        issue(volume);
        fill(volume);
    });
}

Application::Operation Application::choose(std::size_t volume) {
    Operation operation;
    const std::uint64_t draw = world_.below(100);
    operation.kind = draw < 68   ? Kind::write
                     : draw < 74 ? Kind::zero
                     : draw < 80 ? Kind::trim
                     : draw < 88 ? Kind::flush
                                 : Kind::read;
    operation.range.volume = volume;
    if (operation.kind == Kind::flush) return operation;
    const std::uint64_t sectors = expectation_.sectors(volume);
    operation.range.count = 1 + world_.below(std::min(kSectorsMost, sectors));
    operation.range.first = world_.below(sectors - operation.range.count + 1);
    return operation;
}

void Application::issue(std::size_t volume) {
    Client& client = clients_[volume];
    if (!client.open || issued_ >= options_.operations) return;
    Operation operation = choose(volume);
    const SectorRange& range = operation.range;
    const bool taken =
        std::any_of(client.pending.begin(), client.pending.end(), [&](const auto& one) {
            const SectorRange& other = one.second.range;
            return range.first < other.first + other.count &&
                   other.first < range.first + range.count;
        });
    if (taken) return;
    const std::uint64_t id = next_++;
    ++issued_;
    operation.before.assign(client.answered.begin(), client.answered.end());
    if (writes(static_cast<std::uint64_t>(operation.kind)))
        expectation_.begun(id, range, operation.kind != Kind::write);
    send(volume, id, operation);
}

void Application::send(std::size_t volume, std::uint64_t id, const Operation& operation) {
    static constexpr std::array kCommands{NbdCommand::write, NbdCommand::write_zeroes,
                                          NbdCommand::trim, NbdCommand::flush, NbdCommand::read};
    Client& client = clients_[volume];
    std::vector<std::byte> out =
        nbd_request({kCommands[static_cast<std::size_t>(operation.kind)], id,
                     operation.range.first * kSectorBytes,
                     static_cast<std::uint32_t>(operation.range.count * kSectorBytes)});
    for (std::uint64_t s = 0; operation.kind == Kind::write && s < operation.range.count; ++s) {
        const std::size_t at = out.size();
        out.resize(at + kSectorBytes);
        put_stamp({id, volume, operation.range.first + s},
                  MutableBytes(out).subspan(at, kSectorBytes));
    }
    client.pending[id] = operation;
    client.pending[id].at = world_.now();
    client.stream->write_copy(out);
}

}  // namespace everstep::sim
