#include "standby/point.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "standby/paths.hpp"
#include "standby/point_text.hpp"
#include "standby/time_text.hpp"

namespace everstep::standby {
namespace {

constexpr std::size_t kShortHexDigits = 8;

Status refused(std::string_view what, std::string_view why) {
    return {ErrorCode::refused, fmt::format("point '{}': {}", what, why)};
}

// Resolves one expression. The path is the group's line unless the point lies on another one.
class Resolver {
  public:
    Resolver(std::string_view expression, const PointContext& context)
        : what_(expression),
          context_(context),
          store_(*context.store),
          path_(store_.view_at_tip()) {}

    Result<Point> resolve(const PointText& text) {
        Result<Point> point = base(text);
        if (!point.ok()) return point;
        if (text.shift != 0) point = shifted(*point, text);
        if (point.ok()) point = checked(*point);
        if (point.ok() && text.flush) point = flushed(*point, text);
        return point;
    }

  private:
    Result<Point> base(const PointText& text) {
        switch (text.base) {
            case PointText::Base::head:
                return store_.tip().point;
            case PointText::Base::step:
                return step(text);
            case PointText::Base::mark:
                return mark(text.mark);
            case PointText::Base::time:
                return at_time(text.time);
            case PointText::Base::ago:
                return at_time(context_.step_now - text.ago);
        }
        return refused(what_, "not a point");
    }

    Result<Point> step(const PointText& text) {
        if (text.timeline_number || !text.timeline_hex.empty()) {
            const Result<TimelineId> id = timeline(text);
            if (!id.ok()) return id.status();
            path_ = line_of(*id);
        }
        if (text.lsn == Lsn(0)) return store_.baseline();
        if (text.lsn < store_.baseline().lsn) return before_history();
        return point_on(path_, text.lsn);
    }

    Result<TimelineId> timeline(const PointText& text) const {
        std::vector<TimelineId> found;
        for (const journal::TimelineInfo& one : store_.timelines()) {
            const bool same = text.timeline_number ? one.number == *text.timeline_number
                                                   : one.id.hex().starts_with(text.timeline_hex);
            if (same) found.push_back(one.id);
        }
        if (found.size() == 1) return found.front();
        if (found.empty()) {
            return refused(what_, "this history has no such timeline");
        }
        std::string ids;
        for (const TimelineId& id : found)
            ids += fmt::format("{}t:{}", ids.empty() ? "" : ", ", id.hex());
        return refused(
            what_, fmt::format("several timelines are meant: {}; say which by t:HEX@step:N", ids));
    }

    // The whole line of a timeline, its end left open: the store knows where it ends.
    journal::View line_of(TimelineId id) const {
        const std::vector<journal::TimelineInfo> all = store_.timelines();
        journal::View view;
        view.timeline = id;
        view.at = {Lsn(std::numeric_limits<std::uint64_t>::max()), 0};
        Lsn to = view.at.lsn;
        for (auto one = all.rbegin(); one != all.rend(); ++one) {  // parents come first in `all`
            if (one->id != id) continue;
            view.path.insert(view.path.begin(), {one->id, one->branch_lsn, to});
            to = one->branch_lsn;
            id = one->parent;
        }
        return view;
    }

    Result<Point> mark(const std::string& name) {
        const std::vector<journal::Mark> marks = store_.marks();
        const auto found = std::find_if(marks.begin(), marks.end(),
                                        [&](const journal::Mark& one) { return one.name == name; });
        if (found == marks.end()) {
            const bool number = name.find_first_not_of("0123456789") == std::string::npos;
            return Status(
                ErrorCode::not_found,
                fmt::format("point '{}': no mark is named '{}'; `everstep marks` lists them{}",
                            what_, name, number ? ", and that step is step:" + name : ""));
        }
        if (!on_path(path_, found->at)) path_ = line_of(found->at.timeline);
        return found->at;
    }

    Result<Point> at_time(WallTime time) {
        const Result<Lsn> lsn = store_.step_at_time(path_, time);
        if (!lsn.ok()) return lsn.status().with_context(fmt::format("point '{}'", what_));
        // Between a gap's last consistent step and its end lies no step that this time could mean.
        for (const journal::Gap& gap : gaps_between(store_, path_, *lsn, path_.at.lsn)) {
            if (gap.from.lsn > *lsn) continue;
            if (gap.from.lsn < *lsn || time > time_of(gap.from)) return in_gap(gap);
        }
        for (const journal::Thinned& thinned : store_.thinned()) {
            const bool behind = thinned.from.lsn == *lsn && on_path(path_, thinned.to);
            if (behind && time > time_of(thinned.from)) return in_thinned(thinned);
        }
        return point_on(path_, *lsn);
    }

    WallTime time_of(Point at) const {
        const Result<journal::StepInfo> step = store_.step(path_, at.lsn);
        if (step.ok()) return step->step_time;
        const Result<journal::Tip> tip = store_.tip_at(at);
        return tip.ok() ? tip->step_time : WallTime::max();
    }

