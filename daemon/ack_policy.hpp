// AckPolicy: up to which LSN answers may leave, from what each standby has answered (DESIGN.md 6:
// `ack`, `ack_standbys`, `on_standby_loss`). Pure: times are handed in. Thread: the node's loop.
// Invariants: a standby counts as lost only after lost() was recorded durably by the caller
// (confirm_lost); with `stall` none is lost that is not lost already. One that is lost counts again
// once it has all that had been captured when answers began to wait for it again.
#pragma once

#include <map>
#include <optional>
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
    // Looks at lost ones, every few milliseconds. Answers wait again for one that has all that had
    // been captured at the look before; once it has all from when that began, it is named: record
    // that, then confirm. Under writes that never pause it gets there, too.
    [[nodiscard]] std::vector<std::string> recovered(Lsn captured, std::chrono::nanoseconds now);
    void confirm_recovered(const std::string& peer, std::chrono::nanoseconds now);
    [[nodiscard]] Lsn released(Lsn captured) const;
    [[nodiscard]] AckLevel in_force() const;
    // All that was released is durable on enough standbys, and stays so: durable is in force, and
    // as many of those that are not lost as `ack_standbys` asks for have got to where this run
    // began.
    [[nodiscard]] bool kept() const;
    // Takes over what another reading of the configuration says; false: nothing that concerns it.
    // Where asks_other_answers(), no standby has answered yet, and nothing counts as kept before
    // they have got to `captured`; the caller has seen to it that answers are held.
    bool reconfigure(const GroupConfig& config, Lsn captured);
    // Other standbys' answers, or more of them, than now.
    [[nodiscard]] bool asks_other_answers(const GroupConfig& config) const;
    [[nodiscard]] AckLevel level() const { return level_; }
    [[nodiscard]] bool waits() const { return level_ != AckLevel::local && !peers_.empty(); }
    [[nodiscard]] std::uint32_t needed() const { return needed_; }

  private:
    struct Peer {
        Lsn position;
        std::chrono::nanoseconds progress{0};
        bool lost = false;
        bool caught_up = false;
        bool heard = false;        // it has answered at all
        std::optional<Lsn> joins;  // lost, and answers wait for it again: it has to get there
        std::chrono::nanoseconds joined{0};
    };
    [[nodiscard]] std::uint32_t needed_by(const GroupConfig& config) const;
    AckLevel level_;
    LossPolicy loss_;
    std::chrono::nanoseconds timeout_;
    std::uint32_t needed_;
    Lsn begun_;
    std::optional<Lsn> looked_;  // captured, when recovered() looked last
    std::map<std::string, Peer> peers_;
};

[[nodiscard]] std::string_view ack_name(AckLevel level);

}  // namespace everstep::daemon
