#include "journal/topology.hpp"

#include <algorithm>

namespace everstep::journal {

void Topology::add(const TimelineInfo& timeline) {
    EVERSTEP_ASSERT(!timeline.id.nil() && !knows(timeline.id), "a timeline is added once");
    nodes_.emplace(timeline.id, Node{timeline, !knows(timeline.parent)});
    order_.push_back(timeline.id);
}

const TimelineInfo* Topology::find(const TimelineId& id) const {
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? nullptr : &found->second.info;
}

std::vector<PathPart> Topology::path(const Place& place) const {
    std::vector<PathPart> parts;
    TimelineId id = place.timeline;
    Position to = place.at;
    while (true) {
        const auto found = nodes_.find(id);
        EVERSTEP_ASSERT(found != nodes_.end(), "a path of an unknown timeline");
        const Position branch{found->second.info.branch_lsn, 0};
        parts.push_back({id, std::min(branch, to), to});
        if (found->second.root) break;
        to = std::min(branch, to);
        id = found->second.info.parent;
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
}

std::vector<PathPart> Topology::path_behind(Position after, const Place& place) const {
    std::vector<PathPart> parts = path(place);
    for (PathPart& part : parts) part.after = std::max(part.after, after);
    std::erase_if(parts, [](const PathPart& part) { return part.empty(); });
    return parts;
}

std::optional<Place> Topology::meet(const Place& a, const Place& b) const {
    const std::vector<PathPart> left = path(a);
    const std::vector<PathPart> right = path(b);
    std::optional<Place> newest;
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
        if (left[i].timeline != right[i].timeline) break;
        newest = Place{left[i].timeline, std::min(left[i].to, right[i].to)};
    }
    if (newest) return owner(*newest);
    return newest;
}

Place Topology::owner(const Place& place) const {
    Place out = place;
    while (true) {
        const auto found = nodes_.find(out.timeline);
        EVERSTEP_ASSERT(found != nodes_.end(), "the owner of a place on an unknown timeline");
        const Position branch{found->second.info.branch_lsn, 0};
        if (found->second.root || branch < out.at) return out;
        out.timeline = found->second.info.parent;
    }
}

bool Topology::leads_to(const Place& a, const Place& b) const {
    const auto common = meet(a, b);
    return common && *common == owner(a);
}

}  // namespace everstep::journal
