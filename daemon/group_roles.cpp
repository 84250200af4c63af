// Group: taking up a role at a start, and losing it.
#include <fmt/format.h>

#include "daemon/group.hpp"
#include "daemon/kept_section.hpp"
#include "daemon/lineage.hpp"
#include "daemon/standby_changes.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {

Group::Group(GroupContext context, Exports& exports, Relay relay)
    : context_(std::move(context)),
      exports_(exports),
      relay_(std::move(relay)),
      alive_(std::make_shared<Group*>(this)) {}

Group::~Group() {
    *alive_ = nullptr;
    exports_.remove_group(name());
    primary_.reset();
    standby_.reset();
}

Status Group::load() {
    EVERSTEP_TRY(context_.files->make_directory(context_.directory));
    const std::string path = context_.directory + "/group";
    const Result<std::string> text = io::load_state(*context_.files, path);
    if (text.status().code() == ErrorCode::not_found) return {};
    if (!text.ok()) return text.status();
    Result<GroupRecord> record = unpack_record(*text);
    if (!record.ok()) return record.status().with_context(path);
    context_.record = std::move(*record);
    return {};
}

void Group::fail(const std::string& why) {
    failed_ = why;
    context_.event("alarm-failed", why);
}

void Group::start() {
    const Status loaded = load();
    if (!loaded.ok()) {
        fail(loaded.message());
        return;
    }
    record_read_ = true;
    const auto branches = standby::branch_ids(*context_.files, branches_directory(context_));
    if (!branches.ok()) {
        fail(branches.status().message());
        return;
    }
    exports_.know_ids(*branches);
    start_role();
    if (failed_.empty() && context_.left.empty()) {
        const Status kept = keep_section(*context_.files, context_.directory, *context_.group);
        if (!kept.ok()) context_.event("alarm-state", kept.message());
    }
    if (!has_history_here())
        exports_.list_unopened(context_, *branches, "the history that it lies over is not open");
}

// It takes no part; what it has stays readable. A primary's own disk is no history.
void Group::start_left() {
    standby_ = std::make_unique<StandbyRole>(context_);
    standby_->set_refused(context_.left);
    if (context_.record.role != wire::Role::standby && !context_.record.serves_store) return;
    const Status opened = standby_->open();
    if (!opened.ok()) context_.event("alarm-failed", opened.message());
    if (opened.ok()) exports_.restore(context_, *standby_->standby());
}

void Group::leave(const GroupConfig& section) {
    context_.group = &section;
    context_.left = left_text(context_);
    context_.event("group", context_.left);
    if (primary_) primary_->fence();
    primary_.reset();
    failed_.clear();
    if (!standby_) standby_ = std::make_unique<StandbyRole>(context_);
    standby_->seal_off(Status(ErrorCode::refused, context_.left));
    if (standby_->standby()) standby_->standby()->set_serving(false);
    standby_->set_limits();
}

// A standby opens its history anew, as a start would.
Status Group::take_volumes() {
    if (primary_) return primary_->volumes().add();
    const std::size_t known = context_.record.volumes.size();
    if (!context_.left.empty() || known == 0 || known == context_.group->volumes.size()) return {};
    if (taking_over_) return {ErrorCode::busy, "a takeover is under way"};
    const GroupRecord before = context_.record;
    exports_.remove_group(name());
    if (standby_) standby_->stop();
    standby_.reset();
    start_role();
    const bool open = has_history_here() || !context_.record.refused.empty();
    Status taken = failed_.empty() && open ? context_.save() : Status();
    if (!failed_.empty() || !open)
        taken = Status(ErrorCode::refused, failed_.empty() && standby_ ? standby_->why() : failed_);
    if (!taken.ok()) context_.record = before;
    return taken;
}

void Group::take_role_again() {
    if (primary_ || !context_.left.empty()) return;
    if (failed_.empty() && standby_ && standby_->why().empty()) return;
    exports_.remove_group(name());
    standby_.reset();
    start_role();
}

Status Group::change_members() {
    EVERSTEP_TRY(take_volumes());
    if (primary_) EVERSTEP_TRY(primary_->change_standbys());
    const Status kept = keep_section(*context_.files, context_.directory, *context_.group);
    if (!kept.ok()) context_.event("alarm-state", kept.message());
    return {};
}

void Group::start_role() {
    failed_.clear();
    if (!context_.left.empty()) return start_left();
    GroupRecord& record = context_.record;
    if (const std::string moved = volumes_moved(context_); !moved.empty()) {
        fail(moved);
        return;
    }
    bool made = false;
    const Status prepared = prepare_volumes(context_, made);
    if (!prepared.ok()) {
        fail(prepared.message());
        return;
    }
    const bool primary =
        record.role == wire::Role::primary ||
        (record.role == wire::Role::none && context_.group->primary == context_.node);
    if (primary && context_.group->standbys.empty()) record.serves_store = true;
    if (primary && !record.serves_store) {
        start_primary(made);
        return;
    }
    standby_ = std::make_unique<StandbyRole>(context_);
    if (!record.refused.empty()) {
        standby_->set_refused(record.refused);
        if (!record.serves_store) return;  // its history stays readable
    }
    if (primary && record.group.nil()) {
        record.group = Uuid::random();
        const Status saved = context_.save();  // before the store bears it
        if (!saved.ok()) {
            fail(saved.message());
            return;
        }
    }
    const Status opened = standby_->open();
    if (!opened.ok()) context_.event("alarm-failed", opened.message());
    if (opened.ok()) exports_.restore(context_, *standby_->standby());
    if (!primary || !opened.ok()) return;
    if (!record.unserved || !standby_->standby()->store().has_history()) {
        start_primary(made);
        return;
    }
    standby_->seal_off(Status(ErrorCode::refused, context_.node + " took over"));
    begin_taken([this, alive = alive_, made](const Status& status) {
        if (*alive == nullptr) return;
        if (status.ok()) return start_primary(made);
        fail(status.message());
    });
}

