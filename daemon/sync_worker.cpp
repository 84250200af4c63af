#include "daemon/sync_worker.hpp"

#include "common/base/thread.hpp"

namespace everstep::daemon {

SyncWorker::SyncWorker(net::Loop& loop, std::function<Status()> sync)
    : loop_(loop), sync_(std::move(sync)) {}

Status SyncWorker::start() {
    return start_thread(thread_, [this] { run(); });
}

SyncWorker::~SyncWorker() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void SyncWorker::request(Done done) {
    {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(done));
    }
    wake_.notify_one();
}

void SyncWorker::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        std::vector<Done> batch;
        batch.swap(waiting_);
        lock.unlock();
        const Status status = sync_();
        loop_.post([batch = std::move(batch), status] {
            for (const Done& done : batch) done(status);
        });
        lock.lock();
    }
}

}  // namespace everstep::daemon
