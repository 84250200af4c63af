#include "daemon/standby_role.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/lineage.hpp"
#include "daemon/link_times.hpp"
#include "daemon/stream_plan.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {

StandbyRole::StandbyRole(GroupContext& context)
    : context_(context), alive_(std::make_shared<StandbyRole*>(this)) {}

StandbyRole::~StandbyRole() {
    *alive_ = nullptr;
    end_session();
    close();
}

Status StandbyRole::open() {
    const Result<std::string> problem = volume_problem(context_);
    if (!problem.ok()) return failed_ = problem.status();
    if (!problem->empty()) {
        failed_ =
            Status(ErrorCode::refused, *problem +
                                           "; it is not the replica that this store belongs to: "
                                           "`everstep adopt GROUP --from NODE` copies it anew");
        return failed_;
    }
    if (Status used = use_up_samples(); !used.ok()) return failed_ = used;
    standby::StandbyOptions options;
    options.files = context_.files;
    options.directory = context_.directory + "/store";
    options.branches = branches_directory(context_);
    options.group = context_.record.group;
    options.node = context_.node;
    options.segment_bytes = context_.group->segment_bytes;
    options.clock = context_.clock;
    options.keep = keep_limits();
    options.reserve_bytes = context_.group->reserve_bytes;
    std::vector<std::string> names;
    for (const VolumeConfig& volume : context_.group->volumes) {
        names.push_back(volume.name);
        for (const VolumeRecord& one : context_.record.volumes) {
            if (one.name == volume.name) {
                options.volumes.push_back(
                    {volume.name, volume.on(context_.node)->device, one.size});
            }
        }
    }
    standby::StandbyEvents events;
    events.on_progress = [this] {
        if (session_) session_->on_progress();
    };
    events.on_failed = [this](const Status& status) {
        failed_ = status;
        context_.event("alarm-failed", status.message());
    };
    events.on_event = [this](const std::string& kind, const std::string& text) {
        context_.event(kind, text);
    };
    auto standby = standby::Standby::open(options, *context_.loop, std::move(events));
    if (!standby.ok()) return failed_ = standby.status();
    standby_ = std::move(*standby);
    commands_ =
        std::make_unique<standby::HistoryCommands>(*standby_, names, [this] { return step_now(); });
    return {};
}

journal::KeepLimits StandbyRole::keep_limits() const {
    journal::KeepLimits limits;
    limits.keep_time = context_.group->keep_time;
    limits.keep_bytes = context_.group->keep_bytes;
    return limits;
}

void StandbyRole::set_limits() {
    if (standby_) standby_->set_limits(keep_limits(), context_.group->reserve_bytes);
    if (!link_ || !session_) return;
    wire::Hello hello;
    hello.node = context_.node;
    hello.node_id = context_.node_id;
    hello.group = group_state();
    link_->send(hello);
}

// From here on the images change: after a kill -9 there is nothing to compare them with.
Status StandbyRole::use_up_samples() {
    GroupRecord& record = context_.record;
    bool any = record.clean && record.role == wire::Role::standby;
    if (any) record.clean = false;
    for (VolumeRecord& volume : record.volumes) {
        any = any || volume.samples != Hash128{};
        volume.samples = {};
        volume.sampled_data = 0;
    }
    return any ? context_.save() : Status();
}

void StandbyRole::stop() {
    end_session();
    commands_.reset();
    if (!standby_) return;
    standby_->stop();
    const journal::Store& store = standby_->store();
    const bool whole = standby_->failure().ok() && store.has_history() &&
                       store.replica().low == store.replica().high;
    standby_.reset();
    if (!whole) return;
    Status kept = sample_volumes(context_);
    if (context_.record.role == wire::Role::standby) context_.record.clean = kept.ok();
    if (kept.ok()) kept = context_.save();
    if (!kept.ok()) context_.event("alarm-stop", "the images are not compared: " + kept.message());
}

void StandbyRole::close() {
    commands_.reset();
    if (!standby_) return;
    standby_->stop();
    standby_.reset();
}

void StandbyRole::end_session() {
    session_.reset();
    if (!link_) return;
    link_->close(Status(ErrorCode::ok, "the session ends"));
    context_.loop->post([gone = std::shared_ptr<Link>(std::move(link_))] {});
}

void StandbyRole::end_untrusted() {
    const Status why = context_.trusts(primary_);
    if (why.ok()) return;
    link_->close(why);
    if (std::exchange(began_, false)) context_.event("alarm-link", link_story(primary_, why));
    end_session();
}

