// Primary: what a standby's copy (initial sync, resync) may cost, and where it stands.
#include <cstring>

#include <fmt/format.h>

#include "daemon/primary.hpp"

namespace everstep::daemon {

namespace {
constexpr std::uint64_t kResyncMaxFloor = 1ULL << 30;  // a compare may find as much different

std::uint64_t random_seed() {
    const Uuid random = Uuid::random();
    std::uint64_t seed = 0;
    std::memcpy(&seed, random.bytes().data(), sizeof seed);
    return seed;
}
}  // namespace

CopyOptions Primary::copy_options(wire::StartMode mode, const std::string& standby) const {
    CopyOptions options;
    options.seed = random_seed();
    options.clock = context_.clock;
    options.bytes_a_second = context_.group->sync_rate.value();
    if (mode != wire::StartMode::resync || any_difference_.contains(standby)) return options;
    const ShareLimit& limit = context_.group->max_resync;
    options.differing_max = limit.bytes.value();
    if (limit.percent == 0) return options;
    std::uint64_t bytes = 0;
    for (const VolumeRecord& volume : context_.record.volumes) bytes += volume.size.value();
    options.differing_max = std::max(kResyncMaxFloor, bytes / 100 * limit.percent);
    return options;
}

// The standby keeps its last consistent step, and what was sent so far lies behind it in its gap.
void Primary::too_different(Peer& peer, const Status& why) {
    const std::string& name = peer.name();
    if (standing(name) == nullptr) return;  // it has left
    if (any_difference_.contains(name))     // it had begun before the operator said so
        return peer.refuse(Status(ErrorCode::closed, "the resync begins again without a limit"));
    const std::uint64_t most = copy_options(wire::StartMode::resync, name).differing_max;
    if (!too_different_.emplace(name, TooDifferent{why, most}).second)
        return;  // reads that were under way
    context_.event("alarm-resync", name + ": " + why.message());
    peer.refuse(why);
}

// Not where its resync found too much, until more is allowed.
Status Primary::may_copy(const std::string& standby) {
    const auto stopped = too_different_.find(standby);
    if (stopped == too_different_.end()) return {};
    const std::uint64_t most = copy_options(wire::StartMode::resync, standby).differing_max;
    if (most != 0 && most <= stopped->second.differing_max) return stopped->second.why;
    too_different_.erase(stopped);
    return {};
}

// The operator's word: this node's volumes are the truth, however much differs.
void Primary::take_any_difference() {
    for (const auto& [name, standing] : standings_) any_difference_.insert(name);
    too_different_.clear();
    context_.event("resync", "goes on however much differs: adopt --force");
}

Value copy_status(const SendSession& session) {
    const Copy* copy = session.copy();
    if (copy == nullptr || session.state() == SendSession::State::streaming) return {};
    Value value = Value::map();
    value.set("done_bytes", copy->done_bytes());
    value.set("total_bytes", copy->total_bytes());
    value.set("differing_bytes", copy->differing_bytes());
    value.set("seconds_left", copy->done_bytes() == 0 ? Value() : Value(copy->seconds_left()));
    return value;
}

std::string copy_story(const SendSession& session) {
    const Copy* copy = session.copy();
    if (copy == nullptr) return "";  // from zero
    return fmt::format("; {} of {} bytes differed and were sent", copy->differing_bytes(),
                       copy->total_bytes());
}

// The rate may let more be compared now.
void Primary::pump_copies() {
    if (context_.group->sync_rate.value() == 0) return;
    for (auto& [name, standing] : standings_)
        if (standing.session && standing.session->copy() != nullptr) standing.session->pump();
}

}  // namespace everstep::daemon
