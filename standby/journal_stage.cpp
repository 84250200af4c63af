#include "standby/journal_stage.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/assert.hpp"
#include "common/base/thread.hpp"

namespace everstep::standby {
namespace {

constexpr std::chrono::milliseconds kRoomTried{500};

// An error of the store or the replica itself; the others say that what was asked for is wrong.
bool is_failure(const Status& status) {
    switch (status.code()) {
        case ErrorCode::io:
        case ErrorCode::internal:
            return true;
        case ErrorCode::no_space:  // waits for room
        case ErrorCode::ok:
        case ErrorCode::usage:
        case ErrorCode::refused:
        case ErrorCode::unreachable:
        case ErrorCode::not_found:
        case ErrorCode::exists:
        case ErrorCode::corrupt:
        case ErrorCode::version:
        case ErrorCode::too_large:
        case ErrorCode::timeout:
        case ErrorCode::closed:
        case ErrorCode::busy:
            return false;
    }
    return true;
}

std::uint64_t bytes_of(const FramePtr& frame) {
    return frame == nullptr ? 0 : frame->bytes().size();
}

}  // namespace

JournalStage::JournalStage(journal::Store& store, JournalHooks hooks)
    : store_(store), hooks_(std::move(hooks)) {}

JournalStage::~JournalStage() {
    stop();
}

Status JournalStage::start() {
    return start_thread(thread_, [this] { run(); });
}

void JournalStage::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    space_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void JournalStage::push(FramePtr frame, Done refused) {
    enqueue({Kind::received, std::move(frame), {}, std::move(refused)});
}

void JournalStage::push_content(FramePtr frame, Task take, Done refused) {
    enqueue({Kind::content, std::move(frame), std::move(take), std::move(refused)});
}

void JournalStage::push_task(Task task, Done done) {
    enqueue({Kind::task, nullptr, std::move(task), std::move(done)});
}

void JournalStage::push_local(FramePtr frame, Done done) {
    {
        std::unique_lock lock(mutex_);
        if (std::this_thread::get_id() != thread_.get_id()) {
            space_.wait(lock, [this] {
                return local_bytes_ < kLocalBytesMax || stopping_ || !failure_.ok();
            });
        }
        local_bytes_ += bytes_of(frame);
    }
    if (take_at_once(frame, done)) return;
    enqueue({Kind::local, std::move(frame), {}, std::move(done)});
}

// Nothing waits, nothing is under way, and it is little to do: no other thread is woken for it.
bool JournalStage::take_at_once(const FramePtr& frame, const Done& done) {
    if (bytes_of(frame) > kAtOnceBytesMax) return false;
    {
        const std::lock_guard lock(mutex_);
        const bool idle = queue_.empty() && !busy_ && !stopping_ && !held_;
        if (!idle || lacked_room_ || !failure_.ok()) return false;
        busy_ = true;
    }
    Status status(ErrorCode::no_space, "the segment is full");
    if (store_.fits(*frame)) status = store_.append({&frame, 1}, false);
    const bool later = status.code() == ErrorCode::no_space;  // by the journal thread, in its turn
    if (!later && !status.ok()) fail(status);
    if (!later && done) done(status);
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        busy_ = false;
        if (!later) {
            local_bytes_ -= bytes_of(frame);
            wake = !std::exchange(local_frames_, true);
            if (!local_deadline_) local_deadline_ = Clock::now() + kLocalSyncDelay;
        }
        wake = wake || !queue_.empty() || stopping_;
    }
    if (wake) wake_.notify_one();
    return !later;
}

void JournalStage::push_sync(Done done) {
    enqueue({Kind::sync, nullptr, {}, std::move(done)});
}

void JournalStage::hold(bool held) {
    {
        const std::lock_guard lock(mutex_);
        if (held_ == held) return;
        held_ = held;
    }
    wake_.notify_one();
}

void JournalStage::enqueue(Item item) {
    const bool on_the_loop = item.kind != Kind::local && item.kind != Kind::sync;
    {
        const std::lock_guard lock(mutex_);
        if (!stopped_) {
            if (item.kind == Kind::received || item.kind == Kind::content) {
                received_bytes_ += bytes_of(item.frame);
            }
            const bool first = queue_.empty();
            queue_.push_back(std::move(item));
            if (first) wake_.notify_one();
            return;
        }
    }
    if (!item.done) return;
    const Status closed(ErrorCode::closed, "the standby was stopped");
    if (on_the_loop) {
        hooks_.on_the_loop([done = std::move(item.done), closed] { done(closed); });
    } else {
        item.done(closed);
    }
}

