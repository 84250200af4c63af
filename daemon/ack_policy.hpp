// AckPolicy: up to which LSN answers may leave, from what each standby has answered (DESIGN.md 6:
// `ack`, `ack_standbys`, `on_standby_loss`; docs/ack.md). Pure: times are handed in. Thread: the
// node's loop.
// Invariants: a standby counts as lost only after that was recorded durably by the caller
// (confirm_lost); with `stall` none is lost that is not lost already. One that is lost, or joins a
// running group, counts once it has all that was answered without it, and that is recorded
// (confirm_arrived).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/config.hpp"

namespace everstep::daemon {

class AckPolicy {
  public:
    AckPolicy(const GroupConfig& config, const std::vector<std::string>& standbys);
    void begin(Lsn tip);  // of the last run: a standby proves nothing before it has got there
    void recorded_lost(const std::string& peer);  // from the last run's record
    // It is new to the group, and nothing was answered on its word.
    void joins(const std::string& peer) { peers_[peer].joining = true; }
    // Of a running group: these from now on. `released`: so far; it may lie on one that leaves.
    void set_standbys(const GroupConfig& config, const std::vector<std::string>& standbys,
                      Lsn released);
    // It is whole, and has this.
    void answered(const std::string& peer, Lsn position, std::chrono::nanoseconds now);
    void away(const std::string& peer);  // its session has ended: it does not come nearer now
    // Standbys that did not answer in time for writes that exist: record them, then confirm.
    [[nodiscard]] std::vector<std::string> overdue(Lsn captured, std::chrono::nanoseconds now);
    void confirm_lost(const std::string& peer);
    // Looks, every few milliseconds, at those that do not count. Answers wait for one that is near:
    // what was captured it had within half of `standby_timeout`; once it has all from when that
    // began, it is named: record that, then confirm. Under writes that never pause it gets there,
    // too. It is waited for at most `standby_timeout`, then tried again.
    [[nodiscard]] std::vector<std::string> arrived(Lsn captured, std::chrono::nanoseconds now);
    void confirm_arrived(const std::string& peer, std::chrono::nanoseconds now);
    [[nodiscard]] bool joining(const std::string& peer) const;
    [[nodiscard]] bool counts(const std::string& peer) const;
    [[nodiscard]] Lsn released(Lsn captured) const;
    [[nodiscard]] AckLevel in_force() const;
    // As many standbys as answers wait for are there: of those that count, when they are fewer than
    // asked for.
    [[nodiscard]] bool enough() const;
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
    // Standbys of which an answered write has to be on `needed`.
    [[nodiscard]] std::uint32_t counted() const { return counted_by(loss_, asked_); }
    [[nodiscard]] std::uint32_t needed() const { return needed_by(loss_, asked_); }
    // With kept(): of so many of those that count one at least has all that was released.
    [[nodiscard]] std::uint32_t answers() const { return counted() - needed() + 1; }
    // All that was released before this run, or this `ack`, lies up to here.
    [[nodiscard]] Lsn begun() const { return begun_; }

  private:
    struct Peer {
        Lsn position;
        std::chrono::nanoseconds progress{0};
        bool lost = false;
        bool joining = false;
        bool caught_up = false;
        bool heard = false;  // in this session
        // Lost or joining: it has to get to `lap`, which had been captured at `lap_began`; then to
        // `near`, and from `near_since` on answers wait for it.
        std::optional<Lsn> lap;
        std::chrono::nanoseconds lap_began{0};
        std::optional<Lsn> near;
        std::chrono::nanoseconds near_since{0};
    };
    [[nodiscard]] bool joining_count(LossPolicy loss, std::uint32_t asked) const;
    [[nodiscard]] std::uint32_t counted_by(LossPolicy loss, std::uint32_t asked) const;
    [[nodiscard]] std::uint32_t needed_by(LossPolicy loss, std::uint32_t asked) const;
    [[nodiscard]] bool counts(const Peer& peer) const;
    [[nodiscard]] std::ptrdiff_t present() const;
    [[nodiscard]] bool come_near(Peer& peer, Lsn captured, std::chrono::nanoseconds now) const;
    [[nodiscard]] Lsn released(Lsn captured, bool with_near) const;
    AckLevel level_;
    LossPolicy loss_;
    std::chrono::nanoseconds timeout_;
    std::uint32_t asked_;  // ack_standbys; 0: all
    Lsn begun_;
    std::map<std::string, Peer> peers_;
};

[[nodiscard]] std::string_view ack_name(AckLevel level);

}  // namespace everstep::daemon