void StandbyRole::seal_off(const Status& why) {
    refused_ = why.message();
    end_session();
}

Status StandbyRole::greet(const wire::Hello& hello) {
    if (!refused_.empty()) return Status(ErrorCode::refused, refused_);
    if (!standby_) return failed_;
    const wire::GroupState& theirs = *hello.group;
    if (identity_kept() && theirs.has_state && theirs.group_id != context_.record.group) {
        return Status(
            ErrorCode::refused,
            fmt::format(
                "group {}: this node's state is of another group of this name ({} here, {} there)",
                context_.group->name, context_.record.group.hex(), theirs.group_id.hex()));
    }
    return {};
}

bool StandbyRole::identity_kept() const {
    return context_.record.role == wire::Role::standby && !context_.record.group.nil();
}

// A standby that has taken part in no group yet takes the id of the one that greets it, for its
// store. Durable first: a store that bears an id which the record does not know is another group's.
Status StandbyRole::take_group(const Uuid& group) {
    if (identity_kept() || group.nil() || group == context_.record.group) return {};
    const Uuid before = std::exchange(context_.record.group, group);
    if (Status saved = context_.save(); !saved.ok()) {
        context_.record.group = before;
        return saved;
    }
    end_session();
    close();
    failed_ = Status();
    return open();
}

void StandbyRole::on_link(std::unique_ptr<Link> link, const wire::Hello& hello) {
    Status greeted = greet(hello);
    if (greeted.ok()) greeted = take_group(hello.group->group_id);
    wire::Hello answer;
    answer.features = wire::kFeatures;
    answer.node = context_.node;
    answer.node_id = context_.node_id;
    if (greeted.ok()) end_session();  // the old session ends before the new one is answered
    answer.group = group_state();
    if (!greeted.ok()) {
        answer.group->refused = greeted.message();
        link->send(answer);
        link->close(greeted);
        context_.loop->post([gone = std::shared_ptr<Link>(std::move(link))] {});
        return;
    }
    primary_ = hello.node;
    theirs_ = hello.group->configuration;
    takeovers_ = hello.group->takeovers;
    link_ = std::move(link);
    standby::ReceiveActions actions;
    actions.send = [this](const wire::Control& message) {
        if (link_) link_->send(message);
    };
    actions.send_data = [this](Buffer data) {
        if (link_) link_->send_data(std::move(data));
    };
    actions.queued_bytes = [this] { return link_ ? link_->queued_bytes() : 0; };
    actions.keep_identity = [this](const wire::Start& start) {
        const Status kept = keep_identity(start);
        if (kept.ok()) began(start);
        return kept;
    };
    session_ = std::make_unique<standby::ReceiveSession>(*standby_, std::move(actions));
    link_->start(link_events());
    link_->send(answer);
}

LinkEvents StandbyRole::link_events() {
    LinkEvents events;
    const auto times = std::make_shared<KeepaliveConfig>(context_.group->keepalive);
    events.times = times.get();  // as long as the events
    events.on_control = [this](const wire::Control& message) -> Status {
        if (!session_) return {};
        if (const auto* hello = std::get_if<wire::Hello>(&message)) {
            if (!hello->group) return {};
            theirs_ = hello->group->configuration;
            return learn_whole_from(hello->group->volumes);
        }
        if (const auto* alive = std::get_if<wire::Keepalive>(&message)) {
            captured_ = alive->captured;
            step_clock_ns_ = alive->step_clock_ns;
            step_clock_at_ = context_.clock->boot();
        }
        return session_->on_control(message);
    };
    events.on_frame = [this](Buffer frame) {
        return session_ ? session_->on_frame(std::move(frame)) : Status();
    };
    events.on_drained = [this] {
        if (session_) session_->on_drained();
    };
    // Each second: when a link looks whether its node is still one of ours.
    events.keepalive = [this, times]() -> wire::Keepalive {
        *times = link_times(context_.group->keepalive, theirs_);
        if (context_.trusts(primary_).ok()) return {};
        context_.loop->post([alive = alive_, link = link_.get()] {
            if (*alive != nullptr && (*alive)->link_.get() == link) (*alive)->end_untrusted();
        });
        return {};
    };
    events.on_closed = [this](const Status& status) {
        const bool alarm = status.code() != ErrorCode::closed;
        const std::string story = link_story(primary_, status);
        const bool began = std::exchange(began_, false);
        const bool again = std::exchange(told_, story) == story;  // it is tried every other second
        if (began || (alarm && !again)) context_.event(alarm ? "alarm-link" : "link", story);
        context_.loop->post([alive = alive_, link = link_.get()] {
            if (*alive != nullptr && (*alive)->link_.get() == link) (*alive)->end_session();
        });
    };
    return events;
}

