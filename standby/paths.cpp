#include "standby/paths.hpp"

#include <algorithm>

namespace everstep::standby {

bool on_path(const journal::View& view, Point at) {
    if (view.timeline == at.timeline && view.at.lsn == at.lsn) return true;
    return std::any_of(view.path.begin(), view.path.end(),
                       [&](const journal::View::Stretch& stretch) {
                           return stretch.timeline == at.timeline && stretch.after <= at.lsn &&
                                  at.lsn <= stretch.to;
                       });
}

Point point_on(const journal::View& view, Lsn lsn) {
    for (const journal::View::Stretch& stretch : view.path) {
        if (lsn <= stretch.to) return {stretch.timeline, lsn};
    }
    return {view.timeline, lsn};
}

Lsn common_lsn(const journal::View& a, const journal::View& b) {
    Lsn common;
    for (std::size_t i = 0; i < std::min(a.path.size(), b.path.size()); ++i) {
        if (a.path[i].timeline != b.path[i].timeline) break;
        common = std::min(a.path[i].to, b.path[i].to);
        if (a.path[i].to != b.path[i].to) break;
    }
    return std::min(
        {std::max(common, a.path.empty() ? a.at.lsn : a.path.front().after), a.at.lsn, b.at.lsn});
}

std::vector<journal::Gap> gaps_between(const journal::Store& store, const journal::View& view,
                                       Lsn low, Lsn high) {
    std::vector<journal::Gap> crossed;
    for (journal::Gap& gap : store.gaps()) {
        if (gap.from.lsn < high && low < gap.to.lsn && on_path(view, gap.to)) {
            crossed.push_back(std::move(gap));
        }
    }
    std::optional<journal::Gap> open = store.gap_open();
    if (open && open->from.lsn < high) {
        const Point end = point_on(view, high);
        if (on_path(store.view_at_tip(), end)) {
            open->to = {};
            crossed.push_back(std::move(*open));
        }
    }
    return crossed;
}

std::vector<journal::Gap> gaps_on_way(const journal::Store& store, const journal::View& a,
                                      const journal::View& b) {
    const Lsn common = common_lsn(a, b);
    std::vector<journal::Gap> crossed = gaps_between(store, a, common, a.at.lsn);
    for (journal::Gap& gap : gaps_between(store, b, common, b.at.lsn)) {
        crossed.push_back(std::move(gap));
    }
    return crossed;
}

journal::View view_or_tip(const journal::Store& store, Point at) {
    Result<journal::View> view = store.view(at);
    return view.ok() ? std::move(*view) : store.view_at_tip();
}

}  // namespace everstep::standby
