// VerifyJob: `everstep verify` of one group: its standbys compared with the primary, and brought
// what differs by a resync of those ranges (journaled extents in a gap that ends in a step of its
// own). With `verify_every` it compares by itself, and repairs nothing: whose disk is right is for
// the operator to say. A command ends such a run and begins at once.
//
// Thread: the node's loop. Repairs go on when nobody waits for the command any more, until the
// standby is consistent again, and the command does not wait for one whose link is gone; a restart
// of the primary before that leaves what differs, for the next verify to find.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/base/value.hpp"
#include "daemon/group_context.hpp"
#include "daemon/send.hpp"
#include "daemon/verify_schedule.hpp"

namespace everstep::daemon {

// What it needs of the primary.
struct VerifyAccess {
    std::function<SendSession*(const std::string& standby)> session;  // null: not connected
    std::function<CopyOptions()> options;
    // The session ends, and the next one is a resync.
    std::function<void(const std::string& standby, const std::string& why)> resync;
    // Who streams; nobody while a copy, a resync or a restore is under way.
    std::function<std::vector<std::string>()> quiet;
    std::function<Lsn()> newest;  // step that was sealed
};

class VerifyJob {
  public:
    struct Command {
        std::vector<std::string> standbys;
        bool repair = false;
        bool by_itself = false;                           // of the schedule
        std::function<void(Value body, bool last)> tell;  // progress, at last the results
    };
    VerifyJob(GroupContext& context, VerifyAccess access);
    ~VerifyJob();
    [[nodiscard]] Status begin(Command command);  // busy: another command runs already
    void tick();
    // The ranges of a resync to that standby, with what is to be repaired there.
    [[nodiscard]] std::vector<journal::GapExtent> with_repair(
        const std::string& standby, std::vector<journal::GapExtent> extents) const;
    void forget(const std::string& standby, const std::string& why);  // it has left the group
    void cut(const std::string& why);

  private:
    struct Repair {
        std::vector<journal::GapExtent> extents;
        Value result;
        std::chrono::nanoseconds linked_at{0};  // the standby was connected last
        bool told = false;                      // the command does not wait for it any more
    };
    void begin_with(const std::string& standby);
    void look_at_schedule();
    void give_up(const std::string& why);
    void compared(const std::string& standby, const Result<VerifyResult>& done);
    void record(const std::string& standby, const VerifyResult& found);
    [[nodiscard]] Value result_of(const std::string& standby, const VerifyResult& found) const;
    void repair(const std::string& standby, const VerifyResult& found, Value result);
    void look_at_repairs();
    void wait_for_link(const std::string& standby, Repair& repair);
    void tell_progress();
    void end_if_done();

    GroupContext& context_;
    VerifyAccess access_;
    std::optional<Command> command_;
    std::map<std::string, Value> results_;  // of the command's standbys; null: under way
    std::vector<std::string> later_;        // of them: not begun yet
    VerifySchedule schedule_;
    std::chrono::nanoseconds told_{0};
    std::map<std::string, Repair> repairs_;
    std::shared_ptr<VerifyJob*> alive_;
};

}  // namespace everstep::daemon
