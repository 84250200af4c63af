#include "daemon/lineage.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {

const journal::TimelineInfo* find(const Timelines& all, const TimelineId& id) {
    const auto at =
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.id == id; });
    return at == all.end() ? nullptr : &*at;
}

// The last LSN of a path's timeline that lies on the path.
Lsn end_on_path(const Timelines& path, std::size_t index, Point tip) {
    return index + 1 < path.size() ? path[index + 1].branch_lsn : tip.lsn;
}

}  // namespace

Timelines from_wire(const std::vector<wire::Timeline>& timelines) {
    Timelines all;
    for (const wire::Timeline& one : timelines) {
        all.push_back({one.id, one.parent, one.branch_lsn, one.branch_hash, one.branch_seq,
                       one.number, one.node});
    }
    return all;
}

std::vector<wire::Timeline> to_wire(const Timelines& timelines) {
    std::vector<wire::Timeline> all;
    for (const journal::TimelineInfo& one : timelines) {
        all.push_back({one.id, one.parent, one.branch_lsn, one.branch_hash, one.branch_seq,
                       one.number, one.node});
    }
    return all;
}

Timelines path_to(const Timelines& all, const TimelineId& tip) {
    Timelines path;
    TimelineId id = tip;
    while (!id.nil()) {
        const journal::TimelineInfo* one = find(all, id);
        if (one == nullptr || path.size() > all.size()) return {};
        path.insert(path.begin(), *one);
        id = one->parent;
    }
    return path;
}

std::optional<Point> common_point(const Timelines& path, Point tip, const Timelines& all,
                                  Point other) {
    Point at = other;
    for (std::size_t steps = 0; steps <= all.size(); ++steps) {
        for (std::size_t i = 0; i < path.size(); ++i) {
            if (path[i].id != at.timeline) continue;
            return Point{at.timeline, std::min(at.lsn, end_on_path(path, i, tip))};
        }
        const journal::TimelineInfo* one = find(all, at.timeline);
        if (one == nullptr || one->parent.nil()) return std::nullopt;
        at = {one->parent, std::min(at.lsn, one->branch_lsn)};
    }
    return std::nullopt;
}

std::string steps_not_there(const Timelines& path, Point tip, const Timelines& theirs, Point head) {
    const std::optional<Point> common = common_point(path, tip, theirs, head);
    const Lsn first = common ? common->lsn + 1 : Lsn(1);
    if (tip.timeline.nil() || first > tip.lsn) return {};
    return fmt::format("steps {} to {} of timeline {}", first.value(), tip.lsn.value(),
                       tip.timeline.hex());
}

std::string not_there_text(const std::string& steps, const std::string& node) {
    return fmt::format(
        "{} (as far as was recorded here) are not on {}, whose data is taken: this "
        "node gives them up",
        steps, node);
}

bool leads_to(const Timelines& path, Point from, Point to) {
    const auto place = [&](const TimelineId& id) {
        const auto at =
            std::find_if(path.begin(), path.end(), [&](const auto& one) { return one.id == id; });
        return static_cast<std::size_t>(at - path.begin());
    };
    const std::size_t first = place(from.timeline);
    const std::size_t last = place(to.timeline);
    if (last == path.size() || first > last) return false;
    if (first == last) return from.lsn <= to.lsn;
    return from.lsn <= path[first + 1].branch_lsn;
}

bool has_descendant(const Timelines& all, const TimelineId& id, const Timelines& path) {
    return std::any_of(all.begin(), all.end(), [&](const journal::TimelineInfo& one) {
        if (find(path, one.id) != nullptr) return false;
        const Timelines lead = path_to(all, one.id);
        return find(lead, id) != nullptr;
    });
}

Claim claim_of(const Timelines& path, std::uint64_t takeovers, const wire::GroupState& peer) {
    if (peer.role == wire::Role::standby) return Claim::none;
    const Timelines theirs = path_to(from_wire(peer.timelines), peer.head.timeline);
    std::size_t common = 0;
    while (common < path.size() && common < theirs.size() && path[common].id == theirs[common].id)
        ++common;
    if (common == 0 || common == path.size() || common == theirs.size()) return Claim::none;
    if (takeovers == peer.takeovers) return Claim::undecided;
    return takeovers > peer.takeovers ? Claim::own : Claim::theirs;
}

}  // namespace everstep::daemon
