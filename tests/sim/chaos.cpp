#include "tests/sim/chaos.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "tests/sim/wall_clocks.hpp"

namespace everstep::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A second one may make two lines of which no takeover says which counts.
constexpr std::uint64_t kTakeoversMost = 1;

}  // namespace

Chaos::Chaos(World& world, Cluster& cluster, Duty& duty)
    : world_(world), cluster_(cluster), duty_(duty), errands_(world, cluster, duty) {
    draw_profile();
}

// Swarm: most seeds lack most kinds of faults, so that each kind is seen alone and with each other.
void Chaos::draw_profile() {
    const auto weight = [this](std::uint64_t one_in) {
        return world_.one_in(one_in) ? 1 + world_.below(10) : 0;
    };
    profile_.links = weight(2);
    profile_.kills = weight(2);
    profile_.disks = weight(3);
    profile_.stops = weight(4);
    profile_.travels = weight(3);
    profile_.takeovers = weight(4);
    profile_.clocks = weight(4);
    profile_.marks = weight(3);
    profile_.looks = weight(3);
    profile_.every = world_.between(milliseconds(100), seconds(4));
    Network::Shape& shape = cluster_.network().shape;
    shape.latency_most = world_.between(std::chrono::microseconds(100), milliseconds(40));
    if (world_.one_in(3)) shape.piece_bytes_most = 1 + world_.below(3000);
    if (world_.one_in(4)) shape.window_bytes = 4096 + world_.below(65536);
    if (world_.one_in(4)) shape.break_one_in = 50 + world_.below(2000);
    for (const std::string& node : kNodes)
        if (world_.one_in(4))
            cluster_.machine(node).disk().faults.slow_most =
                world_.between(milliseconds(1), milliseconds(30));
}

void Chaos::begin() {
    world_.at(world_.now() + profile_.every, 0, [this] { tick(); });
}

void Chaos::end() {
    over_ = true;
    errands_.end();
    Network& network = cluster_.network();
    network.heal();
    network.shape.break_one_in = 0;
    for (const std::string& node : kNodes) {
        Machine& machine = cluster_.machine(node);
        machine.disk().faults = DiskFaults();
        machine.disk().ends_in = 0;
    }
}

std::string Chaos::any_standby() {
    std::string node = any_node();
    while (node == duty_.serving()) node = any_node();
    return node;
}

void Chaos::tick() {
    if (over_) return;
    const Profile& p = profile_;
    std::uint64_t draw = world_.below(p.links + p.kills + p.disks + p.stops + p.travels + p.clocks +
                                      p.marks + p.looks + p.takeovers + 2);
    const auto is = [&draw](std::uint64_t weight) {
        if (draw < weight) return true;
        draw -= weight;
        return false;
    };
    if (is(p.links))
        harm_links();
    else if (is(p.kills))
        harm_machine();
    else if (is(p.disks))
        harm_disk();
    else if (is(p.stops))
        stop_machine();
    else if (is(p.travels))
        errands_.travel(any_standby());
    else if (is(p.clocks))
        step_clock();
    else if (is(p.marks))
        errands_.mark();
    else if (is(p.looks))
        errands_.look(any_node());
    else if (is(p.takeovers) && duty_.takeovers() < kTakeoversMost)
        duty_.take_over();
    else
        inspect_now(any_standby());
    revive();
    world_.at(world_.now() + world_.between(Time(0), 2 * profile_.every), 0, [this] { tick(); });
}

void Chaos::harm_links() {
    const std::string a = any_node();
    const std::string b = any_node();
    if (a == b) return;
    Network& network = cluster_.network();
    const Time until = world_.now() + world_.between(milliseconds(10), seconds(15));
    switch (world_.below(4)) {
        case 0:
            world_.probe("a direction was cut");
            world_.trace("chaos: nothing from " + a + " to " + b);
            network.block(a, b, until);
            return;
        case 1:
            world_.probe("a link was cut in both directions");
            world_.trace("chaos: no link between " + a + " and " + b);
            network.block(a, b, until);
            network.block(b, a, until);
            return;
        default:
            world_.probe("a connection broke");
            world_.trace("chaos: the connections between " + a + " and " + b + " break");
            network.break_all(a, b);
            return;
    }
}

