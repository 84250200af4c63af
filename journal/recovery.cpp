#include "journal/recovery.hpp"

#include <algorithm>

#include "journal/lmdb_catalogue.hpp"

namespace everstep::journal {
namespace {

Status unreadable(const io::File& file, const ScannedRecord& record) {
    return {ErrorCode::corrupt, file.path() + ": offset " +
                                    std::to_string(record.envelope.offset.value()) +
                                    ": the record passes its checksum but makes no sense (kind " +
                                    std::to_string(static_cast<int>(record.envelope.kind)) + ")"};
}

}  // namespace

Status Recovery::run() {
    EVERSTEP_TRY(finish_wipe());
    EVERSTEP_TRY(list_files());
    EVERSTEP_TRY(learn_kept());
    EVERSTEP_TRY(check_numbers());
    EVERSTEP_TRY(drop_indexes());
    if (known_) begin_known();
    for (const std::uint64_t number : redo_) {
        const bool newest = number == redo_.back();
        if (!newest && known_) {
            const auto done = recover_known(number);
            if (!done.ok()) return done.status();
            if (*done) continue;
        }
        EVERSTEP_TRY(recover_segment(number, newest));
    }
    if (redo_.empty()) return {};
    s_.sequence = sequence_max_ + 1;
    if (!position_)
        return {ErrorCode::corrupt, s_.options.directory + ": no record of the replica's position"};
    s_.replica = s_.recorded = position_->state;
    s_.history.settle();
    take_merged();
    EVERSTEP_TRY(check_positions());
    begin_writing();
    return {};
}

Status Recovery::finish_wipe() {
    const auto marker = s_.files.exists(s_.path_of(kWipeMarker));
    if (!marker.ok()) return marker.status();
    if (!*marker) return {};
    report_.push_back(s_.options.directory + ": finished dropping the store");
    return remove_store_files(s_.files, s_.options.directory);
}

Status Recovery::list_files() {
    const auto names = s_.files.list(s_.options.directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
        if (is_unfinished_name(name)) {
            EVERSTEP_TRY(s_.files.remove(s_.path_of(name)));
        } else if (const auto redo = parse_file_name(FileKind::redo, name)) {
            (is_condensed(*redo) ? condensed_redo_ : redo_).push_back(*redo);
        } else if (const auto undo = parse_file_name(FileKind::undo, name)) {
            (is_condensed(*undo) ? condensed_undo_ : undo_).push_back(*undo);
        } else if (const auto index = parse_file_name(FileKind::redo_index, name)) {
            indexed_.push_back(*index);
        } else if (const auto images = parse_file_name(FileKind::undo_index, name)) {
            indexed_.push_back(*images);
        } else if (const auto salt = parse_file_name(FileKind::merged_index, name)) {
            s_.merges.files.insert(*salt);
        }
    }
    // A final name may be there without being durable yet.
    EVERSTEP_TRY(s_.files.sync_directory(s_.options.directory));
    // An undo file behind the newest redo file: its segment was being made.
    while (!undo_.empty() && (redo_.empty() || undo_.back() > redo_.back())) {
        if (redo_.empty() && undo_.back() > 1) break;
        EVERSTEP_TRY(s_.files.remove(s_.path_of(file_name(FileKind::undo, undo_.back()))));
        undo_.pop_back();
    }
    return {};
}

Status Recovery::open_file(FileKind kind, std::uint64_t number, CheckedHeader& header) {
    // The newest redo file is written on through it.
    auto file =
        s_.files.open(s_.path_of(file_name(kind, number)),
                      kind == FileKind::redo ? kAppendOptions
                                             : io::OpenOptions{.mode = io::OpenMode::read_write});
    if (!file.ok()) return file.status();
    file_ = std::move(*file);
    const auto read = read_header(*file_, kind);
    if (!read.ok()) return read.status();
    header = *read;
    if (header.header.group != s_.options.group)
        return {ErrorCode::refused, file_->path() + ": belongs to group " +
                                        header.header.group.hex() + ", this is group " +
                                        s_.options.group.hex()};
    if (header.header.segment != number)
        return {ErrorCode::corrupt, file_->path() + ": its header says segment " +
                                        std::to_string(header.header.segment)};
    EVERSTEP_TRY(check_known(header));
    const auto size = file_->size();
    if (!size.ok()) return size.status();
    if (size->value() < header.header.file_bytes.value())
        return {ErrorCode::corrupt,
                file_->path() + ": truncated: " + std::to_string(size->value()) + " bytes of " +
                    std::to_string(header.header.file_bytes.value())};
    return {};
}

Status Recovery::recover_segment(std::uint64_t number, bool newest) {
    CheckedHeader header;
    EVERSTEP_TRY(open_file(FileKind::redo, number, header));
    made_ = std::make_unique<Segment>();
    made_->number = number;
    made_->timeline = header.header.timeline;
    made_->first = made_->last = made_->imaged_to = header.header.first;
    Segment& segment = *made_;
    EVERSTEP_TRY(recover_redo(segment, header, newest));
    CheckedHeader undo_header;
    EVERSTEP_TRY(open_file(FileKind::undo, number, undo_header));
    if (undo_header.header.timeline != segment.timeline ||
        undo_header.header.first != segment.first)
        return {ErrorCode::corrupt, file_->path() + ": its header does not fit its redo file's"};
    EVERSTEP_TRY(recover_undo(segment, undo_header));
    put_away(segment);
    return {};
}

// So that a long history does not have to fit into memory while it is opened.
void Recovery::put_away(Segment& segment) {
    const auto put = [&](FileKind kind, auto& index, std::uint64_t salt) {
        // One that is there and is not the right one is made again when it is read.
        const auto there = s_.files.exists(s_.path_of(file_name(kind, segment.number)));
        const bool kept = index == nullptr || (there.ok() && *there);
        if (kept || s_.indexes.put(segment.number, salt, *index).ok()) index.reset();
    };
    s_.to_tend = true;
    segment.imaging = segment.first < segment.imaged_to;
    if (segment.redo_fixed()) put(FileKind::redo_index, segment.index, segment.redo.salt);
    if (segment.undo.sealed) put(FileKind::undo_index, segment.images, segment.undo.salt);
}

Status Recovery::recover_redo(Segment& segment, const CheckedHeader& header, bool newest) {
    const auto end = scan_records(
        *file_, header, [&](const ScannedRecord& record) { return take_redo(segment, record); });
    if (!end.ok()) return end.status();
    const std::string place = file_->path() + ": offset " + std::to_string(end->tail.end);
    if (end->records > 0 && !s_.history.timelines_known())
        return {ErrorCode::corrupt, file_->path() + ": names a timeline that is not stored"};
    if (end->records == 0)
        return {ErrorCode::corrupt, place + ": damaged: the segment's first record is bad"};
    if (!newest && !end->sealed)
        return {ErrorCode::corrupt,
                place + ": damaged: no good record, but the segment was sealed behind it"};
    segment.redo = {envelope_salt(header.header.salt), end->tail, end->sealed};
    sequence_max_ = std::max(sequence_max_, end->sequence_max);
    if (!newest) return {};
    s_.open_segment = &segment;
    EVERSTEP_TRY(cut_tail(*file_, *end, FileKind::redo));
    EVERSTEP_TRY(make_durable(*file_, *end));
    segment.redo.tail.synced_to = end->tail.end;
    if (end->sealed) return {};
    open_capacity_ = header.header.file_bytes.value();
    open_redo_ = std::move(file_);
    return {};
}

Status Recovery::recover_undo(Segment& segment, const CheckedHeader& header) {
    const auto end = scan_records(
        *file_, header, [&](const ScannedRecord& record) { return take_undo(segment, record); });
    if (!end.ok()) return end.status();
    sequence_max_ = std::max(sequence_max_, end->sequence_max);
    segment.undo = {envelope_salt(header.header.salt), end->tail, end->sealed};
    EVERSTEP_TRY(cut_tail(*file_, *end, FileKind::undo));
    EVERSTEP_TRY(make_durable(*file_, *end));
    segment.undo.tail.synced_to = end->tail.end;
    return {};
}

Status Recovery::cut_tail(io::File& file, const ScanEnd& end, FileKind kind) {
    if (!end.sealed && end.tail_dirty) {
        report_.push_back(file.path() + ": offset " + std::to_string(end.tail.end) +
                          ": cut the torn tail; nothing of it had been synced");
        const auto size = file.size();
        if (!size.ok()) return size.status();
        if (kind == FileKind::redo)
            EVERSTEP_TRY(
                file.zero(ByteOffset(end.tail.end), ByteCount(size->value() - end.tail.end)));
        else
            EVERSTEP_TRY(file.resize(ByteCount(end.tail.end)));
    }
    return {};
}

// What no record claims to be synced may be in the page cache only: the process ended before its
// sync, or that sync failed and left the pages clean, so that another one would write nothing. It
// is written again, the same bytes.
Status Recovery::make_durable(io::File& file, const ScanEnd& end) {
    Buffer bytes;
    for (std::uint64_t at = end.tail.synced_to; at < end.tail.end;) {
        const std::uint64_t length = std::min<std::uint64_t>(end.tail.end - at, 1U << 20);
        bytes.resize(length);
        EVERSTEP_TRY(file.read_at(ByteOffset(at), bytes.bytes()));
        EVERSTEP_TRY(file.write_at(ByteOffset(at), bytes.bytes()));
        at += length;
    }
    return file.sync();
}

Status Recovery::take_redo(Segment& segment, const ScannedRecord& record) {
    const bool first = record.envelope.offset == ByteOffset(kFileHeaderBytes);
    if (first != (record.envelope.kind == RecordKind::head)) return unreadable(*file_, record);
    switch (record.envelope.kind) {
        case RecordKind::head: {
            const auto head = unpack_head(record.body);
            if (!head || head->chain.tip.point.timeline != segment.timeline ||
                head->chain.position() != segment.first)
                return unreadable(*file_, record);
            if (skipped_ || cut_before(segment.number)) s_.history.after_cut();
            skipped_ = false;
            EVERSTEP_TRY(s_.history.take_head(*head).with_context(file_->path()));
            s_.history.take_segment(std::move(made_));
            return {};
        }
        case RecordKind::frame:
        case RecordKind::resync:
            return is_condensed(segment.number) ? take_condensed(segment, record)
                                                : take_frame(segment, record);
        case RecordKind::condensed:
            return take_condensed(segment, record);
        case RecordKind::kept:
            return take_kept(segment, record);
        case RecordKind::position:
            return take_position(record, nullptr);
        case RecordKind::images:
            return unreadable(*file_, record);
        case RecordKind::footer: {
            const auto footer = unpack_footer(record.body);
            return footer && footer->last == segment.last ? Status() : unreadable(*file_, record);
        }
        case RecordKind::mark:
        case RecordKind::unmark:
        case RecordKind::gap_open:
        case RecordKind::gap:
        case RecordKind::timeline:
            return take_note(record);
    }
    return unreadable(*file_, record);
}

Status Recovery::take_frame(Segment& segment, const ScannedRecord& record) {
    const std::string place = file_->path() + ": offset " + std::to_string(record.body_at.value());
    Buffer bytes;
    bytes.append(record.body);
    const auto frame = SealedFrame::parse(std::move(bytes));
    if (!frame.ok()) return frame.status().with_context(place);
    if (record.envelope.kind == RecordKind::resync) {
        const Status fits = s_.history.check_resync(**frame);
        if (!fits.ok()) return {ErrorCode::corrupt, place + ": " + fits.message()};
        s_.history.take_resync(segment, **frame, record.body_at);
        return {};
    }
    if (!s_.history.topology().knows(segment.timeline))
        return {ErrorCode::corrupt, place + ": a frame of a timeline that is not stored"};
    const auto verdict = s_.judge(**frame, s_.history.chain());
    if (!verdict.ok()) return {ErrorCode::corrupt, place + ": " + verdict.status().message()};
    if (*verdict == History::Verdict::stored)
        return {ErrorCode::corrupt, place + ": a frame that is stored twice"};
    s_.history.take_frame(segment, **frame, record.body_at);
    return {};
}

// Marks, gaps and timelines.
Status Recovery::take_note(const ScannedRecord& record) {
    History& history = s_.history;
    if (record.envelope.kind == RecordKind::mark) {
        if (const auto mark = unpack_mark_record(record.body))
            return history.take_mark(*mark), Status();
    } else if (record.envelope.kind == RecordKind::unmark) {
        if (const auto name = unpack_name(record.body)) return history.drop_mark(*name), Status();
    } else if (record.envelope.kind == RecordKind::gap_open) {
        if (const auto gap = unpack_gap_open(record.body))
            return history.take_gap_open(*gap), Status();
    } else if (record.envelope.kind == RecordKind::gap) {
        if (const auto gap = unpack_gap(record.body)) return history.take_gap(*gap), Status();
    } else if (record.envelope.kind == RecordKind::timeline) {
        const auto timeline = unpack_timeline(record.body);
        // A condensed segment, which is read before, may know it already.
        const TimelineInfo* known = timeline ? history.topology().find(timeline->id) : nullptr;
        if (known != nullptr && *known == *timeline) return {};
        if (timeline && !timeline->id.nil() && known == nullptr)
            return history.take_timeline(*timeline), Status();
    }
    return unreadable(*file_, record);
}

Status Recovery::take_position(const ScannedRecord& record, PositionBody* out) {
    const auto position = unpack_position(record.body);
    if (!position) return unreadable(*file_, record);
    if (out != nullptr) *out = *position;
    if (position_ && record.envelope.sequence < position_sequence_) return {};
    position_ = *position;
    position_sequence_ = record.envelope.sequence;
    return {};
}

Status Recovery::take_undo(Segment& segment, const ScannedRecord& record) {
    if (record.envelope.kind == RecordKind::images) {
        const auto extents = unpack_image_table(record.body);
        if (!extents) return unreadable(*file_, record);
        for (const ImageExtent& e : *extents)
            if (e.volume.value() >= s_.history.volume_count() ||
                e.block >= kRangeUnitsMax >> kBlockLevel)
                return unreadable(*file_, record);
        segment.images->add(*extents, record.body_at);
        return {};
    }
    if (record.envelope.kind == RecordKind::position) {
        PositionBody position;
        EVERSTEP_TRY(take_position(record, &position));
        segment.imaged_to =
            std::max(segment.imaged_to, std::min(position.state.high, segment.last));
        return {};
    }
    if (record.envelope.kind == RecordKind::footer) {
        const auto footer = unpack_footer(record.body);
        if (!footer || footer->last != segment.last) return unreadable(*file_, record);
        segment.imaged_to = segment.last;
        return {};
    }
    return unreadable(*file_, record);
}

// What the replica's stored position and the images claim must be there.
Status Recovery::check_positions() const {
    const History& history = s_.history;
    const ReplicaState& replica = s_.replica;
    const std::string directory = s_.options.directory + ": ";
    if (!history.topology().knows(replica.line))
        return {ErrorCode::corrupt, directory + "the replica's position names timeline " +
                                        replica.line.hex() + ", which is not stored"};
    const Position passed = history.passed(replica.line);
    if (passed < replica.high)
        return {ErrorCode::corrupt, directory + "damaged: the replica's position is step " +
                                        std::to_string(replica.high.lsn.value()) +
                                        ", but frames or before-images are there only up to step " +
                                        std::to_string(passed.lsn.value())};
    std::unordered_map<TimelineId, Position> all;
    for (const auto& segment : history.segments()) {
        const auto known = all.find(segment->timeline);
        const Position own = known != all.end() ? known->second : history.passed(segment->timeline);
        all.emplace(segment->timeline, own);
        if (segment->first < segment->imaged_to && own < segment->imaged_to &&
            !behind_condensed(*segment))
            return {ErrorCode::corrupt, s_.path_of(file_name(FileKind::undo, segment->number)) +
                                            ": damaged before it: before-images end at step " +
                                            std::to_string(own.lsn.value()) +
                                            ", this file's reach step " +
                                            std::to_string(segment->imaged_to.lsn.value())};
    }
    return {};
}

void Recovery::begin_writing() {
    s_.durable = s_.now();
    if (open_redo_ == nullptr) return;
    s_.redo =
        std::make_unique<RecordWriter>(RecordWriter::Setup{.file = std::move(open_redo_),
                                                           .salt = s_.open_segment->redo.salt,
                                                           .tail = s_.open_segment->redo.tail,
                                                           .capacity = ByteCount(open_capacity_),
                                                           .sequence = &s_.sequence});
}

Result<std::unique_ptr<io::File>> lock_store(io::FileSystem& files, const std::string& directory) {
    const std::string path = directory + "/" + kLockName;
    const auto there = files.exists(path);
    if (!there.ok()) return there.status();
    return files.open(path, {.mode = *there ? io::OpenMode::read_write : io::OpenMode::create,
                             .exclusive_lock = true});
}

Status remove_store_files(io::FileSystem& files, const std::string& directory) {
    const auto names = files.list(directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names)
        if (is_store_file(name) || is_catalogue_file(name))
            EVERSTEP_TRY(files.remove(directory + "/" + name));
    EVERSTEP_TRY(files.sync_directory(directory));
    EVERSTEP_TRY(files.remove(directory + "/" + kWipeMarker));
    return files.sync_directory(directory);
}

}  // namespace everstep::journal