void JournalStage::give_up_room(bool given_up) {
    {
        const std::lock_guard lock(mutex_);
        room_given_up_ = given_up;
        lacked_room_ = false;
    }
    wake_.notify_one();
}

std::uint64_t JournalStage::queued_bytes() const {
    const std::lock_guard lock(mutex_);
    return received_bytes_;
}

Status JournalStage::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

void JournalStage::run() {
    while (wait_for_work()) turn();
}

// False when the stage is to end: stopping, and everything pushed is durable.
bool JournalStage::wait_for_work() {
    std::unique_lock lock(mutex_);
    const auto ready = [this] {
        if (busy_) return false;
        if (stopping_) return true;
        const bool comes = !queue_.empty() && (queue_.front().kind == Kind::received ||
                                               queue_.front().kind == Kind::content);
        return !queue_.empty() && !(held_ && comes);
    };
    if (no_room_) {
        wake_.wait_for(lock, kRoomTried, [this] { return stopping_ || room_given_up_; });
        no_room_ = false;
    }
    // A caller that appends sets the deadline, and wakes nobody for it: it is looked at in time.
    while (!ready()) {
        if (!local_frames_) {
            wake_.wait(lock);
        } else if (!local_deadline_) {
            wake_.wait_for(lock, kLocalSyncDelay);
        } else if (wake_.wait_until(lock, *local_deadline_) == std::cv_status::timeout && !busy_) {
            break;
        }
    }
    busy_ = true;
    take_queue();
    if (!turn_.empty()) return true;
    if (!stopping_) return true;  // local frames are to be synced
    if (local_deadline_) {
        sync_wanted_ = true;
        return true;
    }
    stopped_ = true;
    return false;
}

// Under the lock: all that waits, or while it is held what stands before the first that has to
// wait.
void JournalStage::take_queue() {
    turn_.clear();
    turn_.swap(queue_);
    if (!held_ || stopping_) return;
    const auto waits = std::find_if(turn_.begin(), turn_.end(), [](const Item& item) {
        return item.kind == Kind::received || item.kind == Kind::content;
    });
    queue_.assign(std::make_move_iterator(waits), std::make_move_iterator(turn_.end()));
    turn_.erase(waits, turn_.end());
}

void JournalStage::turn() {
    for (std::size_t i = 0; i < turn_.size();) {
        const std::size_t end = run_of_frames(i);
        if (end > i) {
            take_frames(i, end);
        } else {
            take_one(turn_[i]);
        }
        if (no_room_) {
            put_back(i);
            break;
        }
        i = std::max(end, i + 1);
    }
    finish_turn();
}

// What could not be taken, and all behind it, waits where it stood.
void JournalStage::put_back(std::size_t first) {
    const auto from = turn_.begin() + static_cast<std::ptrdiff_t>(first);
    const std::lock_guard lock(mutex_);
    queue_.insert(queue_.begin(), std::make_move_iterator(from),
                  std::make_move_iterator(turn_.end()));
    turn_.erase(from, turn_.end());
}

bool JournalStage::lacks_room(const Status& status) {
    if (status.code() != ErrorCode::no_space) return false;
    {
        const std::lock_guard lock(mutex_);
        // It is not acknowledged; who sent it has it.
        if (stopping_ || room_given_up_) {
            lacked_room_ = room_given_up_;
            return false;
        }
    }
    no_room_ = true;
    return true;
}

// The end of the run of frames of one kind that begins at `first`; `first` itself where there is
// none.
std::size_t JournalStage::run_of_frames(std::size_t first) {
    const Kind kind = turn_[first].kind;
    if (kind != Kind::received && kind != Kind::local) return first;
    std::size_t end = first;
    while (end < turn_.size() && turn_[end].kind == kind) ++end;
    return end;
}

Status JournalStage::append_frames(bool local) {
    {
        const std::lock_guard lock(mutex_);
        // They continue some that were not taken.
        if (local && lacked_room_) return {ErrorCode::no_space, "there was no room before"};
    }
    return store_.append(frames_, !local || sync_comes());
}