void StandbyRole::began(const wire::Start& start) {
    began_ = true;
    const std::string how = start.mode == wire::StartMode::stream    ? "streaming"
                            : start.mode == wire::StartMode::initial ? "initial sync"
                                                                     : "resync: " + start.reason;
    context_.event("session", primary_ + ": " + how);
}

Status StandbyRole::keep_identity(const wire::Start& start) {
    GroupRecord& record = context_.record;
    if (identity_kept() && start.group_id != record.group) {
        return Status(ErrorCode::refused,
                      fmt::format("group {}: this node's state is of another group of this name",
                                  context_.group->name));
    }
    if (start.volumes.size() != record.volumes.size()) {
        return Status(
            ErrorCode::refused,
            fmt::format("group {}: {} volumes here, {} on the primary", context_.group->name,
                        record.volumes.size(), start.volumes.size()));
    }
    for (std::size_t i = 0; i < record.volumes.size(); ++i) {
        const wire::Volume& theirs = start.volumes[i];
        if (theirs.name != record.volumes[i].name || theirs.size != record.volumes[i].size) {
            return Status(
                ErrorCode::refused,
                fmt::format("volume {}: {} bytes here, volume {} with {} bytes on the primary",
                            record.volumes[i].name, record.volumes[i].size.value(), theirs.name,
                            theirs.size.value()));
        }
    }
    const GroupRecord before = record;
    const bool learnt = take_whole_from(record.volumes, start.volumes);
    bool kept = !learnt && record.group == start.group_id && record.role == wire::Role::standby &&
                record.takeovers >= takeovers_;
    for (std::size_t i = 0; i < record.volumes.size(); ++i)
        kept = kept && record.volumes[i].id == start.volumes[i].id;
    if (kept) return {};
    record.takeovers = std::max(record.takeovers, takeovers_);
    record.group = start.group_id;
    record.role = wire::Role::standby;
    for (std::size_t i = 0; i < record.volumes.size(); ++i)
        record.volumes[i].id = start.volumes[i].id;
    return save_or(before);
}

Status StandbyRole::learn_whole_from(const std::vector<wire::Volume>& said) {
    const GroupRecord before = context_.record;
    if (!take_whole_from(context_.record.volumes, said)) return {};
    return save_or(before);
}

// What is not on the disk is not known here either: else a store would be made that no record is
// of, and nothing would save it later.
Status StandbyRole::save_or(const GroupRecord& before) {
    const Status saved = context_.save();
    if (!saved.ok()) context_.record = before;
    return saved;
}

WallTime StandbyRole::step_now() const {
    if (step_clock_ns_ == 0) return standby_ ? standby_->store().tip().step_time : WallTime();
    return WallTime(std::chrono::nanoseconds(step_clock_ns_)) +
           (context_.clock->boot() - step_clock_at_);
}

// How old the newest durable step is, by the primary's step clock.
double StandbyRole::behind_seconds() const {
    if (!standby_ || !standby_->store().has_history()) return 0;
    const auto age = step_now() - standby_->store().durable().step_time;
    return std::max(0.0, std::chrono::duration<double>(age).count());
}

wire::GroupState StandbyRole::group_state() const {
    wire::GroupState state;
    state.group = context_.group->name;
    if (identity_kept()) state.group_id = context_.record.group;
    // A node that took over, and cannot serve yet, or could not open its store, is no standby.
    const bool promoted = context_.record.role == wire::Role::primary;
    state.role = promoted ? wire::Role::none : wire::Role::standby;
    state.configuration = context_.group->canonical();
    state.volumes = to_wire(context_.record.volumes);
    state.has_state = identity_kept();
    state.takeovers = context_.record.takeovers;
    state.refused = refused_;
    if (!standby_) {
        if (state.refused.empty()) state.refused = failed_.message();
        state.timelines = to_wire(context_.record.timelines);
        state.head = context_.record.tip.point;
        return state;
    }
    const journal::Store& store = standby_->store();
    state.has_history = store.has_history();
    if (!state.has_history) return state;
    state.timelines = to_wire(store.timelines());
    const journal::Tip tip = store.durable();
    state.head = tip.point;
    state.head_hash = tip.hash;
    state.head_seq = tip.seq;
    state.head_step_time_ns = tip.step_time.time_since_epoch().count();
    if (const Result<journal::Tip> step = store.tip_at(tip.point); step.ok()) {
        state.step_hash = step->hash;
        state.step_seq = step->seq;
    }
    state.applied = standby_->applied();
    const std::optional<journal::Gap> gap = store.gap_open();
    state.gap_open = gap && !gap->batch;
    state.consistent = store.consistent();
    return state;
}

