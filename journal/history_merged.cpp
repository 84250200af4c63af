// History: which merged indexes are in use, and which are to be made. They are only a quicker way:
// without any the answers are the same.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "journal/history.hpp"

namespace everstep::journal {
namespace {

// The places that are left of it among the segments of a line: they have to be its newest ones, one
// behind the other.
class Placing {
  public:
    explicit Placing(const Line& line) : line_(line), taken_(line.segments.size()) {
        for (std::size_t n = 0; n < line.segments.size(); ++n)
            place_of_[line.segments[n]->number] = n;
    }
    // It, or what of its children is of use.
    void place(const MergedIndexPtr& index) {
        std::vector<FixedSegment> all;
        list_segments(*index, all);
        std::size_t first = all.size();
        for (; first > 0; --first) {
            const auto found = place_of_.find(all[first - 1].number);
            if (found == place_of_.end()) break;
            if (!fits(found->second, all[first - 1])) break;
            if (first < all.size() && !follows(found->second, place_of_[all[first].number])) break;
        }
        const bool rest_is_gone =
            std::none_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first),
                         [&](const FixedSegment& s) { return place_of_.contains(s.number); });
        if (first < all.size() && rest_is_gone)
            return take(index, place_of_[all[first].number], place_of_[all.back().number] + 1);
        for (const MergedIndexPtr& child : index->children) place(child);
    }
    std::vector<MergedRun> runs() {
        std::sort(runs_.begin(), runs_.end(),
                  [](const MergedRun& a, const MergedRun& b) { return a.at < b.at; });
        return std::move(runs_);
    }

  private:
    [[nodiscard]] bool fits(std::size_t place, const FixedSegment& segment) const {
        const Segment& here = *line_.segments[place];
        return here.redo.sealed && here.redo.salt == segment.redo_salt && !taken_[place];
    }
    // Nothing but segments without a position lies between.
    [[nodiscard]] bool follows(std::size_t place, std::size_t next) const {
        for (std::size_t n = place + 1; n < next; ++n)
            if (line_.segments[n]->first < line_.segments[n]->last) return false;
        return place < next;
    }
    void take(const MergedIndexPtr& index, std::size_t at, std::size_t end) {
        for (std::size_t n = at; n < end; ++n) taken_[n] = true;
        runs_.push_back({index, at, end});
    }
    const Line& line_;
    std::unordered_map<std::uint64_t, std::size_t> place_of_;
    std::vector<bool> taken_;
    std::vector<MergedRun> runs_;
};

}  // namespace

// Larger ones first, so that one that covers others takes their place.
void History::settle_merged(Line& line, std::vector<MergedIndexPtr> indexes) {
    std::stable_sort(
        indexes.begin(), indexes.end(),
        [](const MergedIndexPtr& a, const MergedIndexPtr& b) { return a->level > b->level; });
    Placing placing(line);
    for (const MergedIndexPtr& index : indexes) placing.place(index);
    line.merged = placing.runs();
    for (MergedRun& run : line.merged) note_undone(line, run);
    ++merged_changes_;
}

void History::settle_merged(Line& line) {
    if (line.merged.empty()) return;
    std::vector<MergedIndexPtr> indexes;
    for (const MergedRun& run : line.merged) indexes.push_back(run.index);
    settle_merged(line, std::move(indexes));
}

void History::take_merged(const std::vector<MergedIndexPtr>& indexes) {
    std::unordered_map<TimelineId, std::vector<MergedIndexPtr>> by_line;
    for (const MergedIndexPtr& index : indexes) {
        std::vector<FixedSegment> all;
        list_segments(*index, all);
        for (auto one = all.rbegin(); one != all.rend(); ++one) {
            const Segment* there = segment(one->number);
            if (there == nullptr) continue;
            by_line[there->timeline].push_back(index);
            break;
        }
    }
    for (auto& [timeline, added] : by_line) {
        Line& own = lines_[timeline];
        for (const MergedRun& run : own.merged) added.push_back(run.index);
        settle_merged(own, std::move(added));
    }
}

bool History::is_cut(const MergedIndex& index) const {
    std::vector<FixedSegment> all;
    list_segments(index, all);
    return std::any_of(all.begin(), all.end(),
                       [&](const FixedSegment& s) { return segment(s.number) == nullptr; });
}

