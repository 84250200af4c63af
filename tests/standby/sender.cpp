#include "sender.hpp"

#include <gtest/gtest.h>

namespace everstep::standby::testing {

void Sender::connect() {
    sent_bytes_ = 0;
    ack_.reset();
    heard_.clear();
    scene_.thread().on([&] {
        ReceiveActions actions;
        actions.send = [this](const wire::Control& message) {
            const std::lock_guard lock(mutex_);
            if (const auto* ack = std::get_if<wire::Ack>(&message)) {
                EXPECT_LE(ack->applied, ack->durable);
                EXPECT_LE(ack->durable, ack->received);
                EXPECT_LE(ack->consumed_bytes, sent_bytes_);
                if (ack_) {
                    EXPECT_GE(ack->consumed_bytes, ack_->consumed_bytes);
                    EXPECT_GE(ack->durable, ack_->durable);
                }
                ack_ = *ack;
            } else {
                heard_.push_back(message);
            }
        };
        actions.send_data = [this](Buffer data) {
            const std::lock_guard lock(mutex_);
            if (!reading_) queued_bytes_ += wire::kDataBytesMax;
            data_.emplace_back(data.bytes().begin(), data.bytes().end());
        };
        actions.queued_bytes = [this] { return queued_bytes(); };
        session_ = std::make_unique<ReceiveSession>(scene_.standby(), std::move(actions));
        scene_.on_progress = [this] {
            if (session_) session_->on_progress();
        };
    });
}

void Sender::disconnect() {
    scene_.thread().on([&] {
        scene_.on_progress = nullptr;
        session_.reset();
    });
}

template <class Message>
std::optional<Message> Sender::wait_for() {
    std::optional<Message> found;
    const bool came = eventually([&] {
        const std::lock_guard lock(mutex_);
        for (auto one = heard_.begin(); one != heard_.end(); ++one) {
            if (const auto* message = std::get_if<Message>(&*one)) {
                found = *message;
                heard_.erase(one);
                return true;
            }
        }
        return false;
    });
    EXPECT_TRUE(came) << "no such message came";
    return found;
}

wire::Start Sender::start(wire::StartMode mode, Point from) const {
    wire::Start start;
    start.mode = mode;
    start.group_id = maker_.group();
    start.from = from;
    start.reason = "the primary stopped uncleanly";
    for (const VolumeFile& volume : scene_.volumes()) {
        start.volumes.push_back({volume.name, Uuid::random(), volume.size});
    }
    for (const journal::TimelineInfo& one : maker_.timelines()) {
        start.timelines.push_back({one.id, one.parent, one.branch_lsn, one.branch_hash,
                                   one.branch_seq, one.number, one.node});
    }
    return start;
}

Status Sender::begin(const wire::Start& start) {
    EVERSTEP_TRY(control(start));
    const auto started = wait_for<wire::Started>();
    if (!started) return {ErrorCode::timeout, "no Started"};
    return started->error == ErrorCode::ok ? Status() : Status(started->error, started->message);
}

Status Sender::control(const wire::Control& message) {
    Status status;
    scene_.thread().on([&] { status = session_->on_control(message); });
    return status;
}

Status Sender::frame(const FramePtr& frame) {
    return frame_bytes(frame->bytes());
}

Status Sender::frame_bytes(Bytes bytes) {
    Status status;
    scene_.thread().on([&] {
        {
            const std::lock_guard lock(mutex_);
            sent_bytes_ += bytes.size();
        }
        Buffer copy;
        copy.append(bytes);
        status = session_->on_frame(std::move(copy));
    });
    return status;
}

std::size_t Sender::queued_bytes() {
    const std::lock_guard lock(mutex_);
    return queued_bytes_;
}

std::size_t Sender::data_messages() {
    const std::lock_guard lock(mutex_);
    return data_.size();
}

void Sender::drain() {
    scene_.thread().on([&] {
        {
            const std::lock_guard lock(mutex_);
            queued_bytes_ = 0;
        }
        session_->on_drained();
    });
}

bool Sender::acked(Lsn durable) {
    return eventually([&] { return last_ack().durable >= durable; });
}

wire::Ack Sender::last_ack() {
    const std::lock_guard lock(mutex_);
    return ack_.value_or(wire::Ack());
}

std::optional<wire::HashReply> Sender::hashes() {
    return wait_for<wire::HashReply>();
}

std::pair<wire::ReadReply, std::vector<std::byte>> Sender::read(const wire::ReadRequest& request) {
    const Status status = control(request);
    EXPECT_TRUE(status.ok()) << status.message();
    const auto reply = wait_for<wire::ReadReply>();
    if (!reply) return {};
    std::vector<std::byte> data;
    if (reply->length != 0) {
        EXPECT_TRUE(eventually([&] {
            const std::lock_guard lock(mutex_);
            return !data_.empty();
        }));
        const std::lock_guard lock(mutex_);
        data = std::move(data_.front());
        data_.erase(data_.begin());
        EXPECT_EQ(data.size(), reply->length);
    }
    return {*reply, data};
}

}  // namespace everstep::standby::testing
