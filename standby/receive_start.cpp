#include "standby/receive_start.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"
#include "standby/point.hpp"

namespace everstep::standby {
namespace {

using journal::TimelineInfo;

Status refused(std::string why) {
    return {ErrorCode::refused, std::move(why)};
}

Status check_volumes(const wire::Start& start, const StandbyOptions& options) {
    if (start.volumes.size() != options.volumes.size()) {
        return refused(fmt::format("group: found {} volumes on the primary, wanted {}",
                                   start.volumes.size(), options.volumes.size()));
    }
    for (std::size_t i = 0; i < options.volumes.size(); ++i) {
        const wire::Volume& found = start.volumes[i];
        const VolumeFile& wanted = options.volumes[i];
        if (found.name != wanted.name) {
            return refused(fmt::format("volume {}: found '{}' on the primary, wanted '{}'", i,
                                       found.name, wanted.name));
        }
        if (found.size != wanted.size) {
            return refused(fmt::format("volume {}: found {} bytes on the primary, wanted {}",
                                       wanted.name, found.size.value(), wanted.size.value()));
        }
    }
    return {};
}

// A chain: each branches from the one before, never before that one's own branch point.
Status check_chain(const std::vector<wire::Timeline>& timelines) {
    if (timelines.empty()) return {ErrorCode::corrupt, "Start: no timeline"};
    for (std::size_t i = 0; i < timelines.size(); ++i) {
        const wire::Timeline& one = timelines[i];
        if (one.id.nil()) return {ErrorCode::corrupt, "Start: a timeline without an id"};
        if (i == 0) continue;
        const wire::Timeline& parent = timelines[i - 1];
        if (one.parent != parent.id || one.branch_lsn < parent.branch_lsn) {
            return {ErrorCode::corrupt,
                    fmt::format("Start: timeline {} does not branch from {}, the one before it",
                                one.id.hex(), parent.id.hex())};
        }
    }
    return {};
}

TimelineInfo info_of(const wire::Timeline& timeline) {
    TimelineInfo info;
    info.id = timeline.id;
    info.parent = timeline.parent;
    info.branch_lsn = timeline.branch_lsn;
    info.branch_hash = timeline.branch_hash;
    info.branch_seq = timeline.branch_seq;
    info.number = timeline.number;
    info.node = timeline.node;
    return info;
}

const TimelineInfo* known(const std::vector<TimelineInfo>& all, TimelineId id) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const TimelineInfo& one) { return one.id == id; });
    return found == all.end() ? nullptr : &*found;
}

// The new timelines of the chain, which must be its end; what both sides know must be the same.
Result<std::vector<TimelineInfo>> new_timelines(const journal::Store& store,
                                                const wire::Start& start) {
    const std::vector<TimelineInfo> ours = store.timelines();
    std::vector<TimelineInfo> fresh;
    for (const TimelineInfo& theirs : timelines_of(start)) {
        const TimelineInfo* our = known(ours, theirs.id);
        if (our == nullptr) {
            fresh.push_back(theirs);
        } else if (our->branch_lsn != theirs.branch_lsn || our->parent != theirs.parent ||
                   our->branch_hash != theirs.branch_hash) {
            return Status(
                ErrorCode::corrupt,
                fmt::format("timeline {}: the primary has it branch from step {}, this node "
                            "from step {}",
                            theirs.id.hex(), theirs.branch_lsn.value(), our->branch_lsn.value()));
        } else if (!fresh.empty()) {
            return Status(
                ErrorCode::corrupt,
                fmt::format("timeline {}: its parent is new to this node", theirs.id.hex()));
        }
    }
    if (fresh.size() == start.timelines.size()) {
        return refused(
            fmt::format("timeline {}: this node's history has no timeline in common with the "
                        "primary's; `everstep adopt` decides whose data is kept",
                        start.timelines.back().id.hex()));
    }
    return fresh;
}

// This node holds no such step, so nothing can follow it: it lies inside a gap that was closed (the
// primary went on from a step that this node never was at), or has expired.
Status no_point(const TimelineInfo& timeline, const Status& why) {
    return {why.code(),
            fmt::format("timeline {}: its branch point, step {}: {}; `everstep adopt GROUP --from "
                        "NODE` on this node takes the primary's data",
                        timeline.id.hex(), timeline.branch_lsn.value(), why.message())};
}

// The branch point lies in this history, with the same content. Of the baseline the frame is not
// known.
Status check_branch(const journal::Store& store, const TimelineInfo& timeline) {
    if (timeline.branch_lsn == store.baseline().lsn) return {};
    const Result<journal::Tip> at = store.tip_at({timeline.parent, timeline.branch_lsn});
    if (!at.ok()) return no_point(timeline, at.status());
    if (at->hash == timeline.branch_hash && at->seq == timeline.branch_seq) return {};
    return {ErrorCode::corrupt,
            fmt::format("timeline {}: branches from step {} with hash {}, found {} here",
                        timeline.id.hex(), timeline.branch_lsn.value(), hex(timeline.branch_hash),
                        hex(at->hash))};
}

bool on_chain(const wire::Start& start, Point at) {
    for (std::size_t i = 0; i < start.timelines.size(); ++i) {
        if (start.timelines[i].id != at.timeline) continue;
        const bool last = i + 1 == start.timelines.size();
        return at.lsn >= start.timelines[i].branch_lsn &&
               (last || at.lsn <= start.timelines[i + 1].branch_lsn);
    }
    return false;
}

