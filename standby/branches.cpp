#include "standby/branches.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "standby/time_text.hpp"

namespace everstep::standby {

Result<std::vector<std::uint64_t>> branch_ids(const io::FileSystem& files,
                                              const std::string& directory) {
    std::vector<std::uint64_t> ids;
    const auto names = files.list(directory);
    if (names.status().code() == ErrorCode::not_found) return ids;
    if (!names.ok()) return names.status();
    for (const std::string& name : *names)
        if (const auto id = parse_number(name)) ids.push_back(*id);
    std::sort(ids.begin(), ids.end());
    return ids;
}

Branches::Branches(Options options) : options_(std::move(options)) {}

std::string Branches::directory_of(const std::string& id) const {
    return options_.each.directory + "/" + id;
}

BranchOptions Branches::options_of(const std::string& id) const {
    BranchOptions options = options_.each;
    options.directory = directory_of(id);
    return options;
}

// One over another has the larger id: what lies below is open when it is its turn.
Status Branches::open() {
    const auto ids = branch_ids(*options_.each.files, options_.each.directory);
    if (!ids.ok()) return ids.status();
    for (const std::uint64_t id : *ids) open_one(std::to_string(id));
    return {};
}

// A copy has the timelines of what it was made of: a point would lie in both.
Status Branches::misplaced(const std::string& id, const std::string& recorded) const {
    return {ErrorCode::refused,
            fmt::format("{}: what lies here is the branch of export {}, copied or renamed; give "
                        "the directory the name {} again, or `everstep unexport {} --drop` deletes "
                        "it",
                        directory_of(id), recorded, recorded, id)};
}

void Branches::open_one(const std::string& id) {
    Entry entry;
    entry.record.id = id;
    const Result<BranchRecord> record = load_branch(*options_.each.files, directory_of(id));
    if (record.status().code() == ErrorCode::not_found) {
        const Status dropped = Branch::drop(*options_.each.files, directory_of(id));
        if (!dropped.ok()) options_.each.event("alarm-export", dropped.message());
        return;
    }
    if (record.ok()) {
        entry.record = *record;
        entry.record.id = id;
        const auto below = holder(record->base.timeline);
        auto hold = below->store().hold(record->base, journal::HoldKind::lasting);
        auto opened = record->id == id ? Branch::open(options_of(id), below, *record)
                                       : Result<std::shared_ptr<Branch>>(misplaced(id, record->id));
        entry.failed = opened.status();
        if (opened.ok())
            entry.branch = std::move(*opened);
        else if (hold.ok())
            entry.hold = std::move(*hold);
    } else {
        entry.failed = record.status();
    }
    if (!entry.failed.ok())
        options_.each.event("alarm-export",
                            fmt::format("export {}: {}", id, entry.failed.message()));
    all_[id] = std::move(entry);
}

Result<std::shared_ptr<Branch>> Branches::make(const BranchRecord& record,
                                               const PlacedPoint& base) {
    if (base.source != group() && !branch_of(base.source.get()))
        return Status(ErrorCode::refused, "the export that it would lie over was ended");
    auto made = Branch::make(options_of(record.id), base.source, record);
    if (!made.ok()) {
        Branch::drop(*options_.each.files, directory_of(record.id))
            .ignore("tried again at the next start");
        return made.status();
    }
    all_[record.id] = {record, *made, {}, {}};
    return made;
}

// Of two that could not be opened: the upper one's step is nowhere that is open.
bool Branches::may_lie_over(const Entry& upper, const Entry& lower) const {
    if (upper.branch || lower.branch)
        return upper.branch && lower.branch && upper.branch->below() == lower.branch;
    const auto upper_id = parse_number(upper.record.id);
    const auto lower_id = parse_number(lower.record.id);
    return upper_id > lower_id && !upper.hold && !upper.record.base.timeline.nil();
}

Status Branches::drop(const std::string& id) {
    const auto found = all_.find(id);
    if (found == all_.end()) return {ErrorCode::not_found, "no branch " + id};
    for (const auto& [other, entry] : all_) {
        if (!may_lie_over(entry, found->second)) continue;
        return {ErrorCode::refused,
                fmt::format("export {} lies over export {}; drop that first", other, id)};
    }
    if (found->second.branch) found->second.branch->stop();
    all_.erase(found);
    return Branch::drop(*options_.each.files, directory_of(id));
}

void Branches::set_reserve(ByteCount reserve_bytes) {
    options_.each.reserve_bytes = reserve_bytes;
    for (auto& [id, entry] : all_)
        if (entry.branch) entry.branch->set_reserve(reserve_bytes);
}

void Branches::stop() {
    for (auto& [id, entry] : all_)
        if (entry.branch) entry.branch->stop();
}

std::shared_ptr<Branch> Branches::find(const std::string& id) const {
    const auto found = all_.find(id);
    return found == all_.end() ? nullptr : found->second.branch;
}

std::shared_ptr<const HistorySource> Branches::holder(const TimelineId& timeline) const {
    for (const auto& [id, entry] : all_)
        if (entry.branch && entry.branch->owns(timeline)) return entry.branch;
    return group();
}

std::shared_ptr<const HistorySource> Branches::group() const {
    // Not owned: it outlives all that is given out here.
    return {std::shared_ptr<void>(), options_.group};
}

std::shared_ptr<Branch> Branches::branch_of(const HistorySource* source) const {
    for (const auto& [id, entry] : all_)
        if (entry.branch.get() == source) return entry.branch;
    return nullptr;
}

}  // namespace everstep::standby
