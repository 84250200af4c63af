// RemoteReads: asks a peer for the content of ranges at steps (ReadRequest) and matches its
// answers. Thread: the node's loop. Invariants: each read is answered once, an error when the link
// ends; an answer or data that was not asked for is the peer's fault and ends the link (law 8).
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "proto/messages.hpp"

namespace everstep::daemon {

class RemoteReads {
  public:
    // The content, `length` bytes; or why not: the peer's own word, or closed.
    using Done = std::function<void(Result<Buffer>)>;
    explicit RemoteReads(std::function<void(const wire::Control&)> send) : send_(std::move(send)) {}
    ~RemoteReads() { fail(Status(ErrorCode::closed, "the link ended")); }
    // `what.id` is given here. The owner bounds how many it asks for at once.
    void ask(wire::ReadRequest what, Done done);
    [[nodiscard]] Status on_reply(const wire::ReadReply& reply);
    [[nodiscard]] Status on_data(Buffer data);
    void fail(const Status& why);  // everything that was asked
    [[nodiscard]] std::size_t waiting() const { return asked_.size(); }

  private:
    struct Asked {
        ByteCount length;
        Done done;
    };
    std::function<void(const wire::Control&)> send_;
    std::map<std::uint64_t, Asked> asked_;    // by id; answers come in any order
    std::optional<std::uint64_t> announced_;  // the next data message answers this one
    std::uint64_t next_id_ = 1;
};

}  // namespace everstep::daemon
