// Exports: steps served as NBD disks, by id. Read-only ones are served on one thread for all and
// live until `unexport` or the node's end. A writable one is a branch (standby/branch.hpp) with a
// pipeline of its own: it is served again, with its id, when the node comes back, until it is
// dropped. Thread: the node's loop; making and ending one blocks for a moment.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/export_ids.hpp"
#include "daemon/group_context.hpp"
#include "daemon/nbd_server.hpp"
#include "daemon/pipeline.hpp"
#include "standby/branches.hpp"
#include "standby/export_device.hpp"
#include "standby/standby.hpp"

namespace everstep::daemon {

struct ExportRequest {
    standby::PlacedPoint at;
    std::vector<std::string> volumes;  // of the group; all of them, or one
    std::string socket;                // empty: in the node's own directory
    std::string tcp;                   // HOST:PORT instead of a socket; empty: a socket
    std::string mount;                 // the directory that it is for; empty: none
    std::string label;                 // of a read-only one: the asker's word for it, told again
    bool writable = false;
};

class Exports {
  public:
    // Of the sockets, and of what is known of the ids.
    Exports(io::FileSystem& files, std::string directory);
    ~Exports();
    // The ids that were given before. On an error they begin behind those that are known.
    [[nodiscard]] Status load_ids() { return ids_.load(); }
    // `done` at once, but for a writable one at a step that is not durable yet.
    using Done = std::function<void(Result<Value>)>;
    void add(GroupContext& context, standby::Standby& standby, const ExportRequest& request,
             Done done);
    // The branches of a group that was opened are served again.
    void restore(GroupContext& context, standby::Standby& standby);
    // Those that are not known yet, of a group whose history is not open: they can be dropped.
    void list_unopened(GroupContext& context, const std::vector<std::uint64_t>& ids,
                       const std::string& why);
    // usage, not_found; refused: a branch that was written on, without `drop`, or one that others
    // lie over.
    [[nodiscard]] Status remove(const std::string& id, bool drop);
    // A branch that was made for a directory stays when that is gone. not_found: no such branch.
    [[nodiscard]] Status keep(const std::string& id);
    // What is written on a branch follows `at` from here on, which is a step of its own history.
    // refused: clients are connected, without `force`.
    void go_to(const std::string& id, const standby::PlacedPoint& at, bool force, Done done);
    void remove_group(const std::string& group);  // before its store is closed; branches stay
    [[nodiscard]] Value list(const std::string& group) const;  // empty: all
    // The node's ids stay clear of those of branches that lie there, opened or not.
    void know_ids(const std::vector<std::uint64_t>& ids);

  private:
    struct Export {
        std::string id;
        GroupContext* context = nullptr;
        standby::Standby* standby = nullptr;
        Value told;
        std::shared_ptr<const standby::HistorySource> source;
        // A read-only one.
        journal::HoldPtr hold;  // the step stays as long as it is served
        std::vector<std::unique_ptr<BlockDevice>> devices;
        std::vector<std::unique_ptr<NbdServer>> servers;
        // A writable one; without a pipeline it is not served (yet), why stands in `failed`.
        std::shared_ptr<standby::Branch> branch;
        std::unique_ptr<Pipeline> pipeline;
        bool moving = false;  // go_to is under way
        std::string failed;
    };
    struct ById {  // 2 before 10
        bool operator()(const std::string& a, const std::string& b) const {
            return a.size() != b.size() ? a.size() < b.size() : a < b;
        }
    };
    [[nodiscard]] Result<Value> add_read_only(GroupContext& context, standby::Standby& standby,
                                              const ExportRequest& request);
    [[nodiscard]] Result<Value> add_branch(GroupContext& context, standby::Standby& standby,
                                           const ExportRequest& request);
    [[nodiscard]] Status serve(Export& one, const ExportRequest& request);
    [[nodiscard]] Status serve_branch(Export& one);
    [[nodiscard]] Value told_of(const Export& one) const;
    // What its servers say of themselves: no other export that is there now says the same, on any
    // node. The socket of one on another machine may have the name of one on this.
    [[nodiscard]] static std::string description_of(const Export& one);
    [[nodiscard]] static Value written_value(const Export& one, const standby::BranchRecord& record,
                                             Point tip);
    // Where one of the served volumes is to listen.
    struct Served {
        std::string volume;
        std::size_t number = 0;  // among those that are
        std::size_t of = 0;
    };
    template <class Wanted>
    [[nodiscard]] Result<std::string> address_of(const std::string& id, const Served& served,
                                                 const Wanted& wanted) const;
    void end(Export& one);
    static void end_pipeline(Export& one);
    // Of a branch: said once, and tried again by itself.
    void not_served(Export& one, const Status& why);
    void serve_again();
    void on_loop(const std::function<void()>& work);
    std::string directory_;
    std::map<std::string, Export, ById> exports_;
    ExportIds ids_;
    std::shared_ptr<Exports*> alive_;
    std::unique_ptr<net::Timer> again_;  // on the node's loop
    net::Loop loop_;
    std::thread thread_;
};

}  // namespace everstep::daemon
