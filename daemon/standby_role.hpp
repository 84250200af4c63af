// StandbyRole: a group's standby half on this node: the store and replica, and the session with the
// primary that dialled in. Also what a promoted node keeps under its pipeline (then without a
// session). Thread: the node's loop. Invariants: one session at a time, a newer one ends the older
// before it is answered; after seal_off() no session comes and no acknowledgement leaves any more.
#pragma once

#include <functional>
#include <memory>

#include "daemon/group_context.hpp"
#include "daemon/link.hpp"
#include "standby/history_commands.hpp"
#include "standby/receive.hpp"

namespace everstep::daemon {

class StandbyRole {
  public:
    explicit StandbyRole(GroupContext& context);
    ~StandbyRole();
    // Opens store and replica. not ok: the node stays up, the group is `failed` with this reason.
    [[nodiscard]] Status open();
    void close();  // what was received is durable, low = high; blocks
    // The node's clean stop: close(), and what the images hold is kept, for the next open() to
    // compare. Blocks.
    void stop();
    void on_link(std::unique_ptr<Link> link, const wire::Hello& hello);
    void set_limits();                 // the configuration's are others now
    void seal_off(const Status& why);  // ends the session for good
    void set_refused(const std::string& why) { refused_ = why; }

    [[nodiscard]] standby::Standby* standby() { return standby_.get(); }
    [[nodiscard]] standby::HistoryCommands* commands() { return commands_.get(); }
    [[nodiscard]] bool primary_connected() const {
        return session_ != nullptr && link_ != nullptr && link_->heard();
    }
    [[nodiscard]] const std::string& primary_node() const { return primary_; }
    [[nodiscard]] Lsn primary_captured() const { return captured_; }
    [[nodiscard]] WallTime step_now() const;
    [[nodiscard]] std::string state() const;
    [[nodiscard]] std::string why() const;
    [[nodiscard]] wire::GroupState group_state() const;
    [[nodiscard]] Value status() const;   // state, positions, peers
    [[nodiscard]] Value history() const;  // oldest, head, times, bytes, gaps
    [[nodiscard]] static Value no_history();
    [[nodiscard]] Value held() const;  // the step at which the replica is held; null

  private:
    void end_session();
    void end_untrusted();
    [[nodiscard]] journal::KeepLimits keep_limits() const;
    [[nodiscard]] double behind_seconds() const;
    [[nodiscard]] bool identity_kept() const;
    [[nodiscard]] Status take_group(const Uuid& group);
    [[nodiscard]] Status greet(const wire::Hello& hello);
    [[nodiscard]] LinkEvents link_events();
    [[nodiscard]] Status use_up_samples();
    [[nodiscard]] Status keep_identity(const wire::Start& start);
    [[nodiscard]] Status learn_whole_from(const std::vector<wire::Volume>& said);
    [[nodiscard]] Status save_or(const GroupRecord& before);
    void began(const wire::Start& start);
    GroupContext& context_;
    std::unique_ptr<standby::Standby> standby_;
    std::unique_ptr<standby::HistoryCommands> commands_;
    std::unique_ptr<Link> link_;
    std::unique_ptr<standby::ReceiveSession> session_;
    std::string refused_;
    std::string primary_;                                      // the node of the newest session
    std::uint64_t takeovers_ = 0;                              // that it knew of
    std::vector<std::pair<std::string, std::string>> theirs_;  // its configuration, as said last
    bool began_ = false;  // the newest session has, and its end was not told
    std::string told_;    // how the newest link ended
    Status failed_;
    Lsn captured_;
    std::int64_t step_clock_ns_ = 0;
    std::chrono::nanoseconds step_clock_at_{0};
    std::shared_ptr<StandbyRole*> alive_;
};

}  // namespace everstep::daemon
