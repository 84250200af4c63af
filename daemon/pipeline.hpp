// Pipeline: wires the stages of a serving group on a thread of their own: NBD server -> volumes ->
// order -> seal -> (the node's own store, where it serves through it) -> frames to the sender.
//
// Thread: calls on the node's loop unless said; callbacks there too. start() and stop() block.
// Invariants: frames are handed over in order, each once; what was handed over and not yet taken is
// bounded (kHandoverBytesMax): beyond it frames are dropped and `overflow` is told once, never the
// application held.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/config.hpp"
#include "common/net/worker_pool.hpp"
#include "daemon/capture.hpp"
#include "daemon/intent_gate.hpp"
#include "daemon/nbd_server.hpp"
#include "daemon/pipeline_options.hpp"
#include "daemon/store_journal.hpp"
#include "daemon/verify.hpp"

namespace everstep::daemon {

inline constexpr std::uint64_t kHandoverBytesMax = 256ULL << 20;

struct PipelineEvents {
    std::function<void(const FramePtr&)> on_frame;
    std::function<void()> on_overflow;
    Capture::Event on_event;
    // The maps cannot be written: writes that need a mark wait for the answer (IntentGate::Lost).
    std::function<Status(const Status& why)> on_intent_lost;
};

class Pipeline {
  public:
    Pipeline(net::Loop& loop, PipelineOptions options, PipelineEvents events);
    ~Pipeline();
    // Opens the devices, begins to listen (but in a batch). An error names the volume; nothing
    // serves then.
    [[nodiscard]] Status start();
    struct Stopped {
        journal::Tip tip;
        bool clean = true;  // every write has its LSN and the devices are flushed
    };
    // Disconnects the clients, seals, flushes the devices; every frame was handed over when it
    // returns.
    Stopped stop();

    // Somebody waits for frames: each is handed over at once. Else those of some milliseconds
    // together, for it wakes the node's loop.
    void set_eager(bool eager);
    void release(Lsn acknowledged);  // what `ack` waits for has been answered up to here
    // No answer leaves before it is released anew, whatever was released before. `done`: the newest
    // LSN by then.
    void hold_answers(std::function<void(Lsn)> done);
    void set_seal_every_batch(bool every);
    void put_mark(const MarkBody& mark, std::function<void(const journal::Tip&)> done);
    // Seals; the next frame names a gap. `done`: what it will continue.
    void name_gap(std::function<void(const journal::Tip&)> done);
    // One write of kind sync, sealed: the end of a resync. `done`: the tip with it.
    void sync_step(std::function<void(const journal::Tip&)> done);

    // ---- a batch of writes of this node's own (pipeline_batch.cpp)
    // Disconnects the clients and lets none in; what was written is flushed. `done`: the tip.
    void stop_listening(std::function<void(Result<journal::Tip>)> done);
    void listen(std::function<void(Status)> done);  // again; an error names the volume
    void begin_batch(std::function<void(const journal::Tip&)> done);
    // Flushes the devices, and ends it at the newest step, which is none of before the batch.
    void end_batch(Lsn before, std::function<void(Result<journal::Tip>)> done);
    // Writes the blocks of `content` that the volume holds otherwise, zeroes as zeroes. `done`:
    // the bytes written, once their answers could leave.
    struct Wanted {
        VolumeIndex volume;
        ByteOffset offset;
    };
    void write_differing(Wanted at, Buffer content,
                         std::function<void(Result<std::uint64_t>)> done);

    // ---- volumes that come while it serves (pipeline_volumes.cpp): opens them, runs `keep` on the
    // capture thread, and serves them; or nothing changes. Blocks.
    [[nodiscard]] Status add_volumes(std::vector<PipelineVolume> fresh,
                                     const std::function<Status()>& keep);
    struct TakenIn {  // the next piece of a coming volume, shipped
        ByteOffset upto;
        bool all = false;
        journal::Tip tip{};  // with all of it
    };
    void take_in(VolumeIndex volume, std::function<void(Result<TakenIn>)> done);

