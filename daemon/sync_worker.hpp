// SyncWorker: fdatasync on a thread of its own, so that a flush never stalls the capture thread.
// Requests that wait when one sync begins share the next one. Thread: request() on the loop's
// thread; callbacks there too. The destructor finishes what was asked.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/status.hpp"
#include "common/net/loop.hpp"

namespace everstep::daemon {

class SyncWorker {
  public:
    using Done = std::function<void(const Status&)>;
    SyncWorker(net::Loop& loop, std::function<Status()> sync);
    ~SyncWorker();
    [[nodiscard]] Status start();  // before the first request
    void request(Done done);

  private:
    void run();
    net::Loop& loop_;
    std::function<Status()> sync_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Done> waiting_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace everstep::daemon
