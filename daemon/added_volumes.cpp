#include "daemon/added_volumes.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

std::string first_coming(const GroupRecord& record) {
    const auto at = std::find_if(record.volumes.begin(), record.volumes.end(), coming);
    return at == record.volumes.end() ? std::string() : at->name;
}

bool history_begun(const GroupRecord& record) {
    const bool standby = record.role == wire::Role::standby && !record.group.nil();
    return !record.timelines.empty() || standby;
}

Status whole_at(const VolumeRecord& volume, const Timelines& all, Point at) {
    if (!volume.whole_from) return {};
    if (coming(volume))
        return {ErrorCode::refused,
                fmt::format("volume {} was added and is still being read in: the history has all "
                            "of it at no step yet; the other volumes can be asked for by name",
                            volume.name)};
    if (leads_to(path_to(all, at.timeline), *volume.whole_from, at)) return {};
    return {ErrorCode::refused,
            fmt::format("volume {} was added: the history has all of it from step {} of timeline "
                        "{} on, and step {} is none of those; the other volumes can be asked for "
                        "by name",
                        volume.name, volume.whole_from->lsn.value(),
                        volume.whole_from->timeline.hex().substr(0, 8), at.lsn.value())};
}

Status all_whole_at(const std::vector<wire::Volume>& said, const Timelines& all, Point at) {
    for (const wire::Volume& one : said) {
        VolumeRecord volume;
        volume.name = one.name;
        volume.whole_from = one.whole_from;
        EVERSTEP_TRY(whole_at(volume, all, at));
    }
    return {};
}

std::vector<std::string> stand_on(std::vector<VolumeRecord>& volumes, const Timelines& all,
                                  Point at) {
    std::vector<std::string> names;
    for (VolumeRecord& one : volumes) {
        if (whole_at(one, all, at).ok()) continue;
        one.whole_from = Point{};
        names.push_back(one.name);
    }
    return names;
}

std::vector<wire::Volume> to_wire(const std::vector<VolumeRecord>& volumes) {
    std::vector<wire::Volume> all;
    all.reserve(volumes.size());
    for (const VolumeRecord& one : volumes)
        all.push_back({one.name, one.id, one.size, one.whole_from});
    return all;
}

bool take_whole_from(std::vector<VolumeRecord>& volumes, const std::vector<wire::Volume>& said) {
    bool changed = false;
    for (std::size_t i = 0; i < std::min(volumes.size(), said.size()); ++i) {
        VolumeRecord& one = volumes[i];
        if (one.name != said[i].name) continue;
        // A primary without its record knows of none; what was known stays.
        if (!said[i].whole_from && one.whole_from && !coming(one)) continue;
        if (one.whole_from == said[i].whole_from) continue;
        one.whole_from = said[i].whole_from;
        changed = true;
    }
    return changed;
}

}  // namespace everstep::daemon
