#include "daemon/restore.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {
constexpr std::chrono::seconds kKeptWait{30};  // for the history to have the newest step
constexpr std::chrono::milliseconds kKeptPoll{20};
constexpr std::chrono::seconds kEndWait{2};  // for the standbys to have the batch's end
constexpr std::chrono::milliseconds kTell{200};
constexpr std::chrono::seconds kListenAgain{2};
constexpr std::chrono::seconds kKeepAgain{60};  // well within standby::kReadHold
}  // namespace

Restore::Restore(GroupContext& context, RestoreAccess access)
    : context_(context),
      access_(std::move(access)),
      timer_(*context.loop),
      listen_timer_(*context.loop),
      keep_timer_(*context.loop),
      alive_(std::make_shared<Restore*>(this)) {}

Restore::~Restore() {
    *alive_ = nullptr;
}

std::string Restore::pending() const {
    const auto& record = context_.record.restore;
    if (!record || running_) return {};
    const std::string& group = context_.group->name;
    return fmt::format(
        "a restore to step {} was cut, the volumes hold a mix: `everstep restore {} "
        "--continue`, or `--undo` back to step {}",
        (record->undo ? record->before : record->to).lsn.value(), group,
        record->before.lsn.value());
}

Value Restore::status() const {
    const auto& record = context_.record.restore;
    if (!record && !running_) return {};
    const RestoreRecord& shown = record ? *record : order_;
    Value value = Value::map();
    value.set("before", shown.before.lsn.value());
    value.set("to", shown.to.lsn.value());
    value.set("to_timeline", shown.to.timeline.hex());
    value.set("node", shown.node.empty() ? context_.node : shown.node);
    value.set("volume", shown.volume.empty() ? Value() : Value(shown.volume));
    value.set("undo", shown.undo);
    value.set("running", running_);
    value.set("done", job_ ? Value(job_->figures().done) : Value());
    value.set("total", job_ ? Value(job_->figures().total) : Value());
    return value;
}

void Restore::after_batch(std::function<void()> work) {
    if (context_.record.restore) {
        after_.push_back(std::move(work));
    } else {
        work();
    }
}

std::uint64_t Restore::clients() const {
    Pipeline* pipeline = access_.pipeline();
    return pipeline == nullptr ? 0 : pipeline->clients();
}

Status Restore::may_run(const RestoreRequest& request) const {
    using Kind = RestoreRequest::Kind;
    Pipeline* pipeline = access_.pipeline();
    if (pipeline == nullptr) return {ErrorCode::refused, "the group is not served here now"};
    if (running_) return {ErrorCode::busy, "a restore is under way"};
    const std::string cut = pending();
    if (request.kind == Kind::begin && !cut.empty()) return {ErrorCode::refused, cut};
    if (request.kind != Kind::begin && cut.empty())
        return {ErrorCode::refused, "no restore was cut; there is nothing to continue or undo"};
    return request.kind == Kind::begin ? may_begin(request) : Status();
}

// Before anybody is disconnected.
Status Restore::may_begin(const RestoreRequest& request) const {
    EVERSTEP_TRY(access_.follows(request.node));
    const std::uint64_t connected = clients();
    if (connected == 0 || request.force) return {};
    return {ErrorCode::refused,
            fmt::format("the volumes are in use: {} client{} connected; unmount and disconnect "
                        "first, or --force, which disconnects them",
                        connected, connected == 1 ? " is" : "s are")};
}

void Restore::run(const RestoreRequest& request, RestoreEvents events) {
    using Kind = RestoreRequest::Kind;
    if (const Status may = may_run(request); !may.ok()) return events.done(may);
    events_ = std::move(events);
    running_ = true;
    listens_ = false;
    listen_timer_.cancel();
    begun_ = context_.clock->boot();
    resumed_ = request.kind != Kind::begin;
    if (resumed_) {
        order_ = *context_.record.restore;
        if (!request.node.empty()) order_.node = request.node == context_.node ? "" : request.node;
        order_.undo = order_.undo || request.kind == Kind::undo;
        find();
        return;
    }
    order_ = {Point(), request.to, request.node, request.volume, false};
    access_.pipeline()->stop_listening([this, alive = alive_](const Result<journal::Tip>& tip) {
        if (*alive == nullptr || !running_) return;
        if (tip.ok()) {
            quiet(*tip);
        } else {
            give_up(tip.status());
        }
    });
}

