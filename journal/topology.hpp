// Topology: the tree of timelines and what lies on the way between two positions of it. Pure; no
// steps, no files.
//
// Thread: the owner guards it.
// Invariants
//  - a timeline's own positions are those behind (branch_lsn, 0); up to there it shares its
//  parent's;
//  - along one line positions only grow, so that on a line a Position alone names a place;
//  - a parent is added before its children and nothing is removed.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "journal/history_types.hpp"

namespace everstep::journal {

// A place in the tree: a position on the line that ends in `timeline`.
struct Place {
    TimelineId timeline;
    Position at;
    auto operator<=>(const Place&) const = default;
};
[[nodiscard]] inline Place place_of(const Point& point) {
    return {point.timeline, {point.lsn, 0}};
}

// The part of a line that lies on one timeline: its positions behind `after` up to and including
// `to`.
struct PathPart {
    TimelineId timeline;
    Position after;
    Position to;
    [[nodiscard]] bool empty() const { return !(after < to); }
};

class Topology {
  public:
    // misuse is the caller's to check: the parent is known (or nil), the id is new.
    void add(const TimelineInfo& timeline);
    [[nodiscard]] bool knows(const TimelineId& id) const { return nodes_.contains(id); }
    [[nodiscard]] const TimelineInfo* find(const TimelineId& id) const;
    [[nodiscard]] const std::vector<TimelineId>& order() const { return order_; }  // parents first

    // The line that leads to `place`, oldest timeline first; parts may be empty. Its first part's
    // `after` is the first timeline's branch point.
    [[nodiscard]] std::vector<PathPart> path(const Place& place) const;
    // The part of that line behind `after` (a position on it), oldest first, empty parts left out.
    [[nodiscard]] std::vector<PathPart> path_behind(Position after, const Place& place) const;
    // The newest common ancestor; nothing when the two have no timeline in common.
    [[nodiscard]] std::optional<Place> meet(const Place& a, const Place& b) const;
    // The same place under the timeline that owns it.
    [[nodiscard]] Place owner(const Place& place) const;
    // a is b or lies on b's line before it.
    [[nodiscard]] bool leads_to(const Place& a, const Place& b) const;
    [[nodiscard]] bool same(const Place& a, const Place& b) const { return owner(a) == owner(b); }

  private:
    struct Node {
        TimelineInfo info;
        bool root = false;  // its parent is nil or lies before all that is known
    };
    std::unordered_map<TimelineId, Node> nodes_;
    std::vector<TimelineId> order_;
};

}  // namespace everstep::journal
