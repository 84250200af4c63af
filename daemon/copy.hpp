// Copy: what of a primary's volumes a standby is brought (initial sync, resync), between the frames
// of its stream: ranges that are holes are sent as zeroes, of all others the standby is asked for
// the hashes of what it holds, and the blocks that differ are sent. Where what differs is limited,
// it is asked about holes, too, and where it holds zeroes nothing is read. A state machine without
// I/O.
//
// Why a block whose hash is the standby's needs not be sent: the standby answers for what it holds
// behind all that was sent before the question, which is step n at most; the block is read after
// the answer. What of it no write behind n touches is the same on both sides; what one does touch
// comes with that write's frame.
//
// Thread: the node's loop. Invariants: an extent leaves behind the frame that ends at its as_of and
// before the next: while one is looked for or being read no frame leaves that may be behind that
// (may_send()); at most kHashesAhead questions and kExtentsAhead reads are under way.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "common/base/clock.hpp"
#include "daemon/resync_frame.hpp"
#include "journal/history_types.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kHashesAhead = 16;  // 16 MiB; the standby takes kHashRequestsMax
inline constexpr std::size_t kExtentsAhead = 8;  // read, and not yet sent
inline constexpr std::uint64_t kHolesBytes = 256ULL << 20;   // looked at for holes at once
inline constexpr std::uint64_t kHoleBytesMin = 64ULL << 10;  // a smaller one is data

struct FoundHoles {
    ByteCount covered{0};  // from the begin of the range; the rest is looked at anew
    FramePtr zeroes;       // of the holes; none: there are none
    FrameSeq after;        // it leaves behind this frame
    std::uint64_t zero_bytes = 0;
    std::vector<ResyncExtent> data;
};
struct ExtentRead {
    ResyncExtent extent;
    std::optional<KnownContent> known;
    bool direct = false;      // past the page cache
    bool to_compare = false;  // nothing of it is sent
};
struct ReadExtent {
    ResyncFrame made;
    FrameSeq after;  // it leaves behind this frame
};

struct CopyActions {
    // Asks of the capture; each calls back on the loop.
    std::function<void(const ResyncExtent&, std::function<void(Result<FoundHoles>)>)> find_holes;
    std::function<void(const ExtentRead&, std::function<void(Result<ReadExtent>)>)> read_extent;
    std::function<void(const wire::HashRequest&)> ask_hashes;
    std::function<FrameSeq()> newest;                  // frame that was taken from the capture
    std::function<void()> moved;                       // there is something to send, or to ask for
    std::function<void(const Status&)> too_different;  // more than differing_max
    std::function<void(const Status&)> fail;
};

struct CopyOptions {
    std::vector<journal::GapExtent> extents;
    std::uint64_t seed = 0;            // of the hashes; nobody else knows it
    bool direct = false;               // read past the page cache
    std::uint64_t differing_max = 0;   // more differing bytes end the session; 0: no limit
    std::uint64_t bytes_a_second = 0;  // compared at most; 0: no limit
    const Clock* clock = nullptr;
};

// How much may be compared now, at so many bytes a second (0: no limit).
class CopyRate {
  public:
    CopyRate(const Clock* clock, std::uint64_t bytes_a_second);
    [[nodiscard]] bool allows();
    void take(std::uint64_t bytes) { allowance_ -= static_cast<std::int64_t>(bytes); }

  private:
    const Clock* clock_;
    std::uint64_t bytes_a_second_;
    std::chrono::nanoseconds earned_until_;
    std::int64_t allowance_ = 0;
};

// As many hashes as the extent has blocks, or none where it is zeroes; else corrupt.
[[nodiscard]] Status check_hashes(const ResyncExtent& extent, const wire::HashReply& reply);

class Copy {
  public:
    Copy(CopyOptions options, CopyActions actions);
    ~Copy();
    void ask();  // for what may be asked for now
    [[nodiscard]] Status on_hashes(wire::HashReply reply);
    // The next extent, once frame `next - 1` has left; null: not yet.
    [[nodiscard]] FramePtr take(FrameSeq next);
    [[nodiscard]] bool may_send(FrameSeq frame) const;  // a frame of the stream
    [[nodiscard]] bool all_read() const;                // nothing is asked for or to be
    [[nodiscard]] bool empty() const { return ready_.empty(); }

    [[nodiscard]] std::uint64_t total_bytes() const { return total_; }
    [[nodiscard]] std::uint64_t done_bytes() const { return done_; }
    [[nodiscard]] std::uint64_t differing_bytes() const { return differing_; }
    [[nodiscard]] double seconds_left() const;  // at the pace so far

  private:
    [[nodiscard]] std::optional<ResyncExtent> next_window();  // to be looked at
    void look_for_holes();
    void found(const Result<FoundHoles>& holes);
    void will_ask(const ResyncExtent& run, bool hole);
    void ask_hashes();
    void read();
    void was_read(std::uint64_t id, const Result<ReadExtent>& read);
    void put(FrameSeq after, const FramePtr& frame);

    CopyOptions options_;
    CopyActions actions_;
    CopyRate rate_;
    std::size_t extent_ = 0;           // being looked at
    std::uint64_t offset_ = 0;         // in it
    std::optional<FrameSeq> looking_;  // frames up to here may leave meanwhile
    struct Question {
        ResyncExtent extent;
        bool hole;  // on the primary, when it was looked for
    };
    std::deque<Question> questions_;           // to be asked
    std::map<std::uint64_t, Question> asked_;  // by the request's id
    std::deque<ExtentRead> to_read_;
    struct Reading {
        FrameSeq hold;
        std::uint64_t bytes;
    };
    std::map<std::uint64_t, Reading> reading_;
    struct Ready {
        FrameSeq after;
        FramePtr frame;
    };
    std::deque<Ready> ready_;  // by `after`
    std::uint64_t next_id_ = 1;
    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t differing_ = 0;
    std::chrono::nanoseconds began_;
    std::shared_ptr<Copy*> alive_;
};

}  // namespace everstep::daemon
