// RestoreJob: brings a group's volumes to the content of a step: reads it where they may differ,
// and writes what does differ through the capture. The batch around it, and the record that a start
// finds, are the primary's (primary_restore.cpp).
// Thread: the node's loop. Invariants: it writes inside its extents only; what it has written is
// the step's content, so that it may be begun anew at any time. A read that fails because the link
// is gone is asked again for kRestorePatience; it ends, too, when none of its reads is answered for
// kRestoreAnswer, whatever the link says.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "daemon/pipeline.hpp"
#include "proto/messages.hpp"

namespace everstep::daemon {

inline constexpr std::chrono::seconds kRestorePatience{30};
inline constexpr std::chrono::seconds kRestoreAnswer{120};

struct RestorePlan {
    Point to;
    std::vector<journal::GapExtent> extents;  // where the volumes may differ from the step
    std::chrono::nanoseconds answer_within = kRestoreAnswer;
};

struct RestoreFigures {
    std::uint64_t done = 0;     // bytes compared
    std::uint64_t total = 0;    // of the extents
    std::uint64_t written = 0;  // bytes that differed
};

struct RestoreHooks {
    // The content of a range at a step; closed or unreachable: perhaps later.
    std::function<void(const wire::ReadRequest&, std::function<void(Result<Buffer>)>)> read;
    std::function<void()> going;  // figures() has moved
    std::function<void(Status)> done;
};

class RestoreJob {
  public:
    RestoreJob(net::Loop& loop, Pipeline& pipeline, RestorePlan plan, RestoreHooks hooks);
    ~RestoreJob();
    void begin();
    [[nodiscard]] const RestoreFigures& figures() const { return figures_; }

  private:
    using Piece = journal::GapExtent;
    void go_on();
    void read(const Piece& piece);
    void watch_reads();
    void wait_for_link(const Piece& piece, const Status& why);
    void write(const Piece& piece, Buffer content);
    void end(const Status& status);

    net::Loop& loop_;
    Pipeline& pipeline_;
    RestorePlan plan_;
    RestoreHooks hooks_;
    std::deque<Piece> pieces_;
    RestoreFigures figures_;
    std::size_t running_ = 0;
    std::size_t reading_ = 0;             // of those, what is not answered yet
    std::chrono::nanoseconds waited_{0};  // for the link, since a read went well
    net::Timer retry_;
    net::Timer unanswered_;
    bool waits_ = false;  // for the link
    bool ended_ = false;
    std::shared_ptr<RestoreJob*> alive_;
};

}  // namespace everstep::daemon
