// The shares of a path that a look-up goes through: what grows is looked up now, under the lock;
// what is fixed is looked up later, without it.
#include <algorithm>

#include "journal/shares.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

SegmentShare share_of(const PathRun& part, const RedoIndex& index, const BeforeImageIndex* images) {
    return {.writes = &index.writes,
            .images = images,
            .segment = part.segment->number,
            .span = index.writes.between(part.after, part.to)};
}

// The answers of a share that grows, for one window.
class FoundShare final : public PathShare {
  public:
    explicit FoundShare(std::vector<SectorRun> runs) : runs_(std::move(runs)) {}
    [[nodiscard]] Status newest(std::span<const UnitRange> sectors,
                                std::vector<SectorRun>& out) const override {
        for (const UnitRange& range : sectors) {
            const std::uint64_t end = range.first + range.count;
            auto run = std::partition_point(runs_.begin(), runs_.end(), [&](const SectorRun& r) {
                return r.end() <= range.first;
            });
            for (; run != runs_.end() && run->first < end; ++run)
                append_run(out, part_of(*run, range.first, end));
        }
        return {};
    }
    [[nodiscard]] Status before(std::span<const UnitRange> sectors,
                                std::vector<SectorRun>& out) const override {
        return newest(sectors, out);
    }

  private:
    std::vector<SectorRun> runs_;
};

std::shared_ptr<const PathShare> fixed_share(IndexCache& indexes, const PathRun& part) {
    const PathSpan span{part.after, part.to};
    if (part.merged != nullptr) return std::make_shared<MergedShare>(indexes, part.merged, span);
    auto share = std::make_shared<FixedShare>(indexes, fixed_of(*part.segment), span);
    share->know(part.segment->index, part.segment->images);
    return share;
}

std::shared_ptr<const PathShare> newer_share(IndexCache& indexes, const PathRun& part,
                                             const UnitRange& window) {
    if (part.merged != nullptr || part.segment->redo.sealed) return fixed_share(indexes, part);
    std::vector<SectorRun> runs;
    share_of(part, *part.segment->index, nullptr).newest(window, runs);
    return std::make_shared<FoundShare>(std::move(runs));
}

std::shared_ptr<const PathShare> undone_share(IndexCache& indexes, const PathRun& part,
                                              const UnitRange& window) {
    if (part.merged != nullptr || part.segment->fixed()) return fixed_share(indexes, part);
    const Segment& segment = *part.segment;
    std::vector<SectorRun> runs;
    share_of(part, *segment.index, segment.images.get()).before(window, runs);
    return std::make_shared<FoundShare>(std::move(runs));
}

}  // namespace

bool Store::Impl::stands(const ReplicaStand& stand) const {
    const std::shared_lock guard(mutex);
    return stand == ReplicaStand{move_generation, replica.line, replica.high};
}

Result<Looked> Store::Impl::look(const Place& point, const UnitRange& window,
                                 const ReplicaState* as_if) const {
    const std::shared_lock guard(mutex);
    const auto ways = history.ways(point, as_if != nullptr ? *as_if : replica);
    if (!ways.ok()) return ways.status();
    Looked looked;
    looked.stand = {move_generation, replica.line, replica.high};
    for (const PathRun& part : ways->newer)
        looked.paths.newer.push_back(newer_share(indexes, part, window));
    for (const PathRun& part : ways->undone)
        looked.paths.undone.push_back(undone_share(indexes, part, window));
    return looked;
}

}  // namespace everstep::journal
