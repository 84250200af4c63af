// The apply thread's half of Store: batches of units, before-images first (walk, stage 7).
#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/before_images.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

constexpr ByteCount kRedoBatchBytes{8ULL << 20};

ApplyUnit to_apply(const Unit& unit, std::uint64_t segment) {
    return {.volume = VolumeIndex(unit.volume),
            .offset = unit.offset,
            .length = ByteCount(unit.length),
            .zero = unit.zero,
            .segment = segment,
            .payload_at = unit.payload_at,
            .stored_bytes = unit.stored_bytes(),
            .payload_crc = unit.crc};
}

std::vector<GapExtent> ranges_of(const std::vector<ApplyUnit>& units) {
    std::vector<GapExtent> ranges;
    ranges.reserve(units.size());
    for (const ApplyUnit& u : units) ranges.push_back({u.volume, u.offset, u.length});
    merge_extents(ranges);
    return ranges;
}

std::string name_position(Position p) {
    return "(" + std::to_string(p.lsn.value()) + ", " + std::to_string(p.sub) + ")";
}

}  // namespace

// The units behind `from` on the line to `goal`, of the first segment that has any position there.
Result<ApplyBatch> Store::Impl::collect(Position from, const Place& goal, ByteCount limit) const {
    ApplyBatch batch;
    batch.line = goal.timeline;
    batch.from = batch.to = from;
    std::uint64_t number = 0;
    Position after;
    {
        const std::shared_lock guard(mutex);
        const std::vector<PathSegment> way = history.path_segments(from, goal);
        if (way.empty()) return batch;
        number = way.front().segment->number;
        after = way.front().after;
        batch.to = std::min(way.front().to, way.front().segment->last);
    }
    EVERSTEP_TRY(with_index(number, [&](const RedoIndex& index) {
        const UnitSpan span = index.writes.between(after, batch.to);
        for (std::uint32_t n = span.first; n < span.last; ++n) {
            const Unit& unit = index.writes.unit(n);
            if (!batch.units.empty() && batch.bytes + unit.length > limit) {
                batch.to = index.writes.unit(n - 1).position();
                break;
            }
            batch.units.push_back(to_apply(unit, number));
            batch.bytes = batch.bytes + unit.length;
        }
    }));
    return batch;
}

// The segment in which the batch's end lies.
Segment* Store::Impl::segment_of(const ApplyBatch& batch) const {
    const std::shared_lock guard(mutex);
    if (!batch.units.empty()) return history.segment(batch.units.front().segment);
    for (const PathPart& part :
         history.topology().path_behind(batch.from, {batch.line, batch.to})) {
        const Line* own = history.line(part.timeline);
        if (own == nullptr) continue;
        for (Segment* segment : own->segments)
            if (segment->first < batch.to && batch.to <= segment->last) return segment;
    }
    return nullptr;
}

// A second thread would copy a position, wait for its sync and write the stale copy over the newer.
void Store::Impl::on_apply_thread() {
    const std::thread::id self = std::this_thread::get_id();
    std::thread::id owner;
    const bool first = applier.compare_exchange_strong(owner, self);
    EVERSTEP_ASSERT(first || owner == self, "the replica's position has one thread");
}

Result<ApplyBatch> Store::next_batch(Point goal, ByteCount limit) const {
    const Impl& s = *impl_;
    std::shared_lock guard(s.mutex);
    EVERSTEP_TRY(s.require_history());
    const Topology& topology = s.history.topology();
    if (s.replica.low != s.replica.high)
        return Status(ErrorCode::internal, "the replica is half-moved: redo or move it first");
    if (!topology.knows(goal.timeline))
        return Status(ErrorCode::refused, "no timeline " + goal.timeline.hex() + " is known");
    const Place here{s.replica.line, s.replica.high};
    Place to = place_of(goal);
    if (!topology.leads_to(here, to))
        return Status(ErrorCode::refused, "the replica stands at " + name_position(here.at) +
                                              ", which does not lead to step " +
                                              std::to_string(goal.lsn.value()) +
                                              ": move it to their meeting point first");
    // Only the receiving line can have more than is durable: all other segments are sealed.
    const Place durable{s.durable.chain.tip.point.timeline, s.durable.chain.position()};
    const Place owner = topology.owner(to);
    if (owner.timeline == durable.timeline && durable.at < owner.at) to = durable;
    if (to.at < here.at) to = here;
    guard.unlock();
    return s.collect(here.at, to, limit);
}

