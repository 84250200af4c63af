// ReceiveReads: a peer's ReadRequests (the content of a range at a step), answered from history by
// the reader pool.
// Thread: the loop's. At most kReadsMax wait and kReadsAtOnce run; a peer that asks for more loses
// its session. A read begins only while its answer, those of the running reads and what the link
// still has to send are at most kReadAnswerBytesMax, so a peer that asks and does not read costs no
// more than that.
#pragma once

#include <deque>

#include "standby/branches.hpp"
#include "standby/receive.hpp"

namespace everstep::standby {

inline constexpr std::size_t kReadsMax = 64;
inline constexpr std::size_t kReadsAtOnce = 4;
inline constexpr std::uint64_t kReadAnswerBytesMax = 32ULL << 20;
inline constexpr std::size_t kReadHoldsMax = 4;
inline constexpr std::chrono::minutes kReadHold{5};  // behind the last read of a step
static_assert(kReadAnswerBytesMax >= wire::kDataBytesMax, "one read fits an empty link");

class ReceiveReads {
  public:
    ReceiveReads(const Standby& standby, const ReceiveActions& actions)
        : standby_(standby), actions_(actions), alive_(std::make_shared<bool>(true)) {}
    [[nodiscard]] Status ask(const wire::ReadRequest& request);
    void on_drained() { start_waiting(); }  // the link has sent everything
    void tick();  // every few seconds at least: lets go of the steps that nobody reads any more

  private:
    struct Answer {
        wire::ReadReply reply;
        Buffer data;
        std::uint64_t counted_bytes = 0;
    };
    using Source = std::shared_ptr<const HistorySource>;
    [[nodiscard]] static Status read(const Standby& standby, const Source& source,
                                     const wire::ReadRequest& request, Buffer& data);
    void keep(const Source& source, Point at);
    [[nodiscard]] static std::uint64_t answer_bytes(const wire::ReadRequest& request);
    [[nodiscard]] bool may_start(const wire::ReadRequest& request) const;
    void start_waiting();
    void start(const wire::ReadRequest& request);
    void finish(Answer answer);

    const Standby& standby_;
    const ReceiveActions& actions_;
    std::shared_ptr<bool> alive_;  // callbacks of running reads are dropped once it is gone
    std::deque<wire::ReadRequest> waiting_;
    // The steps that were asked for last stay for kReadHold, at most as long as the session.
    struct Kept {
        journal::HoldPtr hold;
        std::chrono::nanoseconds asked;
    };
    std::deque<Kept> kept_;
    std::size_t running_ = 0;
    std::uint64_t running_bytes_ = 0;
};

}  // namespace everstep::standby
