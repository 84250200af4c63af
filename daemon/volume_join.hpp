// VolumeJoin: volumes that are added to a group while this node serves it from its own devices
// (`everstep group apply`, docs/decisions/0026-volumes-come-as-steps.md): the record, the pipeline,
// and the content that was there before, read in piece by piece and shipped as ordinary steps.
// Thread: the node's loop. Invariants: a volume is in the record, durably, before the first write
// to it; no frame with a write to it leaves over a session that began without it; it is called
// whole, durably, only at a step that has all of it; a start reads in anew what is not whole.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "daemon/group_context.hpp"
#include "daemon/pipeline.hpp"
#include "daemon/rate_limit.hpp"

namespace everstep::daemon {

struct VolumeJoinAccess {
    std::function<Pipeline*()> pipeline;  // null: nothing is served, or a restore is under way
    std::function<bool()> may_read;       // a standby takes more
    std::function<void(const Status& why)> end_sessions;
    std::function<void()> say;  // to the peers: what is whole has changed
};

class VolumeJoin {
  public:
    VolumeJoin(GroupContext& context, VolumeJoinAccess access);
    ~VolumeJoin();
    // The configuration names volumes that the group did not have: they are served when it returns
    // ok. Else nothing has changed; images that were made stay.
    [[nodiscard]] Status add();
    // The operator's word, on a node that took over: what the history has of volumes at this step
    // is all of them. False: nothing is coming, or it cannot be recorded.
    [[nodiscard]] bool take_as_whole(Point at);
    void begin();  // serving has begun
    void tick();
    // What of the volume was read in so far; null: it is whole.
    [[nodiscard]] Value status(const VolumeRecord& volume) const;

  private:
    void read_on();
    void read(Result<Pipeline::TakenIn> taken);
    void whole(const journal::Tip& at);
    void choose();

    GroupContext& context_;
    VolumeJoinAccess access_;
    std::string volume_;  // is read in; empty: none
    std::uint64_t done_ = 0;
    bool reading_ = false;
    std::string alarmed_;
    RateLimit rate_;
    std::shared_ptr<VolumeJoin*> alive_;
};

// What is served of a volume of the record, from this node's device.
[[nodiscard]] PipelineVolume served_volume(const GroupContext& context, const VolumeRecord& volume);

}  // namespace everstep::daemon
