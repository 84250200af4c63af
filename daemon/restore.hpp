// Restore: brings the volumes that this node serves to a step of the history, forward, as one
// batch of new steps (DESIGN.md 9). In order, each durable before the next:
//  1. nobody is let in, what was written is flushed: the newest step is `before`;
//  2. the node whose history is read has `before` durable, and says where it differs from the step;
//  3. the record: from here on a start serves nobody until the restore is ended;
//  4. the batch begins in the stream; what differs is written through the capture;
//  5. the batch ends, at a point; the record of 3 is gone;
//  6. the standbys that `ack` counts have the end, or a bounded time has passed, with an alarm;
//     clients are let in again.
// If the node dies, or a step fails:
//  - before 3 is durable nothing was changed, and it serves again;
//  - behind it the volumes hold a mix: `--continue` writes the rest, `--undo` brings back
//    `before`. A standby that takes over meanwhile offers `before`: the batch is no point.
// Thread: the node's loop. Owned by the group's primary half.
#pragma once

#include <optional>

#include "daemon/group_context.hpp"
#include "daemon/restore_job.hpp"

namespace everstep::daemon {

struct RestoreRequest {
    enum class Kind : std::uint8_t { begin, go_on, undo };
    Kind kind = Kind::begin;
    Point to;            // begin
    std::string node;    // whose history; empty: this node's (go_on, undo: as it began)
    std::string volume;  // begin; empty: all
    bool force = false;  // disconnects clients
};

// What it needs of the primary half around it.
struct RestoreAccess {
    std::function<Pipeline*()> pipeline;  // null where the group is not served
    // The node's history has the step, durable.
    std::function<bool(const std::string& node, Point)> kept;
    // It follows this node's writes now. Why not, where not.
    std::function<Status(const std::string& node)> follows;
    std::function<void(const std::string& node, const wire::ReadRequest&,
                       std::function<void(Result<Buffer>)>)>
        read;
    // What differs between two points of a node's history.
    std::function<void(const std::string& node, Point, Point,
                       std::function<void(Result<std::vector<journal::GapExtent>>)>)>
        diff;
    // As many standbys as `ack` asks for have the end of the batch, durable.
    std::function<bool(const journal::Tip& end)> end_kept;
    // As long as it lives retention leaves the step; null where the node's session holds it.
    std::function<journal::HoldPtr(const std::string& node, Point)> hold;
};

struct RestoreEvents {
    std::function<void(const RestoreFigures&)> going;  // a few times a second
    // {"lsn","timeline","before","to","to_timeline","bytes","extents","seconds","undo"}
    std::function<void(Result<Value>)> done;
};

class Restore {
  public:
    Restore(GroupContext& context, RestoreAccess access);
    ~Restore();
    void run(const RestoreRequest& request, RestoreEvents events);
    // Of one that was cut: what the volumes hold is the truth, and the batch ends with it.
    void take_as_it_is(std::function<void(Status)> done);
    // The session with the node began, or (empty) this node serves: while that lasts, retention
    // leaves the step that a cut restore goes on to. Said again by itself.
    void keep_step(const std::string& node);
    // The role ends; what was begun stays in the record.
    void stop(const Status& why);
    [[nodiscard]] std::uint64_t clients() const;  // connected now; blocks for a moment
    [[nodiscard]] bool running() const { return running_; }
    // Why nobody is served although the group is; empty: no restore was cut.
    [[nodiscard]] std::string pending() const;
    [[nodiscard]] Value status() const;  // null where none runs and none was cut
    // Runs it once no batch is open.
    void after_batch(std::function<void()> work);

  private:
    [[nodiscard]] Status may_run(const RestoreRequest& request) const;
    [[nodiscard]] Status may_begin(const RestoreRequest& request) const;
    void quiet(const journal::Tip& before);
    void wait_kept(std::chrono::nanoseconds until);
    void find();
    void found(Result<std::vector<journal::GapExtent>> extents);
    void open_batch();
    void write();
    void written(const Status& status);
    void close_batch(const Value& done);
    void wait_end(const Value& done, std::chrono::nanoseconds until);
    void told(const Result<Value>& answer);
    void give_up(const Status& why);
    void listen(std::function<void(Status)> done);
    [[nodiscard]] std::vector<journal::GapExtent> everywhere() const;
    void going();

    GroupContext& context_;
    RestoreAccess access_;
    RestoreEvents events_;
    bool running_ = false;
    bool resumed_ = false;  // the record was there before
    RestoreRecord order_;   // what runs
    RestorePlan plan_;
    journal::Tip end_;  // of its batch
    std::unique_ptr<RestoreJob> job_;
    std::chrono::nanoseconds begun_{0};
    std::chrono::nanoseconds told_at_{0};
    net::Timer timer_;
    net::Timer listen_timer_;
    net::Timer keep_timer_;
    bool listens_ = false;   // clients are to be let in
    journal::HoldPtr hold_;  // of the step that is read
    std::vector<std::function<void()>> after_;
    std::shared_ptr<Restore*> alive_;
};

}  // namespace everstep::daemon
