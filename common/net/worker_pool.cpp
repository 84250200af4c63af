#include "common/net/worker_pool.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "common/base/thread.hpp"

namespace everstep::net {

// Not Asio's pool: one that finds no thread for its second one waits for its first one for ever.
struct WorkerPool::Impl {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> queue;
    bool stopping = false;
    std::vector<std::thread> threads;

    void run() {
        std::unique_lock lock(mutex);
        while (true) {
            wake.wait(lock, [this] { return stopping || !queue.empty(); });
            if (queue.empty()) return;
            {
                const std::function<void()> work = std::move(queue.front());
                queue.pop_front();
                lock.unlock();
                work();
            }
            lock.lock();
        }
    }
};

WorkerPool::WorkerPool() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<WorkerPool>> WorkerPool::make(std::size_t threads) {
    std::unique_ptr<WorkerPool> pool(new WorkerPool());
    Impl& impl = *pool->impl_;
    for (std::size_t n = 0; n < threads; ++n) {
        impl.threads.emplace_back();
        EVERSTEP_TRY(start_thread(impl.threads.back(), [&impl] { impl.run(); }));
    }
    return pool;
}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    impl_->wake.notify_all();
    for (std::thread& thread : impl_->threads)
        if (thread.joinable()) thread.join();
}

void WorkerPool::post(std::function<void()> work) {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->queue.push_back(std::move(work));
    }
    impl_->wake.notify_one();
}

}  // namespace everstep::net
