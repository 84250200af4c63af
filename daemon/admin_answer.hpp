// AdminAnswer: where the replies to one request of the command line go, and how to learn that
// nobody waits for them any more. Copies are of the same request. Thread: the node's loop.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "proto/messages.hpp"

namespace everstep::daemon {

class AdminAnswer {
  public:
    using Reply = std::function<void(wire::AdminReply)>;
    template <typename Callable>
        requires std::invocable<Callable&, wire::AdminReply> &&
                 (!std::same_as<std::remove_cvref_t<Callable>, AdminAnswer>)
    AdminAnswer(Callable reply)  // NOLINT(google-explicit-constructor): a function is an answer
        : request_(std::make_shared<Request>()) {
        request_->reply = std::move(reply);
    }
    // The last reply of a request has `more` unset. A client that is gone takes nothing more.
    void operator()(wire::AdminReply reply) const { request_->reply(std::move(reply)); }
    // `then` runs once, when the client's connection ends, unless the last copy of this answer went
    // before: for requests that go on until somebody stops them.
    void on_gone(std::function<void()> then) const { request_->gone = std::move(then); }

  private:
    friend class AdminClient;
    struct Request {
        Reply reply;
        std::function<void()> gone;
    };
    std::shared_ptr<Request> request_;
};

// The requests of one connection that may still be answered.
class AdminClient {
  public:
    void asked(const AdminAnswer& answer) {
        std::erase_if(requests_, [](const auto& request) { return request.expired(); });
        requests_.push_back(answer.request_);
    }
    // The connection ended: each request that is still held learns of it.
    void gone() {
        for (const auto& one : std::exchange(requests_, {})) {
            const auto request = one.lock();
            if (request && request->gone) std::exchange(request->gone, nullptr)();
        }
    }

  private:
    std::vector<std::weak_ptr<AdminAnswer::Request>> requests_;
};

}  // namespace everstep::daemon
