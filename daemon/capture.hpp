// Capture (walk, stage 1): where every source of writes meets the stages behind it. A volume that
// has done a write says so here; the write gets its LSN, is copied once into the open frame, and
// its answer is held as `ack` wants. Thread: the capture thread of its group; one object per group,
// so its volumes share one order. Invariants: only writes that succeeded come here, in the order in
// which the device ends; an answer leaves only through answer(); each frame is delivered once, in
// order.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "common/io/file.hpp"
#include "common/net/loop.hpp"
#include "daemon/ack_gate.hpp"
#include "daemon/order.hpp"
#include "daemon/seal.hpp"

namespace everstep::daemon {

struct CaptureOptions {
    Uuid group;
    journal::Tip tip;
    bool new_timeline = false;      // the tip is the branch point
    bool seal_every_batch = false;  // somebody waits for a standby's, or the store's, answer
    const Clock* clock = nullptr;
    std::shared_ptr<CompressionControl> compression{};  // none: frames are not compressed
};

inline constexpr std::size_t kHolesExtentsMax = 1024;  // looked for at once

// What a request gets that was under way when its volume stopped serving.
[[nodiscard]] inline Status serving_ended() {
    return Status(ErrorCode::closed, "the volume is not served any more");
}

// A volume of the group as the pipeline sees it, besides serving it as a BlockDevice.
class CapturedVolume : public BlockDevice {
  public:
    // The content as of the newest LSN, all of whose writes are complete; for a resync. Capture
    // thread; blocks.
    [[nodiscard]] virtual Status read_now(ByteOffset offset, MutableBytes to) = 0;
    // May be read beside the capture thread, which writes on meanwhile; `direct`: not through the
    // page cache, where the device can. Any thread; blocks.
    [[nodiscard]] virtual bool reads_beside() const { return false; }
    [[nodiscard]] virtual Status read_beside(ByteOffset, MutableBytes, bool /*direct*/) const {
        return {ErrorCode::internal, "not to be read beside the capture"};
    }
    // Data and holes of a range, in order from its begin, as of the newest LSN or later; one extent
    // of data where that is not known. At most about kHolesExtentsMax: those behind are asked for
    // anew. As read_beside().
    [[nodiscard]] virtual Result<std::vector<io::DataExtent>> holes(ByteOffset offset,
                                                                    ByteCount length) const {
        return std::vector<io::DataExtent>{{offset, length, false}};
    }
    // Tries again what failed; ships what could be read as a `reread` write.
    virtual void tick() {}
    // Of a volume that was added: ships the next piece of what it held before. Gives the offset up
    // to which it has; that of its end: all.
    [[nodiscard]] virtual Result<ByteOffset> take_in() {
        return Status(ErrorCode::internal, "the volume is whole");
    }
    // Where a standby, by its place in the record's order, may differ: the whole volume where no
    // write-intent map says less. Without what take_in() is still to ship.
    [[nodiscard]] virtual std::vector<journal::GapExtent> may_differ(std::size_t standby) const = 0;
    virtual void all_may_differ(std::size_t /*standby*/) {}
    // There are so many standbys now.
    virtual void set_standbys(std::size_t /*standbys*/) {}
    // By standby: it has this line's writes up to there, and the record says so (0: not known).
    virtual void known_durable(const std::vector<Lsn>& /*durable*/) {}
    // No write of this volume is without its LSN (a range whose write failed is read again first).
    [[nodiscard]] virtual bool clean() const { return true; }
    [[nodiscard]] virtual Status sync() = 0;  // blocks
    // Beside the capture thread, on which `done` is called.
    virtual void sync_beside(std::function<void(const Status&)> done) { done(sync()); }
    // The clients are gone: of their writes those that have not begun do not begin any more.
    virtual void drop_waiting() {}
    // The clients are about to go: waits for reads that fill their buffers; what is under way ends
    // with an error.
    virtual void detach() = 0;
};

class Capture {
  public:
    using Event = std::function<void(const std::string& kind, const std::string& text)>;
    Capture(net::Loop& loop, const CaptureOptions& options, SealStage::Deliver deliver,
            Event event);

    Lsn captured(const CapturedWrite& write);         // copies the payload
    void flush_mark(Lsn behind, VolumeIndex volume);  // a flush submitted at `behind` has succeeded
    // When enough standbys have answered for `lsn`; in a batch at once: nobody is served in one,
    // and a standby that has to be compared first is whole only behind its end.
    void answer(Lsn lsn, BlockSink& sink, std::uint64_t token) {
        if (in_batch_) return sink.complete(token, Status());
        gate_.hold(lsn, sink, token);
    }
    void end_of_batch();
    void seal();
    void put_mark(const MarkBody& mark);  // at the newest step; sealed at once
    void name_gap();                      // seals; the next frame is the first behind a gap
    // What follows the newest step belongs together, until end_batch(): sealed at once.
    void begin_batch() { put_batch(EntryKind::batch_begin); }
    void end_batch() { put_batch(EntryKind::batch_end); }

    [[nodiscard]] Lsn newest() const { return order_.newest(); }
    [[nodiscard]] WallTime step_time() const { return order_.step_time(); }
    [[nodiscard]] const journal::Tip& sealed() const { return seal_.tip(); }
    [[nodiscard]] AckGate& gate() { return gate_; }
    void set_seal_every_batch(bool every) { seal_every_batch_ = every; }

  private:
    void read_clocks();
    void seal_behind_answers();
    void put_batch(EntryKind kind);
    bool seal_every_batch_;
    bool in_batch_ = false;
    bool clocks_read_ = false;
    bool timer_set_ = false;
    bool seal_soon_ = false;
    Event event_;
    AckGate gate_;
    OrderStage order_;
    SealStage seal_;
    net::Timer timer_;
    net::Timer soon_;
};

}  // namespace everstep::daemon
