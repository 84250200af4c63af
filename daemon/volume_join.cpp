#include "daemon/volume_join.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {

namespace {

std::size_t place_of(const GroupRecord& record, const std::string& name) {
    const auto at = std::find_if(record.volumes.begin(), record.volumes.end(),
                                 [&](const VolumeRecord& one) { return one.name == name; });
    return static_cast<std::size_t>(at - record.volumes.begin());
}

}  // namespace

PipelineVolume served_volume(const GroupContext& context, const VolumeRecord& volume) {
    PipelineVolume served;
    served.name = volume.name;
    served.size = volume.size;
    served.coming = coming(volume);
    for (const VolumeConfig& one : context.group->volumes) {
        if (one.name != volume.name) continue;
        served.device = one.on(context.node)->device;
        served.listen = one.on(context.node)->listen;
    }
    return served;
}

VolumeJoin::VolumeJoin(GroupContext& context, VolumeJoinAccess access)
    : context_(context), access_(std::move(access)), alive_(std::make_shared<VolumeJoin*>(this)) {}

VolumeJoin::~VolumeJoin() {
    *alive_ = nullptr;
}

Status VolumeJoin::add() {
    const GroupRecord before = context_.record;
    const std::size_t known = before.volumes.size();
    if (context_.group->volumes.size() == known) return {};
    Pipeline* pipeline = access_.pipeline();
    if (pipeline == nullptr)
        return {ErrorCode::refused,
                "volumes are added to a group while it is served, no restore "
                "under way"};
    bool made = false;
    Status status = prepare_volumes(context_, made);
    std::vector<PipelineVolume> fresh;
    std::string names;
    for (std::size_t i = known; i < context_.record.volumes.size(); ++i) {
        fresh.push_back(served_volume(context_, context_.record.volumes[i]));
        names += (names.empty() ? "" : ", ") + fresh.back().name;
    }
    // Only now: no session that began without it sees a write to it.
    if (status.ok())
        access_.end_sessions(
            Status(ErrorCode::closed, "volume " + names + " is added: the session begins anew"));
    if (status.ok())
        status = pipeline->add_volumes(std::move(fresh), [this] { return context_.save(); });
    if (!status.ok()) {
        context_.record = before;
        return status;
    }
    context_.event("volume", names +
                                 ": added; it is served from now on, and what it held before "
                                 "is read in and shipped as steps");
    begin();
    return {};
}

bool VolumeJoin::take_as_whole(Point at) {
    const GroupRecord before = context_.record;
    std::string names;
    for (VolumeRecord& volume : context_.record.volumes) {
        if (!coming(volume)) continue;
        volume.whole_from = at;
        names += (names.empty() ? "" : ", ") + volume.name;
    }
    if (names.empty()) return false;
    if (const Status saved = context_.save(); !saved.ok()) {
        context_.record = before;
        context_.event("alarm-state", saved.message());
        return false;
    }
    context_.event("volume", names +
                                 ": what the history has of it counts as all of it, by "
                                 "`adopt --force`; it is served from the next start on");
    access_.say();
    return true;
}

void VolumeJoin::begin() {
    if (volume_.empty()) choose();
}

void VolumeJoin::choose() {
    volume_ = first_coming(context_.record);
    done_ = 0;
}

void VolumeJoin::tick() {
    rate_.set(context_.group->sync_rate);
    read_on();
}

void VolumeJoin::read_on() {
    if (volume_.empty() || reading_) return;
    Pipeline* pipeline = access_.pipeline();
    if (pipeline == nullptr || !access_.may_read()) return;
    if (!rate_.may_send(context_.clock->boot())) return;
    reading_ = true;
    pipeline->take_in(VolumeIndex(place_of(context_.record, volume_)),
                      [this, alive = alive_](Result<Pipeline::TakenIn> taken) {
                          if (*alive == nullptr) return;
                          reading_ = false;
                          read(std::move(taken));
                      });
}

void VolumeJoin::read(Result<Pipeline::TakenIn> taken) {
    if (access_.pipeline() == nullptr) return;  // what was shipped is shipped; it is asked again
    const std::string why = taken.ok() ? "" : taken.status().message();
    if (std::exchange(alarmed_, why) != why && !why.empty())
        context_.event("alarm-volume", volume_ + ": cannot be read in, it is tried again: " + why);
    if (!taken.ok()) return;  // at the next tick
    rate_.sent(taken->upto.value() - std::min(done_, taken->upto.value()), context_.clock->boot());
    done_ = taken->upto.value();
    if (taken->all) return whole(taken->tip);
    read_on();
}

// What is not recorded is read in once more by the next start.
void VolumeJoin::whole(const journal::Tip& at) {
    VolumeRecord& volume = context_.record.volumes[place_of(context_.record, volume_)];
    const auto before = std::exchange(volume.whole_from, at.point);
    if (const Status saved = context_.save(); !saved.ok()) {
        volume.whole_from = before;
        if (std::exchange(alarmed_, saved.message()) != saved.message())
            context_.event("alarm-state", saved.message());
        return;  // the next tick asks again, and is told that all was read
    }
    context_.event("volume", fmt::format("{}: the history has all of it from step {} on", volume_,
                                         at.point.lsn.value()));
    choose();
    access_.say();
    read_on();
}

Value VolumeJoin::status(const VolumeRecord& volume) const {
    if (!coming(volume)) return {};
    const std::uint64_t done = volume.name == volume_ ? done_ : 0;
    Value value = Value::map();
    return value.set("done_bytes", done).set("total_bytes", volume.size.value());
}

}  // namespace everstep::daemon
