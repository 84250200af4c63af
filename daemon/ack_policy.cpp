#include "daemon/ack_policy.hpp"

#include <algorithm>

namespace everstep::daemon {

AckPolicy::AckPolicy(const GroupConfig& config, const std::vector<std::string>& standbys)
    : level_(config.ack),
      loss_(config.on_standby_loss),
      timeout_(config.standby_timeout),
      asked_(config.ack_standbys) {
    for (const std::string& name : standbys) peers_[name] = Peer();
}

// With `stall` nothing is answered by fewer than asked for, nor by none at all: where there are not
// so many others, writes wait for those that join.
bool AckPolicy::joining_count(LossPolicy loss, std::uint32_t asked) const {
    const auto others = std::count_if(peers_.begin(), peers_.end(),
                                      [](const auto& one) { return !one.second.joining; });
    return loss == LossPolicy::stall && others < std::max<std::ptrdiff_t>(1, asked);
}

std::uint32_t AckPolicy::counted_by(LossPolicy loss, std::uint32_t asked) const {
    const bool all = joining_count(loss, asked);
    return static_cast<std::uint32_t>(std::count_if(
        peers_.begin(), peers_.end(), [&](const auto& one) { return all || !one.second.joining; }));
}

std::uint32_t AckPolicy::needed_by(LossPolicy loss, std::uint32_t asked) const {
    const std::uint32_t counted = counted_by(loss, asked);
    return asked == 0 ? counted : std::min(asked, counted);
}

bool AckPolicy::counts(const Peer& peer) const {
    return !peer.lost && (!peer.joining || joining_count(loss_, asked_));
}

bool AckPolicy::counts(const std::string& peer) const {
    const auto at = peers_.find(peer);
    return at != peers_.end() && counts(at->second);
}

std::ptrdiff_t AckPolicy::present() const {
    return std::count_if(peers_.begin(), peers_.end(),
                         [&](const auto& one) { return counts(one.second); });
}

bool AckPolicy::asks_other_answers(const GroupConfig& config) const {
    return config.ack != level_ ||
           needed_by(config.on_standby_loss, config.ack_standbys) != needed();
}

bool AckPolicy::reconfigure(const GroupConfig& config, Lsn captured) {
    const bool other = asks_other_answers(config);
    if (!other && config.ack_standbys == asked_ && config.on_standby_loss == loss_ &&
        config.standby_timeout == timeout_)
        return false;
    level_ = config.ack;
    asked_ = config.ack_standbys;
    loss_ = config.on_standby_loss;
    timeout_ = config.standby_timeout;
    if (!other) return true;
    begin(captured);
    for (auto& [name, peer] : peers_) {
        Peer anew;
        anew.lost = peer.lost;
        anew.joining = peer.joining;
        peer = anew;
    }
    return true;
}

// Those that stay keep only what they have.
void AckPolicy::set_standbys(const GroupConfig& config, const std::vector<std::string>& standbys,
                             Lsn released) {
    asked_ = config.ack_standbys;
    begin(std::max(begun_, released));
    std::map<std::string, Peer> now;
    for (const std::string& name : standbys) {
        Peer& one = now[name] = peers_[name];
        one.caught_up = one.caught_up && one.position >= begun_;
    }
    peers_ = std::move(now);
}

void AckPolicy::begin(Lsn tip) {
    begun_ = tip;
}

void AckPolicy::recorded_lost(const std::string& peer) {
    peers_[peer].lost = true;
}

void AckPolicy::answered(const std::string& peer, Lsn position, std::chrono::nanoseconds now) {
    Peer& one = peers_[peer];
    one.heard = true;
    const bool moved = position > one.position;
    one.position = std::max(one.position, position);
    one.caught_up = one.caught_up || one.position >= begun_;
    // The way to where this run, or this `ack`, began is one thing to be answered: answers wait for
    // the end of it.
    if (moved && one.caught_up) one.progress = now;
}

void AckPolicy::away(const std::string& peer) {
    const auto at = peers_.find(peer);
    if (at == peers_.end()) return;
    at->second.heard = false;
    at->second.lap.reset();
    at->second.near.reset();
}

std::vector<std::string> AckPolicy::overdue(Lsn captured, std::chrono::nanoseconds now) {
    std::vector<std::string> names;
    if (level_ == AckLevel::local || loss_ == LossPolicy::stall) return names;
    for (auto& [name, peer] : peers_) {
        if (peer.joining) continue;  // nothing is owed by it
        const bool first_look = peer.progress == std::chrono::nanoseconds(0);
        if (peer.position >= captured || peer.lost || first_look) {
            peer.progress = now;  // nothing is owed, or not known yet: the time runs from here
        } else if (now - peer.progress > timeout_) {
            names.push_back(name);
        }
    }
    return names;
}

void AckPolicy::confirm_lost(const std::string& peer) {
    Peer& one = peers_[peer];
    one.lost = true;
    one.lap.reset();
    one.near.reset();
}

// True when it is there.
bool AckPolicy::come_near(Peer& peer, Lsn captured, std::chrono::nanoseconds now) const {
    if (peer.near && now - peer.near_since > timeout_) {
        peer.near.reset();
        peer.lap.reset();
    }
    if (!peer.lap) {
        peer.lap = captured;
        peer.lap_began = now;
    }
    if (!peer.heard) return false;
    if (!peer.near && peer.position >= *peer.lap) {
        if (now - peer.lap_began <= timeout_ / 2) {
            peer.near = captured;
            peer.near_since = now;
        } else {
            peer.lap = captured;
            peer.lap_began = now;
        }
    }
    return peer.near && peer.position >= *peer.near;
}

std::vector<std::string> AckPolicy::arrived(Lsn captured, std::chrono::nanoseconds now) {
    std::vector<std::string> names;
    for (auto& [name, peer] : peers_) {
        if (!peer.lost && !peer.joining) continue;
        // With `local` nothing is owed by anyone: one that is whole has joined.
        const bool there = waits() ? come_near(peer, captured, now) : peer.joining && peer.heard;
        if (there) names.push_back(name);
    }
    return names;
}

void AckPolicy::confirm_arrived(const std::string& peer, std::chrono::nanoseconds now) {
    Peer& one = peers_[peer];
    one.lost = one.joining = false;
    one.lap.reset();
    one.near.reset();
    one.progress = now;
}

bool AckPolicy::joining(const std::string& peer) const {
    const auto at = peers_.find(peer);
    return at != peers_.end() && at->second.joining;
}

// By those that count, and by them with those that are near: when these come to count, all that
// was answered meanwhile is on as many of them all as is asked for.
Lsn AckPolicy::released(Lsn captured) const {
    if (!waits()) return captured;
    return std::min(released(captured, false), released(captured, true));
}

Lsn AckPolicy::released(Lsn captured, bool with_near) const {
    std::vector<Lsn> positions;
    for (const auto& [name, peer] : peers_)
        if (counts(peer) || (with_near && peer.near)) positions.push_back(peer.position);
    if (positions.empty()) return captured;
    const std::size_t count =
        asked_ == 0 ? positions.size() : std::min<std::size_t>(asked_, positions.size());
    std::sort(positions.rbegin(), positions.rend());
    return std::min(positions[count - 1], captured);
}

bool AckPolicy::enough() const {
    return counted() > 0 && present() >= static_cast<std::ptrdiff_t>(needed());
}

AckLevel AckPolicy::in_force() const {
    return enough() && present() >= static_cast<std::ptrdiff_t>(asked_) ? level_ : AckLevel::local;
}

bool AckPolicy::kept() const {
    const auto confirmed = std::count_if(peers_.begin(), peers_.end(), [](const auto& one) {
        return one.second.caught_up && !one.second.lost && !one.second.joining;
    });
    return level_ == AckLevel::durable && counted() > 0 &&
           confirmed >= static_cast<std::ptrdiff_t>(needed());
}

std::string_view ack_name(AckLevel level) {
    switch (level) {
        case AckLevel::local:
            return "local";
        case AckLevel::received:
            return "received";
        case AckLevel::durable:
            return "durable";
    }
    EVERSTEP_ASSERT(false, "an ack level");
}

}  // namespace everstep::daemon
