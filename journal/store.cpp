// Store's facts and views: what is known without reading a file.
#include "journal/store.hpp"

#include <algorithm>

#include "journal/store_impl.hpp"

namespace everstep::journal {

Store::Store() = default;
Store::~Store() = default;

bool Store::has_history() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->history.begun();
}

Tip Store::tip() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->history.chain().tip;
}

Tip Store::durable() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->durable.chain.tip;
}

Point Store::baseline() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->history.baseline().point;
}

std::optional<Gap> Store::gap_open() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->history.open_gap();
}

Store::Impl::Durable Store::Impl::now() const {
    const auto& gap = history.open_gap();
    return {history.chain(), gap ? std::optional(gap->from) : std::nullopt, gap && !gap->batch};
}

bool Store::order_kept() const {
    const std::shared_lock guard(impl_->mutex);
    const auto& gap = impl_->history.open_gap();
    return (!gap || gap->batch) && !impl_->durable.lost;
}

Point Store::consistent() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->durable.gap_from.value_or(impl_->durable.chain.tip.point);
}

ReplicaState Store::replica() const {
    const std::shared_lock guard(impl_->mutex);
    return impl_->replica;
}

std::vector<TimelineInfo> Store::timelines() const {
    const std::shared_lock guard(impl_->mutex);
    const Topology& topology = impl_->history.topology();
    std::vector<TimelineInfo> out;
    for (const TimelineId& id : topology.order()) out.push_back(*topology.find(id));
    return out;
}

std::vector<Mark> Store::marks() const {
    const std::shared_lock guard(impl_->mutex);
    std::vector<Mark> out;
    for (const auto& [name, mark] : impl_->history.marks()) out.push_back(mark);
    std::stable_sort(out.begin(), out.end(),
                     [](const Mark& a, const Mark& b) { return a.at.lsn < b.at.lsn; });
    return out;
}

std::vector<Gap> Store::gaps() const {
    const std::shared_lock guard(impl_->mutex);
    std::vector<Gap> out;
    for (const GapRecord& record : impl_->history.gaps()) out.push_back(record.gap);
    return out;
}

ByteCount Store::stored_bytes() const {
    const std::shared_lock guard(impl_->mutex);
    std::uint64_t bytes = 0;
    for (const auto& segment : impl_->history.segments())
        bytes += segment->redo.tail.end + segment->undo.tail.end;
    return ByteCount(bytes);
}

static View view_of(const History& history, const Place& place) {
    View view;
    view.timeline = place.timeline;
    view.at = place.at;
    const Position baseline{history.baseline().point.lsn, 0};
    for (const PathPart& part : history.topology().path(place)) {
        if (part.to < baseline) continue;
        view.path.push_back({part.timeline, std::max(part.after.lsn, baseline.lsn), part.to.lsn});
    }
    return view;
}

Result<View> Store::view(Point at) const {
    const std::shared_lock guard(impl_->mutex);
    EVERSTEP_TRY(impl_->history.check_point(at));
    return view_of(impl_->history, place_of(at));
}

View Store::view_at_tip() const {
    const std::shared_lock guard(impl_->mutex);
    if (!impl_->history.begun()) return {};
    return view_of(impl_->history, impl_->history.tip_place());
}

}  // namespace everstep::journal
