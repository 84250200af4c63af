// Pipeline: volumes that come while it serves (daemon/volume_join.hpp).
#include <future>

#include "common/base/thread.hpp"
#include "daemon/pipeline.hpp"

namespace everstep::daemon {

// The node's loop waits meanwhile, so what is on its side is touched by nobody else.
Status Pipeline::add_volumes(std::vector<PipelineVolume> fresh,
                             const std::function<Status()>& keep) {
    std::promise<Status> added;
    std::vector<std::string> uris = uris_;
    uris.resize(options_.volumes.size() + fresh.size());
    loop_.post([&] {
        const std::size_t volumes = volumes_.size();
        const std::size_t servers = servers_.size();
        const auto open_all = [&]() -> Status {
            if (volumes + fresh.size() > kVolumesMax)
                return {ErrorCode::refused, "a group has at most 256 volumes"};
            for (PipelineVolume& volume : fresh) {
                options_.volumes.push_back(std::move(volume));
                EVERSTEP_TRY(open_volume(volumes_.size()));
            }
            EVERSTEP_TRY(open_servers(volumes, uris));
            return keep();  // no client's request is read before this task has ended
        };
        const Status status = within_limits(open_all);
        if (!status.ok()) {
            for (std::size_t i = volumes; i < volumes_.size(); ++i) volumes_[i]->detach();
            servers_.resize(servers);
            volumes_.resize(volumes);
            options_.volumes.resize(volumes);
        }
        count_marked();
        added.set_value(status);
    });
    const Status status = added.get_future().get();
    if (status.ok()) uris_ = std::move(uris);
    return status;
}

void Pipeline::take_in(VolumeIndex volume, std::function<void(Result<TakenIn>)> done) {
    loop_.post([this, volume, done = std::move(done)] {
        TakenIn taken;
        const Result<ByteOffset> upto = volumes_[volume.value()]->take_in();
        if (!upto.ok()) return node_.post([done, why = upto.status()] { done(why); });
        taken.upto = *upto;
        taken.all = upto->value() == options_.volumes[volume.value()].size.value();
        if (taken.all) {
            capture_->seal();
            taken.tip = capture_->sealed();
            all_handed_over();
        }
        node_.post([done, taken] { done(taken); });
    });
}

}  // namespace everstep::daemon
