// Group: its part of `everstep status` (DESIGN.md 9).
#include "daemon/added_volumes.hpp"
#include "daemon/group.hpp"

namespace everstep::daemon {

namespace {

struct TimelineOf {
    Value id;
    Value number;
};

TimelineOf newest_timeline(const GroupRecord& record, const standby::Standby* standby) {
    if (!record.timelines.empty()) {
        return {record.timelines.back().id.hex(), record.timelines.back().number};
    }
    if (standby == nullptr || !standby->store().has_history()) return {};
    const TimelineId id = standby->store().durable().point.timeline;
    for (const journal::TimelineInfo& one : standby->store().timelines()) {
        if (one.id == id) return {id.hex(), one.number};
    }
    return {id.hex(), Value()};
}

// Parents first.
Value timelines_of(const std::vector<journal::TimelineInfo>& all, const std::string& current) {
    Value list = Value::list();
    for (const journal::TimelineInfo& one : all) {
        Value value = Value::map();
        value.set("timeline", one.id.hex());
        value.set("timeline_number", one.number);
        value.set("parent", one.parent.nil() ? Value() : Value(one.parent.hex()));
        value.set("from", one.parent.nil() ? Value() : Value(one.branch_lsn.value()));
        value.set("node", one.node);
        value.set("current", one.id.hex() == current);
        list.push(std::move(value));
    }
    return list;
}

// A group that could not take up its role: the same keys, nothing in them.
Value no_role() {
    Value positions = Value::map();
    for (const char* name :
         {"captured", "queued", "sealed", "sent", "received", "durable", "applied"}) {
        positions.set(name, 0);
    }
    Value part = Value::map();
    part.set("state", "failed");
    part.set("positions", std::move(positions));
    part.set("peers", Value::list());
    return part;
}

}  // namespace

Value Group::status() const {
    Value value = Value::map();
    value.set("name", name());
    value.set("role", primary_ ? "primary" : standby_ ? "standby" : "none");
    Value part = primary_ ? primary_->status() : standby_ ? standby_->status() : no_role();
    if (!failed_.empty()) {
        part.set("state", "failed");
        part.set("why", failed_);
    }
    value.set("state", part.at("state"));
    value.set("why", part.at("why"));
    const standby::Standby* store = standby_ ? standby_->standby() : nullptr;
    const TimelineOf timeline = newest_timeline(context_.record, store);
    value.set("timeline", timeline.id);
    value.set("timeline_number", timeline.number);
    const bool stored = store != nullptr && store->store().has_history();
    value.set("timelines",
              timelines_of(stored ? store->store().timelines() : context_.record.timelines,
                           timeline.id.text()));
    value.set("ack_in_force", part.at("ack_in_force"));
    value.set("positions", part.at("positions"));
    value.set("held_at", part.at("held_at"));
    value.set("restore", part.at("restore"));
    value.set("compression", primary_ ? context_.compression->status() : Value());
    value.set("peers", part.at("peers"));
    value.set("backlog", part.at("backlog"));
    value.set("history", standby_ ? standby_->history() : StandbyRole::no_history());
    Value volumes = Value::list();
    const Value::List* uris = part.at("uris").as_list();
    const Value::List* read = part.at("read_in").as_list();
    std::size_t index = 0;
    for (const VolumeConfig& volume : context_.group->volumes) {
        const VolumeOnNode* here = volume.on(context_.node);
        Value one = Value::map();
        one.set("name", volume.name);
        Value size;
        Value whole_from;
        bool whole = true;
        for (const VolumeRecord& record : context_.record.volumes) {
            if (record.name != volume.name) continue;
            size = record.size.value();
            whole = !coming(record);
            if (whole && record.whole_from) whole_from = record.whole_from->lsn.value();
        }
        one.set("size", size);
        one.set("whole", whole);
        one.set("whole_from", whole_from);
        one.set("read_in", read != nullptr && index < read->size() ? (*read)[index] : Value());
        one.set("device", here->device);
        one.set("capture", here->capture);
        one.set("uri", uris != nullptr && index < uris->size() ? (*uris)[index] : Value());
        volumes.push(std::move(one));
        ++index;
    }
    value.set("volumes", std::move(volumes));
    value.set("exports", exports_.list(name()));
    return value;
}

}  // namespace everstep::daemon