void Group::make_primary() {
    PrimaryEvents events;
    events.on_demoted = [this](const StartDecision& decision) { demoted(decision); };
    events.append_timeline = [this](const journal::TimelineInfo& timeline,
                                    std::function<void(Status)> done) {
        begin_store(timeline, std::move(done));
    };
    events.diff = [this](const std::string& node, Point from, Point to, auto done) {
        diff_points(node, {from, to}, std::move(done));
    };
    standby::Standby* store = context_.record.serves_store ? standby_->standby() : nullptr;
    if (store != nullptr) store->set_serving(true);
    primary_ = std::make_unique<Primary>(context_, store, std::move(events));
}

void Group::start_primary(bool volumes_made) {
    GroupRecord& record = context_.record;
    if (knows_standbys(record)) {
        const StandbyChanges changes = take_standbys(record, context_.peers());
        // What they kept may be kept by nobody who stays.
        if (!changes.removed.empty()) record.ack_kept = false;
    }
    make_primary();
    primary_->start(volumes_made);
}

void Group::begin_store(const journal::TimelineInfo& timeline, std::function<void(Status)> done) {
    standby::Standby& store = *standby_->standby();
    if (!store.store().has_history()) {
        journal::Tip base;
        base.point = {timeline.id, timeline.branch_lsn};
        base.step_time = context_.record.tip.step_time;
        store.begin_history(context_.record.timelines, base, std::move(done));
        return;
    }
    store.journal_task(
        [timeline](journal::Store& history) -> Status {
            EVERSTEP_TRY(history.append_timeline(timeline));
            return history.sync();
        },
        std::move(done));
}

// A peer took over. What this node's disk holds beyond the branch is not on the peer: it stays
// untouched until the operator says `adopt`.
void Group::demoted(const StartDecision& decision) {
    GroupRecord& record = context_.record;
    const bool exact = record.clean || (primary_ && primary_->serves());
    if (primary_) primary_->fence();
    const Lsn newest = std::max(record.tip.point.lsn, primary_ ? primary_->captured() : Lsn());
    record.role = wire::Role::standby;
    record.intent.reset();
    record.refused =
        decision.why +
        fmt::format(
            "; the newest step of this node {} {} of timeline {}: nothing is discarded by "
            "itself, `everstep adopt {} --from {}` takes {}'s data",
            exact ? "is" : "was not recorded, for it did not stop cleanly; it is at least",
            newest.value(), record.tip.point.timeline.hex(), name(), decision.peer, decision.peer);
    record.clean = false;
    record.restore.reset();
    const Status saved = context_.save();
    context_.event("alarm-demoted", record.refused);
    if (!saved.ok()) context_.event("alarm-state", saved.message());
    exports_.remove_group(name());
    primary_.reset();
    if (!standby_) standby_ = std::make_unique<StandbyRole>(context_);
    standby_->seal_off(Status(ErrorCode::refused, record.refused));
    if (standby_->standby()) standby_->standby()->set_serving(false);
    // Its history stays readable.
    if (has_history_here()) exports_.restore(context_, *standby_->standby());
}

void Group::stop(std::function<void()> done) {
    exports_.remove_group(name());
    const auto close = [this, done = std::move(done)] {
        primary_.reset();
        if (standby_) standby_->stop();
        standby_.reset();
        done();
    };
    if (primary_) {
        primary_->stop([alive = alive_, close] {
            if (*alive != nullptr) (*alive)->context_.loop->post(close);
        });
    } else {
        context_.loop->post(close);
    }
}

void Group::on_link(std::unique_ptr<Link> link, const wire::Hello& hello) {
    if (!primary_ && standby_) {
        standby_->on_link(std::move(link), hello);
        return;
    }
    wire::Hello answer;
    answer.features = wire::kFeatures;
    answer.node = context_.node;
    answer.node_id = context_.node_id;
    Status why(ErrorCode::refused, failed_);
    if (primary_) {
        answer.group = primary_->group_state();
        why = Status(ErrorCode::refused, context_.node + " has the role of primary");
    } else {
        wire::GroupState state;
        state.group = name();
        state.configuration = context_.group->canonical();
        state.refused = failed_;
        // What cannot be read may be anything; a node that was never in this group has nothing.
        state.has_state = !record_read_ || !context_.record.group.nil();
        state.takeovers = context_.record.takeovers;
        state.timelines = to_wire(context_.record.timelines);
        state.head = context_.record.tip.point;
        answer.group = state;
    }
    answer.error = why.code();
    answer.message = why.message();
    link->send(answer);
    link->close(why);
    context_.loop->post([gone = std::shared_ptr<Link>(std::move(link))] {});
    if (primary_ && hello.group) primary_->heard(*hello.group, hello.node);
}

}  // namespace everstep::daemon
