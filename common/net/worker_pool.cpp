#include "common/net/worker_pool.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

namespace everstep::net {

struct WorkerPool::Impl {
    boost::asio::thread_pool threads;
};

WorkerPool::WorkerPool(std::size_t threads) : impl_(new Impl{boost::asio::thread_pool(threads)}) {}

WorkerPool::~WorkerPool() {
    impl_->threads.join();
}

void WorkerPool::post(std::function<void()> work) {
    boost::asio::post(impl_->threads, std::move(work));
}

}  // namespace everstep::net
