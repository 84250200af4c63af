#include "journal/record_bodies.hpp"

#include <bit>

#include "journal/body_codec.hpp"

namespace everstep::journal {
namespace {

template <class T>
std::optional<T> whole(const BodyReader& reader, T value) {
    if (!reader.done()) return std::nullopt;
    return value;
}

void write_timeline(BodyWriter& to, const TimelineInfo& t) {
    to.id(t.id);
    to.id(t.parent);
    to.number<std::uint64_t>(t.branch_lsn.value());
    to.raw(t.branch_hash);
    to.number<std::uint64_t>(t.branch_seq.value());
    to.number<std::uint32_t>(t.number);
    to.text(t.node);
}
TimelineInfo read_timeline(BodyReader& from) {
    TimelineInfo t;
    t.id = from.id();
    t.parent = from.id();
    t.branch_lsn = Lsn(from.number<std::uint64_t>());
    t.branch_hash = from.raw();
    t.branch_seq = FrameSeq(from.number<std::uint64_t>());
    t.number = from.number<std::uint32_t>();
    t.node = from.text();
    return t;
}

void write_mark(BodyWriter& to, const Mark& m) {
    to.point(m.at);
    to.time(m.made);
    to.flag(m.pinned);
    to.text(m.name);
    to.text(m.consistency);
}
Mark read_mark(BodyReader& from) {
    Mark m;
    m.at = from.point();
    m.made = from.time();
    m.pinned = from.flag();
    m.name = from.text();
    m.consistency = from.text();
    return m;
}

void write_extents(BodyWriter& to, const std::vector<GapExtent>& extents) {
    to.number<std::uint32_t>(static_cast<std::uint32_t>(extents.size()));
    for (const GapExtent& e : extents) {
        to.number<std::uint32_t>(static_cast<std::uint32_t>(e.volume.value()));
        to.number<std::uint64_t>(e.offset.value());
        to.number<std::uint64_t>(e.length.value());
    }
}
std::vector<GapExtent> read_extents(BodyReader& from) {
    std::vector<GapExtent> extents(from.count(20));
    for (GapExtent& e : extents) {
        e.volume = VolumeIndex(from.number<std::uint32_t>());
        e.offset = ByteOffset(from.number<std::uint64_t>());
        e.length = ByteCount(from.number<std::uint64_t>());
    }
    return extents;
}

void write_gap(BodyWriter& to, const Gap& gap) {
    to.point(gap.from);
    to.point(gap.to);
    to.number<std::uint64_t>(gap.bytes.value());
    to.flag(gap.batch);
    to.text(gap.reason);
    write_extents(to, gap.extents);
}
Gap read_gap(BodyReader& from) {
    Gap gap;
    gap.from = from.point();
    gap.to = from.point();
    gap.bytes = ByteCount(from.number<std::uint64_t>());
    gap.batch = from.flag();
    gap.reason = from.text();
    gap.extents = read_extents(from);
    return gap;
}
void write_gap_record(BodyWriter& to, const GapRecord& record) {
    to.id(record.line);
    to.number<std::uint64_t>(record.line_end.value());
    to.flag(record.given_up);
    write_gap(to, record.gap);
}
GapRecord read_gap_record(BodyReader& from) {
    GapRecord record;
    record.line = from.id();
    record.line_end = Lsn(from.number<std::uint64_t>());
    record.given_up = from.flag();
    record.gap = read_gap(from);
    return record;
}

void write_tip(BodyWriter& to, const Tip& tip) {
    to.point(tip.point);
    to.raw(tip.hash);
    to.number<std::uint64_t>(tip.seq.value());
    to.time(tip.step_time);
}
Tip read_tip(BodyReader& from) {
    Tip tip;
    tip.point = from.point();
    tip.hash = from.raw();
    tip.seq = FrameSeq(from.number<std::uint64_t>());
    tip.step_time = from.time();
    return tip;
}

constexpr std::size_t kTimelineBytesMin = 62;
constexpr std::size_t kMarkBytesMin = 37;
constexpr std::size_t kGapBytesMin = 88;

bool extent_fits(const ImageExtent& e, std::size_t table_bytes, std::size_t body_bytes) {
    if (!std::has_single_bit(e.blocks) || e.block % e.blocks != 0) return false;
    if (e.data_at == 0) return e.blocks <= kImageZeroBlocksMax && e.crc == 0;
    return e.blocks <= kImageDataBlocksMax && e.data_at >= table_bytes &&
           e.data_at + e.blocks * kBlockBytes <= body_bytes;
}

}  // namespace

BodyBytes pack_head(const HeadBody& head) {
    BodyWriter to;
    write_tip(to, head.baseline);
    write_tip(to, head.chain.tip);
    to.number<std::uint32_t>(head.chain.sub);
    to.flag(head.chain.may_jump);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(head.timelines.size()));
    for (const TimelineInfo& t : head.timelines) write_timeline(to, t);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(head.marks.size()));
    for (const Mark& m : head.marks) write_mark(to, m);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(head.gaps.size()));
    for (const GapRecord& g : head.gaps) write_gap_record(to, g);
    to.flag(head.open_gap.has_value());
    if (head.open_gap) write_gap(to, *head.open_gap);
    return to.take();
}
std::optional<HeadBody> unpack_head(Bytes body) {
    BodyReader from(body);
    HeadBody head;
    head.baseline = read_tip(from);
    head.chain.tip = read_tip(from);
    head.chain.sub = from.number<std::uint32_t>();
    head.chain.may_jump = from.flag();
    for (std::size_t n = from.count(kTimelineBytesMin); n > 0; --n)
        head.timelines.push_back(read_timeline(from));
    for (std::size_t n = from.count(kMarkBytesMin); n > 0; --n)
        head.marks.push_back(read_mark(from));
    for (std::size_t n = from.count(kGapBytesMin); n > 0; --n)
        head.gaps.push_back(read_gap_record(from));
    if (from.flag()) head.open_gap = read_gap(from);
    return whole(from, std::move(head));
}

