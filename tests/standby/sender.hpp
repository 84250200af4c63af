// The sender of a receive session in a test: messages in, acknowledgements and replies out, all as
// values.
#pragma once

#include <atomic>

#include "history_maker.hpp"
#include "standby/receive.hpp"

namespace everstep::standby::testing {

class Sender {
  public:
    Sender(Scene& scene, const HistoryMaker& maker) : scene_(scene), maker_(maker) { connect(); }
    ~Sender() { disconnect(); }
    void connect();
    void disconnect();  // as if the link broke

    [[nodiscard]] wire::Start start(wire::StartMode mode, Point from) const;
    // Sends it and waits for Started; its error.
    [[nodiscard]] Status begin(const wire::Start& start);
    [[nodiscard]] Status control(const wire::Control& message);
    [[nodiscard]] Status frame(const FramePtr& frame);
    [[nodiscard]] Status frame_bytes(Bytes bytes);
    // Waits for an acknowledgement of this step as durable.
    [[nodiscard]] bool acked(Lsn durable);
    [[nodiscard]] wire::Ack last_ack();
    [[nodiscard]] std::uint64_t sent_bytes() const { return sent_bytes_; }
    // A ReadRequest's answer; the data is empty where the reply says zeroes.
    [[nodiscard]] std::pair<wire::ReadReply, std::vector<std::byte>> read(
        const wire::ReadRequest& request);
    // The answer to a HashRequest that was sent.
    [[nodiscard]] std::optional<wire::HashReply> hashes();
    // A peer that asks and does not read: what the session sends stays in the link's queue until
    // drain(). Each answer counts there as a longest one.
    void stop_reading() { reading_ = false; }
    [[nodiscard]] std::size_t queued_bytes();
    void drain();
    [[nodiscard]] std::size_t data_messages();
    [[nodiscard]] ReceiveSession& session() { return *session_; }

  private:
    template <class Message>
    [[nodiscard]] std::optional<Message> wait_for();
    Scene& scene_;
    const HistoryMaker& maker_;
    std::unique_ptr<ReceiveSession> session_;
    std::mutex mutex_;
    std::vector<wire::Control> heard_;
    std::vector<std::vector<std::byte>> data_;
    std::optional<wire::Ack> ack_;
    std::uint64_t sent_bytes_ = 0;
    std::atomic<bool> reading_ = true;
    std::size_t queued_bytes_ = 0;
};

}  // namespace everstep::standby::testing
