// Branch: a step that is written on (DESIGN.md 7). Its writes lie in a small store of their own
// over the step, which is read from the store below: the group's, or another branch's. Why:
// docs/decisions/0016-branches-in-stores-of-their-own.md.
//
// Threads: calls on the loop's thread, but those of LocalHistory. Inside: a journal thread, a
// keeper, readers.
// Invariants: the step below is held as long as the branch is; nothing of its own history is ever
// given up; a (timeline, LSN) has one content: behind a stop that was not clean it goes on on a new
// timeline.
// After a crash: the branch is there as a whole once make() has returned, and until drop() has
// begun; what was synced is in it.
#pragma once

#include <memory>

#include "common/base/clock.hpp"
#include "standby/branch_record.hpp"
#include "standby/local_history.hpp"

namespace everstep::standby {

struct BranchOptions {
    io::FileSystem* files = nullptr;
    const Clock* clock = nullptr;
    std::string directory;  // of this branch
    Uuid group;
    std::string node;
    std::vector<ByteCount> volume_bytes;  // by VolumeIndex
    ByteCount reserve_bytes{0};
    std::function<void(std::string kind, std::string text)> event;  // any thread
    std::function<void(std::function<void()>)> on_the_loop;         // any thread; runs it there
};

class Branch final : public LocalHistory {
  public:
    using Below = std::shared_ptr<const HistorySource>;
    // The step is record.base, in `below`; it must be durable there. refused: no such step.
    [[nodiscard]] static Result<std::shared_ptr<Branch>> make(const BranchOptions& options,
                                                              Below below, BranchRecord record);
    // One that is there. refused: the step below is gone.
    [[nodiscard]] static Result<std::shared_ptr<Branch>> open(const BranchOptions& options,
                                                              Below below, BranchRecord record);
    // Removes all of it; nobody has it open. Also what a make() or drop() left that was cut short.
    [[nodiscard]] static Status drop(io::FileSystem& files, const std::string& directory);
    ~Branch() override;
    // What was appended is durable; ends the threads. Blocks.
    void stop();

    [[nodiscard]] const BranchRecord& record() const;
    [[nodiscard]] const Below& below() const;
    [[nodiscard]] const journal::View& base() const;  // in the store below
    // The timeline was begun here; those of the way to the base were not.
    [[nodiscard]] bool owns(const TimelineId& timeline) const;
    // Nothing was written yet on the timeline that it stands on.
    [[nodiscard]] bool begins_timeline() const;
    // A step or a mark is its own.
    [[nodiscard]] bool is_written() const;
    // What is written next follows this step of its own, on a new timeline; durable when done.
    void branch_off(Point at, std::function<void(Status)> done);
    void set_reserve(ByteCount reserve_bytes);
    // Its clients are about to be cut off: what waits for room on the disk fails; or waits again.
    void give_up_room(bool given_up);
    // It belongs to no directory from here on; durable when it returns. Blocks on the disk.
    [[nodiscard]] Status forget_mount();
    // As Standby's.
    void journal_task(std::function<Status(journal::Store&)> task,
                      std::function<void(Status)> done);

    [[nodiscard]] const journal::Store& store() const override;
    [[nodiscard]] const journal::ReplicaReader& replica() const override;
    [[nodiscard]] net::WorkerPool& readers() const override;
    void append_local(FramePtr frame, std::function<void(Status)> done) override;
    void sync_local(std::function<void(Status)> done) override;
    [[nodiscard]] bool full() const override;

  private:
    Branch();
    [[nodiscard]] Status open_store(const BranchOptions& options);
    [[nodiscard]] Status begin();
    [[nodiscard]] Status start();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::standby
