// ReceiveHashes: what this node holds of a range, as hashes, for a peer that sends only what
// differs (an initial sync, a resync, a verify).
//
// A question lies in the peer's stream: it is answered for what is held behind everything that was
// sent before it. The journal thread only says which step that is; the reader pool reads it, so
// that a disk that is slow to read holds back no acknowledgement. In an initial sync, which has no
// steps, the answer may hold some of what came later, too: that of it which is new is on its way to
// both sides anyway (daemon/copy.hpp).
// Thread: the loop's. At most kHashRequestsMax wait and kHashesAtOnce are read; answers leave in
// the order of the questions; a peer that asks for more loses its session.
#pragma once

#include <deque>
#include <optional>

#include "standby/receive.hpp"

namespace everstep::standby {

inline constexpr std::size_t kHashRequestsMax = 64;
inline constexpr std::size_t kHashesAtOnce = 4;
static_assert(kHashesAtOnce < kReaderThreads, "exports are read beside it");

class ReceiveHashes {
  public:
    ReceiveHashes(Standby& standby, const ReceiveActions& actions)
        : standby_(standby), actions_(actions), alive_(std::make_shared<bool>(true)) {}
    // `raw`: an initial sync runs, whose content lies in the replica alone.
    [[nodiscard]] Status ask(const wire::HashRequest& request, bool raw);

  private:
    enum class State : std::uint8_t { sent, placed, read, answered };
    struct Question {
        wire::HashRequest request;
        std::optional<journal::View> view{};  // none: the raw replica
        journal::HoldPtr hold{};              // where the view is a step
        wire::HashReply reply{};
        State state = State::sent;
    };
    using QuestionPtr = std::shared_ptr<Question>;
    [[nodiscard]] Status check(const wire::HashRequest& request) const;
    void read_placed();
    void read(const QuestionPtr& question);
    void answered(Question& question);

    Standby& standby_;
    const ReceiveActions& actions_;
    std::shared_ptr<bool> alive_;  // answers to a session that is gone are dropped
    std::deque<QuestionPtr> questions_;
    std::size_t reading_ = 0;
};

}  // namespace everstep::standby
