// Pipeline: the write-intent maps of its volumes (docs/write-intent-map.md).
#include "daemon/pipeline.hpp"

namespace everstep::daemon {

std::unique_ptr<IntentGate> Pipeline::open_intent(std::size_t index) {
    const IntentOptions& intent = options_.intent;
    if (intent.standbys == 0) return nullptr;
    const PipelineVolume& volume = options_.volumes[index];
    IntentPlace place;
    place.path = intent.directory + "/" + volume.name;
    place.id = intent.id;
    place.volume = VolumeIndex(index);
    place.size = volume.size;
    place.standbys = intent.standbys;
    std::vector<std::string> report;
    options_.files->make_directory(intent.directory).ignore("then no map can be opened in it");
    auto map = IntentMap::open(
        *options_.files, place,
        {volume.coming ? IntentBegin::all_marked : intent.begin, capture_->newest()}, report);
    for (const std::size_t standby : intent.all_of)
        if (map.ok()) (*map)->mark_all(standby);
    for (const std::string& line : report) {
        node_.post([alive = alive_, line] {
            if (*alive != nullptr) (*alive)->events_.on_event("intent", line);
        });
    }
    auto gate = std::make_unique<IntentGate>(
        loop_, map.ok() ? std::move(*map) : nullptr, *options_.capture.clock,
        [this](const Status& why, std::function<void(Status)> done) {
            intent_lost(why, std::move(done));
        });
    if (!map.ok()) gate->unopened(map.status());
    return gate;
}

void Pipeline::intent_lost(const Status& why, std::function<void(Status)> done) {
    node_.post([this, alive = alive_, why, done = std::move(done)] {
        if (*alive == nullptr) return;
        loop_.post([done, status = events_.on_intent_lost(why)] { done(status); });
    });
}

void Pipeline::may_differ(std::size_t standby, bool all,
                          std::function<void(std::vector<journal::GapExtent>)> done) {
    loop_.post([this, standby, all, done = std::move(done)] {
        std::vector<journal::GapExtent> extents;
        for (const auto& volume : volumes_) {
            if (all) volume->all_may_differ(standby);
            const auto more = volume->may_differ(standby);
            extents.insert(extents.end(), more.begin(), more.end());
        }
        count_marked();
        node_.post([done, extents = std::move(extents)] { done(extents); });
    });
}

void Pipeline::add_standby(std::size_t standbys, std::size_t standby) {
    loop_.post([this, standbys, standby] {
        options_.intent.standbys = standbys;
        for (const auto& volume : volumes_) {
            volume->set_standbys(standbys);
            volume->all_may_differ(standby);
        }
        count_marked();
    });
}

void Pipeline::known_durable(std::vector<Lsn> durable) {
    loop_.post([this, durable = std::move(durable)] {
        for (const auto& volume : volumes_) volume->known_durable(durable);
    });
}

void Pipeline::sync_devices(std::function<void()> done) {
    loop_.post([this, done = std::move(done)] {
        const auto left = std::make_shared<std::size_t>(volumes_.size());
        for (const auto& volume : volumes_) {
            volume->sync_beside([this, left, done](const Status& status) {
                if (!status.ok() || --*left > 0) return;
                node_.post([alive = alive_, done] {
                    if (*alive != nullptr) done();
                });
            });
        }
    });
}

void Pipeline::count_marked() {
    for (std::size_t standby = 0; standby < options_.intent.standbys; ++standby) {
        std::uint64_t bytes = 0;
        for (const auto& volume : volumes_)
            for (const journal::GapExtent& extent : volume->may_differ(standby))
                bytes += extent.length.value();
        marked_bytes_[standby].store(bytes, std::memory_order_relaxed);
    }
}

ByteCount Pipeline::marked_bytes(std::size_t standby) const {
    if (standby >= marked_bytes_.size()) return ByteCount(0);
    return ByteCount(marked_bytes_[standby].load(std::memory_order_relaxed));
}

}  // namespace everstep::daemon