std::string StandbyRole::state() const {
    if (!failed_.ok() || !refused_.empty() || (standby_ && !standby_->failure().ok()))
        return "failed";
    if (!standby_) return "failed";
    if (standby_->store().has_history() && standby_->store().replica().held) return "held";
    const bool copying = session_ && (session_->initial() || !standby_->store().has_history());
    if (copying) return "initial-sync";
    if (session_ && session_->resync()) return "resync";
    return session_ && session_->streaming() ? "streaming" : "waiting";
}

std::string StandbyRole::why() const {
    if (!refused_.empty()) return refused_;
    if (!failed_.ok()) return failed_.message();
    if (!standby_) return "";
    const Status failure = standby_->failure();
    if (!failure.ok() || !standby_->full()) return failure.message();
    return "less than reserve_bytes is free on the disk of the history: nothing more is "
           "acknowledged";
}

Value StandbyRole::held() const {
    if (!standby_ || !standby_->store().has_history() || !standby_->store().replica().held)
        return {};
    return standby_->store().replica().held_at.lsn.value();
}

Value StandbyRole::no_history() {
    Value value = Value::map();
    for (const char* key : {"oldest", "head", "oldest_time", "head_time"}) value.set(key, Value());
    return value.set("bytes", 0).set("gaps", 0);
}

Value StandbyRole::history() const {
    if (!standby_ || !standby_->store().has_history()) return no_history();
    Value value = Value::map();
    const journal::Store& store = standby_->store();
    const journal::Tip head = store.durable();
    value.set("oldest", store.baseline().lsn.value());
    value.set("head", head.point.lsn.value());
    Value oldest_time;
    const auto view = store.view(store.consistent());
    if (view.ok()) {
        const auto first = store.step(*view, store.baseline().lsn + 1);
        if (first.ok()) oldest_time = format_time(first->step_time);
        const auto oldest = store.tip_at(store.baseline());
        if (!first.ok() && oldest.ok() && oldest->step_time != WallTime())
            oldest_time = format_time(oldest->step_time);
    }
    value.set("oldest_time", oldest_time);
    value.set("head_time", head.point.lsn == store.baseline().lsn
                               ? Value()
                               : Value(format_time(head.step_time)));
    value.set("bytes", store.stored_bytes().value());
    const std::vector<journal::Gap> gaps = store.gaps();
    value.set("gaps",
              static_cast<std::uint64_t>(std::count_if(
                  gaps.begin(), gaps.end(), [](const journal::Gap& gap) { return !gap.batch; })));
    return value;
}

Value StandbyRole::status() const {
    Value value = Value::map();
    value.set("state", state());
    value.set("why", why().empty() ? Value() : Value(why()));
    value.set("held_at", held());
    Lsn durable;
    Lsn applied;
    Lsn received;
    if (standby_ && standby_->store().has_history()) {
        durable = standby_->store().durable().point.lsn;
        received = standby_->store().tip().point.lsn;
        applied = standby_->applied();
    }
    const Lsn captured = std::max(captured_, received);
    Value positions = Value::map();
    for (const char* name : {"captured", "queued", "sealed", "sent"})
        positions.set(name, captured.value());
    positions.set("received", received.value());
    positions.set("durable", durable.value());
    positions.set("applied", applied.value());
    value.set("positions", std::move(positions));
    Value peers = Value::list();
    if (!primary_.empty()) {
        Value peer = Value::map();
        peer.set("node", primary_);
        peer.set("state", primary_connected() ? "connected" : "connecting");
        const std::string differs =
            primary_connected() ? first_difference(context_.group->canonical(), theirs_) : "";
        peer.set("why", differs.empty() ? Value() : Value(differs_text(differs)));
        peer.set("received", received.value());
        peer.set("durable", durable.value());
        peer.set("applied", applied.value());
        peer.set("lag_steps", captured.value() - durable.value());
        peer.set("lag_bytes", standby_ ? standby_->queued_bytes() : 0);
        peer.set("lag_seconds", captured > durable ? behind_seconds() : 0.0);
        peers.push(std::move(peer));
    }
    value.set("peers", std::move(peers));
    return value;
}

}  // namespace everstep::daemon
