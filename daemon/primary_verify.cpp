// Primary: what `everstep verify` needs of it (daemon/verify_job.hpp).
#include "daemon/added_volumes.hpp"
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
    access.quiet = [this] {
        std::vector<std::string> names;
        if (state_ != State::serving || restore_.running() || !restore_.pending().empty())
            return names;
        for (const auto& [name, standing] : standings_) {
            if (!standing.session) continue;  // it is away; the others do not wait for it
            const SendSession& session = *standing.session;
            const bool streams = session.state() == SendSession::State::streaming &&
                                 session.acked().consistent && !standing.lost_order;
            if (!streams) return std::vector<std::string>();
            names.push_back(name);
        }
        return names;
    };
    access.newest = [this] { return sealed_.point.lsn; };
    return access;
}

Value verified_status(const PeerRecord& record) {
    if (!record.verified) return {};
    const VerifyRecord& verified = *record.verified;
    Value value = Value::map();
    value.set("time", format_time(verified.at)).set("lsn", verified.lsn.value());
    value.set("compared_bytes", verified.compared_bytes);
    value.set("differing_bytes", verified.differing_bytes);
    return value.set("repaired", verified.repaired);
}

Value verify_status(const SendSession& session) {
    const Verify* verify = session.verifying();
    if (verify == nullptr || verify->ended()) return {};
    Value value = Value::map();
    value.set("done_bytes", verify->compared_bytes());
    return value.set("total_bytes", verify->total_bytes());
}

Status Primary::verify(const std::string& only, bool repair,
                       std::function<void(Value body, bool last)> tell) {
    if (state_ != State::serving) return {ErrorCode::refused, "this node does not serve the group"};
    if (standings_.empty()) return {ErrorCode::refused, "the group has no standby to compare with"};
    if (!only.empty() && !standings_.contains(only))
        return {ErrorCode::usage, only + " is no standby of the group"};
    if (const std::string coming = first_coming(context_.record);
        store_ == nullptr && !coming.empty())
        return {ErrorCode::busy, "volume " + coming +
                                     " was added and is being read in: no standby has all of it "
                                     "yet; verify when it is whole"};
    VerifyJob::Command command{{}, repair, false, std::move(tell)};
    for (const auto& [name, standing] : standings_)
        if (only.empty() || name == only) command.standbys.push_back(name);
    return verify_.begin(std::move(command));
}

}  // namespace everstep::daemon