void History::give_up_merged(const MergedIndex& index) {
    const auto is_under = [&](const auto& self, const MergedIndex& one) -> bool {
        return &one == &index ||
               std::any_of(one.children.begin(), one.children.end(),
                           [&](const MergedIndexPtr& child) { return self(self, *child); });
    };
    for (auto& [timeline, own] : lines_) {
        std::vector<MergedIndexPtr> left;
        const auto keep = [&](const auto& self, const MergedIndexPtr& one) -> void {
            if (!is_under(is_under, *one)) return left.push_back(one);
            for (const MergedIndexPtr& child : one->children) self(self, child);
        };
        for (const MergedRun& run : own.merged) keep(keep, run.index);
        settle_merged(own, std::move(left));
    }
}

void History::note_undone(const Line& line, MergedRun& run) {
    run.undone = true;
    for (std::size_t n = run.at; n < run.end; ++n)
        run.undone = run.undone && line.segments[n]->undo.sealed;
}

void History::note_undo_sealed(const Segment& segment) {
    const auto own = lines_.find(segment.timeline);
    if (own == lines_.end()) return;
    for (MergedRun& run : own->second.merged)
        if (!run.undone) note_undone(own->second, run);
}

std::vector<PathRun> History::path_runs(Position after, const Place& place, Way way) const {
    std::vector<PathRun> out;
    for (const PathPart& part : topology_.path_behind(after, place)) {
        const Line* own = line(part.timeline);
        if (own == nullptr) continue;
        const auto& segments = own->segments;
        const auto first =
            std::partition_point(segments.begin(), segments.end(),
                                 [&](const Segment* s) { return s->last <= part.after; });
        auto at = static_cast<std::size_t>(first - segments.begin());
        auto run = std::partition_point(own->merged.begin(), own->merged.end(),
                                        [&](const MergedRun& r) { return r.end <= at; });
        while (at < segments.size() && segments[at]->first < part.to) {
            const Segment& segment = *segments[at];
            if (run != own->merged.end() && run->end <= at) ++run;
            if (run != own->merged.end() && run->at <= at && (way == Way::newer || run->undone)) {
                // What is gone under it has no part in the path.
                const Position from = std::max(part.after, segments[run->at]->first);
                out.push_back({nullptr, run->index, from, part.to, 0});
                at = run->end;
                continue;
            }
            if (segment.first < segment.last)
                out.push_back({&segment, nullptr, part.after, part.to, segment.number});
            ++at;
        }
    }
    return out;
}

namespace {

// The oldest neighbours of a line that are of one level, where there are enough of them.
class Neighbours {
  public:
    explicit Neighbours(const std::set<std::uint64_t>& without) : without_(without) {}
    void add(const Segment& segment) {
        children_.clear();
        if (!segment.redo_fixed() || segment.index != nullptr) return segments_.clear();
        segments_.push_back(fixed_of(segment));
        if (segments_.size() == kMergeFanIn) offer(merged_of(std::exchange(segments_, {})));
    }
    void add(const MergedIndexPtr& index) {
        segments_.clear();
        if (!children_.empty() && children_.back()->level != index->level) children_.clear();
        children_.push_back(index);
        if (children_.size() == kMergeFanIn) offer(merged_of(std::exchange(children_, {})));
    }
    [[nodiscard]] const MergedIndexPtr& best() const { return best_; }
    [[nodiscard]] bool has_lowest() const { return best_ != nullptr && best_->level == 1; }

  private:
    void offer(MergedIndexPtr made) {
        const bool better = best_ == nullptr || made->level < best_->level;
        if (better && !without_.contains(made->salt)) best_ = std::move(made);
    }
    const std::set<std::uint64_t>& without_;
    std::vector<FixedSegment> segments_;
    std::vector<MergedIndexPtr> children_;
    MergedIndexPtr best_;
};

}  // namespace

MergedIndexPtr History::next_merge(const std::set<std::uint64_t>& without) const {
    MergedIndexPtr best;
    for (const auto& [timeline, own] : lines_) {
        Neighbours neighbours(without);
        auto run = own.merged.begin();
        for (std::size_t at = 0; at < own.segments.size() && !neighbours.has_lowest();) {
            if (run != own.merged.end() && run->at == at) {
                neighbours.add(run->index);
                at = run++->end;
            } else {
                neighbours.add(*own.segments[at++]);
            }
        }
        const MergedIndexPtr& offered = neighbours.best();
        if (offered != nullptr && (best == nullptr || offered->level < best->level)) best = offered;
    }
    return best;
}

std::vector<MergedIndexPtr> History::merged() const {
    std::vector<MergedIndexPtr> out;
    const auto add = [&](const auto& self, const MergedIndexPtr& index) -> void {
        for (const MergedIndexPtr& child : index->children) self(self, child);
        out.push_back(index);
    };
    for (const auto& [timeline, own] : lines_)
        for (const MergedRun& run : own.merged) add(add, run.index);
    return out;
}

}  // namespace everstep::journal
