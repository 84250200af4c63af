// WorkerPool: a few threads for work that may block on a disk, so that a loop never does.
// Thread: post() from any; the destructor finishes what was posted. The owner bounds what it posts.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "common/base/status.hpp"

namespace everstep::net {

class WorkerPool {
  public:
    // refused: the host does not give so many threads.
    [[nodiscard]] static Result<std::unique_ptr<WorkerPool>> make(std::size_t threads);
    ~WorkerPool();
    void post(std::function<void()> work);

  private:
    WorkerPool();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::net