void Restore::take_as_it_is(std::function<void(Status)> done) {
    if (pending().empty()) return done(Status(ErrorCode::refused, "no restore was cut"));
    events_ = {nullptr, [done = std::move(done)](const Result<Value>& told) {
                   done(told.ok() ? Status() : told.status());
               }};
    running_ = resumed_ = true;
    listens_ = false;
    listen_timer_.cancel();
    begun_ = context_.clock->boot();
    order_ = *context_.record.restore;
    plan_ = {order_.to, {}};
    context_.event("alarm-restore", "the mix that the volumes hold is taken as their content");
    write();
}

void Restore::quiet(const journal::Tip& before) {
    order_.before = before.point;
    wait_kept(context_.clock->boot() + kKeptWait);
}

// What is read must be the history up to the newest step: nothing older is undone by this batch.
void Restore::wait_kept(std::chrono::nanoseconds until) {
    if (access_.kept(order_.node, order_.before)) return find();
    if (context_.clock->boot() < until) {
        timer_.after(kKeptPoll, [this, until] { wait_kept(until); });
        return;
    }
    give_up(Status(ErrorCode::unreachable,
                   fmt::format("{} has not made the newest step, {}, durable within {} s; the "
                               "difference to it is not known",
                               order_.node, order_.before.lsn.value(), kKeptWait.count())));
}

void Restore::find() {
    access_.diff(order_.node, order_.to, order_.before,
                 [this, alive = alive_](Result<std::vector<journal::GapExtent>> extents) {
                     if (*alive != nullptr && running_) found(std::move(extents));
                 });
}

void Restore::found(Result<std::vector<journal::GapExtent>> extents) {
    const ErrorCode code = extents.status().code();
    const bool later = code == ErrorCode::closed || code == ErrorCode::unreachable;
    // Perhaps the step of the restore is gone; the one before its batch stays as long as that.
    if (!extents.ok() && order_.undo && !later) extents = everywhere();
    if (!extents.ok()) return give_up(extents.status());
    std::erase_if(*extents, [&](const journal::GapExtent& one) {
        const std::size_t index = one.volume.value();
        return index >= context_.group->volumes.size() ||
               (!order_.volume.empty() && context_.group->volumes[index].name != order_.volume);
    });
    plan_ = {order_.undo ? order_.before : order_.to, std::move(*extents)};
    if (!plan_.extents.empty() || resumed_) return open_batch();
    Value same = Value::map();
    same.set("lsn", order_.before.lsn.value()).set("timeline", order_.before.timeline.hex());
    same.set("bytes", 0).set("extents", 0);
    listen([this, alive = alive_, same](const Status& status) {
        if (*alive != nullptr) told(status.ok() ? Result<Value>(same) : Result<Value>(status));
    });
}

std::vector<journal::GapExtent> Restore::everywhere() const {
    std::vector<journal::GapExtent> all;
    const auto& volumes = context_.group->volumes;
    for (std::size_t i = 0; i < volumes.size(); ++i)
        for (const VolumeRecord& one : context_.record.volumes)
            if (one.name == volumes[i].name && one.size != ByteCount(0))
                all.push_back({VolumeIndex(i), ByteOffset(0), one.size});
    return all;
}

void Restore::open_batch() {
    context_.record.restore = order_;
    if (const Status saved = context_.save(); !saved.ok()) {
        if (!resumed_) context_.record.restore.reset();
        return give_up(saved);
    }
    context_.event("restore",
                   fmt::format("begins behind step {}: to step {}{}", order_.before.lsn.value(),
                               plan_.to.lsn.value(),
                               order_.volume.empty() ? "" : ", volume " + order_.volume));
    // A second beginning changes nothing; where the first one had ended and only the record was
    // left, what is written now is a batch of its own.
    access_.pipeline()->begin_batch([this, alive = alive_](const journal::Tip&) {
        if (*alive != nullptr && running_) write();
    });
}

void Restore::write() {
    Pipeline* pipeline = access_.pipeline();
    if (pipeline == nullptr) return;  // stop() has answered
    hold_ = access_.hold(order_.node, plan_.to);
    RestoreHooks hooks;
    hooks.read = [this](const wire::ReadRequest& what, std::function<void(Result<Buffer>)> done) {
        access_.read(order_.node, what, std::move(done));
    };
    hooks.going = [this] { going(); };
    hooks.done = [this](const Status& status) { written(status); };
    job_ = std::make_unique<RestoreJob>(*context_.loop, *pipeline, plan_, std::move(hooks));
    job_->begin();
}

void Restore::going() {
    const auto now = context_.clock->boot();
    if (now - told_at_ < kTell) return;
    told_at_ = now;
    if (events_.going) events_.going(job_->figures());
}

