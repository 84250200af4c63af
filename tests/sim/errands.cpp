#include "tests/sim/errands.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "tests/sim/nbd_client.hpp"

namespace everstep::sim {
namespace {
constexpr std::uint64_t kBackMost = 60;

// "timeline" and "lsn" of an answer.
Point point_of(const Value& told) {
    Point at;
    const bool good = Uuid::parse(told.at("timeline").text(), at.timeline);
    EVERSTEP_ASSERT(good, "an answer names a timeline");
    at.lsn = Lsn(told.at("lsn").number());
    return at;
}

}  // namespace

void Errands::travel(const std::string& node) {
    Travels& travels = travels_[node];
    const bool alone = travels.asked == travels.answered;
    const std::uint64_t number = ++travels.asked;
    const ProcessId process = cluster_.machine(node).process();
    if (world_.one_in(2)) {
        cluster_.ask(node, {"resume", {{"group", "db"}}},
                     [&travels](const wire::AdminReply&) { ++travels.answered; });
        return;
    }
    const std::string point = fmt::format("head~{}", world_.below(kBackMost));
    cluster_.ask(node, {"rewind", {{"group", "db"}, {"point", point}}},
                 [this, node, &travels, alone, number, process](const wire::AdminReply& reply) {
                     ++travels.answered;
                     world_.trace("operator: rewind: " + reply.message);
                     if (reply.error != ErrorCode::ok) return;
                     world_.probe("a replica was rewound");
                     // What moves it since is its own start, another order, or another role.
                     const bool there = alone && number == travels.asked && !over_ &&
                                        cluster_.machine(node).process() == process &&
                                        duty_.chosen() != node;
                     if (there) rewound(node, reply.body);
                 });
}

// Law 2: when `rewind` has returned, the image itself is that step, as long as it is held there.
void Errands::rewound(const std::string& node, const Value& told) {
    Images found;
    for (std::size_t v = 0; v < cluster_.sizes().size(); ++v)
        found.push_back(cluster_.raw(node, v));
    world_.probe("a held image was compared");
    compare(point_of(told), std::move(found), fmt::format("the image of {}, rewound,", node));
}

void Errands::compare(Point at, Images found, const std::string& what) {
    const Images* wanted = cluster_.chronicle().image(at);
    if (wanted == nullptr) return cluster_.chronicle().learn(at, std::move(found));
    for (std::size_t v = 0; v < found.size(); ++v) {
        if (found[v] == (*wanted)[v]) continue;
        const auto [here, there] = std::mismatch(found[v].begin(), found[v].end(),
                                                 (*wanted)[v].begin(), (*wanted)[v].end());
        world_.fail("law 2",
                    fmt::format("{} at step {} of timeline {}: sector {} of v{} is another", what,
                                at.lsn.value(), at.timeline.hex(),
                                (here - found[v].begin()) / kSectorBytes, v));
        return;
    }
}

// While the replica moves on, and is written.
void Errands::look(const std::string& node) {
    const auto look = std::make_shared<Look>();
    look->node = node;
    look->socket = fmt::format("/{}/look-{}", node, ++looks_);
    const std::string point = fmt::format("head~{}", world_.below(kBackMost));
    cluster_.ask(node, {"export", {{"group", "db"}, {"point", point}, {"socket", look->socket}}},
                 [this, look](const wire::AdminReply& reply) {
                     world_.trace("operator: export: " + reply.message);
                     if (reply.error != ErrorCode::ok) return;
                     look->id = reply.body.at("id").text();
                     look->at = point_of(reply.body);
                     read_next(look);
                 });
}

void Errands::read_next(const std::shared_ptr<Look>& look) {
    const std::size_t v = look->found.size();
    if (v == cluster_.sizes().size()) return looked(*look);
    const std::string name = cluster_.volumes()[v];
    read_volume(cluster_.operators_loop(),
                {fmt::format("unix:{}.{}", look->socket, name), name, cluster_.sizes()[v].value()},
                [this, look](std::optional<std::vector<std::byte>> image) {
                    if (!image) return world_.probe("an export ended before it was read");
                    look->found.push_back(std::move(*image));
                    read_next(look);
                });
}

void Errands::looked(Look& look) {
    world_.probe("an export was read");
    compare(look.at, std::move(look.found), fmt::format("an export of {}", look.node));
    cluster_.ask(look.node, {"unexport", {{"id", look.id}}}, [](const wire::AdminReply&) {});
}

void Errands::mark() {
    const std::string name = fmt::format("mark-{}", ++marks_);
    wire::AdminRequest request{"mark", {{"group", "db"}, {"name", name}}};
    if (world_.one_in(2)) request.arguments.emplace("pin", "1");
    const std::uint64_t losses = cluster_.chronicle().losses();
    cluster_.ask(duty_.serving(), request, [this, name, losses](const wire::AdminReply& reply) {
        world_.trace("operator: mark " + name + ": " + reply.message);
        if (reply.error != ErrorCode::ok) return;
        world_.probe("a mark was kept");
        cluster_.chronicle().marked(name, point_of(reply.body), losses);
    });
}

}  // namespace everstep::sim
