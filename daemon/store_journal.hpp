// StoreJournal: a served group's own frames on their way into this node's store: appended in order,
// synced when a flush asks. One per group, shared by its volumes. Thread: the capture thread; the
// journal thread's answers are posted to it. Invariants: callbacks come in LSN order and only after
// the store took the frame; after a failure everything fails.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "common/net/loop.hpp"
#include "standby/local_history.hpp"

namespace everstep::daemon {

class StoreJournal {
  public:
    using Done = std::function<void(const Status&)>;
    StoreJournal(net::Loop& loop, standby::LocalHistory& history, Lsn tip);
    ~StoreJournal();
    // `taken` (on the journal thread, or before this returns): the frame can be read, or why not;
    // before any later call of wait_appended() returns.
    void append(const FramePtr& frame, Done taken);
    void when_appended(Lsn lsn, Done done);  // `lsn` can be read at the tip
    void when_synced(Done done);             // everything appended before survives power loss
    void wait_appended();                    // blocks until what was appended can be read
    [[nodiscard]] Status sync_now();         // blocks until it survives power loss
    [[nodiscard]] standby::LocalHistory& history() { return history_; }

  private:
    struct Waiting {
        Lsn lsn;
        Done done;
    };
    struct Shared;
    void appended(Lsn lsn, const Status& status);

    net::Loop& loop_;
    standby::LocalHistory& history_;
    std::shared_ptr<Shared> shared_;
    std::deque<Waiting> waiting_;
    Lsn appended_;
    Status failed_;
};

}  // namespace everstep::daemon
