// Group: the standby becomes primary by the operator's word (DESIGN.md 9, `takeover`). In order,
// each step durable before the next:
//  1. no other node of the group serves it, and every `listen` can be had here (nothing changes);
//  2. the session with the old primary ends for good;
//  3. the record: role primary, the new timeline, `unserved`. This is the takeover;
//  4. the store: what was received is durable, the replica is not held, the timeline;
//  5. the volumes are served through the store; `unserved` is cleared before the first write.
// If the node dies, or a step fails:
//  - before 3 is durable it is the standby that it was, and has told nobody of a timeline;
//  - behind 3 its next start goes on from 4, with the timeline of the record;
//  - when 4 fails, the record is put back; when 5 fails, the node has the role, says why it does
//    not serve, and tries again by itself with the same timeline.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/group.hpp"
#include "daemon/lineage.hpp"

namespace everstep::daemon {

struct Group::Takeover {
    AdminAnswer answer;
    std::size_t unasked = 0;  // members that have not answered yet
    bool refused = false;
    std::string point{};  // expression; empty: the newest consistent step
    bool force = false;
    bool dry_run = false;
    journal::Tip branch{};
    std::string further{};  // another standby that has more of the line
    Lsn further_head{};     // up to here
    std::uint64_t lost_steps = 0;
    double lost_seconds = 0;
    journal::TimelineInfo timeline{};
    std::vector<std::string> not_whole{};  // volumes of which the step has not all: not served
};

namespace {

Status still_served_by(const std::string& node) {
    return {ErrorCode::refused, "the primary " + node +
                                    " can be reached and serves; stop its everstepd first, it "
                                    "loses nothing by that"};
}

// Whether every volume's address can be had now. Nobody is let in; all are given back.
Status try_listen(const GroupContext& context) {
    std::vector<std::unique_ptr<net::Listener>> held;
    for (const VolumeConfig& volume : context.group->volumes) {
        auto listener = net::Listener::make(
            *context.loop, volume.on(context.node)->listen, nullptr, {}, [](net::StreamPtr) {},
            [](const std::string&, const Status&) {});
        if (!listener.ok()) return listener.status().with_context("volume " + volume.name);
        held.push_back(std::move(*listener));
    }
    return {};
}

// The newest step of that line that a standby, whose status this is, has.
Lsn head_there(const wire::AdminReply& told, const TimelineId& line) {
    const Value::List* groups = told.body.at("groups").as_list();
    if (told.error != ErrorCode::ok || groups == nullptr || groups->empty()) return {};
    const Value& group = groups->front();
    if (group.at("role").text() != "standby" || group.at("timeline").text() != line.hex())
        return {};
    return Lsn(group.at("history").at("head").number());
}

// An empty timeline of this node's, of a takeover that was not finished, is used again.
journal::TimelineInfo next_timeline(const Timelines& known, const journal::Tip& branch,
                                    const std::string& node) {
    journal::TimelineInfo next;
    for (const journal::TimelineInfo& one : known) {
        const bool here = one.id == branch.point.timeline;
        if (here && one.node == node && one.branch_lsn == branch.point.lsn && !one.parent.nil())
            return one;
        if (here) next.number = one.number + 1;
    }
    next.id = Uuid::random();
    next.parent = branch.point.timeline;
    next.branch_lsn = branch.point.lsn;
    next.branch_hash = branch.hash;
    next.branch_seq = branch.seq;
    next.node = node;
    return next;
}

}  // namespace

void Group::takeover(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const auto refuse = [&](const std::string& why) {
        answer(error_reply(Status(ErrorCode::refused, why)));
    };
    if (primary_) return refuse("this node is the primary of group " + name() + " already");
    if (taking_over_) return refuse("a takeover is under way");
    if (!has_history_here() || !standby_->standby()->store().has_history()) {
        const std::string why = standby_ ? standby_->why() : failed_;
        return refuse("this node has no consistent step of group " + name() + " to serve" +
                      (why.empty() ? "" : ": " + why));
    }
    for (const VolumeConfig& volume : context_.group->volumes) {
        if (volume.on(context_.node)->listen.empty())
            return refuse("volume " + volume.name + " has no `listen` here");
    }
    const auto job = std::make_shared<Takeover>(Takeover{answer});
    job->point = argument(request, "point");
    job->force = argument(request, "force") == "1";
    job->dry_run = argument(request, "dry_run") == "1";
    if (standby_->primary_connected()) {
        answer(error_reply(still_served_by(standby_->primary_node())));
        return;
    }
    taking_over_ = true;
    ask_members(job);
}

// Any other member may be the primary by now; all are asked at once.
void Group::ask_members(const std::shared_ptr<Takeover>& job) {
    const std::vector<std::string> peers = context_.peers();
    job->unasked = peers.size();
    if (peers.empty()) takeover_unreachable(job);
    for (const std::string& node : peers) {
        relay_(node, {"status", {{"group", name()}}},
               [this, alive = alive_, job, node](const wire::AdminReply& told) {
                   if (*alive == nullptr || told.more || job->refused) return;
                   if (serves_group(told)) {
                       job->refused = true;
                       taking_over_ = false;
                       job->answer(error_reply(still_served_by(node)));
                       return;
                   }
                   if (has_history_here()) {
                       const Point own = standby_->standby()->store().durable().point;
                       const Lsn there = head_there(told, own.timeline);
                       if (there > std::max(own.lsn, job->further_head)) {
                           job->further_head = there;
                           job->further = node;
                       }
                   }
                   job->unasked -= 1;
                   if (job->unasked == 0) takeover_unreachable(job);
               });
    }
}

void Group::takeover_unreachable(const std::shared_ptr<Takeover>& job) {
    const auto end = [&](const Status& status) {
        taking_over_ = false;
        job->answer(error_reply(status));
    };
    if (!standby_ || !standby_->standby())
        return end(Status(ErrorCode::refused, "the standby has stopped"));
    if (standby_->primary_connected()) return end(still_served_by(standby_->primary_node()));
    const journal::Store& store = standby_->standby()->store();
    Point at = store.consistent();
    if (!job->point.empty()) {
        const Result<Point> point = standby_->commands()->resolve(job->point);
        if (!point.ok()) return end(point.status());
        at = *point;
    }
    const Result<journal::Tip> branch = store.tip_at(at);
    if (!branch.ok()) return end(branch.status());
    job->branch = *branch;
    std::vector<VolumeRecord> volumes = context_.record.volumes;
    job->not_whole = stand_on(volumes, store.timelines(), at);
    count_lost(*job, at);
    if (job->dry_run) {
        taking_over_ = false;
        wire::AdminReply reply;
        reply.body = takeover_told(*job);
        job->answer(reply);
        return;
    }
    if (!job->force) {
        return end(
            Status(ErrorCode::refused,
                   fmt::format(
                       "the primary cannot be reached, and there is neither lease nor fence: if it "
                       "lives, both would serve. When it is surely dead, `--force` takes over at "
                       "step {} ({} steps known to be lost){}",
                       at.lsn.value(), job->lost_steps,
                       job->further.empty()
                           ? ""
                           : fmt::format("; {} has steps up to {} of this line: take over there",
                                         job->further, job->further_head.value()))));
    }
    take_over(job);
}

// What the line that is left has behind the newest step that both share. `at` may be on a side
// line.
void Group::count_lost(Takeover& job, Point at) const {
    const journal::Store& store = standby_->standby()->store();
    const Timelines all = store.timelines();
    const Point head = store.durable().point;
    const Lsn captured = std::max({standby_->primary_captured(), head.lsn, job.further_head});
    const std::optional<Point> common =
        common_point(path_to(all, head.timeline), {head.timeline, captured}, all, at);
    const Lsn kept = common ? common->lsn : store.baseline().lsn;
    job.lost_steps = captured - std::min(captured, kept);
    if (job.lost_steps == 0) return;
    WallTime since = job.branch.step_time;
    if (const Result<journal::Tip> tip = store.tip_at(common.value_or(at)); tip.ok())
        since = tip->step_time;
    const auto behind = standby_->step_now() - since;
    job.lost_seconds = std::max(0.0, std::chrono::duration<double>(behind).count());
}

void Group::take_over(const std::shared_ptr<Takeover>& job) {
    const Status listened = try_listen(context_);
    if (!listened.ok()) {
        taking_over_ = false;
        job->answer(error_reply(
            Status(ErrorCode::refused, listened.message() + "; nothing was changed here")));
        return;
    }
    standby_->seal_off(Status(ErrorCode::refused, context_.node + " took over"));
    GroupRecord& record = context_.record;
    const GroupRecord before = record;
    Timelines known = standby_->standby()->store().timelines();
    job->timeline = next_timeline(known, job->branch, context_.node);
    known.push_back(job->timeline);
    record.role = wire::Role::primary;
    record.serves_store = true;
    record.unserved = true;
    record.takeovers += 1;
    record.clean = false;
    record.zero_origin = false;
    record.peers.clear();
    record.intent.reset();
    record.restore.reset();
    record.timelines = path_to(known, job->timeline.id);
    record.tip = job->branch;
    record.tip.point.timeline = job->timeline.id;
    record.step = record.tip;
    job->not_whole = stand_on(record.volumes, known, job->branch.point);
    const Status saved = context_.save();
    if (!saved.ok()) {
        give_up(job, before, saved);
        return;
    }
    begin_taken([this, alive = alive_, job, before](const Status& status) {
        if (*alive == nullptr) return;
        if (status.ok()) return promote(job);
        give_up(job, before, status);
    });
}

// The store follows the record; the same at a start that finds a takeover half done.
void Group::begin_taken(std::function<void(Status)> done) {
    standby::Standby& standby = *standby_->standby();
    standby.release([&standby, timeline = context_.record.timelines.back(),
                     done = std::move(done)](const Status& released) {
        if (!released.ok()) return done(released);
        standby.journal_task(
            [timeline](journal::Store& store) -> Status {
                EVERSTEP_TRY(store.sync());
                EVERSTEP_TRY(store.append_timeline(timeline));
                return store.sync();
            },
            done);
    });
}

// The standby that it was.
void Group::give_up(const std::shared_ptr<Takeover>& job, const GroupRecord& before, Status why) {
    context_.record = before;
    const Status saved = context_.save();
    if (!saved.ok()) {
        why = Status(
            why.code(),
            fmt::format("{}; nor could the record of before be written again ({}): should the "
                        "role be durable, the next start of this node goes on with it",
                        why.message(), saved.message()));
    }
    taking_over_ = false;
    standby_->set_refused("");
    context_.event("alarm-takeover", why.message());
    job->answer(error_reply(why));
}

void Group::promote(const std::shared_ptr<Takeover>& job) {
    make_primary();
    primary_->serve_promoted([this, alive = alive_, job](const Status& status) {
        if (*alive == nullptr) return;
        taking_over_ = false;
        if (!status.ok()) {
            job->answer(error_reply(
                status.with_context("this node has the role now and serves as soon as it can")));
            return;
        }
        context_.event("takeover", fmt::format("serving timeline {} from step {}; {} steps lost",
                                               job->timeline.number, job->branch.point.lsn.value(),
                                               job->lost_steps));
        for (const std::string& one : job->not_whole)
            context_.event("alarm-volume", one +
                                               " was added and is not whole at this step: it is "
                                               "not served here");
        wire::AdminReply reply;
        reply.body = takeover_told(*job);
        job->answer(reply);
    });
}

Value Group::takeover_told(const Takeover& job) const {
    Value value = Value::map();
    value.set("lsn", job.branch.point.lsn.value());
    value.set("timeline", job.timeline.id.nil() ? Value() : Value(job.timeline.id.hex()));
    value.set("timeline_number", job.timeline.id.nil() ? Value() : Value(job.timeline.number));
    value.set("lost_steps", job.lost_steps);
    value.set("lost_seconds", job.lost_seconds);
    Value uris = Value::map();
    const Value served = primary_ ? primary_->status().at("uris") : Value();
    const Value::List* list = served.as_list();
    for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
        uris.set(context_.group->volumes[i].name, (*list)[i]);
    }
    value.set("uri", list == nullptr || list->empty() ? Value() : list->front());
    value.set("uris", uris);
    Value not_served = Value::list();
    for (const std::string& one : job.not_whole) not_served.push(one);
    value.set("not_served", std::move(not_served));
    return value;
}

}  // namespace everstep::daemon