Status Store::Impl::use_undo(Segment& segment) {
    if (undo_segment == &segment && undo != nullptr) return {};
    const auto passed = [&] {
        const std::shared_lock guard(mutex);
        return undo_segment->redo.sealed && undo_segment->imaged_to == undo_segment->last;
    };
    if (undo_open() && passed()) {
        // The replica has passed it: nothing will be added any more.
        undo->stage(RecordKind::footer, pack_footer({undo_segment->last}));
        EVERSTEP_TRY(undo->write());
        EVERSTEP_TRY(undo->sync());
        EVERSTEP_TRY(undo->cut());
        const std::unique_lock guard(mutex);
        undo_segment->undo.tail = undo->tail();
        undo_segment->undo.sealed = true;
        history.note_undo_sealed(*undo_segment);
        undo_segment->catalogued = false;
        to_tend = true;
    }
    undo.reset();
    undo_segment = nullptr;
    if (segment.undo.sealed) return {};
    EVERSTEP_TRY(begin_imaging(segment));
    auto file = files.open(path_of(file_name(FileKind::undo, segment.number)),
                           {.mode = io::OpenMode::read_write});
    if (!file.ok()) return file.status();
    undo = std::make_unique<RecordWriter>(RecordWriter::Setup{.file = std::move(*file),
                                                              .salt = segment.undo.salt,
                                                              .tail = segment.undo.tail,
                                                              .capacity = ByteCount(0),
                                                              .sequence = &sequence});
    undo_segment = &segment;
    return {};
}

// The reading rule looks at a segment whose before-images grow under the lock: no file is read
// then.
Status Store::Impl::begin_imaging(Segment& segment) {
    {
        const std::unique_lock guard(mutex);
        segment.imaging = true;
        if (segment.index != nullptr) return {};
    }
    const auto index = indexes.redo(segment.number, segment.redo.salt);
    if (!index.ok()) return index.status();
    const std::unique_lock guard(mutex);
    segment.index = std::const_pointer_cast<RedoIndex>(*index);  // sealed: nobody changes it
    return {};
}

// A position record, durable when it returns: in the undo file in use, else in the open redo file.
Status Store::Impl::record_position(const PositionBody& position) {
    if (!undo_open()) {
        EVERSTEP_TRY(record_position_in_redo(position));
    } else {
        const LogTail before = undo->tail();
        undo->stage(RecordKind::position, pack_position(position));
        EVERSTEP_TRY(undo->write());
        if (const Status synced = undo->sync(); !synced.ok()) {
            undo->rewind(before);
            return synced;
        }
    }
    const std::unique_lock guard(mutex);
    if (undo_open()) undo_segment->undo.tail = undo->tail();
    recorded = position.state;
    return {};
}