Status begin_plain(journal::Store& store, const wire::Start& start,
                   const std::vector<TimelineInfo>& fresh, Expected& expected) {
    const std::optional<journal::Gap> gap = store.gap_open();
    if (gap && !gap->batch) {
        return refused(fmt::format("the gap behind step {} is still open here: a resync is wanted",
                                   gap->from.lsn.value()));
    }
    const Point tip = store.tip().point;
    if (fresh.empty() && tip.timeline != start.timelines.back().id) {
        return refused(
            fmt::format("this node stands at {}, on timeline {}, which the primary does not have",
                        format_point(tip, store), tip.timeline.hex()));
    }
    if (!on_chain(start, start.from)) {
        return refused(fmt::format("step {} of timeline {} does not lie on the primary's path",
                                   start.from.lsn.value(), start.from.timeline.hex()));
    }
    if (!fresh.empty()) EVERSTEP_TRY(check_branch(store, fresh.front()));
    for (std::size_t i = 1; i < fresh.size(); ++i) {
        // No step of the timeline between is here: only a branch at its very beginning is a point
        // of this node's.
        if (fresh[i].branch_lsn != fresh[i - 1].branch_lsn) {
            return refused(fmt::format("timeline {}: its branch point, step {}, is not here",
                                       fresh[i].id.hex(), fresh[i].branch_lsn.value()));
        }
    }
    Point from = start.from;
    if (known(fresh, from.timeline) != nullptr) {
        if (from.lsn != fresh.front().branch_lsn) {
            return refused(fmt::format("step {}: this node does not have it", from.lsn.value()));
        }
        from = {fresh.front().parent, fresh.front().branch_lsn};
    }
    const Result<journal::Tip> at =
        from == tip ? Result<journal::Tip>(store.tip()) : store.stream_tip_at(from);
    if (!at.ok()) return at.status().with_context("Start: from");
    expected = {*at, true, false};
    expected.tip.point = start.from;
    if (!fresh.empty()) {
        expected.tip.hash = fresh.front().branch_hash;
        expected.tip.seq = fresh.front().branch_seq;
    }
    for (const TimelineInfo& one : fresh) EVERSTEP_TRY(store.append_timeline(one));
    return {};
}

Status begin_resync(journal::Store& store, const wire::Start& start,
                    const std::vector<TimelineInfo>& fresh, Expected& expected) {
    if (fresh.empty() && store.tip().point.timeline != start.timelines.back().id) {
        return refused(
            fmt::format("this node stands on timeline {}, which the primary does not have; "
                        "`everstep adopt` decides whose data is kept",
                        store.tip().point.timeline.hex()));
    }
    // Where the new line leaves a step that is here, it leaves first and the gap lies on the new
    // line: the steps that this node has behind that point stay points. A gap that is open already
    // keeps its beginning, unless the line leaves there; what comes may jump again.
    Status leaves_here(ErrorCode::not_found, "no line leaves");
    if (!fresh.empty())
        leaves_here = store.tip_at({fresh.front().parent, fresh.front().branch_lsn}).status();
    if (!leaves_here.ok()) {
        const Status opened = store.open_gap(start.from, start.reason);
        if (opened.code() == ErrorCode::refused && !fresh.empty())
            return no_point(fresh.front(), leaves_here);
        EVERSTEP_TRY(opened);
    }
    for (std::size_t i = 0; i < fresh.size(); ++i) {
        const Status appended = store.append_timeline(fresh[i]);
        if (appended.code() == ErrorCode::refused) return no_point(fresh[i], appended);
        EVERSTEP_TRY(appended);
        // A later one that leaves where the gap begins has given it up.
        const bool wanted = i == 0 || !store.gap_open();
        if (wanted) EVERSTEP_TRY(store.open_gap(start.from, start.reason));
    }
    expected = {store.tip(), false, true};
    return {};
}

}  // namespace

Status check_start(const wire::Start& start, const StandbyOptions& options) {
    if (!options.group.nil() && start.group_id != options.group) {
        return refused(fmt::format("group: found id {} on the primary, wanted {}",
                                   start.group_id.hex(), options.group.hex()));
    }
    EVERSTEP_TRY(check_volumes(start, options));
    return check_chain(start.timelines);
}

std::vector<TimelineInfo> timelines_of(const wire::Start& start) {
    std::vector<TimelineInfo> out;
    out.reserve(start.timelines.size());
    for (const wire::Timeline& one : start.timelines) out.push_back(info_of(one));
    return out;
}

Status begin_stream(journal::Store& store, const wire::Start& start, Expected& expected) {
    if (start.mode == wire::StartMode::initial) {
        if (store.has_history()) {
            return refused(
                "initial sync: this node has history; `everstep adopt` decides whose data is kept");
        }
        expected = {{}, false, true};
        expected.tip.point.timeline = start.timelines.back().id;
        return {};
    }
    if (!store.has_history()) return refused("this node has no history: an initial sync is wanted");
    const auto fresh = new_timelines(store, start);
    if (!fresh.ok()) return fresh.status();
    return start.mode == wire::StartMode::stream ? begin_plain(store, start, *fresh, expected)
                                                 : begin_resync(store, start, *fresh, expected);
}

}  // namespace everstep::standby
