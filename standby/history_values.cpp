#include "standby/history_values.hpp"

#include <algorithm>

#include "standby/time_text.hpp"
#include "standby/time_travel.hpp"

namespace everstep::standby {

Value Naming::volume(VolumeIndex index) const {
    return index.value() < volumes.size() ? Value(volumes[index.value()]) : Value();
}

Value Naming::number(TimelineId id) const {
    for (const journal::TimelineInfo& one : timelines) {
        if (one.id == id) return one.number;
    }
    return {};
}

Value step_value(const journal::StepInfo& step, const Naming& naming) {
    Value value = Value::map();
    value.set("timeline", step.timeline.hex());
    value.set("timeline_number", naming.number(step.timeline));
    value.set("lsn", step.lsn.value());
    value.set("time", format_time(step.wall));
    value.set("step_time", format_time(step.step_time));
    value.set("volume", step.kind == EntryKind::sync ? Value() : naming.volume(step.volume));
    value.set("offset", step.offset.value());
    value.set("length", step.length.value());
    value.set("kind", std::string(entry_kind_name(step.kind)));
    value.set("flush", step.flush);
    value.set("fua", step.fua);
    return value;
}

Value mark_value(const journal::Mark& mark, const Naming& naming) {
    Value value = Value::map();
    value.set("kind", "mark");
    value.set("name", mark.name);
    value.set("lsn", mark.at.lsn.value());
    value.set("timeline", mark.at.timeline.hex());
    value.set("timeline_number", naming.number(mark.at.timeline));
    value.set("pinned", mark.pinned);
    value.set("consistency", mark.consistency);
    value.set("time", format_time(mark.made));
    return value;
}

Value gap_line_value(const journal::Gap& gap, const Naming& naming) {
    Value value = gap_value(gap);
    value.set("kind", gap.batch ? "batch" : "gap");
    Value extents = Value::list();
    const std::size_t shown = std::min(gap.extents.size(), kGapExtentsShown);
    for (std::size_t i = 0; i < shown; ++i) extents.push(extent_value(gap.extents[i], naming));
    value.set("extents", std::move(extents));
    value.set("extent_count", static_cast<std::uint64_t>(gap.extents.size()));
    return value;
}

Value thinned_value(const journal::Thinned& thinned) {
    Value value = Value::map();
    value.set("kind", "thinned");
    value.set("from", thinned.from.lsn.value());
    value.set("to", thinned.to.lsn.value());
    return value;
}

Value extent_value(const journal::GapExtent& extent, const Naming& naming) {
    Value value = Value::map();
    value.set("volume", naming.volume(extent.volume));
    value.set("offset", extent.offset.value());
    value.set("length", extent.length.value());
    return value;
}

Value finding_value(const journal::Finding& finding, const Naming& naming) {
    Value value = Value::map();
    value.set("file", finding.file);
    value.set("offset", finding.at.value());
    value.set("length", finding.length.value());
    value.set("what", finding.what);
    value.set("timeline", finding.timeline.nil() ? Value() : Value(finding.timeline.hex()));
    value.set("first", finding.first ? Value(finding.first->value()) : Value());
    value.set("last", finding.last ? Value(finding.last->value()) : Value());
    Value extents = Value::list();
    for (const journal::GapExtent& e : finding.extents) extents.push(extent_value(e, naming));
    value.set("extents", std::move(extents));
    return value;
}

}  // namespace everstep::standby
