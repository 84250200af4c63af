#include "standby/history_log.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/base/buffer.hpp"
#include "standby/paths.hpp"

namespace everstep::standby {
namespace {

constexpr std::uint64_t kCompareBytes = 1ULL << 20;

// Marks, gaps and thinned spans on their way into the list of steps, both newest first.
class InPlace {
  public:
    InPlace(const journal::Store& store, const LogStretch& range, const Naming& naming)
        : naming_(naming), gaps_(gaps_between(store, range.to, range.after, range.to.at.lsn)) {
        for (journal::Mark& mark : store.marks()) {
            const bool inside = range.after <= mark.at.lsn && mark.at.lsn <= range.to.at.lsn;
            if (inside && on_path(range.to, mark.at)) marks_.push_back(std::move(mark));
        }
        std::sort(marks_.begin(), marks_.end(), [](const journal::Mark& a, const journal::Mark& b) {
            return std::tie(a.at.lsn, a.name) < std::tie(b.at.lsn, b.name);
        });
        std::sort(gaps_.begin(), gaps_.end(), [](const journal::Gap& a, const journal::Gap& b) {
            return end_of(a) < end_of(b);
        });
        for (const journal::Thinned& thinned : store.thinned())
            if (range.after < thinned.to.lsn && on_path(range.to, thinned.to))
                thinned_.push_back(thinned);
        std::sort(thinned_.begin(), thinned_.end(),
                  [](const journal::Thinned& a, const journal::Thinned& b) {
                      return a.to.lsn < b.to.lsn;
                  });
    }

    // What stands before (newer than) a step.
    bool before(Lsn step, const EachValue& each) {
        while (!gaps_.empty() && end_of(gaps_.back()) > step) {
            if (!each(gap_line_value(gaps_.back(), naming_))) return false;
            gaps_.pop_back();
        }
        while (!thinned_.empty() && thinned_.back().to.lsn > step) {
            if (!each(thinned_value(thinned_.back()))) return false;
            thinned_.pop_back();
        }
        while (!marks_.empty() && marks_.back().at.lsn >= step) {
            if (!each(mark_value(marks_.back(), naming_))) return false;
            marks_.pop_back();
        }
        return true;
    }

    bool rest(const EachValue& each) { return before(Lsn(0), each); }

  private:
    static Lsn end_of(const journal::Gap& gap) {
        return gap.to.timeline.nil() ? Lsn(std::numeric_limits<std::uint64_t>::max()) : gap.to.lsn;
    }
    const Naming& naming_;
    std::vector<journal::Gap> gaps_;
    std::vector<journal::Mark> marks_;
    std::vector<journal::Thinned> thinned_;
};

// Joins sectors that differ into extents and hands them on.
class Differences {
  public:
    explicit Differences(const std::function<bool(const journal::GapExtent&)>& each)
        : each_(each) {}
    bool add(VolumeIndex volume, std::uint64_t offset, std::uint64_t length) {
        const bool joins = open_.length.value() != 0 && open_.volume == volume &&
                           open_.offset.value() + open_.length.value() == offset;
        if (joins) {
            open_.length = open_.length + length;
            return true;
        }
        const bool more = finish();
        open_ = {volume, ByteOffset(offset), ByteCount(length)};
        return more;
    }
    bool finish() {
        const bool more = open_.length.value() == 0 || each_(open_);
        open_.length = ByteCount(0);
        return more;
    }

  private:
    const std::function<bool(const journal::GapExtent&)>& each_;
    journal::GapExtent open_;
};

bool compare(Differences& out, const journal::GapExtent& at, Bytes a, Bytes b) {
    if (std::memcmp(a.data(), b.data(), a.size()) == 0) return true;
    for (std::uint64_t i = 0; i < a.size(); i += kSectorBytes) {
        const std::size_t count = std::min<std::uint64_t>(kSectorBytes, a.size() - i);
        if (std::memcmp(a.data() + i, b.data() + i, count) == 0) continue;
        if (!out.add(at.volume, at.offset.value() + i, count)) return false;
    }
    return true;
}

void sort_and_merge(std::vector<journal::GapExtent>& extents) {
    std::sort(extents.begin(), extents.end(), [](const auto& a, const auto& b) {
        return std::tie(a.volume, a.offset) < std::tie(b.volume, b.offset);
    });
    std::size_t kept = 0;
    for (const journal::GapExtent& extent : extents) {
        if (kept != 0) {
            journal::GapExtent& last = extents[kept - 1];
            const std::uint64_t end = last.offset.value() + last.length.value();
            if (last.volume == extent.volume && extent.offset.value() <= end) {
                const std::uint64_t longer =
                    std::max(end, extent.offset.value() + extent.length.value());
                last.length = ByteCount(longer - last.offset.value());
                continue;
            }
        }
        extents[kept++] = extent;
    }
    extents.resize(kept);
}

}  // namespace

namespace {

class Listing {
  public:
    Listing(const LogRange& range, const Naming& naming, const EachValue& each)
        : range_(range), naming_(naming), each_(each) {}

