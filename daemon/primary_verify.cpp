// Primary: what `everstep verify` needs of it (daemon/verify_job.hpp).
#include "daemon/primary.hpp"

namespace everstep::daemon {

VerifyAccess Primary::verify_access() {
    VerifyAccess access;
    access.session = [this](const std::string& standby) {
        const Standing* one = standing(standby);
        return one == nullptr ? nullptr : one->session.get();
    };
    access.options = [this] { return copy_options(); };
    access.resync = [this](const std::string& standby, const std::string& why) {
        Standing& one = standings_[standby];
        one.lost_order = true;
        send_actions(one, Point()).fail(Status(ErrorCode::closed, why));
    };
    return access;
}

Status Primary::verify(const std::string& only, bool repair,
                       std::function<void(Value body, bool last)> tell) {
    if (state_ != State::serving) return {ErrorCode::refused, "this node does not serve the group"};
    if (standings_.empty()) return {ErrorCode::refused, "the group has no standby to compare with"};
    if (!only.empty() && !standings_.contains(only))
        return {ErrorCode::usage, only + " is no standby of the group"};
    VerifyJob::Command command{{}, repair, std::move(tell)};
    for (const auto& [name, standing] : standings_)
        if (only.empty() || name == only) command.standbys.push_back(name);
    return verify_.begin(std::move(command));
}

}  // namespace everstep::daemon
