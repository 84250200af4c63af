// Group: one group on this node: which role it has, the change of roles, and what the command line
// asks of it. Thread: the node's loop. Invariants: a role is durable in the record before it acts;
// a node that lost its role serves nothing.
#pragma once

#include <functional>
#include <memory>

#include "daemon/admin_answer.hpp"
#include "daemon/exports.hpp"
#include "daemon/primary.hpp"
#include "daemon/standby_role.hpp"

namespace everstep::daemon {

// Asks another node (docs/admin.md); answers like the command line's own socket.
using Relay = std::function<void(const std::string& node, const wire::AdminRequest&, AdminAnswer)>;

class Group {
  public:
    Group(GroupContext context, Exports& exports, Relay relay);
    ~Group();
    void start();
    void stop(std::function<void()> done);
    void on_link(std::unique_ptr<Link> link, const wire::Hello& hello);
    void run(const wire::AdminRequest& request, AdminAnswer answer);
    // The configuration's live keys are others now.
    void reconfigure() {
        context_.compression->set(context_.group->compression);
        if (standby_) standby_->set_limits();
        if (primary_) primary_->reconfigure();
    }
    // The configuration names other members, or volumes that are new; durable when it returns ok.
    // Not ok: nothing has changed, but a standby may have no role until take_role_again(), with the
    // configuration of before.
    [[nodiscard]] Status change_members();
    void take_role_again();
    void dial_standbys() {
        if (primary_) primary_->dial_standbys();
    }
    // This node is none of them any more: `section` is the one that it ran, and lives as long.
    void leave(const GroupConfig& section);
    [[nodiscard]] bool serves() const { return primary_serves(); }
    // All that was acknowledged so far is durable on the standby.
    [[nodiscard]] bool keeps_acknowledged(const std::string& node) const {
        return primary_ && primary_->keeps_acknowledged(node);
    }
    [[nodiscard]] Value status() const;
    [[nodiscard]] const std::string& name() const { return context_.group->name; }
    [[nodiscard]] const GroupContext& context() const { return context_; }
    [[nodiscard]] GroupContext& context() { return context_; }
    [[nodiscard]] bool has_history_here() const {
        return standby_ != nullptr && standby_->standby() != nullptr;
    }
    // The standby whose history answers when none is named; empty: this node itself.
    [[nodiscard]] std::string history_node() const;
    // The node that has, as far as this one knows, the role of primary; empty: this one, or none.
    [[nodiscard]] std::string primary_node() const;

  private:
    // roles (group_roles.cpp)
    [[nodiscard]] Status load();
    void start_role();
    void start_left();
    [[nodiscard]] Status take_volumes();
    void start_primary(bool volumes_made);
    void make_primary();
    void fail(const std::string& why);
    void demoted(const StartDecision& decision);
    void begin_store(const journal::TimelineInfo& timeline, std::function<void(Status)> done);
    // commands (group_commands.cpp)
    void export_point(const wire::AdminRequest& request, const AdminAnswer& answer);
    void rewind_branch(const wire::AdminRequest& request, const AdminAnswer& answer);
    void mark(const wire::AdminRequest& request, const AdminAnswer& answer);
    void put_mark(const MarkBody& body, const standby::NameHold& name, const AdminAnswer& answer);
    void adopt(const wire::AdminRequest& request, const AdminAnswer& answer);
    // restore (group_restore.cpp)
    void restore(const wire::AdminRequest& request, const AdminAnswer& answer);
    void verify(const wire::AdminRequest& request, const AdminAnswer& answer);
    void restore_to(const RestoreRequest& wanted, const AdminAnswer& answer);
    [[nodiscard]] Status whole_to(const RestoreRequest& wanted) const;
    void restore_dry(const RestoreRequest& wanted, const AdminAnswer& answer);
    void ask_history(const std::string& node, const wire::AdminRequest& request,
                     std::function<void(const wire::AdminReply&)> answer);
    [[nodiscard]] Result<std::vector<journal::GapExtent>> check_extents(
        std::vector<journal::GapExtent> extents) const;
    struct Between {
        Point from;
        Point to;
    };
    void diff_points(const std::string& node, Between points,
                     std::function<void(Result<std::vector<journal::GapExtent>>)> done);
    [[nodiscard]] bool primary_serves() const;
    void adopt_from(const std::string& from, const wire::AdminReply& told,
                    const AdminAnswer& answer);
    void adopt_as_primary(bool force, const std::string& from, const AdminAnswer& answer);
    [[nodiscard]] Status holds_alone() const;
    void adopt_as_standby(const std::string& from, const wire::AdminReply& told,
                          const AdminAnswer& answer);
    [[nodiscard]] std::string given_up(const wire::AdminReply& told) const;
    void pause(bool paused, const AdminAnswer& answer);
    // takeover (takeover.cpp)
    struct Takeover;
    void takeover(const wire::AdminRequest& request, const AdminAnswer& answer);
    void ask_members(const std::shared_ptr<Takeover>& job);
    void takeover_unreachable(const std::shared_ptr<Takeover>& job);
    void count_lost(Takeover& job, Point at) const;
    void take_over(const std::shared_ptr<Takeover>& job);
    void begin_taken(std::function<void(Status)> done);
    void give_up(const std::shared_ptr<Takeover>& job, const GroupRecord& before, Status why);
    void promote(const std::shared_ptr<Takeover>& job);
    [[nodiscard]] Value takeover_told(const Takeover& job) const;

    GroupContext context_;
    Exports& exports_;
    Relay relay_;
    std::unique_ptr<StandbyRole> standby_;
    std::unique_ptr<Primary> primary_;
    std::string failed_;  // the role could not be taken up, why
    bool record_read_ = false;
    bool taking_over_ = false;
    std::shared_ptr<Group*> alive_;
};

[[nodiscard]] wire::AdminReply error_reply(const Status& status);
// Whether a node whose `status` of one group this is serves it.
[[nodiscard]] bool serves_group(const wire::AdminReply& told);
[[nodiscard]] std::string argument(const wire::AdminRequest& request, const std::string& name);

}  // namespace everstep::daemon
