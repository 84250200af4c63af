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
    InPlace(const journal::Store& store, const LogRange& range, const Naming& naming)
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
            if (!each(gap_line_value(gaps_.back()))) return false;
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

Status list_log(const journal::Store& store, const LogRange& range, const Naming& naming,
                const EachValue& each) {
    // While it lasts; if room is wanted before that, it ends with an error.
    const auto hold = store.hold(point_on(range.to, std::max(range.after, store.baseline().lsn)),
                                 journal::HoldKind::passing);
    InPlace in_place(store, range, naming);
    std::uint64_t listed = 0;
    bool ended = false;
    EVERSTEP_TRY(store.each_step(range.to, range.after, [&](const journal::StepInfo& step) {
        if (range.flushes && !step.flush) return true;
        if (range.limit != 0 && listed == range.limit) ended = true;
        if (ended) return false;
        ++listed;
        ended = !in_place.before(step.lsn, each) || !each(step_value(step, naming));
        return !ended;
    }));
    if (!ended) in_place.rest(each);
    return {};
}

Status list_diff(const journal::Store& store, const journal::ReplicaReader& replica,
                 const DiffRange& range,
                 const std::function<bool(const journal::GapExtent&)>& each) {
    auto touched = store.touched(range.a, range.b);
    if (!touched.ok()) return touched.status();
    sort_and_merge(*touched);
    Differences out(each);
    Buffer left(kCompareBytes);
    Buffer right(kCompareBytes);
    for (const journal::GapExtent& extent : *touched) {
        for (std::uint64_t at = 0; at < extent.length.value(); at += kCompareBytes) {
            const std::uint64_t count = std::min(kCompareBytes, extent.length.value() - at);
            const journal::GapExtent piece{extent.volume, extent.offset + at, ByteCount(count)};
            left.resize(count);
            right.resize(count);
            EVERSTEP_TRY(store.read(range.a, replica, piece.volume, piece.offset, left.bytes()));
            EVERSTEP_TRY(store.read(range.b, replica, piece.volume, piece.offset, right.bytes()));
            if (!compare(out, piece, left.bytes(), right.bytes())) return {};
        }
    }
    out.finish();
    return {};
}

}  // namespace everstep::standby
