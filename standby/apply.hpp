// ApplyStage (walk, stages 7 and 8): the apply thread. It brings the replica to the newest durable
// step, batch by batch, and carries out rewind and resume between two batches.
//
// Thread: wake, rewind, resume from any thread; answers on the loop. Inside: one thread, which owns
// the applying half of the store and, once history has begun, the replica's writing half.
// Invariants: the order of a batch (law 4):
//  1. its frames are durable (the goal is never beyond store.durable());
//  2. the before-images of its blocks, and `high`, are durable (begin_batch);
//  3. the replica is written;
//  4. the replica is flushed;
//  5. `low` (end_batch), stored with the next synced record or when idle (sync_low).
// At its begin: (low, high] is written again, then a half-done rewind is finished; before anything
// else. While held nothing is applied. An error stops applying for good (journaling goes on): low
// and high stay as they are, which is what the next start needs. Where only room is lacking it is
// tried again. A batch takes what is there, up to
// kApplyBatchBytesMax: the further behind, the more writes share the flushes; while the node serves
// through its store it rests between batches, so that its clients' flushes have the disk. At most
// kCommandsMax commands wait; more are `busy`.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "standby/time_travel.hpp"

namespace everstep::standby {

inline constexpr std::size_t kCommandsMax = 16;

struct ApplyHooks {
    std::function<void()> moved;
    std::function<void(const Status&)> failed;               // once
    std::function<void(std::function<void()>)> on_the_loop;  // runs it there
};

class ApplyStage {
  public:
    using Done = std::function<void(Result<Value>)>;
    // {"done","total","unit"}, now and then while a move goes on; on the loop, before `done`.
    using Progress = std::function<void(Value)>;

    ApplyStage(journal::Store& store, Replica& replica, const Clock& clock, ApplyHooks hooks);
    ~ApplyStage();  // stop() first
    [[nodiscard]] Status start();
    void wake();                                            // durable moved, or history began
    void set_serving(bool serving) { serving_ = serving; }  // any thread
    // The running batch or move is finished, then the write that has pieces left (a long discard):
    // low = high and the raw files are a step when it returns (unless applying has failed). Inside
    // an open gap there is no step: they stand where the last batch ended.
    void stop();
    void rewind(Point target, bool dry_run, Done done, Progress progress = {});
    void resume(bool dry_run, Done done, Progress progress = {});
    // For a takeover: the replica is not held any more, durably, and goes to the head by itself. A
    // running rewind or resume is left at its next piece, those that wait before it are not begun;
    // they answer `closed`. Waits for no long move.
    void release(std::function<void(Status)> done);
    [[nodiscard]] Lsn applied() const { return mover_.applied(); }
    [[nodiscard]] Status failure() const;

  private:
    struct Command {
        std::function<Result<Value>()> work;
        Done done;
        Progress progress{};
        bool release = false;
    };
    void run();
    [[nodiscard]] Status recover();
    [[nodiscard]] Status end_at_step();
    [[nodiscard]] Status whole();
    void push_command(Command command);
    void carry_out(Command& command);
    [[nodiscard]] bool next_command(Command& command);
    bool apply_some();
    void idle();
    void rest();
    void fail(const Status& status);
    void tell(const MoveProgress& progress);
    [[nodiscard]] bool stopping() const;

    journal::Store& store_;
    const Clock& clock_;
    ApplyHooks hooks_;
    Mover mover_;
    TimeTravel travel_;
    std::thread thread_;

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Command> commands_;
    std::atomic<bool> releasing_{false};
    std::atomic<bool> serving_{false};
    bool woken_ = false;
    bool stopping_ = false;
    Status failure_;
    // The apply thread's own.
    Progress telling_;  // of the command in work
    std::chrono::nanoseconds told_at_{0};
    bool low_unsynced_ = false;
    bool starved_ = false;   // there was no room
    bool took_all_ = false;  // the last batch was all that there was
    bool history_seen_ = false;
};

}  // namespace everstep::standby
