#include "journal/kept.hpp"

#include <algorithm>

#include "journal/body_codec.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kRunBytes = 16;
constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kVolumeBytes = 4;
constexpr std::size_t kEndBytesMin = 85;

void write_tip(BodyWriter& to, const KeptTip& tip) {
    to.point(tip.step.point);
    to.raw(tip.step.hash);
    to.number<std::uint64_t>(tip.step.seq.value());
    to.time(tip.step.step_time);
    to.raw(tip.stream_hash);
    to.number<std::uint64_t>(tip.stream_seq.value());
}
KeptTip read_tip(BodyReader& from) {
    KeptTip tip;
    tip.step.point = from.point();
    tip.step.hash = from.raw();
    tip.step.seq = FrameSeq(from.number<std::uint64_t>());
    tip.step.step_time = from.time();
    tip.stream_hash = from.raw();
    tip.stream_seq = FrameSeq(from.number<std::uint64_t>());
    return tip;
}

void write_age(BodyWriter& to, Age age) {
    to.number<std::uint64_t>(static_cast<std::uint64_t>(age.count()));
}
bool read_age(BodyReader& from, Age& age) {
    const auto value = from.number<std::uint64_t>();
    age = Age(static_cast<std::int64_t>(value));
    return value <= static_cast<std::uint64_t>(Age::max().count());
}

void write_step(BodyWriter& to, const StepInfo& step) {
    to.time(step.wall);
    to.time(step.step_time);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(step.volume.value()));
    to.number<std::uint64_t>(step.offset.value());
    to.number<std::uint64_t>(step.length.value());
    to.number<std::uint8_t>(static_cast<std::uint8_t>(step.kind));
    to.flag(step.fua);
}
StepInfo read_step(BodyReader& from, const Point& at, bool& good) {
    StepInfo step;
    step.timeline = at.timeline;
    step.lsn = at.lsn;
    step.wall = from.time();
    step.step_time = from.time();
    step.volume = VolumeIndex(from.number<std::uint32_t>());
    step.offset = ByteOffset(from.number<std::uint64_t>());
    step.length = ByteCount(from.number<std::uint64_t>());
    const auto kind = from.number<std::uint8_t>();
    step.kind = static_cast<EntryKind>(kind);
    step.fua = from.flag();
    good = good && kind >= 1 && takes_lsn(step.kind);
    return step;
}

void write_end(BodyWriter& to, const KeptStep& end) {
    write_tip(to, end.tip);
    to.flag(end.info.has_value());
    if (end.info) write_step(to, *end.info);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(end.flushed.size()));
    for (const VolumeIndex volume : end.flushed)
        to.number<std::uint32_t>(static_cast<std::uint32_t>(volume.value()));
}
KeptStep read_end(BodyReader& from, bool& good) {
    KeptStep end;
    end.tip = read_tip(from);
    if (from.flag()) end.info = read_step(from, end.tip.step.point, good);
    for (std::size_t n = from.count(kVolumeBytes); n > 0; --n)
        end.flushed.emplace_back(from.number<std::uint32_t>());
    return end;
}

bool in_order(const std::vector<KeptStep>& ends) {
    for (std::size_t i = 1; i < ends.size(); ++i) {
        const Point& a = ends[i - 1].tip.step.point;
        const Point& b = ends[i].tip.step.point;
        if (a.timeline != b.timeline || a.lsn >= b.lsn) return false;
    }
    return ends.size() >= 2;
}

}  // namespace

BodyBytes pack_kept(const KeptBody& kept) {
    BodyWriter to;
    write_age(to, kept.age);
    write_tip(to, kept.baseline);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(kept.segments.size()));
    for (const NumberRun& run : kept.segments) {
        to.number<std::uint64_t>(run.first);
        to.number<std::uint64_t>(run.last);
    }
    to.number<std::uint32_t>(static_cast<std::uint32_t>(kept.condensed.size()));
    for (const std::uint64_t number : kept.condensed) to.number<std::uint64_t>(number);
    return to.take();
}

std::optional<KeptBody> unpack_kept(Bytes body) {
    BodyReader from(body);
    KeptBody kept;
    if (!read_age(from, kept.age)) return std::nullopt;
    kept.baseline = read_tip(from);
    std::uint64_t above = 0;
    for (std::size_t n = from.count(kRunBytes); n > 0; --n) {
        NumberRun run;
        run.first = from.number<std::uint64_t>();
        run.last = from.number<std::uint64_t>();
        if (run.first <= above || run.last < run.first || is_condensed(run.last))
            return std::nullopt;
        above = run.last;
        kept.segments.push_back(run);
    }
    above = 0;
    for (std::size_t n = from.count(kNumberBytes); n > 0; --n) {
        const auto number = from.number<std::uint64_t>();
        if (!is_condensed(number) || number <= above) return std::nullopt;
        above = number;
        kept.condensed.push_back(number);
    }
    if (!from.done()) return std::nullopt;
    return kept;
}

BodyBytes pack_condensed(const CondensedBody& condensed) {
    BodyWriter to;
    write_age(to, condensed.age);
    to.position(condensed.imaged_to);
    to.number<std::uint32_t>(static_cast<std::uint32_t>(condensed.ends.size()));
    for (const KeptStep& end : condensed.ends) write_end(to, end);
    return to.take();
}

std::optional<CondensedBody> unpack_condensed(Bytes body) {
    BodyReader from(body);
    CondensedBody condensed;
    if (!read_age(from, condensed.age)) return std::nullopt;
    condensed.imaged_to = from.position();
    bool good = true;
    for (std::size_t n = from.count(kEndBytesMin); n > 0; --n)
        condensed.ends.push_back(read_end(from, good));
    if (!from.done() || !good || !in_order(condensed.ends)) return std::nullopt;
    return condensed;
}

std::vector<NumberRun> runs_of(const std::vector<std::uint64_t>& numbers) {
    std::vector<NumberRun> runs;
    for (const std::uint64_t number : numbers) {
        if (!runs.empty() && runs.back().last + 1 == number)
            runs.back().last = number;
        else
            runs.push_back({number, number});
    }
    return runs;
}

}  // namespace everstep::journal
