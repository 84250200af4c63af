// Primary: which answers may leave, which standbys count, and what `ack` is switched to while it
// serves (docs/ack.md).
#include <utility>

#include <fmt/format.h>

#include "daemon/primary.hpp"

namespace everstep::daemon {

// Whether the standbys keep what is answered is durable before an answer leaves that depends on it:
// the next start may trust them only then, and has to when it is so.
bool Primary::record_kept() {
    GroupRecord& record = context_.record;
    const bool kept = ack_.kept();
    const std::uint32_t answers = kept ? ack_.answers() : 0;
    if (record.ack_kept == kept && (!kept || record.ack_answers == answers)) return true;
    const bool kept_before = std::exchange(record.ack_kept, kept);
    const std::uint32_t answers_before = std::exchange(record.ack_answers, answers);
    if (kept != kept_before) record.acked = kept ? std::min(released_, sealed_.point.lsn) : Lsn();
    if (save()) return true;
    record.ack_kept = kept_before;
    record.ack_answers = answers_before;
    return false;
}

void Primary::release() {
    if (state_ != State::serving || !pipeline_) return;
    const Lsn upto = ack_.waits() ? ack_.released(pipeline_->captured()) : Lsn(UINT64_MAX);
    // What the standbys have got again, they keep, also where nobody writes any more.
    const bool more = upto > released_;
    if ((!more && !ack_.kept()) || !record_kept() || !more) return;
    released_ = upto;
    pipeline_->release(upto);
}

void Primary::answered(const Standing& standing) {
    const wire::Ack& acked = standing.acked;
    ack_.answered(standing.peer->name(),
                  ack_.level() == AckLevel::received ? acked.received : acked.durable,
                  context_.clock->boot());
}

// Those that do not answer count no more, and those that have caught up count again.
void Primary::count_standbys() {
    const auto now = context_.clock->boot();
    const Lsn captured = pipeline_->captured();
    for (const std::string& name : ack_.overdue(captured, now)) {
        const Lsn since = standings_[name].acked.durable + 1;
        std::optional<Lsn>& behind = context_.record.peers[name].behind_since;
        behind = since;
        if (!save()) {  // before the first write that is acknowledged without it
            behind.reset();
            continue;
        }
        ack_.confirm_lost(name);
        context_.event(
            "alarm-ack",
            fmt::format("{} has not answered for {} ms: behind since step {}; writes are "
                        "acknowledged without it",
                        name, context_.group->standby_timeout.count(), since.value()));
    }
    for (const std::string& name : ack_.arrived(captured, now)) {
        PeerRecord& record = context_.record.peers[name];
        const PeerRecord before = record;
        record.behind_since.reset();
        record.joining = false;
        // What one of the others alone has is not on this one: of one more, one has it.
        std::uint32_t& answers = context_.record.ack_answers;
        const std::uint32_t answers_before = answers;
        if (before.joining && answers != 0) ++answers;
        if (!save()) {  // the next start trusts as many as the record says
            record = before;
            answers = answers_before;
            continue;
        }
        ack_.confirm_arrived(name, now);
        context_.event("ack", fmt::format("{} has caught up{}; `ack` in force: {}", name,
                                          before.joining ? " for the first time: it counts from "
                                                           "here on"
                                                         : "",
                                          ack_name(ack_.in_force())));
    }
    release();
}

// SIGHUP: what can change while it serves.
void Primary::reconfigure() {
    const GroupConfig& group = *context_.group;
    backlog_.set_limits(group.queue_bytes, group.spool_bytes);
    for (auto& [name, standing] : standings_) {
        standing.rate.set(group.rate_limit);
        if (!standing.session) continue;
        standing.peer->say_hello();
        tell_difference(standing);
    }
    const bool waits = group.ack != AckLevel::local && !standings_.empty();
    if (!waits || !pipeline_ || !ack_.asks_other_answers(group)) return switch_ack(captured());
    // What was answered before the answers were held is durable nowhere but here.
    pipeline_->hold_answers([this, alive = alive_](Lsn newest) {
        if (*alive == nullptr) return;
        // Nor is what was released meanwhile, under the old `ack`, an answer under the new one.
        if (pipeline_) pipeline_->hold_answers([](Lsn) {});
        released_ = Lsn();
        switch_ack(newest);
    });
}

void Primary::tell_difference(Standing& standing) {
    const std::string now = standing.peer->difference();
    if (now == std::exchange(standing.differs, now)) return;
    context_.event("reload",
                   standing.peer->name() + (now.empty() ? ": the configurations are the same again"
                                                        : ": " + differs_text(now)));
}

void Primary::switch_ack(Lsn newest) {
    if (!ack_.reconfigure(*context_.group, newest)) return release();
    for (auto& [name, standing] : standings_) {
        const bool whole = standing.session && standing.acked.consistent && !standing.lost_order &&
                           standing.session->state() == SendSession::State::streaming;
        if (whole) answered(standing);
    }
    context_.event(
        "ack", fmt::format("`ack` is {} now, of {} standbys; in force: {}", ack_name(ack_.level()),
                           ack_.needed(), ack_name(ack_.in_force())));
    if (!pipeline_) return;
    pipeline_->set_seal_every_batch(store_ != nullptr || ack_.waits());
    say_who_listens();
    release();
}

}  // namespace everstep::daemon
