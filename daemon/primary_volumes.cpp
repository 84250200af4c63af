// Primary: volumes that are added while it serves (volume_join.hpp).
#include "daemon/primary.hpp"

namespace everstep::daemon {

namespace {
// A standby that has all but so much takes more. Else what is read in would fill the queue and the
// spool, and cost the standbys their order.
constexpr std::uint64_t kBehindMax = 16ULL << 20;
}  // namespace

VolumeJoinAccess Primary::join_access() {
    VolumeJoinAccess access;
    access.pipeline = [this]() -> Pipeline* {
        const bool may = state_ == State::serving && store_ == nullptr && !restore_.running() &&
                         restore_.pending().empty();
        return may ? pipeline_.get() : nullptr;
    };
    access.may_read = [this] {
        for (const auto& [name, standing] : standings_) {
            const bool streams =
                standing.session && standing.session->state() == SendSession::State::streaming;
            if (streams && !standing.lost_order &&
                backlog_.bytes_behind(standing.droppable) <= kBehindMax)
                return true;
        }
        return false;
    };
    access.end_sessions = [this](const Status& why) {
        for (auto& [name, standing] : standings_) standing.peer->refuse(why);
    };
    access.say = [this] {
        for (auto& [name, standing] : standings_)
            if (standing.session) standing.peer->say_hello();
    };
    return access;
}

void Primary::dial_standbys() {
    for (auto& [name, standing] : standings_) standing.peer->dial();
}

}  // namespace everstep::daemon
