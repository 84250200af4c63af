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
          store_(context.store),
          source_(context.branches == nullptr ? nullptr : context.branches->group()),
          path_(store_->view_at_tip()) {}

    Result<Point> resolve(const PointText& text) {
        Result<Point> point = base(text);
        if (!point.ok()) return point;
        if (text.shift != 0) point = shifted(*point, text);
        if (point.ok()) point = checked(*point);
        if (point.ok() && text.flush) point = flushed(*point, text);
        return point;
    }
    // Where what resolve() gave lies.
    [[nodiscard]] std::shared_ptr<const HistorySource> source() const { return source_; }

  private:
    Result<Point> base(const PointText& text) {
        switch (text.base) {
            case PointText::Base::head:
                return head(text);
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

    Result<Point> head(const PointText& text) {
        if (!names_timeline(text)) return store_->tip().point;
        EVERSTEP_TRY(go_to_timeline(text));
        const Result<Lsn> newest = store_->step_at_time(path_, WallTime::max());
        if (!newest.ok()) return newest.status().with_context(fmt::format("point '{}'", what_));
        return point_on(path_, std::max(*newest, store_->baseline().lsn));
    }

    Result<Point> step(const PointText& text) {
        if (names_timeline(text)) EVERSTEP_TRY(go_to_timeline(text));
        while (text.lsn < store_->baseline().lsn && go_below()) continue;
        if (text.lsn == Lsn(0)) return store_->baseline();
        if (text.lsn < store_->baseline().lsn) return before_history();
        return point_on(path_, text.lsn);
    }

    static bool names_timeline(const PointText& text) {
        return text.timeline_number || !text.timeline_hex.empty();
    }

    // On the way to a branch: to the history that it branched from. False: this is the group's.
    bool go_below() {
        const auto branch =
            context_.branches == nullptr ? nullptr : context_.branches->branch_of(source_.get());
        if (!branch) return false;
        above_.push_back({source_, path_});
        path_ = branch->base();
        go_to_history(branch->below());
        return true;
    }

    // Back to the branch that it came from.
    void go_above() {
        path_ = above_.back().path;
        go_to_history(above_.back().source);
        above_.pop_back();
    }

    void go_to_history(std::shared_ptr<const HistorySource> source) {
        source_ = std::move(source);
        store_ = &source_->store();
    }

    Status go_to_timeline(const PointText& text) {
        struct Found {
            TimelineId id;
            std::shared_ptr<const HistorySource> source;
        };
        std::vector<Found> found;
        const auto look = [&](const journal::TimelineInfo& one,
                              const std::shared_ptr<const HistorySource>& source) {
            const bool same = text.timeline_number ? one.number == *text.timeline_number
                                                   : one.id.hex().starts_with(text.timeline_hex);
            if (same) found.push_back({one.id, source});
        };
        for (const journal::TimelineInfo& one : store_->timelines()) look(one, source_);
        if (context_.branches != nullptr) {
            for (const auto& [id, entry] : context_.branches->all()) {
                if (!entry.branch) continue;
                for (const journal::TimelineInfo& one : entry.branch->store().timelines())
                    if (entry.branch->owns(one.id)) look(one, entry.branch);
            }
        }
        if (found.empty()) return refused(what_, "this history has no such timeline");
        if (found.size() > 1) {
            std::string ids;
            for (const Found& one : found)
                ids += fmt::format("{}t:{}", ids.empty() ? "" : ", ", one.id.hex());
            return refused(
                what_,
                fmt::format("several timelines are meant: {}; say which by t:HEX@step:N", ids));
        }
        if (found.front().source != source_) go_to_history(found.front().source);
        path_ = line_of(found.front().id);
        return {};
    }

    // The whole line of a timeline, its end left open: the store knows where it ends.
    journal::View line_of(TimelineId id) const {
        const std::vector<journal::TimelineInfo> all = store_->timelines();
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
        std::optional<Point> at = marked(name);
        if (!at && context_.branches != nullptr) {
            const auto group = source_;
            for (const auto& [id, entry] : context_.branches->all()) {
                if (at || !entry.branch) continue;
                go_to_history(entry.branch);
                at = marked(name);
            }
            if (!at) go_to_history(group);
        }
        if (!at) {
            const bool number = name.find_first_not_of("0123456789") == std::string::npos;
            return Status(
                ErrorCode::not_found,
                fmt::format("point '{}': no mark is named '{}'; `everstep marks` lists them{}",
                            what_, name, number ? ", and that step is step:" + name : ""));
        }
        if (!on_path(path_, *at)) path_ = line_of(at->timeline);
        return *at;
    }

    [[nodiscard]] std::optional<Point> marked(const std::string& name) const {
        for (const journal::Mark& mark : store_->marks())
            if (mark.name == name) return mark.at;
        return std::nullopt;
    }

    Result<Point> at_time(WallTime time) {
        const Result<Lsn> lsn = store_->step_at_time(path_, time);
        if (!lsn.ok()) return lsn.status().with_context(fmt::format("point '{}'", what_));
        // Between a gap's last consistent step and its end lies no step that this time could mean.
        for (const journal::Gap& gap : gaps_between(*store_, path_, *lsn, path_.at.lsn)) {
            if (gap.from.lsn > *lsn) continue;
            if (gap.from.lsn < *lsn || (!gap.batch && time > time_of(gap.from))) return in_gap(gap);
        }
        for (const journal::Thinned& thinned : store_->thinned()) {
            const bool behind = thinned.from.lsn == *lsn && on_path(path_, thinned.to);
            if (behind && time > time_of(thinned.from)) return in_thinned(thinned);
        }
        return point_on(path_, *lsn);
    }

    WallTime time_of(Point at) const {
        const Result<journal::StepInfo> step = store_->step(path_, at.lsn);
        if (step.ok()) return step->step_time;
        const Result<journal::Tip> tip = store_->tip_at(at);
        return tip.ok() ? tip->step_time : WallTime::max();
    }

    [[nodiscard]] bool lies_beyond(std::uint64_t lsn, std::uint64_t shift) const {
        return shift > path_.at.lsn.value() - std::min(lsn, path_.at.lsn.value());
    }

    Result<Point> shifted(Point from, const PointText& text) {
        const std::uint64_t lsn = from.lsn.value();
        while (text.forward && !above_.empty() && lies_beyond(lsn, text.shift)) {
            const auto crossed = gaps_between(*store_, path_, from.lsn, path_.at.lsn);
            if (!crossed.empty()) return in_gap(crossed.front(), "reaches across");
            go_above();
        }
        while (!text.forward && text.shift <= lsn &&
               Lsn(lsn - text.shift) < store_->baseline().lsn && go_below())
            continue;
        const Lsn oldest = store_->baseline().lsn;
        if (!text.forward && (text.shift > lsn || Lsn(lsn - text.shift) < oldest)) {
            return before_history();
        }
        if (text.forward && lies_beyond(lsn, text.shift)) return after_head();
        const Lsn to(text.forward ? lsn + text.shift : lsn - text.shift);
        const auto gaps =
            gaps_between(*store_, path_, std::min(from.lsn, to), std::max(from.lsn, to));
        // The steps of a batch are known: it can be counted over, not stood in.
        for (const journal::Gap& gap : gaps)
            if (!gap.batch) return in_gap(gap, "reaches across");
        return point_on(path_, to);
    }

    Result<Point> checked(Point at) {
        if (at.lsn > path_.at.lsn) return after_head();
        for (const journal::Gap& gap : gaps_between(*store_, path_, at.lsn, path_.at.lsn)) {
            if (gap.from.lsn < at.lsn) return in_gap(gap);
        }
        std::optional<journal::Gap> open = store_->gap_open();
        if (open && open->from.lsn < at.lsn && on_path(store_->view_at_tip(), at)) {
            open->to = {};
            return in_gap(*open);
        }
        const Result<journal::View> view = store_->view(at);
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
        const Result<journal::View> view = store_->view(at);
        if (!view.ok()) return view.status();
        const auto found = store_->flush_before(*view, volume);
        if (!found.ok()) return found.status();
        const std::optional<Lsn> flush = *found;
        if (!flush && go_below()) return flushed(point_on(path_, path_.at.lsn), text);
        if (!flush) {
            return refused(what_, fmt::format("no flush mark lies at or before {}",
                                              format_point(at, *context_.store)));
        }
        const auto gaps = gaps_between(*store_, *view, *flush, at.lsn);
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
                                          format_point(store_->baseline(), *context_.store)));
    }
    Status after_head() const {
        return refused(what_, fmt::format("after head; the newest point is {}",
                                          format_point(store_->consistent(), *context_.store)));
    }
    Status in_thinned(const journal::Thinned& thinned) const {
        return refused(what_, fmt::format("thinned: only kept steps are left there; the nearest "
                                          "points are {} before and {} behind",
                                          format_point(thinned.from, *context_.store),
                                          format_point(thinned.to, *context_.store)));
    }
    Status in_gap(const journal::Gap& gap, std::string_view how = "inside") const {
        const std::string before = format_point(gap.from, *context_.store);
        const std::string_view kind = gap.batch ? "batch" : "gap";
        if (gap.to.timeline.nil()) {
            return refused(what_,
                           fmt::format("{} a {} that is still open ({}); the nearest point before "
                                       "it is {}, none lies behind it yet",
                                       how, kind, gap.reason, before));
        }
        return refused(
            what_, fmt::format("{} a {} ({}); the nearest points are {} before and {} behind", how,
                               kind, gap.reason, before, format_point(gap.to, *context_.store)));
    }

    std::string_view what_;
    const PointContext& context_;
    const journal::Store* store_;
    std::shared_ptr<const HistorySource> source_;  // of the store, where there are branches
    journal::View path_;
    struct Above {
        std::shared_ptr<const HistorySource> source;
        journal::View path;
    };
    std::vector<Above> above_;  // branches that the way went below
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

Result<PlacedPoint> resolve_placed(std::string_view expression, const PointContext& context) {
    const Result<PointText> text = parse_point(expression);
    if (!text.ok()) return text.status();
    if (!context.store->has_history()) return refused(expression, "there is no history yet");
    Resolver resolver(expression, context);
    const Result<Point> point = resolver.resolve(*text);
    if (!point.ok()) return point.status();
    return PlacedPoint{*point, resolver.source()};
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
