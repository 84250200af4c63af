// Primary: the serving half of a group on one node: decides at a start whether and from where to
// serve, runs the pipeline, keeps the backlog, and sends to every standby. Thread: the node's loop.
// Invariants (DESIGN.md 5): nothing is served before decide_start() said so and the record of it is
// durable; a standby's stream begins only by plan_stream(); frames are dropped only below every
// standby's position; an answer is released only as AckPolicy says, after a loss was recorded
// durably.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "daemon/ack_policy.hpp"
#include "daemon/backlog.hpp"
#include "daemon/marking.hpp"
#include "daemon/pipeline.hpp"
#include "daemon/primary_events.hpp"
#include "daemon/puller.hpp"
#include "daemon/restore.hpp"
#include "daemon/standing.hpp"
#include "daemon/verify_job.hpp"
#include "daemon/volume_join.hpp"
#include "standby/standby.hpp"

namespace everstep::daemon {

class Primary {
  public:
    enum class State : std::uint8_t { starting, serving, refused, stopped };

    Primary(GroupContext& context, standby::Standby* store, PrimaryEvents events);
    ~Primary();
    void start(bool volumes_made);
    void adopt_soon(bool force, const std::string& from, std::function<void(Status)> done);
    // A takeover has made the record's timeline and tip durable: serve at once.
    void serve_promoted(std::function<void(Status)> done);
    // Disconnects the clients, drains the backlog or stores it, records a clean stop.
    void stop(std::function<void()> done);
    // Ends serving at once, without a clean stop: the node lost the role.
    void fence();

    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] const std::string& why() const { return why_; }
    [[nodiscard]] bool serves() const { return pipeline_ != nullptr; }
    [[nodiscard]] Lsn captured() const { return pipeline_ ? pipeline_->captured() : Lsn(); }
    [[nodiscard]] Value status() const;  // positions, peers, volumes: the group's part
    [[nodiscard]] wire::GroupState group_state() const;
    [[nodiscard]] WallTime step_now() const;
    void set_paused(bool paused);
    void reconfigure();                      // the configuration's live keys are others now
    [[nodiscard]] Status change_standbys();  // it names others: durable, then they come and go
    // All that was acknowledged so far is durable on it, which is whole and counts.
    [[nodiscard]] bool keeps_acknowledged(const std::string& node) const;
    // What a node that dialled in says: a newer timeline ends this node's role.
    void heard(const wire::GroupState& state, const std::string& node);
    void put_mark(const MarkBody& mark, std::function<void(Result<Point>)> done);
    [[nodiscard]] Restore& restore() { return restore_; }
    [[nodiscard]] VolumeJoin& volumes() { return joins_; }
    void dial_standbys();  // now: they have been told something
    // Compares the standbys (or `only` one) with this node. `tell`: progress, at last the results.
    [[nodiscard]] Status verify(const std::string& only, bool repair,
                                std::function<void(Value body, bool last)> tell);

