// Survey: a history as retention sees it (retention.hpp), and what an action on it means in
// segments and steps.
//
// Thread: pure look-ups; the caller keeps the history and the replica's position still.
// Invariants: nothing at or behind what the replica, the receiving line, a hold or an open gap
// needs is `free`; only a point becomes the beginning of history or a kept step.
#pragma once

#include "journal/history.hpp"
#include "journal/retention.hpp"

namespace everstep::journal {

struct SurveyFacts {
    std::vector<ReplicaState> replica;  // the durable one and the one that is
    std::vector<Point> holds;
    std::uint64_t open_segment = 0;
    Age now{0};
};

// Segments that become one, with these steps and nothing between. Compared by value: what it was
// made for may have changed while it was made.
struct CondensePlan {
    std::vector<std::uint64_t> numbers;
    std::vector<Point> ends;      // of one timeline, growing
    Position imaged_to;           // before-images are kept up to here
    bool begins_history = false;  // what lies before the first end goes
    Age ended_at{0};              // of the newest of them, on the age clock
    bool operator==(const CondensePlan&) const = default;
};

class Survey {
  public:
    Survey(const History& history, const SurveyFacts& facts);
    [[nodiscard]] const KeepInput& input() const { return input_; }
    // drop_*: the segments that go.
    [[nodiscard]] std::vector<std::uint64_t> dropped(const KeepAction& action) const;
    [[nodiscard]] Point begin_behind(const KeepAction& action) const;  // drop_trunk
    // Nothing where the ends would be no points.
    [[nodiscard]] std::optional<CondensePlan> plan(const KeepAction& action) const;

  private:
    struct Stretch {  // a trunk segment's
        const Segment* segment = nullptr;
        Position end;    // where the trunk leaves it, or it ends
        Position begin;  // where the one before ends: in a gap there may be a hole between
    };
    void find_trunk(const SurveyFacts& facts);
    void find_holds(const SurveyFacts& facts);
    void find_sides(const SurveyFacts& facts);
    void find_kept();
    void fill_trunk(const SurveyFacts& facts);
    void add_side(const TimelineId& timeline, Position from, const SurveyFacts& facts);
    [[nodiscard]] Age ended_at(const Segment& segment) const;
    [[nodiscard]] bool is_point(Position at, const TimelineId& timeline) const;
    [[nodiscard]] bool goes_beside(const Stretch& stretch, const Place& place) const;
    [[nodiscard]] bool has_children(const TimelineId& timeline, Position after) const;
    [[nodiscard]] Position needed_on(const TimelineId& timeline) const;
    [[nodiscard]] std::vector<Point> ends_between(const TimelineId& timeline, Position from,
                                                  Position to) const;
    [[nodiscard]] std::optional<CondensePlan> plan_trunk(const KeepAction& action) const;
    [[nodiscard]] std::optional<CondensePlan> plan_side(const KeepAction& action) const;

    const History& history_;
    const Topology& topology_;
    KeepInput input_;
    Place trunk_end_;
    std::vector<Stretch> trunk_;                     // beside input_.trunk
    std::vector<TimelineId> side_lines_;             // beside input_.sides
    std::vector<Place> holds_;                       // under their owners
    std::vector<Place> kept_;                        // under their owners
    std::vector<Place> branches_;                    // where sides leave, under their owners
    std::unordered_map<TimelineId, Position> used_;  // up to where lines in use lie on a timeline
    Position limit_;                                 // on the trunk: what ends behind it is in use
    Age now_;
};

}  // namespace everstep::journal
