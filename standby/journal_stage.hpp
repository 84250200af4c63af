// JournalStage (walk, stage 6): the journal thread. It takes everything that is queued, appends it
// in order, and ends the turn with one sync for all of it (group commit); only then the positions
// move.
//
// Thread: push* from any thread; inside one thread, which owns the appending half of the store.
// Invariants
//  - frames, resync and initial content and tasks run in the order in which they were pushed,
//  whoever pushed them;
//  - a turn that appended received frames, ran a task or was asked for a sync ends with a sync;
//  local frames
//    alone are synced after kLocalSyncDelay at the latest;
//  - where there is no room, or while it is held, received frames and contents wait in the queue,
//  and so does what came behind them; nothing of it is acknowledged and nothing is lost;
//  - after the store failed nothing is appended and nothing is called durable; every callback gets
//  the failure;
//  - a received frame that the store refuses is its sender's fault: it is dropped, its `refused` is
//  told, the
//    store stands as it stood;
//  - a small local frame is appended by its caller's thread where the stage has nothing else to do:
//    that is quicker than to wake another, and the order is the same;
//  - received frames are bounded by the sender's window (ReceiveSession checks it); local frames by
//    kLocalBytesMax: beyond it push_local blocks its caller until the store caught up.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "journal/store.hpp"

namespace everstep::standby {

inline constexpr std::uint64_t kLocalBytesMax = 256ULL << 20;
inline constexpr std::chrono::milliseconds kLocalSyncDelay{1000};
inline constexpr std::uint64_t kAtOnceBytesMax = 64ULL << 10;  // of a frame appended by its caller

struct JournalHooks {
    // Durable moved, or content was taken in; `received`: by what others sent or asked for, not by
    // this node's own frames and their syncs alone.
    std::function<void(bool received)> moved;
    std::function<void(const Status&)> failed;               // the store failed; once
    std::function<void(std::function<void()>)> on_the_loop;  // runs it there
};

class JournalStage {
  public:
    using Task = std::function<Status(journal::Store&)>;
    using Done = std::function<void(Status)>;

    JournalStage(journal::Store& store, JournalHooks hooks);
    ~JournalStage();  // stop() first
    [[nodiscard]] Status start();
    // What was pushed is done and durable when it returns; what comes later is answered with
    // `closed`.
    void stop();

    void push(FramePtr frame, Done refused);  // received; `refused` on the loop, may be empty
    void push_content(FramePtr frame, Task take,
                      Done refused);       // resync and initial: `take` handles the frame
    void push_task(Task task, Done done);  // `done` on the loop, after the sync
    // `done` behind the append, on the journal thread or before this returns.
    void push_local(FramePtr frame, Done done);
    // Received frames and contents wait, or go on. At a stop they are taken all the same.
    void hold(bool held);
    void push_sync(Done done);  // `done` on the journal thread, after the sync
    // What finds no room does not wait for it any more, or waits again; what was sent behind it
    // fails as well.
    void give_up_room(bool given_up);
    [[nodiscard]] std::uint64_t queued_bytes() const;  // received, not yet durable or taken
    [[nodiscard]] Status failure() const;

  private:
    enum class Kind : std::uint8_t { received, content, task, local, sync };
    struct Item {
        Kind kind = Kind::task;
        FramePtr frame;
        Task task;
        Done done;
    };
    struct Answer {
        Done done;
        Status status;
        bool on_the_loop = false;
        bool after_sync = false;  // gets the sync's error if that fails
    };
    using Clock = std::chrono::steady_clock;

    void enqueue(Item item);
    [[nodiscard]] bool take_at_once(const FramePtr& frame, const Done& done);
    void run();
    bool wait_for_work();
    void take_queue();
    void put_back(std::size_t first);
    [[nodiscard]] bool lacks_room(const Status& status);
    void turn();
    [[nodiscard]] std::size_t run_of_frames(std::size_t first);
    void take_frames(std::size_t first, std::size_t end);
    [[nodiscard]] Status append_frames(bool local);
    void take_one(Item& item);
    void finish_turn();
    [[nodiscard]] bool sync_comes() const;
    void answer_all(const Status& synced);
    void fail(const Status& status);

    journal::Store& store_;
    JournalHooks hooks_;
    std::thread thread_;

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable space_;
    std::vector<Item> queue_;
    bool stopping_ = false;
    bool room_given_up_ = false;
    bool lacked_room_ = false;  // since then
    bool stopped_ = false;
    bool held_ = false;
    bool busy_ = false;          // a turn, or an append of a caller's, is under way
    bool local_frames_ = false;  // there were some
    std::optional<Clock::time_point> local_deadline_;
    Status failure_;
    std::uint64_t received_bytes_ = 0;
    std::uint64_t local_bytes_ = 0;

    // The journal thread's own.
    std::vector<Item> turn_;
    std::vector<FramePtr> frames_;
    std::vector<Answer> answers_;
    std::uint64_t turn_received_bytes_ = 0;
    std::uint64_t turn_local_bytes_ = 0;
    bool sync_wanted_ = false;
    bool no_room_ = false;  // what could not be taken stands in front of the queue
    bool others_ = false;   // something but local frames and syncs
};

}  // namespace everstep::standby