Status Store::begin_batch(const ApplyBatch& batch, const ReplicaReader& replica) {
    Impl& s = *impl_;
    s.on_apply_thread();
    const std::lock_guard position_guard(s.position_mutex);
    if (batch.empty()) return {};
    PositionBody position;
    position.state = s.replica;
    if (s.replica.low != s.replica.high || s.replica.high != batch.from)
        return {ErrorCode::internal,
                "the batch does not begin where the replica stands: " + name_position(batch.from) +
                    ", the replica is at " + name_position(s.replica.high)};
    Segment* segment = s.segment_of(batch);
    if (segment == nullptr)
        return {ErrorCode::internal, "no segment holds position " + name_position(batch.to)};
    EVERSTEP_TRY(s.use_undo(*segment));
    position.state.line = batch.line;
    position.state.high = batch.to;

    std::vector<TakenImages> taken;
    if (s.undo != nullptr) {
        BeforeImages images(*segment->images, {replica, s.options.volume_bytes}, *s.undo);
        const LogTail before = s.undo->tail();
        if (const Status status = images.take(ranges_of(batch.units)); !status.ok()) {
            s.undo->drop_staged();
            s.undo->rewind(before);
            return status;
        }
        taken = images.taken();
        if (const Status status = s.record_position(position); !status.ok()) {
            s.undo->rewind(before);
            return status;
        }
    } else {
        EVERSTEP_TRY(s.record_position(position));
    }
    const std::unique_lock guard(s.mutex);
    for (const TakenImages& record : taken) segment->images->add(record.extents, record.body_at);
    segment->imaged_to = std::max(segment->imaged_to, batch.to);
    s.replica = position.state;
    return {};
}

Status Store::read_unit(const ApplyUnit& unit, MutableBytes to) const {
    const Impl& s = *impl_;
    EVERSTEP_ASSERT(!unit.zero && to.size() == unit.length.value(), "a unit is read whole");
    Buffer packed;
    MutableBytes stored = to;
    if (unit.stored_bytes < to.size()) {
        packed.resize(unit.stored_bytes);
        stored = packed.bytes();
    }
    if (!s.recent.copy(unit.segment, unit.payload_at, stored)) {
        const auto file = s.cache.get(FileKind::redo, unit.segment);
        if (!file.ok()) return file.status();
        EVERSTEP_TRY((*file)->read_at(unit.payload_at, stored));
    }
    const auto place = [&] {
        return s.path_of(file_name(FileKind::redo, unit.segment)) + ": offset " +
               std::to_string(unit.payload_at.value());
    };
    if (crc32c(stored) != unit.payload_crc)
        return {ErrorCode::corrupt, place() + ": " + std::to_string(stored.size()) +
                                        " bytes of payload fail their checksum"};
    if (packed.size() == 0) return {};
    const Status unpacked = StoredPayload(stored, to.size()).read(to);
    return unpacked.ok() ? Status() : unpacked.with_context(place());
}

Status Store::end_batch(const ApplyBatch& batch) {
    Impl& s = *impl_;
    s.on_apply_thread();
    const std::lock_guard position_guard(s.position_mutex);
    const std::unique_lock guard(s.mutex);
    if (s.replica.low != batch.from || s.replica.high < batch.to)
        return {ErrorCode::internal, "the batch that ends is not the one that was begun"};
    s.replica.low = batch.to;
    return {};
}

Status Store::sync_low() {
    Impl& s = *impl_;
    s.on_apply_thread();
    const std::lock_guard position_guard(s.position_mutex);
    if (s.replica.low == s.recorded.low && s.replica.high == s.recorded.high) return {};
    // In the redo file: so that two files must be damaged before a lost before-image goes unnoticed
    // at idle.
    PositionBody position;
    position.state = s.replica;
    EVERSTEP_TRY(s.record_position_in_redo(position));
    const std::unique_lock guard(s.mutex);
    s.recorded = position.state;
    return {};
}

Result<std::vector<ApplyBatch>> Store::redo_batches() const {
    const Impl& s = *impl_;
    const ReplicaState state = replica();
    std::vector<ApplyBatch> batches;
    Position at = state.low;
    const Place high{state.line, state.high};
    while (at < high.at) {
        auto batch = s.collect(at, high, kRedoBatchBytes);
        if (!batch.ok()) return batch.status();
        if (batch->empty()) batch->to = high.at;
        at = batch->to;
        batches.push_back(std::move(*batch));
    }
    return batches;
}

}  // namespace everstep::journal
