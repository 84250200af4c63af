#include "daemon/stream_plan.hpp"

#include <map>

#include <fmt/format.h>

#include "common/base/checksum.hpp"

namespace everstep::daemon {

namespace {

bool can_stream_from(const StreamInput& input, FrameSeq seq) {
    return seq == input.tip.seq || input.backlog->has(seq + 1);
}

// The hash that the frame behind `seq` names as its predecessor's.
Hash128 hash_at(const StreamInput& input, FrameSeq seq) {
    return seq == input.tip.seq ? input.tip.hash : input.backlog->header(seq + 1).prev_hash;
}

// The steps that are kept are sent too, so that the gap lists them: behind the standby's head where
// it stopped in the middle of a resync, else from the first kept one when that names its branch or
// gap.
FrameSeq first_of_resync(const StreamInput& input, const wire::GroupState& standby) {
    const bool same = standby.head.timeline == input.tip.point.timeline;
    if (same && can_stream_from(input, standby.head_seq) &&
        hash_at(input, standby.head_seq) == standby.head_hash) {
        return standby.head_seq + 1;
    }
    const bool branch_only = input.tip.seq == input.path.back().branch_seq;
    if (input.backlog->empty()) return branch_only ? input.tip.seq + 1 : FrameSeq(0);
    const FrameHeader& first = input.backlog->header(input.backlog->first_seq());
    return first.after_branch || first.after_gap ? first.seq : FrameSeq(0);
}

StreamPlan resync(const StreamInput& input, const wire::GroupState& standby, Point from,
                  std::string reason) {
    StreamPlan plan;
    plan.mode = wire::StartMode::resync;
    plan.from = from;
    plan.next = first_of_resync(input, standby);
    plan.reason = std::move(reason);
    return plan;
}

Result<StreamPlan> stream(const StreamInput& input, const wire::GroupState& standby,
                          const journal::Tip& at) {
    const Point from = at.point;
    const FrameSeq seq = at.seq;
    const Hash128& hash = at.hash;
    if (!can_stream_from(input, seq))
        return resync(input, standby, from, "the backlog was dropped");
    if (hash_at(input, seq) != hash) {
        return Status(
            ErrorCode::refused,
            fmt::format(
                "step {} of timeline {} has other content on the standby ({}) than here ({})",
                from.lsn.value(), from.timeline.hex(), hex(hash), hex(hash_at(input, seq))));
    }
    StreamPlan plan;
    plan.from = from;
    plan.next = seq + 1;
    return plan;
}

Result<StreamPlan> initial(const StreamInput& input) {
    StreamPlan plan;
    plan.mode = wire::StartMode::initial;
    const bool all_kept = input.tip.seq == FrameSeq(0) || input.backlog->first_seq() == FrameSeq(1);
    plan.from_zero = input.zero_origin && input.path.size() == 1 && all_kept;
    plan.next = FrameSeq(1);
    return plan;
}

// The frame at a point where the primary's path leaves the standby's line: the branch says it.
const journal::TimelineInfo* branch_at(const Timelines& path, Point point) {
    for (const journal::TimelineInfo& one : path) {
        if (one.parent == point.timeline && one.branch_lsn == point.lsn) return &one;
    }
    return nullptr;
}

}  // namespace

namespace {

Result<StreamPlan> plan_from(const StreamInput& input, const wire::GroupState& standby,
                             const Point& common) {
    const Point from =
        std::min(common.lsn, standby.consistent.lsn) == common.lsn ? common : standby.consistent;
    if (standby.gap_open) {
        return resync(input, standby, from,
                      input.compare.empty() ? "a resync was interrupted" : input.compare);
    }
    if (!input.compare.empty()) return resync(input, standby, from, input.compare);
    // Where the path leaves the standby's line, the branch says what is continued; the standby
    // compares it with what it has.
    if (const journal::TimelineInfo* branch = branch_at(input.path, common)) {
        return stream(input, standby, {common, branch->branch_hash, branch->branch_seq, {}});
    }
    if (common == standby.head) {
        return stream(input, standby, {common, standby.head_hash, standby.head_seq, {}});
    }
    return resync(input, standby, common, "the standby is ahead of this primary");
}

}  // namespace

Result<StreamPlan> plan_stream(const StreamInput& input, const wire::GroupState& standby) {
    if (!standby.refused.empty()) return Status(ErrorCode::refused, standby.refused);
    if (!standby.group_id.nil() && standby.group_id != input.group) {
        return Status(
            ErrorCode::refused,
            fmt::format("it has the state of another group of this name ({}; this one is {})",
                        standby.group_id.hex(), input.group.hex()));
    }
    if (!standby.has_history) return initial(input);
    const auto common =
        common_point(input.path, input.tip.point, from_wire(standby.timelines), standby.head);
    if (!common || standby.role == wire::Role::primary) {
        return Status(
            ErrorCode::refused,
            fmt::format("it is at step {} of timeline {}, which is not on this primary's path; "
                        "`everstep adopt GROUP --from NODE` on it takes this node's data",
                        standby.head.lsn.value(), standby.head.timeline.hex()));
    }
    Result<StreamPlan> plan = plan_from(input, standby, *common);
    if (plan.ok()) plan->known = common->lsn;
    return plan;
}

bool has_ended_at(const wire::GroupState& standby, Point end) {
    return standby.has_history && !standby.gap_open &&
           standby.consistent.timeline == end.timeline && standby.consistent.lsn >= end.lsn;
}

std::string differs_text(const std::string& difference) {
    return "the configurations differ since one was read again: " + difference +
           "; this session goes on, the next one is refused until they are the same";
}

std::string first_difference(const std::vector<std::pair<std::string, std::string>>& here,
                             const std::vector<std::pair<std::string, std::string>>& there,
                             const Sides& sides) {
    const std::map<std::string, std::string> left(here.begin(), here.end());
    const std::map<std::string, std::string> right(there.begin(), there.end());
    const auto value = [](const std::map<std::string, std::string>& from, const std::string& key) {
        const auto at = from.find(key);
        return at == from.end() ? std::string("nothing") : "'" + at->second + "'";
    };
    std::map<std::string, std::string> all = left;
    all.insert(right.begin(), right.end());
    for (const auto& [key, unused] : all) {
        if (value(left, key) != value(right, key)) {
            return fmt::format("{}: {} {}, {} {}", key, value(left, key), sides.here,
                               value(right, key), sides.there);
        }
    }
    return {};
}

}  // namespace everstep::daemon
