// Puller: brings this node's volumes to the content that a peer holds at one step, before they are
// served: after an unclean stop with `durable` in force, or by `adopt --from`. Reads what may
// differ over the link, writes what differs. Thread: the node's loop; the device's part runs on a
// worker. After a crash in the middle it is begun anew.
#pragma once

#include <functional>
#include <memory>

#include "common/net/worker_pool.hpp"
#include "daemon/group_context.hpp"
#include "daemon/link.hpp"
#include "daemon/remote_reads.hpp"

namespace everstep::daemon {

struct PullOptions {
    Point at;
    std::vector<std::string> devices;         // by volume
    std::vector<journal::GapExtent> extents;  // where to look
};

class Puller {
  public:
    using Done = std::function<void(Status, ByteCount changed)>;
    Puller(const GroupContext& context, PullOptions options, Link& link, Done done);
    ~Puller();
    [[nodiscard]] LinkEvents link_events();  // for the link that answers
    void begin();
    void link_lost(const Status& why) { finish(why); }

  private:
    struct Wanted {
        VolumeIndex volume;
        ByteOffset offset;
        ByteCount length;
    };
    void ask();
    [[nodiscard]] Status on_control(const wire::Control& message);
    void put(const Wanted& wanted, Buffer content);
    void written(const Status& status, std::uint64_t changed);
    void finish(const Status& status);

    const GroupContext& context_;
    PullOptions options_;
    RemoteReads reads_;
    Done done_;
    std::vector<std::shared_ptr<io::File>> files_;
    std::size_t extent_ = 0;
    std::uint64_t offset_ = 0;  // in it
    std::size_t writing_ = 0;
    std::uint64_t changed_ = 0;
    bool finished_ = false;
    std::shared_ptr<Puller*> alive_;
    std::unique_ptr<net::WorkerPool> worker_;
};

}  // namespace everstep::daemon
