// ReplyStream: the answer of a long command from its own thread to the loop: lists in messages of a
// bounded size.
// Thread: one producer; replies run on the loop.
// Invariants: at most kMessagesAhead messages wait for the loop, then the producer does; after
// cancel() nothing is replied any more and the producer is told to end.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "proto/messages.hpp"
#include "standby/standby.hpp"

namespace everstep::standby {

inline constexpr std::size_t kMessagesAhead = 4;

class ReplyStream {
  public:
    using Reply = std::function<void(wire::AdminReply)>;
    ReplyStream(const Standby& standby, Reply reply, std::size_t objects_a_message);
    bool add(Value object);                                  // false: cancelled
    void finish(const Status& status, std::string message);  // the rest, and the end
    // The last reply has run: the producer has nothing left to wait for. The loop's thread.
    [[nodiscard]] bool ended() const { return shared_->ended; }
    void cancel();  // any thread

  private:
    struct Shared {
        std::mutex mutex;
        std::condition_variable taken;
        std::size_t ahead = 0;
        bool cancelled = false;
        bool ended = false;  // on the loop's thread only
    };
    bool send(wire::AdminReply reply);
    const Standby& standby_;
    Reply reply_;
    std::size_t objects_a_message_;
    Value list_ = Value::list();
    std::size_t objects_ = 0;
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace everstep::standby