void Restore::written(const Status& status) {
    Pipeline* pipeline = access_.pipeline();
    if (!running_ || pipeline == nullptr) return;
    if (!status.ok()) return give_up(status);
    pipeline->end_batch(order_.before.lsn, [this, alive = alive_](const Result<journal::Tip>& tip) {
        if (*alive == nullptr || !running_) return;
        if (!tip.ok()) return give_up(tip.status());
        order_.to = plan_.to;
        end_ = *tip;
        Value done = Value::map();
        done.set("lsn", tip->point.lsn.value());
        done.set("timeline", tip->point.timeline.hex());
        done.set("bytes", job_->figures().written);
        done.set("extents", static_cast<std::uint64_t>(plan_.extents.size()));
        close_batch(done);
    });
}

// The batch has ended in the stream: a crash from here on finds nothing that differs.
void Restore::close_batch(const Value& done) {
    context_.record.restore.reset();
    if (const Status saved = context_.save(); !saved.ok()) {
        context_.record.restore = order_;
        return give_up(saved);
    }
    for (const auto& work : std::exchange(after_, {})) work();
    context_.event("restore", fmt::format("done: the content of step {} is step {}, {} bytes were "
                                          "written",
                                          plan_.to.lsn.value(), done.at("lsn").number(),
                                          done.at("bytes").number()));
    wait_end(done, context_.clock->boot() + kEndWait);
}

// What is told to be done survives what `ack` says that an answered write survives.
void Restore::wait_end(const Value& done, std::chrono::nanoseconds until) {
    const bool kept = access_.end_kept(end_);
    if (!kept && context_.clock->boot() < until) {
        timer_.after(kKeptPoll, [this, done, until] { wait_end(done, until); });
        return;
    }
    if (!kept)
        context_.event("alarm-restore",
                       fmt::format("step {} is served, and its batch's end is not yet with the "
                                   "standbys that `ack` counts: a takeover before that offers step "
                                   "{}",
                                   end_.point.lsn.value(), order_.before.lsn.value()));
    listen([this, alive = alive_, done](const Status& status) {
        if (*alive != nullptr) told(status.ok() ? Result<Value>(done) : Result<Value>(status));
    });
}

// It is tried until it works, or the next restore begins: the volumes are whole.
void Restore::listen(std::function<void(Status)> done) {
    Pipeline* pipeline = access_.pipeline();
    if (pipeline == nullptr) return;
    listens_ = true;
    pipeline->listen([this, alive = alive_, done = std::move(done)](const Status& status) {
        if (*alive == nullptr) return;
        if (!status.ok() && listens_) {
            context_.event("alarm-restore", "the volumes are not served yet: " + status.message());
            listen_timer_.after(kListenAgain, [this] { listen({}); });
        }
        if (done) done(status);
    });
}

void Restore::told(const Result<Value>& answer) {
    running_ = false;
    job_.reset();
    hold_.reset();
    const RestoreEvents events = std::exchange(events_, {});
    if (!events.done) return;
    if (!answer.ok()) return events.done(answer.status());
    Value value = *answer;
    value.set("before", order_.before.lsn.value());
    value.set("before_timeline", order_.before.timeline.hex());
    value.set("to", plan_.to.lsn.value());
    value.set("to_timeline", plan_.to.timeline.hex());
    value.set("undo", order_.undo);
    const std::chrono::duration<double> took = context_.clock->boot() - begun_;
    value.set("seconds", took.count());
    events.done(value);
}

void Restore::give_up(const Status& why) {
    timer_.cancel();
    running_ = false;
    if (context_.record.restore) {
        context_.event("alarm-restore", why.message() + "; " + pending());
        told(Status(why.code(), why.message() + "; " + pending()));
        keep_step(context_.record.restore->node);
        return;
    }
    context_.event("alarm-restore", why.message() + "; nothing was changed");
    running_ = true;
    listen([this, alive = alive_, why](const Status&) {
        if (*alive != nullptr) told(Status(why.code(), why.message() + "; nothing was changed"));
    });
}

void Restore::keep_step(const std::string& node) {
    const auto& record = context_.record.restore;
    if (!record || record->undo || record->node != node) return;
    if (node.empty()) {
        if (!hold_) hold_ = access_.hold(node, record->to);
        return;
    }
    keep_timer_.after(kKeepAgain, [this, node] { keep_step(node); });
    access_.read(node, {0, record->to, VolumeIndex(0), ByteOffset(0), ByteCount(kSectorBytes)},
                 [](const Result<Buffer>&) {});
}

void Restore::stop(const Status& why) {
    timer_.cancel();
    listen_timer_.cancel();
    keep_timer_.cancel();
    after_.clear();
    if (running_) told(why);
}

}  // namespace everstep::daemon
