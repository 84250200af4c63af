// What a record holds, as plain data and as text.
#include <fmt/format.h>

#include "common/base/checksum.hpp"
#include "common/base/config.hpp"
#include "journal/tool/dump.hpp"

namespace everstep::journal::tool {
namespace {

Value no_sense() {
    return Value::map().set("error", "the body passes its checksum but makes no sense");
}

Value point_value(const Point& point) {
    Value value = Value::map();
    value.set("timeline", point.timeline.hex());
    value.set("lsn", point.lsn.value());
    return value;
}

Value timeline_value(const TimelineInfo& t) {
    Value value = Value::map();
    value.set("timeline", t.id.hex());
    value.set("timeline_number", t.number);
    value.set("parent", t.parent.hex());
    value.set("branch_lsn", t.branch_lsn.value());
    value.set("branch_hash", hex(t.branch_hash));
    value.set("branch_seq", t.branch_seq.value());
    value.set("node", t.node);
    return value;
}

Value mark_value(const Mark& mark) {
    Value value = point_value(mark.at);
    value.set("name", mark.name);
    value.set("consistency", mark.consistency);
    value.set("pinned", mark.pinned);
    value.set("time", format_time(mark.made));
    return value;
}

Value range_value(const GapExtent& e) {
    Value value = Value::map();
    value.set("volume", e.volume.value());
    value.set("offset", e.offset.value());
    value.set("length", e.length.value());
    return value;
}

Value gap_value(const Gap& gap) {
    Value value = Value::map();
    value.set("from_timeline", gap.from.timeline.hex());
    value.set("from", gap.from.lsn.value());
    value.set("to_timeline", gap.to.timeline.hex());
    value.set("to", gap.to.lsn.value());
    value.set("reason", gap.reason);
    value.set("batch", gap.batch);
    value.set("differ", gap.bytes.value());
    Value extents = Value::list();
    for (const GapExtent& e : gap.extents) extents.push(range_value(e));
    value.set("extents", std::move(extents));
    return value;
}

Value gap_record_value(const GapRecord& record) {
    Value value = gap_value(record.gap);
    value.set("line", record.line.hex());
    value.set("line_end", record.line_end.value());
    value.set("given_up", record.given_up);
    return value;
}

Value tip_value(const Tip& tip) {
    Value value = point_value(tip.point);
    value.set("hash", hex(tip.hash));
    value.set("seq", tip.seq.value());
    value.set("time", format_time(tip.step_time));
    return value;
}

Value head_value(const HeadBody& head) {
    Value value = Value::map();
    value.set("n", head.chain.sub);
    value.set("may_jump", head.chain.may_jump);
    value.set("baseline", Value::list().push(tip_value(head.baseline)));
    value.set("tip", Value::list().push(tip_value(head.chain.tip)));
    Value timelines = Value::list();
    for (const TimelineInfo& t : head.timelines) timelines.push(timeline_value(t));
    value.set("timelines", std::move(timelines));
    Value marks = Value::list();
    for (const Mark& m : head.marks) marks.push(mark_value(m));
    value.set("marks", std::move(marks));
    Value gaps = Value::list();
    for (const GapRecord& g : head.gaps) gaps.push(gap_record_value(g));
    value.set("gaps", std::move(gaps));
    Value open = Value::list();
    if (head.open_gap) open.push(gap_value(*head.open_gap));
    value.set("open_gap", std::move(open));
    return value;
}

Value step_value(const FrameEntry& entry) {
    Value value = Value::map();
    value.set("lsn", entry.lsn.value());
    value.set("time", format_time(entry.wall));
    value.set("step_time", format_time(entry.step_time));
    value.set("volume", entry.volume.value());
    value.set("offset", entry.offset.value());
    value.set("length", entry.length.value());
    value.set("kind", std::string(entry_kind_name(entry.kind)));
    value.set("fua", entry.fua);
    return value;
}

Value frame_value(Bytes body) {
    Buffer bytes;
    bytes.append(body);
    const auto frame = SealedFrame::parse(std::move(bytes));
    if (!frame.ok()) return Value::map().set("error", frame.status().message());
    const FrameHeader& header = (*frame)->header();
    Value value = Value::map();
    value.set("timeline", header.timeline.hex());
    value.set("seq", header.seq.value());
    value.set("first_lsn", header.first_lsn.value());
    value.set("last_lsn", header.last_lsn.value());
    value.set("compression", header.compressed ? "zstd" : "none");
    value.set("hash", hex((*frame)->hash()));
    value.set("previous_hash", hex(header.prev_hash));
    Value steps = Value::list();
    for (const FrameEntry& entry : (*frame)->entries()) steps.push(step_value(entry));
    value.set("steps", std::move(steps));
    return value;
}

Value images_value(Bytes body) {
    const auto extents = unpack_image_table(body);
    if (!extents) return no_sense();
    Value list = Value::list();
    for (const ImageExtent& e : *extents) {
        Value value = Value::map();
        const std::uint64_t bytes = e.blocks * kBlockBytes;
        value.set("volume", e.volume.value());
        value.set("offset", e.block * kBlockBytes);
        value.set("length", bytes);
        value.set("zero", e.data_at == 0);
        if (e.data_at != 0 && crc32c(body.subspan(e.data_at, bytes)) != e.crc)
            value.set("damage", "fails its own checksum");
        list.push(std::move(value));
    }
    return Value::map().set("images", std::move(list));
}

Value position_value(const PositionBody& position) {
    const ReplicaState& state = position.state;
    Value value = Value::map();
    value.set("line", state.line.hex());
    value.set("low", state.low.lsn.value());
    value.set("low_n", state.low.sub);
    value.set("high", state.high.lsn.value());
    value.set("high_n", state.high.sub);
    value.set("moving", position.moving);
    value.set("held", state.held);
    if (state.held) value.set("held_at", state.held_at.lsn.value());
    return value;
}

template <class T, class Make>
Value or_no_sense(const std::optional<T>& body, const Make& make) {
    return body ? make(*body) : no_sense();
}

std::string scalars(const Value& map) {
    std::string out;
    for (const auto& [key, item] : *map.as_map()) {
        if (item.as_list() != nullptr || item.as_map() != nullptr) continue;
        out += (out.empty() ? "" : " ") + key + ' ' + printable(item.text());
    }
    return out;
}

void append_lists(std::string& out, const Value& map, const std::string& indent) {
    for (const auto& [key, item] : *map.as_map()) {
        if (item.as_list() == nullptr) continue;
        for (const Value& one : *item.as_list()) {
            out += indent + key + ": " + scalars(one) + '\n';
            append_lists(out, one, indent + "  ");
        }
    }
}

Value kept_value(const KeptBody& kept) {
    Value segments = Value::list();
    for (const NumberRun& run : kept.segments)
        segments.push(Value::map().set("first", run.first).set("last", run.last));
    Value condensed = Value::list();
    for (const std::uint64_t number : kept.condensed) condensed.push(number);
    Value value = Value::map();
    value.set("age_seconds", std::chrono::duration<double>(kept.age).count());
    value.set("baseline_lsn", kept.baseline.step.point.lsn.value());
    value.set("segments", std::move(segments)).set("condensed", std::move(condensed));
    return value;
}

Value condensed_value(const CondensedBody& condensed) {
    Value steps = Value::list();
    for (const KeptStep& end : condensed.ends) steps.push(end.tip.step.point.lsn.value());
    Value value = Value::map();
    value.set("age_seconds", std::chrono::duration<double>(condensed.age).count());
    return value.set("kept_lsns", std::move(steps));
}

}  // namespace

std::string kind_name(RecordKind kind) {
    switch (kind) {
        case RecordKind::head:
            return "head";
        case RecordKind::frame:
            return "frame";
        case RecordKind::resync:
            return "resync";
        case RecordKind::images:
            return "images";
        case RecordKind::mark:
            return "mark";
        case RecordKind::unmark:
            return "unmark";
        case RecordKind::gap_open:
            return "gap_open";
        case RecordKind::gap:
            return "gap";
        case RecordKind::timeline:
            return "timeline";
        case RecordKind::position:
            return "position";
        case RecordKind::footer:
            return "footer";
        case RecordKind::kept:
            return "kept";
        case RecordKind::condensed:
            return "condensed";
    }
    return fmt::format("kind-{}", static_cast<int>(kind));
}

Value body_value(const WalkedRecord& record) {
    switch (record.envelope.kind) {
        case RecordKind::head:
            return or_no_sense(unpack_head(record.body), head_value);
        case RecordKind::frame:
        case RecordKind::resync:
            return frame_value(record.body);
        case RecordKind::images:
            return images_value(record.body);
        case RecordKind::mark:
            return or_no_sense(unpack_mark_record(record.body), mark_value);
        case RecordKind::unmark:
            return or_no_sense(unpack_name(record.body), [](const std::string& name) {
                return Value::map().set("name", name);
            });
        case RecordKind::gap_open:
            return or_no_sense(unpack_gap_open(record.body), gap_value);
        case RecordKind::gap:
            return or_no_sense(unpack_gap(record.body), gap_record_value);
        case RecordKind::timeline:
            return or_no_sense(unpack_timeline(record.body), timeline_value);
        case RecordKind::position:
            return or_no_sense(unpack_position(record.body), position_value);
        case RecordKind::kept:
            return or_no_sense(unpack_kept(record.body), kept_value);
        case RecordKind::condensed:
            return or_no_sense(unpack_condensed(record.body), condensed_value);
        case RecordKind::footer:
            return or_no_sense(unpack_footer(record.body), [](const FooterBody& footer) {
                Value value = Value::map();
                value.set("last_lsn", footer.last.lsn.value());
                value.set("last_n", footer.last.sub);
                return value;
            });
    }
    return Value::map().set("error", "a kind that this program does not know");
}

std::string value_text(const Value& map) {
    std::string out = scalars(map) + '\n';
    append_lists(out, map, "  ");
    return out;
}

}  // namespace everstep::journal::tool
