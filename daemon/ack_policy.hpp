// AckPolicy: up to which LSN answers may leave, from what each standby has answered (DESIGN.md 6:
// `ack`, `ack_standbys`, `on_standby_loss`). Pure: times are handed in. Thread: the node's loop.
// Invariants: a standby counts as lost only after lost() was recorded durably by the caller
// (confirm_lost); with `stall` none is ever lost.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/config.hpp"

namespace everstep::daemon {

class AckPolicy {
  public:
    AckPolicy(const GroupConfig& config, std::vector<std::string> standbys);
    void begin(Lsn tip);  // of the last run: a standby proves nothing before it has got there
    void recorded_lost(const std::string& peer);  // from the last run's record
    void answered(const std::string& peer, Lsn position, std::chrono::nanoseconds now);
    // Standbys that did not answer in time for writes that exist: record them, then confirm.
    [[nodiscard]] std::vector<std::string> overdue(Lsn captured, std::chrono::nanoseconds now);
    void confirm_lost(const std::string& peer);
    // Lost ones that have caught up with `captured`: record that, then confirm.
    [[nodiscard]] std::vector<std::string> recovered(Lsn captured) const;
    void confirm_recovered(const std::string& peer, std::chrono::nanoseconds now);
    [[nodiscard]] Lsn released(Lsn captured) const;
    [[nodiscard]] AckLevel in_force() const;
    // All that was released is durable on enough standbys, and stays so: durable is in force, and
    // as many of those that are not lost as `ack_standbys` asks for have got to where this run
    // began.
    [[nodiscard]] bool kept() const;
    [[nodiscard]] bool waits() const { return level_ != AckLevel::local && !peers_.empty(); }
    [[nodiscard]] std::uint32_t needed() const { return needed_; }

  private:
    struct Peer {
        Lsn position;
        std::chrono::nanoseconds progress{0};
        bool lost = false;
        bool caught_up = false;
    };
    AckLevel level_;
    LossPolicy loss_;
    std::chrono::nanoseconds timeout_;
    std::uint32_t needed_;
    Lsn begun_;
    std::map<std::string, Peer> peers_;
};

[[nodiscard]] std::string_view ack_name(AckLevel level);

}  // namespace everstep::daemon
