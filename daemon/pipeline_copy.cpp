// Pipeline: content of its volumes for a standby's copy (daemon/copy.hpp).
//
// The order that both calls keep: what they give belongs behind every frame up to its `after` and
// before the next. Frames up to there were handed over before `done` is called, as both go to the
// node's loop in order; `after` was the newest frame when the look or the read began.
#include <algorithm>

#include "common/base/buffer.hpp"
#include "common/net/worker_pool.hpp"
#include "daemon/pipeline.hpp"

namespace everstep::daemon {

void Pipeline::find_holes(const ResyncExtent& extent,
                          std::function<void(Result<FoundHoles>)> done) {
    loop_.post([this, extent, done = std::move(done)] {
        capture_->seal();
        const journal::Tip as_of = capture_->sealed();
        auto extents = volumes_[extent.volume.value()]->holes_now(extent.offset, extent.length);
        all_handed_over();
        if (!extents.ok()) return node_.post([done, why = extents.status()] { done(why); });
        FoundHoles found;
        found.after = as_of.seq;
        std::vector<ResyncExtent> zeroes;
        for (const io::DataExtent& one : *extents) {
            const ResyncExtent run{extent.volume, one.offset, one.length};
            if (one.hole && one.length.value() >= kHoleBytesMin) {
                zeroes.push_back(run);
                found.zero_bytes += run.length.value();
            } else if (!found.data.empty() &&
                       found.data.back().offset + found.data.back().length.value() == run.offset) {
                ResyncExtent& last = found.data.back();
                last.length = ByteCount(last.length.value() + run.length.value());
            } else {
                found.data.push_back(run);
            }
        }
        if (!zeroes.empty())
            found.zeroes = make_zero_frame(options_.capture.group, as_of.point, zeroes);
        node_.post([done, found = std::move(found)] { done(found); });
    });
}

void Pipeline::read_extent(ExtentRead what, std::function<void(Result<ReadExtent>)> done) {
    loop_.post([this, what = std::move(what), done = std::move(done)] {
        capture_->seal();
        const journal::Tip as_of = capture_->sealed();
        all_handed_over();
        const bool beside = volumes_[what.extent.volume.value()]->reads_beside();
        if (beside && !copier_) {
            auto made = net::WorkerPool::make(1);
            if (made.ok()) copier_ = std::move(*made);
        }
        if (!beside || !copier_) return copy_extent(what, as_of, false, done);
        copier_->post([this, what, as_of, done] { copy_extent(what, as_of, true, done); });
    });
}

// On the capture thread: no write falls into it.
void Pipeline::read_exact(const ResyncExtent& extent,
                          std::function<void(Result<ExactExtent>)> done) {
    loop_.post([this, extent, done = std::move(done)] {
        capture_->seal();
        const journal::Tip as_of = capture_->sealed();
        const auto content = std::make_shared<Buffer>();
        content->resize(extent.length.value());
        const Status status =
            volumes_[extent.volume.value()]->read_now(extent.offset, content->bytes());
        all_handed_over();
        if (!status.ok()) return node_.post([done, status] { done(status); });
        node_.post([done, read = ExactExtent{content, as_of.seq, as_of.point.lsn}] { done(read); });
    });
}

// Beside the capture thread, or on it.
void Pipeline::copy_extent(const ExtentRead& what, const journal::Tip& as_of, bool beside,
                           const std::function<void(Result<ReadExtent>)>& done) {
    CapturedVolume& volume = *volumes_[what.extent.volume.value()];
    Buffer content;
    content.resize(what.extent.length.value());
    const Status status = beside
                              ? volume.read_beside(what.extent.offset, content.bytes(), what.direct)
                              : volume.read_now(what.extent.offset, content.bytes());
    if (!status.ok()) return node_.post([done, status] { done(status); });
    ReadExtent read;
    read.after = as_of.seq;
    read.made = make_resync_frame({options_.capture.group, as_of.point, what.extent},
                                  content.bytes(), what.known ? &*what.known : nullptr);
    node_.post([done, read = std::move(read)] { done(read); });
}

}  // namespace everstep::daemon