    // Steps of one history. False: told to end, or the limit of all is reached.
    Result<bool> list(const LogStretch& stretch) {
        const journal::Store& store = stretch.source->store();
        // While it lasts; if room is wanted before that, it ends with an error.
        const Lsn oldest = std::max(stretch.after, store.baseline().lsn);
        const auto hold = store.hold(point_on(stretch.to, oldest), journal::HoldKind::passing);
        InPlace in_place(store, stretch, naming_);
        bool ended = false;
        const auto list = [&](const journal::StepInfo& step) {
            if (range_.flushes && !step.flush) return true;
            if (range_.limit != 0 && listed_ == range_.limit) ended = true;
            if (ended) return false;
            ++listed_;
            ended = !in_place.before(step.lsn, each_) || !each_(step_value(step, naming_));
            return !ended;
        };
        EVERSTEP_TRY(store.each_step(stretch.to, stretch.after, range_.filter, list));
        return !ended && in_place.rest(each_);
    }

  private:
    const LogRange& range_;
    const Naming& naming_;
    const EachValue& each_;
    std::uint64_t listed_ = 0;
};

}  // namespace

std::vector<LogStretch> stretches_to(const PlacedView& to) {
    std::vector<LogStretch> out;
    out.push_back({to.source, to.view, to.source->store().baseline().lsn});
    for (const PlacedView::Below& below : to.below)
        out.push_back({below.source, below.base, below.source->store().baseline().lsn});
    return out;
}

bool cut_before(std::vector<LogStretch>& stretches, const PlacedPoint& oldest) {
    for (std::size_t n = 0; n < stretches.size(); ++n) {
        LogStretch& one = stretches[n];
        if (one.source != oldest.source || !on_path(one.to, oldest.point)) continue;
        // The step itself is listed, too; the baseline is none.
        if (oldest.point.lsn > one.after) one.after = oldest.point.lsn - 1;
        stretches.resize(n + 1);
        return true;
    }
    return false;
}

Status list_log(const LogRange& range, const Naming& naming, const EachValue& each) {
    Listing listing(range, naming, each);
    for (const LogStretch& stretch : range.stretches) {
        const Result<bool> more = listing.list(stretch);
        if (!more.ok()) return more.status();
        if (!*more) break;
    }
    return {};
}

PlacedView placed(journal::View view, std::shared_ptr<const HistorySource> source,
                  const Branches& branches) {
    PlacedView out{std::move(view), source, {}};
    while (const auto branch = branches.branch_of(source.get())) {
        source = branch->below();
        out.below.push_back({branch->base(), source});
    }
    return out;
}

namespace {

// The ways of two points to the history that both have: the view of it on either side, and what
// was passed on the way.
struct Meeting {
    std::shared_ptr<const HistorySource> source;
    journal::View a;
    journal::View b;
    struct Passed {
        std::shared_ptr<const HistorySource> source;
        journal::View from;
        journal::View to;  // where it begins
    };
    std::vector<Passed> passed;
};

Meeting meet(const PlacedView& a, const PlacedView& b) {
    Meeting out{a.source, a.view, b.view, {}};
    auto below_a = a.below.begin();
    auto below_b = b.below.begin();
    auto source_b = b.source;
    const auto descend = [&](std::shared_ptr<const HistorySource>& source, journal::View& view,
                             std::vector<PlacedView::Below>::const_iterator& below) {
        const journal::Store& store = source->store();
        const Result<journal::View> base = store.view(store.baseline());
        if (base.ok()) out.passed.push_back({source, view, *base});
        source = below->source;
        view = below->base;
        ++below;
    };
    while (out.source != source_b) {
        const auto left_a = a.below.end() - below_a;
        const auto left_b = b.below.end() - below_b;
        if (left_a >= left_b)
            descend(out.source, out.a, below_a);
        else
            descend(source_b, out.b, below_b);
    }
    return out;
}

}  // namespace

std::vector<journal::Gap> gaps_on_way(const PlacedView& a, const PlacedView& b) {
    const Meeting met = meet(a, b);
    return gaps_on_way(met.source->store(), met.a, met.b);  // a branch has none of its own
}

Status list_diff(const PlacedView& a, const PlacedView& b,
                 const std::function<bool(const journal::GapExtent&)>& each) {
    const Meeting met = meet(a, b);
    auto touched = met.source->store().touched(met.a, met.b);
    if (!touched.ok()) return touched.status();
    for (const Meeting::Passed& passed : met.passed) {
        const auto more = passed.source->store().touched(passed.to, passed.from);
        if (!more.ok()) return more.status();
        touched->insert(touched->end(), more->begin(), more->end());
    }
    sort_and_merge(*touched);
    const auto read = [](const PlacedView& from, const journal::GapExtent& at, Buffer& to) {
        to.resize(at.length.value());
        return from.source->store().read(from.view, from.source->replica(), at.volume, at.offset,
                                         to.bytes());
    };
    Differences out(each);
    Buffer left(kCompareBytes);
    Buffer right(kCompareBytes);
    for (const journal::GapExtent& extent : *touched) {
        for (std::uint64_t at = 0; at < extent.length.value(); at += kCompareBytes) {
            const std::uint64_t count = std::min(kCompareBytes, extent.length.value() - at);
            const journal::GapExtent piece{extent.volume, extent.offset + at, ByteCount(count)};
            EVERSTEP_TRY(read(a, piece, left));
            EVERSTEP_TRY(read(b, piece, right));
            if (!compare(out, piece, left.bytes(), right.bytes())) return {};
        }
    }
    out.finish();
    return {};
}

}  // namespace everstep::standby
