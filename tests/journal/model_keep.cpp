// Retention: time passes, what is wanted is done, and of what is gone the model asks why.
#include <algorithm>

#include "tests/journal/model_world.hpp"

namespace everstep::journal::lab {

KeepLimits ModelWorld::random_limits() {
    KeepLimits limits;
    if (pick(2) == 0) limits.keep_time = std::chrono::minutes(30 + pick(500));
    if (pick(3) == 0) limits.keep_bytes = ByteCount(1 + pick(1 << 20));
    limits.force = pick(10) == 0;
    return limits;
}

void ModelWorld::keep() {
    note_came();
    clock_.boot_now += std::chrono::minutes(pick(60));
    if (pick(3) == 0) check(lab_.store->keep_age(), "keep_age");
    if (pick(4) == 0) check(lab_.store->make_spare(), "make_spare");
    if (pick(8) == 0) check(lab_.store->free_pool(), "free_pool");
    if (keeps_all_) return;
    const KeepLimits limits = random_limits();
    for (std::uint64_t n = 1 + pick(4); n > 0 && !failed(); --n) keep_once(limits);
}

void ModelWorld::keep_once(const KeepLimits& limits) {
    const bool over =
        limits.keep_bytes != ByteCount(0) && limits.keep_bytes < lab_.store->stored_bytes();
    const auto report = lab_.store->keep({limits, &lab_.replica, nullptr});
    ASSERT_TRUE(report.ok()) << report.status().message();
    const KeepVerb verb = report->action.verb;
    verbs_[static_cast<std::size_t>(verb)] += 1;
    if (verb == KeepVerb::nothing) return check_points();
    ASSERT_TRUE(over || limits.force || limits.keep_time != Age(0)) << report->text;
    note_gone(limits);
    check_branch_points();
    std::erase_if(marks_, [&](const auto& mark) { return !is_kept(mark.second.at); });
    check_facts();
}

bool ModelWorld::took_some() const {
    return std::any_of(verbs_.begin() + 1, verbs_.end(), [](std::size_t n) { return n > 0; });
}

// When the steps came that came since the last time: the clock moves in keep() alone.
void ModelWorld::note_came() {
    for (Lsn lsn(0); lsn <= line().head(); ++lsn)
        came_.try_emplace({line().timeline().id, lsn}, clock_.boot_now);
}

// What could be read and cannot any more.
void ModelWorld::note_gone(const KeepLimits& limits) {
    const std::set<Point> needed = this->needed();
    // Of the line in use only what is old goes, if nothing but age is a reason. Time that a crash
    // lost makes steps younger.
    const bool by_age = !limits.force && limits.keep_bytes == ByteCount(0);
    for (std::size_t n = 0; n < lines_.size(); ++n)
        for (Lsn lsn(0); lsn <= lines_[n]->head(); ++lsn) {
            const Point at{lines_[n]->timeline().id, lsn};
            const bool seen = sees(at);
            ASSERT_TRUE(is_kept(at) || !seen) << "step " << lsn.value() << " came back";
            if (seen || !is_kept(at)) continue;
            ASSERT_FALSE(needed.contains(at)) << "step " << lsn.value() << " is needed";
            ASSERT_FALSE(by_age && n == receiving_ &&
                         clock_.boot_now - came_.at(at) <= limits.keep_time)
                << "step " << lsn.value() << " went before its time";
            gone_.insert(at);
        }
}

// What retention may not take, under every name it has in the model.
std::set<Point> ModelWorld::needed() const {
    std::set<Point> out{durable(), lab_.store->consistent()};
    for (const auto& [name, mark] : marks_)
        if (mark.pinned) out.insert(mark.at);
    for (const Export& one : exports_)
        if (one.held()) out.insert(one.at);
    for (const Written& one : written_) out.insert(one.base);
    if (held_) out.insert(*held_);
    if (const auto gap = lab_.store->gap_open()) out.insert(gap->from);
    const ReplicaState replica = lab_.store->replica();
    if (replica.low == replica.high && replica.low.sub == 0)
        out.insert({replica.line, replica.low.lsn});
    return out;
}

// A line whose beginning is kept can be reached from its parent, unless history begins there.
void ModelWorld::check_branch_points() {
    for (std::size_t n = 1; n < lines_.size(); ++n) {
        const TimelineInfo& info = lines_[n]->timeline();
        const std::size_t parent = number_of(info.parent);
        const Point first{info.id, info.branch_lsn + 1};
        if (lines_[n]->head() < first.lsn || !is_kept(first)) continue;
        if (lab_.store->baseline() == first) continue;
        ASSERT_TRUE(!is_point(parent, info.branch_lsn) || is_kept(parent, info.branch_lsn))
            << "where line " << n << " begins";
    }
}

}  // namespace everstep::journal::lab
