// Retention at work (retention.hpp says what goes): Store's keep and holds.
//
// What goes is first written down: a `kept` record without it, synced. From then on it is gone, and
// whatever is left of its files goes now or when the store is opened. What is condensed is made
// whole before that record names it, under a number of its own; until then nothing knows it. The
// replica's position is repeated beside it: its newest record may lie in what goes.
#include <algorithm>

#include "journal/condense.hpp"
#include "journal/store_impl.hpp"
#include "journal/survey.hpp"

namespace everstep::journal {
namespace {

// How much longer a record of what is kept may get by the segment that has to be begun for it.
constexpr std::uint64_t kKeptGrowthBytes = 64;

std::string count_of(const std::vector<std::uint64_t>& numbers) {
    return std::to_string(numbers.size()) + (numbers.size() == 1 ? " segment" : " segments");
}

// Under position_mutex and writer_mutex.
SurveyFacts facts_of(Store::Impl& s) {
    SurveyFacts facts;
    facts.now = s.age.now();
    facts.replica = {s.recorded, s.replica};
    facts.open_segment = s.open_segment->number;
    const std::unique_lock guard(s.mutex);
    std::erase_if(s.holds, [](const std::weak_ptr<Hold>& hold) { return hold.expired(); });
    for (const std::weak_ptr<Hold>& one : s.holds)
        if (const auto hold = one.lock(); hold != nullptr && !hold->ended)
            facts.holds.push_back(hold->at);
    return facts;
}

Result<KeptTip> tip_of(const Store::Impl& s, const Point& at) {
    const auto step = s.tip_at(at, false);
    if (!step.ok()) return step.status();
    const auto stream = s.tip_at(at, true);
    if (!stream.ok()) return stream.status();
    KeptTip tip = kept_tip(*step);
    tip.stream_hash = stream->hash;
    tip.stream_seq = stream->seq;
    return tip;
}

}  // namespace

Status Store::Impl::commit_kept(const std::vector<std::uint64_t>& numbers, const KeptTip& baseline,
                                std::unique_ptr<Segment> instead) {
    // Under its owner's name, however it was found.
    KeptTip begin = baseline;
    const Place oldest = history.topology().owner(place_of(baseline.step.point));
    begin.step.point = {oldest.timeline, oldest.at.lsn};
    const auto body = [&] {
        KeptBody kept = history.kept(age.now());
        kept.baseline = begin;
        std::vector<std::uint64_t> left;
        for (const auto& segment : history.segments())
            if (!is_condensed(segment->number) &&
                std::find(numbers.begin(), numbers.end(), segment->number) == numbers.end())
                left.push_back(segment->number);
        kept.segments = runs_of(left);
        std::erase_if(kept.condensed, [&](std::uint64_t number) {
            return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
        });
        if (instead != nullptr) kept.condensed.push_back(instead->number);
        return pack_kept(kept);
    };
    // The newest record of the replica's position may lie in what goes: it is written again.
    const BodyBytes position = pack_position({.state = recorded});
    EVERSTEP_TRY(make_room(body().size() + record_bytes(position.size()) + kKeptGrowthBytes));
    redo->stage(RecordKind::position, position);
    EVERSTEP_TRY(write_record(RecordKind::kept, body()));
    EVERSTEP_TRY(sync_redo());
    if (undo_segment != nullptr &&
        std::find(numbers.begin(), numbers.end(), undo_segment->number) != numbers.end()) {
        undo.reset();
        undo_segment = nullptr;
    }
    History::Segments gone;
    {
        const std::unique_lock guard(mutex);
        gone = history.forget(numbers, begin);
        if (instead != nullptr) history.take_segment(std::move(instead));
        history.settle();
        kept_generation += 1;
    }
    return {};
}

Status Store::Impl::retire(const std::vector<std::uint64_t>& numbers) {
    for (const std::uint64_t number : numbers) {
        cache.forget(number);
        recent.forget(number);
        for (const FileKind kind : {FileKind::redo, FileKind::undo})
            EVERSTEP_TRY(pool.retire(path_of(file_name(kind, number))));
        EVERSTEP_TRY(indexes.remove(number));
    }
    {
        const std::unique_lock guard(mutex);
        dropped_numbers.insert(dropped_numbers.end(), numbers.begin(), numbers.end());
    }
    to_tend = true;
    return files.sync_directory(options.directory);
}

namespace {

struct Choice {
    KeepAction action;
    std::optional<CondensePlan> plan;  // of what is condensed
};

// What cannot be condensed stays as it is; the rest goes on.
Choice choose(const Survey& survey, const KeepLimits& limits) {
    KeepInput input = survey.input();
    while (true) {
        Choice choice{next_action(input, limits), {}};
        const bool side = choice.action.verb == KeepVerb::condense_side;
        if (!side && choice.action.verb != KeepVerb::condense_trunk) return choice;
        choice.plan = survey.plan(choice.action);
        if (choice.plan) return choice;
        if (side) input.sides[choice.action.side].condensed = true;
        for (std::size_t n = choice.action.first; !side && n <= choice.action.last; ++n)
            input.trunk[n].stays = true;
    }
}

struct Decided {
    KeepReport report;
    std::vector<std::uint64_t> gone;
    std::optional<CondensePlan> plan;
};

// What is to be done; a drop is done, but for its files.
Result<Decided> decide(Store::Impl& s, const KeepLimits& limits) {
    const std::lock_guard position(s.position_mutex);
    const std::lock_guard writer(s.writer_mutex);
    Decided out;
    const bool limited =
        limits.force || limits.keep_time != Age(0) || limits.keep_bytes != ByteCount(0);
    if (!limited || !s.history.begun()) return out;
    const SurveyFacts facts = facts_of(s);
    const Survey survey(s.history, facts);
    Choice choice = choose(survey, limits);
    const KeepAction action = out.report.action = choice.action;
    out.plan = std::move(choice.plan);
    if (action.verb == KeepVerb::nothing || out.plan) return out;
    out.gone = survey.dropped(action);
    Result<KeptTip> baseline = tip_of(s, s.history.baseline().point);
    if (action.verb == KeepVerb::drop_trunk) baseline = tip_of(s, survey.begin_behind(action));
    if (!baseline.ok()) return baseline.status();
    EVERSTEP_TRY(s.commit_kept(out.gone, *baseline, nullptr));
    out.report.text = "dropped " + count_of(out.gone) + "; history begins at step " +
                      std::to_string(baseline->step.point.lsn.value());
    return out;
}

// Puts what was made in the place of what it was made of, if that is still what is wanted.
Result<bool> put_in_place(Store::Impl& s, const KeepLimits& limits, const CondensePlan& plan,
                          Condensed& made) {
    const std::lock_guard position(s.position_mutex);
    const std::lock_guard writer(s.writer_mutex);
    const SurveyFacts facts = facts_of(s);
    const Survey survey(s.history, facts);
    if (choose(survey, limits).plan != plan) return false;
    Result<KeptTip> baseline = made.segment->ends.front().tip;
    if (!plan.begins_history) baseline = tip_of(s, s.history.baseline().point);
    if (!baseline.ok()) return baseline.status();
    EVERSTEP_TRY(s.commit_kept(plan.numbers, *baseline, std::move(made.segment)));
    return true;
}

Result<KeepReport> condense(Store& store, Store::Impl& s, const KeepOrder& order, Decided decided) {
    Condenser condenser(store, s, *decided.plan, order);
    const auto room = condenser.has_room();
    if (!room.ok()) return room.status();
    KeepReport report = std::move(decided.report);
    if (!*room) {
        report.action = {};
        report.text = "no room to condense " + count_of(decided.plan->numbers);
        return report;
    }
    auto made = condenser.make();
    if (!made.ok()) {
        condenser.discard();
        return made.status();
    }
    const std::uint64_t number = made->segment->number;
    const auto placed = put_in_place(s, order.limits, *decided.plan, *made);
    if (!placed.ok()) return placed.status();
    if (!*placed) {
        EVERSTEP_TRY(s.retire({number}));
        report.text = "condensed in vain: other steps have to be kept now";
        return report;
    }
    EVERSTEP_TRY(s.retire(decided.plan->numbers));
    report.text = "condensed " + count_of(decided.plan->numbers) + " to " +
                  std::to_string(decided.plan->ends.size()) + " steps, " +
                  std::to_string(decided.plan->ends.front().lsn.value()) + " to " +
                  std::to_string(decided.plan->ends.back().lsn.value());
    return report;
}

}  // namespace

Result<KeepReport> Store::keep(const KeepOrder& order) {
    Impl& s = *impl_;
    const std::lock_guard one(s.keep_mutex);
    auto decided = decide(s, order.limits);
    if (!decided.ok()) return decided.status();
    if (decided->plan) return condense(*this, s, order, std::move(*decided));
    if (!decided->gone.empty()) EVERSTEP_TRY(s.retire(decided->gone));
    return std::move(decided->report);
}

Result<HoldPtr> Store::hold(Point at, HoldKind kind) const {
    Impl& s = *impl_;
    // Not between what retention decides and its record.
    const std::lock_guard writer(s.writer_mutex);
    const std::unique_lock guard(s.mutex);
    EVERSTEP_TRY(s.history.check_point(at));
    auto hold = std::make_shared<Hold>();
    hold->at = at;
    hold->kind = kind;
    s.holds.push_back(hold);
    return HoldPtr(std::move(hold));
}

std::size_t Store::end_holds(HoldKind kind) {
    const std::unique_lock guard(impl_->mutex);
    std::size_t count = 0;
    for (const std::weak_ptr<Hold>& one : impl_->holds) {
        const auto hold = one.lock();
        if (hold == nullptr || hold->kind != kind || hold->ended.exchange(true)) continue;
        ++count;
    }
    return count;
}

Status Store::keep_age() {
    Impl& s = *impl_;
    const std::lock_guard writer(s.writer_mutex);
    if (!s.history.begun()) return {};
    EVERSTEP_TRY(s.make_room(pack_kept(s.history.kept({})).size() + kKeptGrowthBytes));
    EVERSTEP_TRY(s.write_record(RecordKind::kept, pack_kept(s.history.kept(s.age.now()))));
    return s.sync_redo();
}

Age Store::age() const {
    return impl_->age.now();
}

Status Store::make_spare() {
    return impl_->pool.has_redo() ? Status() : impl_->pool.make_spare();
}

Status Store::free_pool() {
    return impl_->pool.clear();
}

std::vector<Thinned> Store::thinned() const {
    const std::shared_lock guard(impl_->mutex);
    std::vector<Thinned> out;
    for (const auto& segment : impl_->history.segments())
        for (std::size_t n = 1; n < segment->ends.size(); ++n)
            out.push_back({segment->ends[n - 1].tip.step.point, segment->ends[n].tip.step.point});
    return out;
}

}  // namespace everstep::journal
