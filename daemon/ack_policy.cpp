#include "daemon/ack_policy.hpp"

#include <algorithm>

namespace everstep::daemon {

AckPolicy::AckPolicy(const GroupConfig& config, std::vector<std::string> standbys)
    : level_(config.ack), loss_(config.on_standby_loss), timeout_(config.standby_timeout) {
    for (std::string& name : standbys) peers_[std::move(name)] = Peer();
    needed_ = needed_by(config);
}

std::uint32_t AckPolicy::needed_by(const GroupConfig& config) const {
    return config.ack_standbys == 0 ? static_cast<std::uint32_t>(peers_.size())
                                    : config.ack_standbys;
}

bool AckPolicy::asks_other_answers(const GroupConfig& config) const {
    return config.ack != level_ || needed_by(config) != needed_;
}

bool AckPolicy::reconfigure(const GroupConfig& config, Lsn captured) {
    const bool other = asks_other_answers(config);
    if (!other && config.on_standby_loss == loss_ && config.standby_timeout == timeout_)
        return false;
    level_ = config.ack;
    needed_ = needed_by(config);
    loss_ = config.on_standby_loss;
    timeout_ = config.standby_timeout;
    if (!other) return true;
    begin(captured);
    for (auto& [name, peer] : peers_) {
        const bool lost = peer.lost;
        peer = Peer();
        peer.lost = lost;
    }
    return true;
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
    if (position > one.position) one.progress = now;
    one.position = std::max(one.position, position);
    one.caught_up = one.caught_up || one.position >= begun_;
}

std::vector<std::string> AckPolicy::overdue(Lsn captured, std::chrono::nanoseconds now) {
    std::vector<std::string> names;
    if (level_ == AckLevel::local || loss_ == LossPolicy::stall) return names;
    for (auto& [name, peer] : peers_) {
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
    peers_[peer].lost = true;
}

std::vector<std::string> AckPolicy::recovered(Lsn captured, std::chrono::nanoseconds now) {
    std::vector<std::string> names;
    for (auto& [name, peer] : peers_) {
        if (!peer.lost) continue;
        if (!peer.joins && peer.heard && peer.position >= looked_.value_or(captured)) {
            peer.joins = captured;
            peer.joined = now;
        }
        if (!peer.joins) continue;
        if (peer.position >= *peer.joins) {
            names.push_back(name);
        } else if (now - peer.joined > timeout_) {
            peer.joins.reset();
        }
    }
    looked_ = captured;
    return names;
}

void AckPolicy::confirm_recovered(const std::string& peer, std::chrono::nanoseconds now) {
    peers_[peer].lost = false;
    peers_[peer].joins.reset();
    peers_[peer].progress = now;
}

Lsn AckPolicy::released(Lsn captured) const {
    if (!waits()) return captured;
    std::vector<Lsn> positions;
    for (const auto& [name, peer] : peers_) {
        if (!peer.lost || peer.joins) positions.push_back(peer.position);
    }
    if (positions.empty()) return captured;
    const std::size_t count = std::min<std::size_t>(needed_, positions.size());
    std::sort(positions.rbegin(), positions.rend());
    return std::min(positions[count - 1], captured);
}

AckLevel AckPolicy::in_force() const {
    const auto present = static_cast<std::uint32_t>(std::count_if(
        peers_.begin(), peers_.end(), [](const auto& one) { return !one.second.lost; }));
    return present >= needed_ && !peers_.empty() ? level_ : AckLevel::local;
}

bool AckPolicy::kept() const {
    const auto confirmed = std::count_if(peers_.begin(), peers_.end(), [](const auto& one) {
        return one.second.caught_up && !one.second.lost;
    });
    return level_ == AckLevel::durable && !peers_.empty() &&
           confirmed >= static_cast<std::ptrdiff_t>(needed_);
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
