#include "standby/apply.hpp"

#include "common/base/thread.hpp"

namespace everstep::standby {
namespace {

constexpr std::chrono::milliseconds kProgressEvery{500};

// How long nothing comes before the low position is made durable for itself.
constexpr std::chrono::milliseconds kIdle{200};
constexpr std::chrono::milliseconds kRest{100};

// How long applying waits when there is no room for before-images or the replica.
constexpr std::chrono::milliseconds kRoomTried{500};

bool lacks_room(const Status& status) {
    return status.code() == ErrorCode::no_space;
}

// What is wrong with the request, not with store or replica; or there is no room now.
bool is_refusal(const Status& status) {
    switch (status.code()) {
        case ErrorCode::usage:
        case ErrorCode::refused:
        case ErrorCode::not_found:
        case ErrorCode::exists:
        case ErrorCode::busy:
        case ErrorCode::closed:
        case ErrorCode::no_space:
            return true;
        case ErrorCode::ok:
        case ErrorCode::unreachable:
        case ErrorCode::io:
        case ErrorCode::corrupt:
        case ErrorCode::version:
        case ErrorCode::too_large:
        case ErrorCode::timeout:
        case ErrorCode::internal:
            return false;
    }
    return false;
}

}  // namespace

ApplyStage::ApplyStage(journal::Store& store, Replica& replica, const Clock& clock,
                       ApplyHooks hooks)
    : store_(store),
      clock_(clock),
      hooks_(std::move(hooks)),
      mover_(store, replica,
             {hooks_.moved, [this] { return stopping(); }, [this] { return releasing_.load(); },
              [this](const MoveProgress& progress) { tell(progress); }}),
      travel_(store, mover_, clock) {}

ApplyStage::~ApplyStage() {
    stop();
}

Status ApplyStage::start() {
    return start_thread(thread_, [this] { run(); });
}

void ApplyStage::wake() {
    {
        const std::lock_guard lock(mutex_);
        if (woken_) return;
        woken_ = true;
    }
    wake_.notify_one();
}

void ApplyStage::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

bool ApplyStage::stopping() const {
    const std::lock_guard lock(mutex_);
    return stopping_;
}

Status ApplyStage::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

void ApplyStage::rewind(Point target, bool dry_run, Done done, Progress progress) {
    push_command({[this, target, dry_run] { return travel_.rewind(target, dry_run); },
                  std::move(done), std::move(progress)});
}

void ApplyStage::resume(bool dry_run, Done done, Progress progress) {
    push_command({[this, dry_run] { return travel_.resume(dry_run); }, std::move(done),
                  std::move(progress)});
}

void ApplyStage::tell(const MoveProgress& progress) {
    const auto now = clock_.boot();
    if (!telling_ || now - told_at_ < kProgressEvery) return;
    told_at_ = now;
    Value figures = Value::map();
    figures.set("done", progress.done).set("total", progress.total).set("unit", progress.unit);
    hooks_.on_the_loop([tell = telling_, figures] { tell(figures); });
}

void ApplyStage::release(std::function<void(Status)> done) {
    releasing_ = true;
    push_command({[this]() -> Result<Value> {
                      releasing_ = false;
                      if (store_.replica().held) EVERSTEP_TRY(store_.set_held(false, {}));
                      return Value();
                  },
                  [done = std::move(done)](const Result<Value>& result) { done(result.status()); },
                  {},
                  true});
}

void ApplyStage::push_command(Command command) {
    Status refused;
    {
        const std::lock_guard lock(mutex_);
        if (stopping_) {
            refused = {ErrorCode::closed, "the standby is stopped"};
        } else if (!command.release && commands_.size() >= kCommandsMax) {
            refused = {ErrorCode::busy, "too many rewinds wait already"};
        } else {
            commands_.push_back(std::move(command));
            wake_.notify_one();
            return;
        }
    }
    hooks_.on_the_loop([done = std::move(command.done), refused] { done(refused); });
}

void ApplyStage::run() {
    if (const Status status = recover(); !status.ok() && !lacks_room(status)) fail(status);
    while (!stopping()) {
        Command command;
        if (next_command(command)) {
            carry_out(command);
        } else if (!apply_some()) {
            idle();
        } else if (serving_ && took_all_) {
            rest();
        }
    }
    for (Command command; next_command(command);) {
        hooks_.on_the_loop([done = std::move(command.done)] {
            done(Status(ErrorCode::closed, "the standby is stopped"));
        });
    }
    if (failure().ok() && store_.has_history()) {
        if (const Status status = end_at_step(); !status.ok() && !lacks_room(status)) fail(status);
    }
}

Status ApplyStage::end_at_step() {
    EVERSTEP_TRY(whole());
    EVERSTEP_TRY(mover_.finish_step());
    return store_.sync_low();
}

// After a move that was left for a takeover the replica stands between two positions, as after a
// crash.
Status ApplyStage::whole() {
    const journal::ReplicaState at = store_.replica();
    if (at.low == at.high) return {};
    low_unsynced_ = true;
    return mover_.redo();
}

Status ApplyStage::recover() {
    if (!store_.has_history()) return {};
    EVERSTEP_TRY(mover_.redo());
    const journal::ReplicaState at = store_.replica();
    if (!at.held) return {};
    const Status status = mover_.reach(at.held_at);
    return status.code() == ErrorCode::closed ? Status() : status;
}

bool ApplyStage::next_command(Command& command) {
    const std::lock_guard lock(mutex_);
    if (commands_.empty()) return false;
    command = std::move(commands_.front());
    commands_.pop_front();
    return true;
}

void ApplyStage::carry_out(Command& command) {
    Result<Value> result = Status(ErrorCode::refused, "there is no history yet");
    if (const Status failed = failure(); !failed.ok() && !command.release) {
        result = failed.with_context("the replica cannot be moved");
    } else if (releasing_ && !command.release) {
        result = Status(ErrorCode::closed, "this node takes over: the replica is not moved");
    } else if (store_.has_history()) {
        const Status begun = command.release ? Status() : whole();
        telling_ = std::move(command.progress);
        told_at_ = clock_.boot();
        result = begun.ok() ? command.work() : Result<Value>(begun);
        telling_ = nullptr;
        if (!result.ok() && !is_refusal(result.status())) fail(result.status());
    }
    low_unsynced_ = true;
    hooks_.moved();
    hooks_.on_the_loop(
        [done = std::move(command.done), result = std::move(result)] { done(result); });
}

// False when there is nothing to do.
bool ApplyStage::apply_some() {
    if (!failure().ok() || !store_.has_history()) return false;
    if (!history_seen_) {
        history_seen_ = true;  // it began since: the replica stands at its base
        mover_.publish();
    }
    if (store_.replica().held) return false;
    const Status begun = whole();
    const Point goal = store_.durable().point;
    const Result<bool> more = begun.ok() ? mover_.towards(goal, false) : Result<bool>(begun);
    took_all_ = mover_.applied() >= goal.lsn;
    // Without room it is as after a crash: what was begun is done again.
    starved_ = !more.ok() && lacks_room(more.status());
    if (starved_) return false;
    if (!more.ok()) {
        fail(more.status());
        return false;
    }
    if (*more) low_unsynced_ = true;
    return *more;
}

void ApplyStage::idle() {
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return woken_ || stopping_ || !commands_.empty(); };
    if (starved_) {
        wake_.wait_for(lock, kRoomTried, [this] { return stopping_ || !commands_.empty(); });
    } else if (low_unsynced_ && failure_.ok()) {
        if (!wake_.wait_for(lock, kIdle, ready)) {
            lock.unlock();
            const Status status = store_.sync_low();
            low_unsynced_ = lacks_room(status);
            if (!status.ok() && !low_unsynced_) fail(status);
            return;
        }
    } else {
        wake_.wait(lock, ready);
    }
    woken_ = false;
}

// What is read does not wait for the replica; what is written meanwhile shares the next flushes.
void ApplyStage::rest() {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kRest, [this] { return stopping_ || !commands_.empty(); });
}

void ApplyStage::fail(const Status& status) {
    {
        const std::lock_guard lock(mutex_);
        if (!failure_.ok()) return;
        failure_ = status;
    }
    hooks_.failed(status);
}

}  // namespace everstep::standby
