// Verify: compares a standby with this primary while both run (`everstep verify`). A state machine
// without I/O, beside the stream of one session.
//
// Every range is compared as for a copy (daemon/copy.hpp): the standby's hashes first, then a read
// of the device beside the capture. What is equal there is equal from then on, as both sides take
// the same writes. What is not may have been written meanwhile: it is read again on the capture
// thread, as exactly the content of the newest step, and the question leaves exactly behind that
// step's frame. So what is told as different differs at one step.
//
// Thread: the node's loop. Invariant: while a range is read that way no frame leaves that may be
// behind its step (may_send()).
#pragma once

#include "common/base/buffer.hpp"
#include "daemon/copy.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kVerifyExtentsMax = 4096;  // listed; further ones are only counted
inline constexpr std::size_t kExactReadsMax = 4;
inline constexpr std::size_t kVerifyRangesMax = 1U << 16;  // kept; then the last is made longer

struct ExactExtent {
    std::shared_ptr<const Buffer> content;
    FrameSeq after;  // the content is that behind this frame
    Lsn lsn;
};

struct VerifyResult {
    std::uint64_t compared_bytes = 0;
    std::uint64_t differing_bytes = 0;
    Lsn lsn;  // the newest step at which something was found different
    std::vector<journal::GapExtent> extents;  // what differs; past kVerifyRangesMax more
};

struct VerifyActions {
    // Asks of the capture; each calls back on the loop.
    decltype(CopyActions::read_extent) read_extent;
    std::function<void(const ResyncExtent&, std::function<void(Result<ExactExtent>)>)> read_exact;
    std::function<void(const wire::HashRequest&)> ask_hashes;
    std::function<FrameSeq()> newest;                // frame that was taken from the capture
    std::function<void()> moved;                     // there is something to send, or to ask for
    std::function<void(Result<VerifyResult>)> done;  // once
};

class Verify {
  public:
    // `options`: extents, seed, rate and clock.
    Verify(CopyOptions options, VerifyActions actions);
    ~Verify();  // `done` with `closed`, where it has not ended
    void ask();
    [[nodiscard]] Status on_hashes(const wire::HashReply& reply);
    // A question that leaves now, once frame `next - 1` has left.
    [[nodiscard]] std::optional<wire::HashRequest> take(FrameSeq next);
    [[nodiscard]] bool may_send(FrameSeq frame) const;
    void end(const Status& why) {  // `done` with it, where it has not ended
        if (!ended()) fail(why);
    }
    [[nodiscard]] bool ended() const { return !actions_.done; }
    // And no answer is on its way any more.
    [[nodiscard]] bool over() const { return ended() && asked_.empty(); }
    [[nodiscard]] std::uint64_t total_bytes() const { return total_; }
    [[nodiscard]] std::uint64_t compared_bytes() const { return result_.compared_bytes; }

  private:
    struct Asked {
        ResyncExtent extent;
        std::optional<ExactExtent> exact;  // the second look
    };
    void ask_next();
    void read(const ResyncExtent& extent, const wire::HashReply& reply);
    void read_exactly();
    void was_read_exactly(std::uint64_t id, const ResyncExtent& extent,
                          const Result<ExactExtent>& read);
    void compare(const Asked& asked, const wire::HashReply& reply);
    void compared(const ResyncExtent& extent);
    void add(const ResyncExtent& extent);
    void fail(const Status& why);
    void end_if_done();

    CopyOptions options_;
    VerifyActions actions_;
    CopyRate rate_;
    std::size_t extent_ = 0;
    std::uint64_t offset_ = 0;
    std::map<std::uint64_t, Asked> asked_;  // by the request's id
    std::size_t reading_ = 0;
    std::deque<ResyncExtent> unequal_;             // to be read exactly
    std::map<std::uint64_t, FrameSeq> exact_;      // under way: frames up to here may leave
    std::map<FrameSeq, std::deque<Asked>> ready_;  // questions, by the frame they leave behind
    std::uint64_t next_id_ = 1;
    std::uint64_t total_ = 0;
    VerifyResult result_;
    std::shared_ptr<Verify*> alive_;
};

}  // namespace everstep::daemon
