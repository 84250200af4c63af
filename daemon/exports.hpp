// Exports: steps served as NBD disks, by id. They live until `unexport` or the node's end; all are
// served on one thread of their own. Thread: the node's loop; making and ending one blocks for a
// moment.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/group_context.hpp"
#include "daemon/nbd_server.hpp"
#include "standby/export_device.hpp"

namespace everstep::daemon {

struct ExportRequest {
    std::string group;
    Point point;
    std::vector<std::pair<VolumeIndex, VolumeRecord>> volumes;
    std::string socket;  // empty: in the node's own directory
};

class Exports {
  public:
    explicit Exports(std::string directory);  // of the sockets
    ~Exports();
    [[nodiscard]] Result<Value> add(const standby::Standby& standby, const ExportRequest& request);
    [[nodiscard]] Status remove(const std::string& id);
    void remove_group(const std::string& group);               // before its store is closed
    [[nodiscard]] Value list(const std::string& group) const;  // empty: all

  private:
    struct Export {
        std::string group;
        Value told;
        journal::HoldPtr hold;  // the step stays as long as it is served
        std::vector<std::unique_ptr<BlockDevice>> devices;
        std::vector<std::unique_ptr<NbdServer>> servers;
    };
    [[nodiscard]] Status serve(Export& one, const standby::Standby& standby,
                               const ExportRequest& request, const std::string& id);
    void on_loop(const std::function<void()>& work);
    std::string directory_;
    struct ById {  // 2 before 10
        bool operator()(const std::string& a, const std::string& b) const {
            return a.size() != b.size() ? a.size() < b.size() : a < b;
        }
    };
    std::map<std::string, Export, ById> exports_;
    std::uint64_t next_id_ = 1;
    net::Loop loop_;
    std::thread thread_;
};

}  // namespace everstep::daemon