  private:
    [[nodiscard]] VolumeJoinAccess join_access();  // primary_volumes.cpp
    void add_standing(const std::string& name);    // and standbys that go: primary_members.cpp
    void end_standing(const std::string& name);
    void consider(bool forced = false);  // start: primary_start.cpp
    void know_store(StartInput& input) const;
    void carry_out(const StartDecision& decision);
    void begin_group();
    void adopt(bool force, const std::string& from, std::function<void(Status)> done);
    [[nodiscard]] bool stands_on_unserved(const StartDecision& decision) const;
    void branch(const StartDecision& decision, bool compare);
    void begin_timeline(const journal::TimelineInfo& next);
    void pull(const StartDecision& decision);
    [[nodiscard]] Status record_pull(const StartDecision& decision);
    void refuse(const std::string& why);
    void put_back();
    void answer_adopt(const Status& status);
    void serve();
    void not_served(const Status& why);
    void served(bool new_timeline);
    void load_backlog();
    [[nodiscard]] std::string volumes_changed();
    // sending (primary.cpp)
    void on_frame(const FramePtr& frame);
    bool took_over(const wire::GroupState& state, const std::string& node);
    void split_brain(bool split, const std::string& node);
    void begin_session(Standing& standing);
    [[nodiscard]] WallTime base_time() const;
    void end_session(Standing& standing);
    void say_who_listens();
    void session_moved(Standing& standing);
    [[nodiscard]] bool save();
    void tick();
    void save_progress();
    void drain(std::chrono::nanoseconds deadline, std::function<void()> done);
    void record_stop();
    [[nodiscard]] Status sample();
    [[nodiscard]] Status sample_in_use();
    void mark_sealed(std::uint64_t id, const journal::Tip& at);
    void answer_marks();
    [[nodiscard]] bool kept_by_a_standby(const Marking& marking) const;
    [[nodiscard]] Status mark_not_kept(const Marking& marking) const;
    void fail_marks();
    Standing* standing(const std::string& node);
    [[nodiscard]] SendActions send_actions(Standing& standing, Point from);
    void release();  // and what else answers need: primary_ack.cpp
    [[nodiscard]] bool record_kept();
    void answered(const Standing& standing);
    void count_standbys();
    void switch_ack(Lsn newest);
    void tell_difference(Standing& standing);
    [[nodiscard]] CopyOptions copy_options() const;  // what a copy may cost: primary_copy.cpp
    [[nodiscard]] CopyOptions resync_options(const Standing& standing) const;
    [[nodiscard]] Status may_copy(Standing& standing);
    void too_different(Peer& peer, const Status& why);
    [[nodiscard]] bool take_any_difference();
    void pump_copies();
    [[nodiscard]] VerifyAccess verify_access();  // primary_verify.cpp
    void keep_frame(const FramePtr& frame);      // backlog: primary_backlog.cpp
    void drop_frames();
    void newest_known(const journal::Tip& tip);
    void on_overflow();
    void lose_order(const std::string& reason);
    void unreadable(FrameSeq seq, const Status& why);
    bool order_lost(const std::string& reason, FrameSeq behind);
    void let_go(Standing& standing, const std::string& reason);
    [[nodiscard]] BacklogState backlog_state(const Standing& standing) const;
    void tell_backlogs();
    void prepare_intent();  // write-intent map: primary_intent.cpp
    void forget_intent();
    [[nodiscard]] IntentOptions intent_options() const;
    [[nodiscard]] bool intent_usable() const;
    [[nodiscard]] Status intent_lost(const Status& why);
    [[nodiscard]] std::size_t bit_of(const std::string& node) const;
    [[nodiscard]] bool proved_before(const std::string& node, Point at) const;
    [[nodiscard]] std::vector<Lsn> prove();
    [[nodiscard]] std::vector<journal::GapExtent> to_pull(const StartDecision& decision);
    [[nodiscard]] std::string share_of(const std::vector<journal::GapExtent>& extents) const;
    void send_may_differ(Standing& standing, Point from,
                         std::function<void(std::vector<journal::GapExtent>)> done);
    [[nodiscard]] RestoreAccess restore_access();  // primary_restore.cpp
    [[nodiscard]] bool history_has(const std::string& node, Point at) const;
    [[nodiscard]] bool follows(const std::string& node) const;
    void read_own(const wire::ReadRequest& what, RemoteReads::Done done);
    [[nodiscard]] std::string why_no_adopt() const;
    // status (primary_status.cpp)
    [[nodiscard]] Value peer_status(const std::string& name, const Standing& standing) const;
    [[nodiscard]] double lag_seconds(Lsn durable) const;
    [[nodiscard]] Value positions() const;
    [[nodiscard]] Value backlog_status() const;

    GroupContext& context_;
    standby::Standby* store_;
    PrimaryEvents events_;
    State state_ = State::starting;
    std::string why_;
    bool waited_ = false;
    bool has_record_ = false;
    bool volumes_made_ = false;
    bool was_clean_ = false;
    bool new_timeline_ = false;
    IntentBegin intent_ = IntentBegin::all_marked;  // what this start makes of the map
    bool appending_ = false;                        // the store is about to have the next timeline
    bool devices_clean_ = false;
    bool losing_ = false;                   // frames are dropped up to the one that names the gap
    std::vector<std::string> intent_bits_;  // as IntentRecord's, also when that is lost
    std::string volume_problem_;
    std::optional<GroupRecord> before_;  // what a start that serves nothing puts back
    std::string alarmed_;
    std::string unsaved_;     // why the record could not be saved last time
    std::string split_with_;  // a node that serves another line, undecided whose counts
    std::function<void(Status)> adopting_;
    std::unique_ptr<Puller> puller_;
    std::string pulling_from_;
    Restore restore_;
    VerifyJob verify_;
    VolumeJoin joins_;
    std::unique_ptr<Pipeline> pipeline_;
    Backlog backlog_;
    AckPolicy ack_;
    journal::Tip sealed_;   // newest frame taken from the pipeline
    journal::Tip stepped_;  // the same position, with the newest frame that holds a step
    Lsn released_;
    std::uint64_t saved_lsn_ = 0;
    std::map<std::string, Standing> standings_;
    std::map<std::uint64_t, Marking> marks_;
    std::uint64_t next_mark_ = 1;
    std::deque<SealedTime> sealed_times_;  // of frames some standby lacks; bounded
    net::Timer wait_timer_;
    net::Timer tick_timer_;
    net::Timer save_timer_;
    net::Timer adopt_timer_;
    std::chrono::nanoseconds adopt_until_{0};
    std::shared_ptr<Primary*> alive_;
};

}  // namespace everstep::daemon
