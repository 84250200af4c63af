// Pipeline: content of its volumes for a standby's copy (daemon/copy.hpp).
//
// The order that all of it keeps: what is given belongs behind every frame up to its `after` and
// before the next. Frames up to there were handed over before `done` is called, as both go to the
// node's loop in order; `after` was the newest frame when the look or the read began. What is
// looked at or read beside the capture thread is given behind later frames, too: who asked lets
// none of those leave meanwhile.
#include <algorithm>

#include "common/base/buffer.hpp"
#include "common/net/worker_pool.hpp"
#include "daemon/pipeline.hpp"

namespace everstep::daemon {

namespace {

void add_run(std::vector<ResyncExtent>& runs, const ResyncExtent& run) {
    if (!runs.empty() && runs.back().offset + runs.back().length.value() == run.offset)
        runs.back().length = ByteCount(runs.back().length.value() + run.length.value());
    else
        runs.push_back(run);
}

}  // namespace

// On a thread of its own, where the volume can be read there and the host gives one: neither a slow
// disk nor a file in very many pieces holds the application's writes.
void Pipeline::beside(VolumeIndex volume, std::function<void(const CopyMoment&)> look) {
    loop_.post([this, volume, look = std::move(look)] {
        capture_->seal();
        const journal::Tip as_of = capture_->sealed();
        all_handed_over();
        const bool can = volumes_[volume.value()]->reads_beside();
        if (can && !copier_) {
            auto made = net::WorkerPool::make(1);
            if (made.ok()) copier_ = std::move(*made);
        }
        if (!can || !copier_) return look({as_of, false});
        copier_->post([look, as_of] { look({as_of, true}); });
    });
}

void Pipeline::find_holes(const ResyncExtent& extent,
                          std::function<void(Result<FoundHoles>)> done) {
    beside(extent.volume, [this, extent, done = std::move(done)](const CopyMoment& now) {
        node_.post([done, found = look_for_holes(extent, now.as_of)] { done(found); });
    });
}

Result<FoundHoles> Pipeline::look_for_holes(const ResyncExtent& extent,
                                            const journal::Tip& as_of) const {
    const auto extents = volumes_[extent.volume.value()]->holes(extent.offset, extent.length);
    if (!extents.ok()) return extents.status();
    FoundHoles found;
    found.after = as_of.seq;
    std::vector<ResyncExtent> zeroes;
    for (const io::DataExtent& one : *extents) {
        const ResyncExtent run{extent.volume, one.offset, one.length};
        found.covered = ByteCount(found.covered.value() + run.length.value());
        const bool hole = one.hole && one.length.value() >= kHoleBytesMin;
        if (hole) found.zero_bytes += run.length.value();
        add_run(hole ? zeroes : found.data, run);
    }
    if (found.covered == ByteCount(0))
        return Status(ErrorCode::io, options_.volumes[extent.volume.value()].name +
                                         ": the device is smaller than the volume");
    if (!zeroes.empty())
        found.zeroes = make_zero_frame(options_.capture.group, as_of.point, zeroes);
    return found;
}

void Pipeline::read_extent(ExtentRead what, std::function<void(Result<ReadExtent>)> done) {
    const VolumeIndex volume = what.extent.volume;
    beside(volume, [this, what = std::move(what), done = std::move(done)](const CopyMoment& now) {
        node_.post([done, read = copy_extent(what, now)] { done(read); });
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

// Beside the capture thread, or on it: never both at once, as there is a copier from then on.
Result<ReadExtent> Pipeline::copy_extent(const ExtentRead& what, const CopyMoment& now) {
    CapturedVolume& volume = *volumes_[what.extent.volume.value()];
    Buffer content;
    content.resize(what.extent.length.value());
    EVERSTEP_TRY(now.beside ? volume.read_beside(what.extent.offset, content.bytes(), what.direct)
                            : volume.read_now(what.extent.offset, content.bytes()));
    const auto& control = options_.capture.compression;
    if (control && !copy_compressor_)
        copy_compressor_.emplace(control, *options_.capture.clock, control->copies());
    const bool packs = copy_compressor_ && !what.to_compare;
    ReadExtent read;
    read.after = now.as_of.seq;
    read.made = make_resync_frame({options_.capture.group, now.as_of.point, what.extent},
                                  content.bytes(), what.known ? &*what.known : nullptr,
                                  packs ? &*copy_compressor_ : nullptr);
    return read;
}

}  // namespace everstep::daemon
