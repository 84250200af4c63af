#include "standby/reply_stream.hpp"

namespace everstep::standby {

ReplyStream::ReplyStream(const Standby& standby, Reply reply, std::size_t objects_a_message)
    : standby_(standby), reply_(std::move(reply)), objects_a_message_(objects_a_message) {}

bool ReplyStream::add(Value object) {
    list_.push(std::move(object));
    if (++objects_ < objects_a_message_) return true;
    wire::AdminReply reply;
    reply.body = std::move(list_);
    reply.more = true;
    list_ = Value::list();
    objects_ = 0;
    return send(std::move(reply));
}

void ReplyStream::finish(const Status& status, std::string message) {
    wire::AdminReply reply;
    reply.error = status.code();
    reply.message = status.ok() ? std::move(message) : status.message();
    if (status.ok()) reply.body = std::move(list_);
    send(std::move(reply));
}

bool ReplyStream::send(wire::AdminReply reply) {
    {
        std::unique_lock lock(shared_->mutex);
        shared_->taken.wait(
            lock, [this] { return shared_->ahead < kMessagesAhead || shared_->cancelled; });
        if (shared_->cancelled) return false;
        ++shared_->ahead;
    }
    standby_.on_loop([shared = shared_, answer = reply_, message = std::move(reply)] {
        {
            const std::lock_guard lock(shared->mutex);
            if (shared->cancelled) return;
            --shared->ahead;
        }
        shared->taken.notify_one();
        shared->ended = !message.more;
        answer(message);
    });
    return true;
}

void ReplyStream::cancel() {
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->cancelled = true;
    }
    shared_->taken.notify_all();
}

}  // namespace everstep::standby
