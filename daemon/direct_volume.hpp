// DirectVolume: a primary's own disk or image, captured by the NBD server: each write goes to the
// device first and becomes a step when it has succeeded. Thread: the capture thread; writes are
// done one after the other there, so overlapping ones are serialised and the device ends in LSN
// order. Flushes run beside it (SyncWorker). Invariants: a failed write takes no LSN: its range is
// kept, read again when the device answers, and shipped as a `reread` write. A discarded range
// reads as zeroes.
#pragma once

#include <memory>
#include <vector>

#include "common/io/file.hpp"
#include "daemon/capture.hpp"
#include "daemon/sync_worker.hpp"

namespace everstep::daemon {

class DirectVolume final : public CapturedVolume {
  public:
    struct Place {
        VolumeIndex index;
        ByteCount size;
    };
    DirectVolume(net::Loop& loop, Capture& capture, Place place, std::unique_ptr<io::File> file);
    [[nodiscard]] std::uint64_t size_bytes() const override { return size_.value(); }
    [[nodiscard]] bool read_only() const override { return false; }
    void submit(const BlockRequest& request, BlockSink& sink) override;
    void end_of_batch() override { capture_.end_of_batch(); }
    [[nodiscard]] Status read_now(ByteOffset offset, MutableBytes to) override;
    void tick() override;
    [[nodiscard]] bool clean() const override { return failed_.empty(); }
    [[nodiscard]] Status sync() override { return file_->sync(); }
    void detach() override { *serving_ = false; }

  private:
    [[nodiscard]] Status find_extents(const BlockRequest& request);
    struct Range {
        std::uint64_t offset;
        std::uint64_t length;
    };
    void change(const BlockRequest& request, BlockSink& sink);
    void flush(Lsn lsn, bool mark, BlockSink& sink, std::uint64_t token);
    [[nodiscard]] Status apply(const BlockRequest& request);

    Capture& capture_;
    VolumeIndex index_;
    std::unique_ptr<io::File> file_;
    ByteCount size_;
    std::vector<Range> failed_;  // bounded: neighbours are merged, then the oldest two
    std::shared_ptr<bool> serving_ = std::make_shared<bool>(true);
    SyncWorker syncs_;
};

}  // namespace everstep::daemon
