#include "standby/export_device.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "common/net/worker_pool.hpp"
#include "journal/once_reader.hpp"

namespace everstep::standby {
namespace {

class ExportDevice;

// What the reader threads see; it outlives the device while answers are on their way to the loop.
struct ExportShared {
    const HistorySource& source;
    net::Loop& loop;
    const journal::View view;
    const VolumeIndex volume;
    ExportDevice* owner = nullptr;  // on the loop's thread only
    std::mutex mutex{};
    std::condition_variable ended{};
    std::size_t reading = 0;
    bool closed = false;
};

class ExportDevice final : public BlockDevice {
  public:
    ExportDevice(std::shared_ptr<ExportShared> shared, ByteCount size)
        : shared_(std::move(shared)), size_(size) {
        shared_->owner = this;
    }

    ~ExportDevice() override {
        // What runs writes into its client's memory: it ends before the client hears anything.
        {
            std::unique_lock lock(shared_->mutex);
            shared_->ended.wait(lock, [this] { return shared_->reading == 0; });
            shared_->closed = true;
        }
        shared_->owner = nullptr;
        const Status closed(ErrorCode::closed, "the export was ended");
        for (const auto& [id, one] : running_) one.sink->complete(one.token, closed);
        for (const Waiting& one : waiting_) one.sink->complete(one.request.token, closed);
    }

    [[nodiscard]] std::uint64_t size_bytes() const override { return size_.value(); }
    [[nodiscard]] bool read_only() const override { return true; }

    void submit(const BlockRequest& request, BlockSink& sink) override {
        switch (request.op) {
            case BlockOp::read:
            case BlockOp::status:
                break;
            case BlockOp::flush:
                sink.complete(request.token, {});
                return;
            case BlockOp::write:
            case BlockOp::trim:
            case BlockOp::zero:
                sink.complete(request.token,
                              {ErrorCode::refused, "a step of history is read-only"});
                return;
        }
        if (running_.size() < kExportReadsMax) {
            start(request, sink);
        } else {
            waiting_.push_back({request, &sink});
        }
    }

  private:
    struct Running {
        std::uint64_t token;
        BlockSink* sink;
    };
    struct Waiting {
        BlockRequest request;
        BlockSink* sink;
    };

    void start(const BlockRequest& request, BlockSink& sink) {
        const std::uint64_t id = next_id_++;
        running_.emplace(id, Running{request.token, &sink});
        shared_->source.readers().post(
            [shared = shared_, id, request] { answer(shared, id, request); });
    }

    static void answer(const std::shared_ptr<ExportShared>& shared, std::uint64_t id,
                       const BlockRequest& request) {
        {
            const std::lock_guard lock(shared->mutex);
            if (shared->closed) return;
            ++shared->reading;
        }
        const Status status = answer_read(shared->source, shared->view, shared->volume, request);
        shared->loop.post([shared, id, status] {
            if (shared->owner != nullptr) shared->owner->finish(id, status);
        });
        const std::lock_guard lock(shared->mutex);
        if (--shared->reading == 0) shared->ended.notify_all();
    }

    void finish(std::uint64_t id, const Status& status) {
        const auto found = running_.find(id);
        if (found == running_.end()) return;
        const Running one = found->second;
        running_.erase(found);
        if (!waiting_.empty()) {
            const Waiting next = waiting_.front();
            waiting_.pop_front();
            start(next.request, *next.sink);
        }
        one.sink->complete(one.token, status);
    }

    std::shared_ptr<ExportShared> shared_;
    ByteCount size_;
    std::unordered_map<std::uint64_t, Running> running_;
    std::deque<Waiting> waiting_;
    std::uint64_t next_id_ = 1;
};

}  // namespace

Status answer_read(const HistorySource& source, const journal::View& view, VolumeIndex volume,
                   const BlockRequest& request) {
    const ByteOffset offset(request.offset);
    if (request.op == BlockOp::read)
        // Who reads an export keeps what it wants again; many read all of it, once.
        return source.store().read(view, journal::OnceReader(source.replica()), volume, offset,
                                   request.out);
    auto extents = source.store().block_status(view, source.replica(), volume, offset,
                                               ByteCount(request.length), request.extents_max);
    if (extents.ok()) *request.extents = std::move(*extents);
    return extents.status();
}

std::unique_ptr<BlockDevice> make_export_device(const HistorySource& source, net::Loop& loop,
                                                const journal::View& view, VolumeIndex volume,
                                                ByteCount size) {
    std::shared_ptr<ExportShared> shared(new ExportShared{source, loop, view, volume});
    return std::make_unique<ExportDevice>(std::move(shared), size);
}

}  // namespace everstep::standby
