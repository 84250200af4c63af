#include "tests/sim/errands.hpp"

#include <algorithm>

#include <fmt/format.h>

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
    const Point at = point_of(told);
    Images found;
    for (std::size_t v = 0; v < cluster_.sizes().size(); ++v)
        found.push_back(cluster_.raw(node, v));
    const Images* wanted = cluster_.chronicle().image(at);
    if (wanted == nullptr) return cluster_.chronicle().learn(at, std::move(found));
    world_.probe("a held image was compared");
    for (std::size_t v = 0; v < found.size(); ++v) {
        if (found[v] == (*wanted)[v]) continue;
        const auto [here, there] = std::mismatch(found[v].begin(), found[v].end(),
                                                 (*wanted)[v].begin(), (*wanted)[v].end());
        world_.fail("law 2", fmt::format("{}: rewound to step {} of timeline {}, and sector {} of "
                                         "its image of v{} is another",
                                         node, at.lsn.value(), at.timeline.hex(),
                                         (here - found[v].begin()) / kSectorBytes, v));
        return;
    }
}

}  // namespace everstep::sim
