#include "tests/power/node.hpp"

#include "standby/standby.hpp"

namespace everstep::power {

Status Node::open() {
    close();
    report_.clear();
    journal::StoreOptions options;
    options.directory = kStoreDirectory;
    options.group = options_.group;
    options.volume_bytes = options_.sizes;
    options.segment_bytes = options_.segment_bytes;
    options.catalogue = &catalogue_;
    options.whole_index_bytes = options_.whole_index_bytes;
    options.recent_frame_bytes = ByteCount(16 << 10);  // so that files are read, too
    auto store = journal::Store::open(disk_, options, report_);
    if (!store.ok()) return store.status();
    store_ = std::move(*store);
    std::vector<standby::VolumeFile> volumes;
    for (std::size_t v = 0; v < options_.sizes.size(); ++v) {
        volumes.push_back(
            {"v" + std::to_string(v), "/images/v" + std::to_string(v), options_.sizes[v]});
        const auto there = disk_.exists(volumes.back().path);
        if (store_->has_history() && !*there)
            return {ErrorCode::refused, "there is history, but its replica is gone"};
    }
    auto replica = standby::Replica::open(disk_, volumes);
    if (!replica.ok()) return replica.status();
    replica_ = std::move(*replica);
    mover_ = std::make_unique<standby::Mover>(*store_, *replica_, standby::Mover::Hooks{},
                                              options_.move_bytes);
    travel_ = std::make_unique<standby::TimeTravel>(*store_, *mover_, system_clock());
    return {};
}

void Node::close() {
    travel_.reset();
    mover_.reset();
    replica_.reset();
    store_.reset();
}

Status Node::begin(const Past& past) {
    journal::Tip base;
    base.point = {past.lines()[0].writer.timeline().id, Lsn(0)};
    return store_->begin_history({past.lines()[0].writer.timeline()}, base);
}

std::vector<journal::lab::Image> Node::raw() const {
    std::vector<journal::lab::Image> images;
    for (std::size_t v = 0; v < options_.sizes.size(); ++v) {
        images.emplace_back(options_.sizes[v].value());
        replica_->read(VolumeIndex(v), ByteOffset(0), images[v]).ignore("an image in memory");
    }
    return images;
}

Result<std::vector<journal::lab::Image>> Node::read(const journal::View& view) const {
    std::vector<journal::lab::Image> images;
    for (std::size_t v = 0; v < options_.sizes.size(); ++v) {
        images.emplace_back(options_.sizes[v].value(), std::byte{0xee});
        EVERSTEP_TRY(store_->read(view, *replica_, VolumeIndex(v), ByteOffset(0), images[v]));
    }
    return images;
}

Result<bool> Node::apply_some(Bug bug) {
    if (store_->replica().held) return false;
    const Point goal = store_->durable().point;
    const bool onward = store_->next_batch(goal, standby::kApplyBatchBytesMax).ok();
    if (bug == Bug::low_before_flush && onward) return apply_low_first();
    return mover_->towards(goal, false);
}

Result<bool> Node::keep(const journal::KeepLimits& limits) {
    const auto report = store_->keep({limits, replica_.get(), nullptr});
    if (!report.ok()) return report.status();
    return report->action.verb != journal::KeepVerb::nothing;
}

Status Node::tend() {
    while (store_->wants_tending()) EVERSTEP_TRY(store_->tend().status());
    return {};
}

// What Mover does with a batch, in another order.
Result<bool> Node::apply_low_first() {
    const auto batch = store_->next_batch(store_->durable().point, standby::kApplyBatchBytesMax);
    if (batch->empty()) return false;
    standby::BatchWriter writer(*store_, *replica_);
    EVERSTEP_TRY(store_->begin_batch(*batch, *replica_));
    EVERSTEP_TRY(writer.write(batch->units));
    EVERSTEP_TRY(store_->end_batch(*batch));
    EVERSTEP_TRY(store_->sync_low());
    EVERSTEP_TRY(replica_->sync());
    return true;
}

}  // namespace everstep::power
