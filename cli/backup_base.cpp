#include "cli/backup_base.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace everstep::cli {
namespace {

constexpr std::size_t kNamedMax = 8;
constexpr std::size_t kChainMax = 10000;  // records that name each other in a ring have no end

std::string told(const FoundBackup& one) {
    return fmt::format("{} holds step {} of timeline {} of {}/{}", one.image,
                       one.record.point.lsn.value(), one.record.point.timeline.hex().substr(0, 8),
                       one.record.group, one.record.volume);
}

std::string told(const BaseWanted& wanted) {
    const std::string volume = fmt::format("{}/{}", wanted.group, wanted.volume);
    if (!wanted.since) return volume;
    return fmt::format("step {} of timeline {} of {}", wanted.since->lsn.value(),
                       wanted.since->timeline.hex().substr(0, 8), volume);
}

bool fits(const FoundBackup& one, const BaseWanted& wanted) {
    return one.record.group == wanted.group && one.record.volume == wanted.volume &&
           (!wanted.since || one.record.point == *wanted.since);
}

Status none_fits(const FoundBackups& found, const BaseWanted& wanted) {
    std::string there;
    std::size_t named = 0;
    for (const FoundBackup& one : found.good) {
        if (++named <= kNamedMax) there += "; " + told(one);
    }
    if (named > kNamedMax) there += fmt::format("; and {} more", named - kNamedMax);
    for (const std::string& one : found.bad) there += "; " + one;
    if (there.empty()) there = "; there is none at all";
    return {ErrorCode::not_found,
            fmt::format("no backup of {} lies in the directory{}; make a full one, or name the "
                        "base with --base",
                        told(wanted), there)};
}

std::vector<FoundBackup> fitting(const FoundBackups& found, const BaseWanted& wanted) {
    std::vector<FoundBackup> out;
    for (const FoundBackup& one : found.good) {
        if (fits(one, wanted)) out.push_back(one);
    }
    return out;
}

}  // namespace

bool is_same_file(const std::string& a, const std::string& b) {
    std::error_code error;
    return a == b || std::filesystem::equivalent(a, b, error);
}

Point own_name(const Value& timelines, Point point) {
    const Value::List* const all = timelines.as_list();
    if (all == nullptr) return point;
    for (std::size_t depth = 0; depth < all->size(); ++depth) {
        const std::string id = point.timeline.hex();
        const auto at = std::find_if(all->begin(), all->end(), [&](const Value& one) {
            return one.at("timeline").text() == id;
        });
        if (at == all->end() || at->at("parent").is_null()) return point;
        TimelineId parent;
        const bool is_parents = point.lsn.value() <= at->at("from").number() &&
                                Uuid::parse(at->at("parent").text(), parent);
        if (!is_parents) return point;
        point.timeline = parent;
    }
    return point;
}

Status check_base(const FoundBackup& base, const BaseWanted& wanted) {
    if (!fits(base, wanted))
        return {ErrorCode::refused,
                fmt::format("{}, wanted as a base: {}", told(base), told(wanted))};
    if (base.image_is_there) return {};
    return {ErrorCode::refused, fmt::format("{} is there, but not the image {}; make a full backup",
                                            base.image + std::string(kRecordSuffix), base.image)};
}

Result<FoundBackup> choose_base(const FoundBackups& found, const BaseWanted& wanted) {
    const std::vector<FoundBackup> all = fitting(found, wanted);
    if (all.empty()) return none_fits(found, wanted);
    if (all.size() > 1) {
        std::string names;
        for (const FoundBackup& one : all) names += (names.empty() ? "" : ", ") + one.image;
        return Status(ErrorCode::refused,
                      fmt::format("{} backups hold {}: {}; name one of them with --base",
                                  all.size(), told(wanted), names));
    }
    EVERSTEP_TRY(check_base(all.front(), wanted));
    return all.front();
}

Result<FoundBackup> last_base(const FoundBackups& found, const BaseWanted& wanted) {
    const std::vector<FoundBackup> all = fitting(found, wanted);
    if (all.empty()) return none_fits(found, wanted);
    const auto last = std::max_element(all.begin(), all.end(), [](const auto& a, const auto& b) {
        return a.record.made < b.record.made;
    });
    EVERSTEP_TRY(check_base(*last, wanted));
    return *last;
}

Status check_nothing_over(const FoundBackups& found, const std::string& image) {
    for (const FoundBackup& one : found.good) {
        const std::string base = one.base_path();
        if (one.image == image || base.empty() || !is_same_file(base, image)) continue;
        return {ErrorCode::refused,
                fmt::format("{} lies over {} and would be lost with it; write to another file",
                            one.image, image)};
    }
    std::error_code error;
    const std::string own = image + std::string(kRecordSuffix) + ":";
    for (const std::string& one : found.bad) {
        if (one.starts_with(own) || !std::filesystem::exists(image, error)) continue;
        return {ErrorCode::refused,
                fmt::format("{}; whether its image lies over {}, and would be lost with it, is not "
                            "known: write to another file",
                            one, image)};
    }
    return {};
}

Status check_not_below(const FoundBackup& base, const std::string& image) {
    FoundBackup at = base;
    for (std::size_t depth = 0; depth < kChainMax; ++depth) {
        if (is_same_file(at.image, image))
            return {ErrorCode::refused,
                    fmt::format("{} is what the new backup would lie over; write to another file",
                                image)};
        if (at.record.base.empty()) return {};
        Result<FoundBackup> next = read_backup(at.base_path());
        if (!next.ok()) return {};  // whether the image is there is for qemu-img to see
        at = std::move(*next);
    }
    return {};
}

}  // namespace everstep::cli