void JournalStage::take_frames(std::size_t first, std::size_t end) {
    const bool local = turn_[first].kind == Kind::local;
    frames_.clear();
    std::uint64_t bytes = 0;
    for (std::size_t i = first; i < end; ++i) {
        frames_.push_back(turn_[i].frame);
        bytes += bytes_of(turn_[i].frame);
    }
    Status status = failure();
    const bool failed_before = !status.ok();
    if (!failed_before) status = append_frames(local);
    if (lacks_room(status)) return;
    // Own frames are right by construction: whatever the store says of them is a failure of ours.
    const bool ours = local && status.code() != ErrorCode::no_space;
    if (!failed_before && !status.ok() && (ours || is_failure(status))) fail(status);

    for (std::size_t i = first; i < end; ++i) {
        if (local) {
            if (turn_[i].done) turn_[i].done(status);
        } else if (!status.ok() && turn_[i].done) {
            answers_.push_back({std::move(turn_[i].done), status, true, false});
        }
    }
    if (local) {
        turn_local_bytes_ += bytes;
        const std::lock_guard lock(mutex_);
        local_frames_ = true;
        if (!local_deadline_) local_deadline_ = Clock::now() + kLocalSyncDelay;
        return;
    }
    others_ = true;
    // Bytes of a failed store stay counted: they are not durable and never will be.
    if (failure().ok()) turn_received_bytes_ += bytes;
    sync_wanted_ = true;
}

void JournalStage::take_one(Item& item) {
    Status status = failure();
    const bool failed_before = !status.ok();
    if (item.kind == Kind::sync) {
        sync_wanted_ = true;
        answers_.push_back({std::move(item.done), status, false, true});
        return;
    }
    others_ = true;
    const bool content = item.kind == Kind::content;
    if (!failed_before) {
        status = item.task(store_);
        if (content && lacks_room(status)) return;
        // A content's frame was checked when it came: damage that is found now is this node's.
        const bool damage = content && status.code() == ErrorCode::corrupt;
        if (!status.ok() && (damage || is_failure(status))) fail(status);
    }
    if (content && failure().ok()) turn_received_bytes_ += bytes_of(item.frame);
    sync_wanted_ = sync_wanted_ || !content || store_.has_history();
    if (item.done && (!content || !status.ok())) {
        answers_.push_back({std::move(item.done), status, true, !content});
    }
}

// What is local in this turn is to be synced with it.
bool JournalStage::sync_comes() const {
    return std::any_of(turn_.begin(), turn_.end(),
                       [](const Item& item) { return item.kind != Kind::local; });
}

void JournalStage::finish_turn() {
    {
        const std::lock_guard lock(mutex_);
        if (local_deadline_ && Clock::now() >= *local_deadline_) sync_wanted_ = true;
    }
    Status synced = failure();
    if (sync_wanted_ && synced.ok() && store_.has_history()) {
        synced = store_.sync();
        if (!synced.ok()) fail(synced);
    }
    const bool moved = sync_wanted_ || turn_received_bytes_ != 0;
    const bool others = std::exchange(others_, false);
    {
        const std::lock_guard lock(mutex_);
        busy_ = false;
        if (sync_wanted_) local_deadline_.reset();
        if (synced.ok()) received_bytes_ -= turn_received_bytes_;
        local_bytes_ -= turn_local_bytes_;
    }
    sync_wanted_ = false;
    if (turn_local_bytes_ != 0) space_.notify_all();
    turn_received_bytes_ = 0;
    turn_local_bytes_ = 0;
    turn_.clear();
    frames_.clear();
    answer_all(synced);
    if (moved && synced.ok()) hooks_.moved(others);
}

void JournalStage::answer_all(const Status& synced) {
    for (Answer& answer : answers_) {
        const Status status = answer.status.ok() && answer.after_sync ? synced : answer.status;
        if (!answer.done) continue;
        if (answer.on_the_loop) {
            hooks_.on_the_loop([done = std::move(answer.done), status] { done(status); });
        } else {
            answer.done(status);
        }
    }
    answers_.clear();
}

void JournalStage::fail(const Status& status) {
    {
        const std::lock_guard lock(mutex_);
        if (!failure_.ok()) return;
        failure_ = status;
    }
    space_.notify_all();
    hooks_.failed(status);
}

}  // namespace everstep::standby
