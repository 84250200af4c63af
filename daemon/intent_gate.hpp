// IntentGate: lets a write to a volume's device when its regions are durably marked in the
// write-intent map, and takes marks away that are no longer needed.
//
// Thread: the capture thread; the map's syncs run on a worker. Invariants (DESIGN.md 5, "Write-
// intent map"): what ready() says yes to, and what wait() runs with ok, is marked durably then;
// each write that waits is run once, also at the end (with an error).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/clock.hpp"
#include "daemon/intent_map.hpp"
#include "daemon/sync_worker.hpp"

namespace everstep::daemon {

// A mark stays this long after the last write to its region; the shorter one while there are more
// marks than a compare should have to read (of common regions: 4 GiB).
inline constexpr std::chrono::seconds kIntentIdle{30};
inline constexpr std::chrono::seconds kIntentIdleMany{1};
inline constexpr std::size_t kIntentManyRegions = 4096;

class IntentGate {
  public:
    // The map cannot be written, or opened: asks for what then counts as all marked for good, and
    // calls back on the capture thread. ok: writes go on without a map.
    using Lost = std::function<void(const Status& why, std::function<void(Status)> done)>;
    IntentGate(net::Loop& loop, std::unique_ptr<IntentMap> map, const Clock& clock, Lost lost);
    ~IntentGate();
    [[nodiscard]] Status start() { return syncs_.start(); }  // before the first write that waits

    // The map could not be opened: as one that cannot be written, from the beginning.
    void unopened(const Status& why);

    [[nodiscard]] bool ready(IntentMap::Range range) const {
        return given_up_ || (map_ && map_->covers(range));
    }
    // Marks it, and runs `write` when that is durable. Not ok: it cannot be, do not write.
    void wait(IntentMap::Range range, std::function<void(const Status&)> write);
    void written(IntentMap::Range range, Lsn lsn);
    void failed(IntentMap::Range range) { written(range, Lsn(UINT64_MAX)); }  // until a later LSN
    void drop_waiting(const Status& why) { run_all(why); }
    void end(const Status& why);  // for what waits, and what still comes

    // By standby: where it may differ; nothing: there is no map, so anywhere.
    [[nodiscard]] std::optional<std::vector<journal::GapExtent>> marked(std::size_t standby) const;
    void mark_all(std::size_t standby);
    void set_standbys(std::size_t standbys);
    // `durable`: by standby, what it has of this line; 0 where that is not known.
    // Whether a mark would go if the device were flushed; takes those away that go.
    [[nodiscard]] bool any_to_clear(std::span<const Lsn> durable) const;
    void clear(std::span<const Lsn> durable, Lsn flushed);

  private:
    struct Waiting {
        IntentMap::Range range;
        std::function<void(const Status&)> write;
    };
    [[nodiscard]] IntentClear clear_of(std::size_t standby, Lsn durable, Lsn flushed) const;
    void sync();
    void synced(const IntentMap::Marks& marks, const Status& status);
    void lose(const Status& why);
    void run_ready();
    void run_all(const Status& status);

    std::unique_ptr<IntentMap> map_;  // none: it was lost, or could not be opened
    const Clock& clock_;
    Lost lost_;
    std::vector<Waiting> waiting_;
    bool syncing_ = false;
    bool given_up_ = false;  // and that is recorded: writes go on
    Status unopened_;
    Status ended_;
    std::shared_ptr<IntentGate*> alive_;
    SyncWorker syncs_;
};

}  // namespace everstep::daemon
