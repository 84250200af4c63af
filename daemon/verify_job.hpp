// VerifyJob: `everstep verify` of one group: its standbys compared with the primary, and brought
// what differs by a resync of those ranges (journaled extents in a gap that ends in a step of its
// own).
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

namespace everstep::daemon {

// What it needs of the primary.
struct VerifyAccess {
    std::function<SendSession*(const std::string& standby)> session;  // null: not connected
    std::function<CopyOptions()> options;
    // The session ends, and the next one is a resync.
    std::function<void(const std::string& standby, const std::string& why)> resync;
};

class VerifyJob {
  public:
    struct Command {
        std::vector<std::string> standbys;
        bool repair = false;
        std::function<void(Value body, bool last)> tell;  // progress, at last the results
    };
    VerifyJob(GroupContext& context, VerifyAccess access);
    ~VerifyJob();
    [[nodiscard]] Status begin(Command command);  // busy: one runs already
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
    void compared(const std::string& standby, const Result<VerifyResult>& done);
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
    std::chrono::nanoseconds told_{0};
    std::map<std::string, Repair> repairs_;
    std::shared_ptr<VerifyJob*> alive_;
};

}  // namespace everstep::daemon
