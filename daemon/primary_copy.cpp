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

CopyOptions Primary::copy_options() const {
    CopyOptions options;
    options.seed = random_seed();
    options.clock = context_.clock;
    options.bytes_a_second = context_.group->sync_rate.value();
    return options;
}

CopyOptions Primary::resync_options(const Standing& standing) const {
    CopyOptions options = copy_options();
    if (standing.any_difference) return options;
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
    Standing* one = standing(peer.name());
    if (one == nullptr) return;  // it has left
    if (one->any_difference)     // it had begun before the operator said so
        return peer.refuse(Status(ErrorCode::closed, "the resync begins again without a limit"));
    if (one->too_different) return;  // reads that were under way
    one->too_different = TooDifferent{why, resync_options(*one).differing_max};
    context_.event("alarm-resync", peer.name() + ": " + why.message());
    peer.refuse(why);
}

// Not where its resync found too much, until more is allowed.
Status Primary::may_copy(Standing& standing) {
    if (!standing.too_different) return {};
    const std::uint64_t most = resync_options(standing).differing_max;
    if (most != 0 && most <= standing.too_different->differing_max)
        return standing.too_different->why;
    standing.too_different.reset();
    return {};
}

// The operator's word: this node's volumes are the truth, however much differs. False: none waits
// for it.
bool Primary::take_any_difference() {
    bool any = false;
    for (const auto& [name, standing] : standings_) any = any || standing.too_different;
    if (!any) return false;
    for (auto& [name, standing] : standings_) {
        standing.any_difference = true;
        standing.too_different.reset();
    }
    context_.event("resync", "goes on however much differs: adopt --force");
    return true;
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