BodyBytes pack_timeline(const TimelineInfo& timeline) {
    BodyWriter to;
    write_timeline(to, timeline);
    return to.take();
}
std::optional<TimelineInfo> unpack_timeline(Bytes body) {
    BodyReader from(body);
    TimelineInfo timeline = read_timeline(from);
    return whole(from, std::move(timeline));
}

BodyBytes pack_mark_record(const Mark& mark) {
    BodyWriter to;
    write_mark(to, mark);
    return to.take();
}
std::optional<Mark> unpack_mark_record(Bytes body) {
    BodyReader from(body);
    Mark mark = read_mark(from);
    return whole(from, std::move(mark));
}

BodyBytes pack_name(const std::string& name) {
    BodyWriter to;
    to.text(name);
    return to.take();
}
std::optional<std::string> unpack_name(Bytes body) {
    BodyReader from(body);
    std::string name = from.text();
    return whole(from, std::move(name));
}

BodyBytes pack_gap_open(const Gap& gap) {
    BodyWriter to;
    to.point(gap.from);
    to.text(gap.reason);
    return to.take();
}
std::optional<Gap> unpack_gap_open(Bytes body) {
    BodyReader from(body);
    Gap gap;
    gap.from = from.point();
    gap.reason = from.text();
    return whole(from, std::move(gap));
}

BodyBytes pack_gap(const GapRecord& gap) {
    BodyWriter to;
    write_gap_record(to, gap);
    return to.take();
}
std::optional<GapRecord> unpack_gap(Bytes body) {
    BodyReader from(body);
    GapRecord gap = read_gap_record(from);
    return whole(from, std::move(gap));
}

BodyBytes pack_position(const PositionBody& position) {
    BodyWriter to;
    to.id(position.state.line);
    to.position(position.state.low);
    to.position(position.state.high);
    to.flag(position.state.held);
    to.flag(position.moving);
    to.point(position.state.held_at);
    return to.take();
}
std::optional<PositionBody> unpack_position(Bytes body) {
    BodyReader from(body);
    PositionBody position;
    position.state.line = from.id();
    position.state.low = from.position();
    position.state.high = from.position();
    position.state.held = from.flag();
    position.moving = from.flag();
    position.state.held_at = from.point();
    if (position.state.low > position.state.high) return std::nullopt;
    return whole(from, position);
}

BodyBytes pack_footer(const FooterBody& footer) {
    BodyWriter to;
    to.position(footer.last);
    return to.take();
}
std::optional<FooterBody> unpack_footer(Bytes body) {
    BodyReader from(body);
    FooterBody footer;
    footer.last = from.position();
    return whole(from, footer);
}

BodyBytes pack_image_table(std::span<const ImageExtent> extents) {
    BodyBytes out(kImageTableHeaderBytes + extents.size() * kImageExtentBytes);
    put<std::uint32_t>(out, 0, static_cast<std::uint32_t>(extents.size()));
    std::size_t at = kImageTableHeaderBytes;
    for (const ImageExtent& e : extents) {
        put<std::uint64_t>(out, at, e.block);
        put<std::uint32_t>(out, at + 8, static_cast<std::uint32_t>(e.volume.value()));
        put<std::uint32_t>(out, at + 12, e.blocks);
        put<std::uint32_t>(out, at + 16, e.data_at);
        put<std::uint32_t>(out, at + 20, e.crc);
        at += kImageExtentBytes;
    }
    return out;
}
std::optional<std::vector<ImageExtent>> unpack_image_table(Bytes body) {
    if (body.size() < kImageTableHeaderBytes) return std::nullopt;
    const std::size_t count = get<std::uint32_t>(body, 0);
    if (get<std::uint32_t>(body, 4) != 0 || get<std::uint64_t>(body, 8) != 0) return std::nullopt;
    if (count > (body.size() - kImageTableHeaderBytes) / kImageExtentBytes) return std::nullopt;
    const std::size_t table_bytes = kImageTableHeaderBytes + count * kImageExtentBytes;
    std::vector<ImageExtent> extents(count);
    std::size_t at = kImageTableHeaderBytes;
    for (ImageExtent& e : extents) {
        e = {.volume = VolumeIndex(get<std::uint32_t>(body, at + 8)),
             .block = get<std::uint64_t>(body, at),
             .blocks = get<std::uint32_t>(body, at + 12),
             .data_at = get<std::uint32_t>(body, at + 16),
             .crc = get<std::uint32_t>(body, at + 20)};
        if (get<std::uint64_t>(body, at + 24) != 0 || !extent_fits(e, table_bytes, body.size()))
            return std::nullopt;
        at += kImageExtentBytes;
    }
    return extents;
}

}  // namespace everstep::journal
