#include "daemon/remote_reads.hpp"

#include <cstring>

namespace everstep::daemon {

void RemoteReads::ask(wire::ReadRequest what, Done done) {
    what.id = next_id_++;
    asked_[what.id] = {what.length, std::move(done)};
    send_(what);
}

Status RemoteReads::on_reply(const wire::ReadReply& reply) {
    const auto asked = asked_.find(reply.id);
    if (asked == asked_.end() || announced_)
        return {ErrorCode::corrupt, "an answer that was not asked for"};
    if (reply.error == ErrorCode::ok && !reply.zero) {
        if (reply.length != asked->second.length.value())
            return {ErrorCode::corrupt, "an answer of another length than asked"};
        announced_ = reply.id;
        return {};
    }
    const Asked one = std::move(asked->second);
    asked_.erase(asked);
    if (reply.error != ErrorCode::ok) {
        one.done(Status(reply.error, reply.message));
        return {};
    }
    Buffer zeroes;
    zeroes.resize(one.length.value());
    std::memset(zeroes.data(), 0, zeroes.size());
    one.done(std::move(zeroes));
    return {};
}

Status RemoteReads::on_data(Buffer data) {
    const auto asked = announced_ ? asked_.find(*announced_) : asked_.end();
    if (asked == asked_.end() || data.size() != asked->second.length.value())
        return {ErrorCode::corrupt, "data that was not announced"};
    announced_.reset();
    const Asked one = std::move(asked->second);
    asked_.erase(asked);
    one.done(std::move(data));
    return {};
}

void RemoteReads::fail(const Status& why) {
    announced_.reset();
    for (auto& [id, one] : std::exchange(asked_, {})) one.done(why);
}

}  // namespace everstep::daemon
