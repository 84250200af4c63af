// StoreVolume: a volume that this node serves through its own history store (after a takeover, or
// with no standby): a write is ordered, sealed and appended to the store; the image behind follows
// by the apply stage. Reads and the look-up of holes go through the reading function at the tip, on
// a small pool. Thread: the capture thread. Invariants: a write is answered when it can be read at
// the tip, a flush or FUA when the store has synced it; a read sees every write that was answered
// before it was submitted.
#pragma once

#include "common/net/worker_pool.hpp"
#include "daemon/capture.hpp"
#include "daemon/store_journal.hpp"

namespace everstep::daemon {

class StoreVolume final : public CapturedVolume {
  public:
    struct Place {
        VolumeIndex index;
        ByteCount size;
    };
    StoreVolume(net::Loop& loop, Capture& capture, StoreJournal& journal, Place place)
        : loop_(loop), capture_(capture), journal_(journal), place_(place) {}
    [[nodiscard]] Status start();  // before the first request
    [[nodiscard]] std::uint64_t size_bytes() const override { return place_.size.value(); }
    [[nodiscard]] bool read_only() const override { return false; }
    void submit(const BlockRequest& request, BlockSink& sink) override;
    void end_of_batch() override { capture_.end_of_batch(); }
    [[nodiscard]] Status read_now(ByteOffset offset, MutableBytes to) override;
    [[nodiscard]] bool reads_beside() const override { return true; }
    [[nodiscard]] Status read_beside(ByteOffset offset, MutableBytes to,
                                     bool direct) const override;
    [[nodiscard]] Result<std::vector<io::DataExtent>> holes(ByteOffset offset,
                                                            ByteCount length) const override;
    [[nodiscard]] std::vector<journal::GapExtent> may_differ(
        std::size_t /*standby*/) const override {
        return {{place_.index, ByteOffset(0), place_.size}};
    }
    [[nodiscard]] Status sync() override { return journal_.sync_now(); }
    void detach() override;

  private:
    void read(const BlockRequest& request, BlockSink& sink);  // or a status
    void change(const BlockRequest& request, BlockSink& sink);
    void answer_synced(Lsn lsn, bool mark, BlockSink& sink, std::uint64_t token);
    net::Loop& loop_;
    Capture& capture_;
    StoreJournal& journal_;
    Place place_;
    std::shared_ptr<bool> serving_ = std::make_shared<bool>(true);
    std::unique_ptr<net::WorkerPool> readers_;
};

}  // namespace everstep::daemon
