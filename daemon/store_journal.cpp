#include "daemon/store_journal.hpp"

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>

namespace everstep::daemon {

// What the journal thread sees of this object; it outlives it while answers are on their way.
struct StoreJournal::Shared {
    std::mutex mutex;
    std::condition_variable wake;
    std::uint64_t asked = 0;
    std::uint64_t answered = 0;
    StoreJournal* owner = nullptr;  // used on the loop's thread only; null when it is gone
};

StoreJournal::StoreJournal(net::Loop& loop, standby::LocalHistory& history, Lsn tip)
    : loop_(loop), history_(history), shared_(std::make_shared<Shared>()), appended_(tip) {
    shared_->owner = this;
}

StoreJournal::~StoreJournal() {
    wait_appended();
    shared_->owner = nullptr;
    for (const Waiting& one : waiting_) one.done(Status(ErrorCode::closed, "the store is closed"));
}

void StoreJournal::append(const FramePtr& frame, Done taken) {
    {
        const std::lock_guard lock(shared_->mutex);
        ++shared_->asked;
    }
    const Lsn last = frame->header().last_lsn;
    history_.append_local(frame, [shared = shared_, &loop = loop_, last,
                                  taken = std::move(taken)](const Status& status) {
        if (taken) taken(status);
        if (loop.on_this_thread()) {
            if (shared->owner != nullptr) shared->owner->appended(last, status);
        } else {
            loop.post([shared, last, status] {
                if (shared->owner != nullptr) shared->owner->appended(last, status);
            });
        }
        const std::lock_guard lock(shared->mutex);
        ++shared->answered;
        shared->wake.notify_all();
    });
}

void StoreJournal::appended(Lsn lsn, const Status& status) {
    if (!status.ok()) failed_ = status;
    if (failed_.ok()) appended_ = std::max(appended_, lsn);
    while (!waiting_.empty() && (!failed_.ok() || waiting_.front().lsn <= appended_)) {
        const Waiting one = std::move(waiting_.front());
        waiting_.pop_front();
        one.done(failed_);
    }
}

void StoreJournal::when_appended(Lsn lsn, Done done) {
    if (!failed_.ok() || lsn <= appended_) {
        done(failed_);
    } else {
        waiting_.push_back({lsn, std::move(done)});
    }
}

void StoreJournal::when_synced(Done done) {
    history_.sync_local(
        [shared = shared_, &loop = loop_, done = std::move(done)](const Status& status) {
            loop.post([shared, done, status] {
                const bool failed = shared->owner != nullptr && !shared->owner->failed_.ok();
                done(failed ? shared->owner->failed_ : status);
            });
        });
}

Status StoreJournal::sync_now() {
    std::promise<Status> synced;
    history_.sync_local([&synced](const Status& status) { synced.set_value(status); });
    return synced.get_future().get();
}

void StoreJournal::wait_appended() {
    std::unique_lock lock(shared_->mutex);
    shared_->wake.wait(lock, [this] { return shared_->answered == shared_->asked; });
}

}  // namespace everstep::daemon
