// Primary: what a restore needs of it: the history's content, from a standby or its own store.
#include <algorithm>

#include "common/net/worker_pool.hpp"
#include "daemon/primary.hpp"
#include "standby/branches.hpp"

namespace everstep::daemon {

RestoreAccess Primary::restore_access() {
    RestoreAccess access;
    access.pipeline = [this] { return state_ == State::serving ? pipeline_.get() : nullptr; };
    access.kept = [this](const std::string& node, Point at) { return history_has(node, at); };
    access.follows = [this](const std::string& node) -> Status {
        if (node.empty() || follows(node)) return {};
        return {ErrorCode::unreachable,
                node + " does not receive this node's writes now: what differs is not known there"};
    };
    access.read = [this](const std::string& node, const wire::ReadRequest& what,
                         RemoteReads::Done done) {
        if (node.empty()) return read_own(what, std::move(done));
        Standing* from = standing(node);
        if (from == nullptr || !from->reads)
            return done(Status(ErrorCode::unreachable, node + " is not connected"));
        from->reads->ask(what, std::move(done));
    };
    access.diff = events_.diff;
    access.end_kept = [this](const journal::Tip& end) {
        const auto have = std::count_if(standings_.begin(), standings_.end(), [&](const auto& one) {
            return ack_.counts(one.first) && follows(one.first) && one.second.droppable >= end.seq;
        });
        return ack_.level() == AckLevel::local || !ack_.enough() ||
               have >= static_cast<std::ptrdiff_t>(ack_.needed());
    };
    access.hold = [this](const std::string& node, Point at) -> journal::HoldPtr {
        if (!node.empty() || store_ == nullptr) return nullptr;
        const auto source = store_->branches().holder(at.timeline);
        auto hold = source->store().hold(at, journal::HoldKind::lasting);
        return hold.ok() ? std::move(*hold) : nullptr;
    };
    return access;
}

bool Primary::history_has(const std::string& node, Point at) const {
    if (node.empty()) return store_ != nullptr && store_->store().durable().point.lsn >= at.lsn;
    if (!follows(node)) return false;
    const wire::Ack& acked = standings_.at(node).acked;
    return acked.timeline == at.timeline && acked.durable >= at.lsn;
}

bool Primary::follows(const std::string& node) const {
    const auto found = standings_.find(node);
    return found != standings_.end() && found->second.session &&
           found->second.session->state() == SendSession::State::streaming &&
           found->second.acked.consistent;
}

// Of this node's own history, or of a branch over it.
void Primary::read_own(const wire::ReadRequest& what, RemoteReads::Done done) {
    if (store_ == nullptr)
        return done(Status(ErrorCode::refused, "this node has no history of the group"));
    const auto source = store_->branches().holder(what.at.timeline);
    source->readers().post([loop = context_.loop, source, what, done = std::move(done)] {
        auto content = std::make_shared<Buffer>();
        content->resize(what.length.value());
        const Result<journal::View> view = source->store().view(what.at);
        const Status read = view.ok() ? source->store().read(*view, source->replica(), what.volume,
                                                             what.offset, content->bytes())
                                      : view.status();
        loop->post([done, content, read] {
            done(read.ok() ? Result<Buffer>(std::move(*content)) : Result<Buffer>(read));
        });
    });
}

// While the group is served, in the daemon's sense: perhaps nobody is let in.
std::string Primary::why_no_adopt() const {
    if (restore_.running()) return "a restore is under way; nothing is adopted before its end";
    const std::string cut = restore_.pending();
    if (cut.empty()) return "this node serves the group; there is nothing to adopt";
    return cut + "; `everstep adopt " + context_.group->name + " --force` takes the mix as it is";
}

}  // namespace everstep::daemon