    Result<Point> shifted(Point from, const PointText& text) {
        const std::uint64_t lsn = from.lsn.value();
        const Lsn oldest = store_.baseline().lsn;
        if (!text.forward && (text.shift > lsn || Lsn(lsn - text.shift) < oldest)) {
            return before_history();
        }
        if (text.forward &&
            text.shift > path_.at.lsn.value() - std::min(lsn, path_.at.lsn.value())) {
            return after_head();
        }
        const Lsn to(text.forward ? lsn + text.shift : lsn - text.shift);
        const auto gaps =
            gaps_between(store_, path_, std::min(from.lsn, to), std::max(from.lsn, to));
        if (!gaps.empty()) return in_gap(gaps.front(), "reaches across");
        return point_on(path_, to);
    }

    Result<Point> checked(Point at) {
        if (at.lsn > path_.at.lsn) return after_head();
        for (const journal::Gap& gap : gaps_between(store_, path_, at.lsn, path_.at.lsn)) {
            if (gap.from.lsn < at.lsn) return in_gap(gap);
        }
        std::optional<journal::Gap> open = store_.gap_open();
        if (open && open->from.lsn < at.lsn && on_path(store_.view_at_tip(), at)) {
            open->to = {};
            return in_gap(*open);
        }
        const Result<journal::View> view = store_.view(at);
        if (!view.ok()) return view.status().with_context(fmt::format("point '{}'", what_));
        return at;
    }

    Result<Point> flushed(Point at, const PointText& text) {
        std::optional<VolumeIndex> volume;
        if (text.flush_volume) {
            const Result<VolumeIndex> named = volume_named(*text.flush_volume);
            if (!named.ok()) return named.status();
            volume = *named;
        }
        const Result<journal::View> view = store_.view(at);
        if (!view.ok()) return view.status();
        const auto found = store_.flush_before(*view, volume);
        if (!found.ok()) return found.status();
        const std::optional<Lsn> flush = *found;
        if (!flush) {
            return refused(
                what_, fmt::format("no flush mark lies at or before {}", format_point(at, store_)));
        }
        const auto gaps = gaps_between(store_, *view, *flush, at.lsn);
        if (!gaps.empty()) return in_gap(gaps.back(), "reaches across");
        return point_on(*view, *flush);
    }

    Result<VolumeIndex> volume_named(const std::string& name) const {
        const auto& names = context_.volume_names;
        const auto found = std::find(names.begin(), names.end(), name);
        if (found != names.end())
            return VolumeIndex(static_cast<std::uint64_t>(found - names.begin()));
        return Status(ErrorCode::usage,
                      fmt::format("point '{}': the group has no volume '{}'; it has {}", what_,
                                  name, fmt::join(names, ", ")));
    }

    Status before_history() const {
        return refused(what_, fmt::format("before history; the oldest point is {}",
                                          format_point(store_.baseline(), store_)));
    }
    Status after_head() const {
        return refused(what_, fmt::format("after head; the newest point is {}",
                                          format_point(store_.consistent(), store_)));
    }
    Status in_thinned(const journal::Thinned& thinned) const {
        return refused(what_, fmt::format("thinned: only kept steps are left there; the nearest "
                                          "points are {} before and {} behind",
                                          format_point(thinned.from, store_),
                                          format_point(thinned.to, store_)));
    }
    Status in_gap(const journal::Gap& gap, std::string_view how = "inside") const {
        const std::string before = format_point(gap.from, store_);
        if (gap.to.timeline.nil()) {
            return refused(what_,
                           fmt::format("{} a gap that is still open ({}); the nearest point before "
                                       "it is {}, none lies behind it yet",
                                       how, gap.reason, before));
        }
        return refused(
            what_, fmt::format("{} a gap ({}); the nearest points are {} before and {} behind", how,
                               gap.reason, before, format_point(gap.to, store_)));
    }

    std::string_view what_;
    const PointContext& context_;
    const journal::Store& store_;
    journal::View path_;
};

}  // namespace

Result<Point> resolve_point(std::string_view expression, const PointContext& context) {
    const Result<PointText> text = parse_point(expression);
    if (!text.ok()) return text.status();
    if (context.store == nullptr || !context.store->has_history()) {
        return refused(expression, "there is no history yet");
    }
    return Resolver(expression, context).resolve(*text);
}

std::string format_point(Point point, const journal::Store& store) {
    if (store.has_history() && on_path(store.view_at_tip(), point)) {
        return fmt::format("step:{}", point.lsn.value());
    }
    const std::string hex = point.timeline.hex();
    std::size_t digits = kShortHexDigits;
    for (const journal::TimelineInfo& one : store.timelines()) {
        if (one.id == point.timeline) continue;
        const std::string other = one.id.hex();
        while (digits < hex.size() && other.compare(0, digits, hex, 0, digits) == 0) ++digits;
    }
    return fmt::format("t:{}@step:{}", hex.substr(0, digits), point.lsn.value());
}

}  // namespace everstep::standby
