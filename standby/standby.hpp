// Standby: the receiving half of a group on one node: store, replica, the journal thread and the
// apply thread. It is also what a promoted node serves through: its own frames are appended here
// and applied behind.
//
// Place in the walk: stages 6 to 8. Stage 5 is ReceiveSession (receive.hpp).
// Threads: calls on the loop's thread, callbacks there too, unless said otherwise. Inside: the
// journal thread owns the store's appending half, the apply thread its applying half; both have
// bounded queues.
// Invariants: what `durable()` says survives kill -9 and power loss; applied <= durable; while
// held, receiving and journaling go on and the replica stays at held_at; after stop() low = high
// and the raw files are one step (inside an open gap: where the last batch ended; the reading
// function gives the step before the gap). A failure of store or replica: on_failed once, state
// failed; nothing is acknowledged from then on. An error of the replica alone stops applying, not
// journaling.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/value.hpp"
#include "common/net/loop.hpp"
#include "standby/local_history.hpp"

namespace everstep::standby {

// Of readers(). Each waits for the disk, so that they are what an export keeps in flight there.
inline constexpr std::size_t kReaderThreads = 8;

struct VolumeFile {
    std::string name;
    std::string path;  // image file (made where missing, sparse) or block device
    ByteCount size;
};

struct StandbyOptions {
    io::FileSystem* files = nullptr;
    std::string directory;  // of the store
    std::string branches;   // directory of the branches over it
    Uuid group;
    std::string node;
    std::vector<VolumeFile> volumes;
    ByteCount segment_bytes{64ULL << 20};
    const Clock* clock = nullptr;
    journal::KeepLimits keep;
    ByteCount reserve_bytes{0};
};

struct StandbyEvents {
    // Durable (but by this node's own frames) or applied moved, held changed; coalesced.
    std::function<void()> on_progress;
    std::function<void(const Status&)> on_failed;
    std::function<void(std::string kind, std::string text)> on_event;  // for `everstep events`
};

class Branches;
class Replica;

class Standby final : public LocalHistory {
  public:
    // Opens store and replica (exclusive lock), recovers, redoes a half-written batch, starts the
    // threads. Errors name the file: another size, locked by another process, damage.
    [[nodiscard]] static Result<std::unique_ptr<Standby>> open(const StandbyOptions& options,
                                                               net::Loop& loop,
                                                               StandbyEvents events);
    ~Standby() override;  // stop() first
    // Ends both threads: what was pushed is durable, the running batch is finished, low = high.
    // Blocks.
    void stop();

    // ---- facts, any thread
    [[nodiscard]] const journal::Store& store() const override;
    [[nodiscard]] const journal::ReplicaReader& replica() const override;
    // The newest step all of whose writes are in the raw replica (flushed or not).
    [[nodiscard]] Lsn applied() const;
    [[nodiscard]] std::uint64_t queued_bytes() const;  // pushed, not yet durable
    [[nodiscard]] Status failure() const;              // ok while healthy
    // Of the store alone: nothing can become durable. The replica's failure stops applying only.
    [[nodiscard]] Status journal_failure() const;
    // There is less room than the reserve: nothing more is acknowledged, and what a node that
    // serves through the store would write is refused. Goes away by itself.
    [[nodiscard]] bool full() const override;
    // The node serves through the store, or not any more (keeper.hpp).
    void set_serving(bool serving);
    void set_limits(const journal::KeepLimits& limits, ByteCount reserve_bytes);
    [[nodiscard]] const StandbyOptions& options() const;
    [[nodiscard]] Branches& branches() const;     // the loop's thread
    [[nodiscard]] const Replica& images() const;  // replica(), as what it is
    [[nodiscard]] net::WorkerPool& readers() const override;
    void event(std::string kind, std::string text) const;  // for `everstep events`; any thread
    // Runs it on the loop, unless the standby is gone by then.
    void on_loop(std::function<void()> callback) const;

    // ---- stage 5 to 6
    // `refused` (may be empty; on the loop): the frame was not taken: other content for its LSN, no
    // continuation (its sender's fault; the store stands as it stood), or the store has failed.
    using Refused = std::function<void(Status)>;
    // Write frames, in order; durable soon: on_progress.
    void push(FramePtr frame, Refused refused = {});
    // Work on the journal thread, in order with pushed frames, and durable: `done` on the loop with
    // the task's status.
    void journal_task(std::function<Status(journal::Store&)> task,
                      std::function<void(Status)> done);
    // The resync's extents: compares with the content at the tip and journals the blocks that
    // differ; in order. `broken` is the session's, and the journal thread's alone: once something
    // was refused nothing more of it is taken, and it must not end its gap.
    void push_resync(FramePtr frame, std::shared_ptr<bool> broken, Refused refused = {});
    // Before history begins: writes a frame's content to the replica directly (initial sync); in
    // order.
    void push_initial(FramePtr frame, Refused refused = {});
    // The copy is complete: replica flushed, history begins at `base`, durable.
    void begin_history(std::vector<journal::TimelineInfo> timelines, journal::Tip base,
                       std::function<void(Status)> done);

    // ---- a promoted node's own frames
    void append_local(FramePtr frame, std::function<void(Status)> done) override;
    void sync_local(std::function<void(Status)> done) override;

    // ---- stage 8
    // Moves the replica to `target` and holds it there / back to the head and applies live again.
    // `done`: body {"lsn","timeline","from","blocks","bytes","seconds","gaps"}; with dry_run
    // nothing moves, and "about_seconds" says how long it would take. `progress`: as ApplyStage's.
    void rewind(Point target, bool dry_run, std::function<void(Result<Value>)> done,
                std::function<void(Value)> progress = {});
    void resume(bool dry_run, std::function<void(Result<Value>)> done,
                std::function<void(Value)> progress = {});
    // For a takeover: `held` is cleared durably between two batches; a running move is left, not
    // waited for.
    void release(std::function<void(Status)> done);

  private:
    Standby();
    struct Impl;
    [[nodiscard]] static Status start_keeper(Impl& impl);
    [[nodiscard]] Status open_branches();
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::standby
