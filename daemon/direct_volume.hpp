// DirectVolume: a primary's own disk or image, captured by the NBD server: each write goes to the
// device first and becomes a step when it has succeeded. Thread: the capture thread; writes are
// done one after the other there, so overlapping ones are serialised and the device ends in LSN
// order. Flushes run beside it (SyncWorker). Invariants: a failed write takes no LSN: its range is
// kept, read again when the device answers, and shipped as a `reread` write. A discarded range
// reads as zeroes. A write reaches the device only when its regions are durably marked in the
// write-intent map, where there is one: until then it waits, copied aside. Of one that was added
// to a running group (take_in(), in volume_intake.cpp) every region stays marked until its content
// has been shipped.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "common/io/file.hpp"
#include "daemon/capture.hpp"
#include "daemon/intent_gate.hpp"
#include "daemon/sync_worker.hpp"

namespace everstep::daemon {

class DirectVolume final : public CapturedVolume {
  public:
    struct Place {
        VolumeIndex index;
        ByteCount size;
    };
    struct Device {
        std::unique_ptr<io::File> file;
        std::unique_ptr<IntentGate> intent;  // none where no standby could differ
        std::unique_ptr<io::File> direct{};  // the same, past the page cache; for reads only
    };
    DirectVolume(net::Loop& loop, Capture& capture, Place place, Device device);
    [[nodiscard]] Status start();  // before the first request
    [[nodiscard]] std::uint64_t size_bytes() const override { return size_.value(); }
    [[nodiscard]] bool read_only() const override { return false; }
    void submit(const BlockRequest& request, BlockSink& sink) override;
    void end_of_batch() override { capture_.end_of_batch(); }
    [[nodiscard]] Status read_now(ByteOffset offset, MutableBytes to) override;
    [[nodiscard]] bool reads_beside() const override { return true; }
    [[nodiscard]] Status read_beside(ByteOffset offset, MutableBytes to,
                                     bool direct) const override;
    [[nodiscard]] Result<std::vector<io::DataExtent>> holes(ByteOffset offset,
                                                            ByteCount length) const override;
    void tick() override;
    // No standby knows what it holds. From here on its regions stay marked until they were shipped.
    void begin_taking_in();
    [[nodiscard]] Result<ByteOffset> take_in() override;
    [[nodiscard]] bool clean() const override { return failed_.empty(); }
    [[nodiscard]] std::vector<journal::GapExtent> may_differ(std::size_t standby) const override;
    void all_may_differ(std::size_t standby) override;
    void set_standbys(std::size_t standbys) override;
    void known_durable(const std::vector<Lsn>& durable) override;
    void sync_beside(std::function<void(const Status&)> done) override;
    [[nodiscard]] Status sync() override;
    void drop_waiting() override;
    void detach() override;

  private:
    [[nodiscard]] Status find_extents(const BlockRequest& request);
    struct Range {
        std::uint64_t offset;
        std::uint64_t length;
    };
    void change(const BlockRequest& request, BlockSink& sink);
    void change_later(const BlockRequest& request, BlockSink& sink);
    void change_now(const BlockRequest& request, BlockSink& sink);
    void note_written(IntentMap::Range range, Lsn lsn);
    void keep_failed_marked();
    void keep_unshipped_marked(IntentMap::Range written);
    static void cut_off(std::vector<journal::GapExtent>& extents, std::uint64_t from);
    void flushed_up_to(Lsn lsn) { flushed_ = std::max(flushed_, lsn); }
    [[nodiscard]] Status sync_device();  // any thread
    void flush(Lsn lsn, bool mark, BlockSink& sink, std::uint64_t token);
    [[nodiscard]] Status apply(const BlockRequest& request);

    Capture& capture_;
    VolumeIndex index_;
    std::unique_ptr<io::File> file_;
    std::unique_ptr<io::File> direct_;
    ByteCount size_;
    std::vector<Range> failed_;  // bounded: neighbours are merged, then the oldest two
    // take_in() is behind here; what lies before it has gone as steps, or is written by now.
    std::optional<std::uint64_t> not_shipped_;
    Lsn flushed_;                           // every write up to here is on the device, durably
    std::atomic<bool> sync_failed_{false};  // the ones behind it prove nothing
    std::unique_ptr<IntentGate> intent_;
    std::shared_ptr<bool> serving_ = std::make_shared<bool>(true);
    SyncWorker syncs_;
};

}  // namespace everstep::daemon