void Chaos::end_machine(const std::string& node, Machine::End how) {
    const bool serves = node == duty_.serving();
    // The loss of power of a node that serves through its store may need another takeover.
    if (node == duty_.chosen()) how = Machine::End::killed;
    // Before: its process may be the one that asks.
    if (serves && how != Machine::End::killed) duty_.device_lost(node);
    world_.probe(serves ? "a primary ended uncleanly" : "a standby ended uncleanly");
    cluster_.machine(node).end(how);
}

void Chaos::harm_machine() {
    const std::string node = any_node();
    Machine& machine = cluster_.machine(node);
    if (!machine.up()) return;
    const bool serves = node == duty_.serving();
    const std::uint64_t draw = world_.below(5);
    Machine::End how = draw < 2 ? Machine::End::killed : Machine::End::power_cut;
    if (draw == 4 && serves) how = Machine::End::storage_reset;
    if (world_.one_in(2)) {
        end_machine(node, how);
        watch(node);
        return;
    }
    world_.probe("a machine ended in the middle of an operation of its disk");
    machine.disk().ends = [this, node, how] { end_machine(node, how); };
    machine.disk().ends_in = 1 + world_.below(60);
}

// What it left is what it comes back with.
void Chaos::watch(const std::string& node) {
    if (node == duty_.serving()) return;
    world_.at(world_.now(), 0, [this, node] {
        Machine& machine = cluster_.machine(node);
        if (!machine.up())
            inspect(world_, cluster_.chronicle(), cluster_.inspected(node), machine.disk().state());
    });
}

void Chaos::harm_disk() {
    const std::string node = any_node();
    Machine& machine = cluster_.machine(node);
    const std::uint64_t draw = world_.below(4);
    DiskFaults& faults = machine.disk().faults;
    world_.trace(fmt::format("chaos: the disk of {}: {}", node, draw));
    if (draw == 0) {
        world_.probe("a disk became slow");
        faults.slow_most = world_.between(milliseconds(1), milliseconds(60));
    } else if (draw == 1) {
        world_.probe("a disk became full");
        faults.full = true;
    } else if (draw == 2) {
        static const std::array<std::string, 3> kOfPrimary{".img", "/intent/", "/groups/db/group"};
        faults.error_one_in = 1 + world_.below(40);
        faults.error_in = world_.one_in(2) ? "/store/" : ".img";
        if (node == duty_.serving()) faults.error_in = kOfPrimary[world_.below(kOfPrimary.size())];
    } else {
        faults = DiskFaults();
    }
    world_.at(world_.now() + world_.between(milliseconds(50), seconds(8)), machine.process(),
              [this, node] { cluster_.machine(node).disk().faults = DiskFaults(); });
}

void Chaos::stop_machine() {
    const std::string node = any_node();
    if (node == duty_.serving() && duty_.taking_over()) return;
    world_.probe(node == duty_.serving() ? "a primary was stopped" : "a standby was stopped");
    cluster_.stop(node);
}

// An operator, or NTP behind a long outage; a little, or by days.
void Chaos::step_clock() {
    const std::string node = any_node();
    const Time most = world_.one_in(2) ? Time(seconds(3)) : Time(std::chrono::hours(72));
    const Time by = world_.between(-most, most);
    world_.probe(by < Time(0) ? "a wall clock went back" : "a wall clock went forward");
    world_.trace(fmt::format("chaos: the wall clock of {} goes by {} ms", node,
                             std::chrono::duration_cast<milliseconds>(by).count()));
    step_wall(node, by);
}

void Chaos::revive() {
    for (const std::string& node : kNodes) {
        if (cluster_.machine(node).up() || !world_.one_in(3)) continue;
        if (node == duty_.serving() && duty_.taking_over()) continue;
        watch(node);
        world_.at(world_.now() + Time(1), 0, [this, node] { cluster_.start(node); });
    }
}

void Chaos::inspect_now(const std::string& node) {
    Machine& machine = cluster_.machine(node);
    power::DiskState state = machine.disk().state();
    const std::uint64_t draw = world_.below(3);
    if (draw == 1) state = machine.disk().after_cut({power::Fate::nothing, 0});
    if (draw == 2) state = machine.disk().after_cut({power::Fate::random, world_.random()});
    world_.probe("a standby's disk was inspected as after a crash");
    inspect(world_, cluster_.chronicle(), cluster_.inspected(node), state);
}

}  // namespace everstep::sim
