// What a step of a history is read from, and what takes in the writes of this node itself: a
// standby's store over its images (standby.hpp), or a branch's store over a step (branch.hpp).
//
// Threads: any, unless said otherwise.
#pragma once

#include <functional>

#include "journal/store.hpp"

namespace everstep::net {
class WorkerPool;
}

namespace everstep::standby {

class HistorySource {
  public:
    virtual ~HistorySource() = default;
    [[nodiscard]] virtual const journal::Store& store() const = 0;
    // What the store's history lies over.
    [[nodiscard]] virtual const journal::ReplicaReader& replica() const = 0;
    [[nodiscard]] virtual net::WorkerPool& readers() const = 0;  // for reads that may be cold

  protected:
    HistorySource() = default;
    HistorySource(const HistorySource&) = delete;
    HistorySource& operator=(const HistorySource&) = delete;
};

class LocalHistory : public HistorySource {
  public:
    // `done` runs on the journal thread, or before this returns. Readable at the tip when done.
    // Blocks while kLocalBytesMax (journal_stage.hpp) are queued.
    virtual void append_local(FramePtr frame, std::function<void(Status)> done) = 0;
    // Everything appended before is durable.
    virtual void sync_local(std::function<void(Status)> done) = 0;
    // There is less room than the reserve: what would be written here is refused. Goes away by
    // itself.
    [[nodiscard]] virtual bool full() const = 0;
};

}  // namespace everstep::standby
