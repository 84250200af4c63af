// WorkerPool: a few threads for work that may block on a disk, so that a loop never does.
// Thread: post() from any; the destructor finishes what was posted. The owner bounds what it posts.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace everstep::net {

class WorkerPool {
  public:
    explicit WorkerPool(std::size_t threads);
    ~WorkerPool();
    void post(std::function<void()> work);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::net