    // ---- content for a standby's copy (pipeline_copy.cpp)
    void find_holes(const ResyncExtent& extent, std::function<void(Result<FoundHoles>)> done);
    void read_extent(ExtentRead what, std::function<void(Result<ReadExtent>)> done);
    void read_exact(const ResyncExtent& extent, std::function<void(Result<ExactExtent>)> done);

    // Where a standby may differ, as of a moment behind what was asked for before; `all`:
    // everywhere, from now on.
    void may_differ(std::size_t standby, bool all,
                    std::function<void(std::vector<journal::GapExtent>)> done);
    // Of the maps: there are so many standbys now, and anything may differ on this one.
    void add_standby(std::size_t standbys, std::size_t standby);
    // CapturedVolume::known_durable().
    void known_durable(std::vector<Lsn> durable);
    // Flushes the devices beside the capture thread; `done` only when all of them were.
    void sync_devices(std::function<void()> done);
    // May differ on this standby, as of the last second; any thread.
    [[nodiscard]] ByteCount marked_bytes(std::size_t standby) const;

    [[nodiscard]] Lsn captured() const {
        return Lsn(captured_.load(std::memory_order_relaxed));
    }  // any thread
    [[nodiscard]] std::uint64_t captured_bytes() const {
        return captured_bytes_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] WallTime step_now() const;  // any thread: newest step time read
    // By volume; empty where it is not served. Changed by stop_listening() and listen().
    [[nodiscard]] const std::vector<std::string>& uris() const { return uris_; }
    [[nodiscard]] std::size_t clients();  // connected now, of all volumes; blocks

  private:
    void deliver(const FramePtr& frame);
    void hand_over(const FramePtr& frame);
    void flush_handover();
    void end_handover();
    void all_handed_over();
    [[nodiscard]] Status open();
    [[nodiscard]] Status open_volume(std::size_t index);
    [[nodiscard]] std::unique_ptr<IntentGate> open_intent(std::size_t index);
    void intent_lost(const Status& why, std::function<void(Status)> done);
    void count_marked();
    [[nodiscard]] Status open_servers(std::size_t first, std::vector<std::string>& uris);
    void flush_all(std::function<void(Status)> done);
    void tick();
    struct CopyMoment {
        journal::Tip as_of;
        bool beside;  // the capture thread
    };
    void beside(VolumeIndex volume, std::function<void(const CopyMoment&)> look);
    [[nodiscard]] Result<FoundHoles> look_for_holes(const ResyncExtent& extent,
                                                    const journal::Tip& as_of) const;
    [[nodiscard]] Result<ReadExtent> copy_extent(const ExtentRead& what, const CopyMoment& now);
    Stopped close();

    net::Loop& node_;
    PipelineOptions options_;
    PipelineEvents events_;
    std::shared_ptr<Pipeline*> alive_;  // null pointer inside once stopped; used on the node's loop
    net::Loop loop_;
    std::unique_ptr<StoreJournal> journal_;
    std::unique_ptr<Capture> capture_;
    std::vector<std::unique_ptr<CapturedVolume>> volumes_;
    std::vector<std::unique_ptr<NbdServer>> servers_;
    std::vector<std::string> uris_;
    std::unique_ptr<net::Timer> timer_;
    std::unique_ptr<net::WorkerPool> copier_;  // made with the first copy; the capture thread's
    std::optional<FrameCompressor> copy_compressor_;  // the copier's
    std::thread thread_;
    std::atomic<std::uint64_t> captured_{0};
    std::atomic<std::uint64_t> captured_bytes_{0};
    std::atomic<std::int64_t> step_now_ns_{0};
    std::atomic<std::uint64_t> handover_bytes_{0};
    using Frames = std::vector<FramePtr>;
    struct Handover {  // frames on their way to the node's loop
        std::mutex mutex;
        std::shared_ptr<Frames> frames = std::make_shared<Frames>();  // of one task there
        std::uint64_t bytes = 0;
        bool posted = false;  // they are about to be taken
    };
    Handover handover_;
    std::atomic<bool> eager_{true};
    std::unique_ptr<net::Timer> handover_timer_;
    std::vector<std::atomic<std::uint64_t>> marked_bytes_;  // by standby
    bool overflowed_ = false;
};

}  // namespace everstep::daemon
