// Notices: what the threads of a standby tell the loop: progress (coalesced), a failure (once),
// events, answers.
// Thread: any; the callbacks run on the loop's thread.
// Invariants: after silence() no callback runs, also none that was posted before; progress is
// posted at most once until it has run.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "standby/standby.hpp"

namespace everstep::standby {

class Notices {
  public:
    Notices(net::Loop& loop, StandbyEvents events);
    void progress();
    void failed(const Status& status);  // only the first one is told
    void event(std::string kind, std::string text);
    void answer(std::function<void()> callback);
    void silence();  // on the loop's thread

  private:
    struct Shared {
        StandbyEvents events;
        std::atomic<bool> progress_posted{false};
        std::atomic<bool> failed{false};
        bool silent = false;  // on the loop's thread only
    };
    net::Loop& loop_;
    std::shared_ptr<Shared> shared_;
};

}  // namespace everstep::standby
