#include "journal/catalogue.hpp"

#include "journal/body_codec.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kFlushBytes = 12;

void write_file(BodyWriter& to, const FileState& file) {
    to.number<std::uint64_t>(file.salt);
    to.number<std::uint64_t>(file.tail.end);
    to.number<std::uint32_t>(file.tail.crc);
    to.number<std::uint64_t>(file.tail.synced_to);
    to.flag(file.sealed);
}
FileState read_file(BodyReader& from) {
    FileState file;
    file.salt = from.number<std::uint64_t>();
    file.tail.end = from.number<std::uint64_t>();
    file.tail.crc = from.number<std::uint32_t>();
    file.tail.synced_to = from.number<std::uint64_t>();
    file.sealed = from.flag();
    return file;
}

void write_summary(BodyWriter& to, const RedoSummary& summary) {
    to.number<std::uint64_t>(summary.seq_last.value());
    to.number<std::uint32_t>(summary.frames);
    to.flag(summary.has_steps);
    to.time(summary.step_first);
    to.number<std::uint64_t>(summary.flush_first.value());
    to.number<std::uint32_t>(static_cast<std::uint32_t>(summary.flushes_newest.size()));
    for (const FlushMark& mark : summary.flushes_newest) {
        to.number<std::uint64_t>(mark.lsn.value());
        to.number<std::uint32_t>(static_cast<std::uint32_t>(mark.volume.value()));
    }
}
RedoSummary read_summary(BodyReader& from) {
    RedoSummary summary;
    summary.seq_last = FrameSeq(from.number<std::uint64_t>());
    summary.frames = from.number<std::uint32_t>();
    summary.has_steps = from.flag();
    summary.step_first = from.time();
    summary.flush_first = Lsn(from.number<std::uint64_t>());
    for (std::size_t n = from.count(kFlushBytes); n > 0; --n) {
        FlushMark mark;
        mark.lsn = Lsn(from.number<std::uint64_t>());
        mark.volume = VolumeIndex(from.number<std::uint32_t>());
        summary.flushes_newest.push_back(mark);
    }
    return summary;
}

// A condensed segment's kept steps, as its own record has them.
bool read_ends(BodyReader& from, CatalogueEntry& entry) {
    const std::size_t bytes = from.count(1);
    BodyBytes body(bytes);
    for (std::byte& one : body) one = std::byte{from.number<std::uint8_t>()};
    if (!from.ok() || bytes == 0) return from.ok();
    auto condensed = unpack_condensed(body);
    if (!condensed) return false;
    entry.ends = std::move(condensed->ends);
    return true;
}

bool in_order(const CatalogueEntry& entry) {
    const bool fits = entry.first <= entry.last && entry.imaged_to <= entry.last;
    return fits && entry.redo.sealed && entry.number != 0 &&
           is_condensed(entry.number) == !entry.ends.empty();
}

}  // namespace

CatalogueEntry entry_of(const Segment& segment) {
    CatalogueEntry entry{.number = segment.number,
                         .timeline = segment.timeline,
                         .first = segment.first,
                         .last = segment.last,
                         .imaged_to = segment.imaged_to,
                         .redo = segment.redo,
                         .undo = segment.undo,
                         .summary = segment.summary,
                         .begun_at = segment.begun_at,
                         .ends = segment.ends};
    // A sealed file is synced to its end, whatever its records could say of it.
    for (FileState* file : {&entry.redo, &entry.undo})
        if (file->sealed) file->tail.synced_to = file->tail.end;
    return entry;
}

bool follows_from(const CatalogueEntry& stored, const CatalogueEntry& read) {
    CatalogueEntry now = read;
    if (!stored.undo.sealed) {
        if (stored.undo.salt != read.undo.salt || read.imaged_to < stored.imaged_to) return false;
        now.undo = stored.undo;
        now.imaged_to = stored.imaged_to;
    }
    return pack_entry(stored) == pack_entry(now);
}

std::unique_ptr<Segment> segment_of(const CatalogueEntry& entry) {
    auto segment = std::make_unique<Segment>();
    segment->number = entry.number;
    segment->timeline = entry.timeline;
    segment->first = entry.first;
    segment->last = entry.last;
    segment->imaged_to = entry.imaged_to;
    segment->redo = entry.redo;
    segment->undo = entry.undo;
    segment->summary = entry.summary;
    segment->begun_at = entry.begun_at;
    segment->ends = entry.ends;
    segment->index.reset();
    if (entry.undo.sealed) segment->images.reset();
    return segment;
}

BodyBytes pack_entry(const CatalogueEntry& entry) {
    BodyWriter to;
    to.number<std::uint64_t>(entry.number);
    to.id(entry.timeline);
    to.position(entry.first);
    to.position(entry.last);
    to.position(entry.imaged_to);
    write_file(to, entry.redo);
    write_file(to, entry.undo);
    write_summary(to, entry.summary);
    to.number<std::uint64_t>(static_cast<std::uint64_t>(entry.begun_at.count()));
    BodyBytes ends;
    if (!entry.ends.empty()) ends = pack_condensed({entry.begun_at, entry.imaged_to, entry.ends});
    to.number<std::uint32_t>(static_cast<std::uint32_t>(ends.size()));
    for (const std::byte one : ends) to.number<std::uint8_t>(std::to_integer<std::uint8_t>(one));
    return to.take();
}

std::optional<CatalogueEntry> unpack_entry(Bytes body) {
    BodyReader from(body);
    CatalogueEntry entry;
    entry.number = from.number<std::uint64_t>();
    entry.timeline = from.id();
    entry.first = from.position();
    entry.last = from.position();
    entry.imaged_to = from.position();
    entry.redo = read_file(from);
    entry.undo = read_file(from);
    entry.summary = read_summary(from);
    const auto age = from.number<std::uint64_t>();
    entry.begun_at = Age(static_cast<std::int64_t>(age));
    if (!read_ends(from, entry) || !from.done()) return std::nullopt;
    if (age > static_cast<std::uint64_t>(Age::max().count()) || !in_order(entry))
        return std::nullopt;
    return entry;
}

BodyBytes pack_catalogue_state(const Uuid& group, const CatalogueState& state) {
    BodyWriter to;
    to.number<std::uint32_t>(kCatalogueVersion);
    to.id(group);
    to.number<std::uint64_t>(state.sequence);
    BodyBytes out = to.take();
    const BodyBytes position = pack_position(state.position);
    out.insert(out.end(), position.begin(), position.end());
    return out;
}

Result<CatalogueState> unpack_catalogue_state(Bytes body, const Uuid& group,
                                              const std::string& name) {
    BodyReader from(body);
    const auto version = from.number<std::uint32_t>();
    if (from.ok() && version != kCatalogueVersion)
        return Status(ErrorCode::version, name + ": format version " + std::to_string(version) +
                                              ", this program reads version " +
                                              std::to_string(kCatalogueVersion));
    const Uuid owner = from.id();
    CatalogueState state;
    state.sequence = from.number<std::uint64_t>();
    constexpr std::size_t kPositionAt = 28;
    std::optional<PositionBody> position;
    if (from.ok()) position = unpack_position(body.subspan(kPositionAt));
    if (!position) return Status(ErrorCode::corrupt, name + ": its first value makes no sense");
    if (owner != group)
        return Status(ErrorCode::refused, name + ": belongs to group " + owner.hex() +
                                              ", this is group " + group.hex());
    state.position = *position;
    return state;
}

}  // namespace everstep::journal
