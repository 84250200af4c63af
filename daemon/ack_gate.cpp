#include "daemon/ack_gate.hpp"

#include <algorithm>

namespace everstep::daemon {

void AckGate::hold(Lsn lsn, BlockSink& sink, std::uint64_t token) {
    if (!failed_.ok()) {
        sink.complete(token, failed_);
    } else if (lsn <= released_) {
        sink.complete(token, Status());
    } else {
        // A flush waits behind the step that was newest when it was submitted, which may be older
        // than the last held.
        auto at = held_.end();
        while (at != held_.begin() && std::prev(at)->lsn > lsn) --at;
        held_.insert(at, Held{lsn, &sink, token});
    }
}

void AckGate::release(Lsn upto) {
    released_ = std::max(released_, upto);
    while (failed_.ok() && !held_.empty() && held_.front().lsn <= released_) {
        const Held held = held_.front();
        held_.pop_front();
        held.sink->complete(held.token, Status());
    }
}

void AckGate::fail(const Status& error) {
    failed_ = error;
    std::deque<Held> held;
    held.swap(held_);
    for (const Held& one : held) one.sink->complete(one.token, error);
}

}  // namespace everstep::daemon
