// ReceiveHashes: what this node holds of a range, as hashes, for a peer that sends only what
// differs (an initial sync, a resync, a verify).
//
// A question lies in the peer's stream: the journal thread answers it behind everything that was
// sent before it, and before what comes later. Thread: the loop's. At most kHashRequestsMax wait;
// a peer that asks for more loses its session.
#pragma once

#include "standby/receive.hpp"

namespace everstep::standby {

inline constexpr std::size_t kHashRequestsMax = 64;

class ReceiveHashes {
  public:
    ReceiveHashes(Standby& standby, const ReceiveActions& actions)
        : standby_(standby), actions_(actions), alive_(std::make_shared<bool>(true)) {}
    // `raw`: an initial sync runs, whose content lies in the replica alone.
    [[nodiscard]] Status ask(const wire::HashRequest& request, bool raw);

  private:
    Standby& standby_;
    const ReceiveActions& actions_;
    std::shared_ptr<bool> alive_;  // answers to a session that is gone are dropped
    std::size_t waiting_ = 0;
};

}  // namespace everstep::standby
