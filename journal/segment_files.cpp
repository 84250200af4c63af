// Sealing a redo file and making the next segment's two files.
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

Result<std::uint32_t> write_header(io::File& file, const FileHeader& header) {
    Buffer bytes;
    bytes.resize(kFileHeaderBytes);
    const std::uint32_t crc = pack_header(header, bytes.bytes());
    EVERSTEP_TRY(file.write_at(ByteOffset(0), bytes.bytes()));
    return crc;
}

std::vector<NumberRun> with(std::vector<NumberRun> runs, std::uint64_t number) {
    if (runs.empty() || runs.back().last + 1 != number)
        runs.push_back({number, number});
    else
        runs.back().last = number;
    return runs;
}

// The records with which a segment begins.
std::vector<std::pair<RecordKind, BodyBytes>> first_records(const NewSegment& begin) {
    std::vector<std::pair<RecordKind, BodyBytes>> records;
    records.emplace_back(RecordKind::head, pack_head(begin.head));
    for (const TimelineInfo& t : begin.begun)
        records.emplace_back(RecordKind::timeline, pack_timeline(t));
    if (begin.position) records.emplace_back(RecordKind::position, pack_position(*begin.position));
    records.emplace_back(RecordKind::kept, pack_kept(begin.kept));
    return records;
}

}  // namespace

// A file that is made under another name, so that its final name never shows an unfinished header.
// One that waits in the pool where there is one. `bytes`: 0 for a file that grows.
Result<std::unique_ptr<io::File>> Store::Impl::make_file(const std::string& path, ByteCount bytes) {
    const auto there = files.exists(path);
    if (!there.ok()) return there.status();
    if (*there) EVERSTEP_TRY(files.remove(path));  // left over from an attempt that failed
    const auto taken = bytes == ByteCount(0) ? pool.take_undo(path) : pool.take_redo(bytes, path);
    if (!taken.ok()) return taken.status();
    const bool redo_file = bytes != ByteCount(0);
    io::OpenOptions how = redo_file ? kAppendOptions : io::OpenOptions{};
    how.mode = *taken ? io::OpenMode::read_write : io::OpenMode::create;
    auto file = files.open(path, how);
    if (*taken) return file;
    if (!file.ok() || !redo_file) return file;
    EVERSTEP_TRY((*file)->resize(bytes));
    EVERSTEP_TRY((*file)->allocate(ByteOffset(0), bytes));
    return file;
}

Status Store::Impl::seal_redo() {
    if (redo == nullptr) return {};
    EVERSTEP_ASSERT(pending.empty(), "frames are written before their segment is sealed");
    const BodyBytes footer = pack_footer({open_segment->last});
    redo->stage(RecordKind::footer, footer);
    EVERSTEP_TRY(redo->write());
    EVERSTEP_TRY(sync_redo());
    const std::unique_lock guard(mutex);
    open_segment->redo.tail = redo->tail();
    open_segment->redo.sealed = true;
    to_tend = true;
    redo.reset();
    return {};
}

Status Store::Impl::make_undo(Segment& segment, FileHeader header) {
    header.kind = FileKind::undo;
    header.salt = Uuid::random();
    auto file = make_file(path_of(unfinished_name(header.kind, segment.number)), {});
    if (!file.ok()) return file.status();
    const auto crc = write_header(**file, header);
    if (!crc.ok()) return crc.status();
    segment.undo = {envelope_salt(header.salt), {kFileHeaderBytes, *crc, kFileHeaderBytes}};
    return (*file)->sync();
}

Status Store::Impl::make_redo(Segment& segment, FileHeader header, const NewSegment& begin) {
    header.kind = FileKind::redo;
    header.salt = Uuid::random();
    auto file = make_file(path_of(unfinished_name(header.kind, segment.number)), header.file_bytes);
    if (!file.ok()) return file.status();
    const auto crc = write_header(**file, header);
    if (!crc.ok()) return crc.status();
    RecordWriter writer({.file = std::move(*file),
                         .salt = envelope_salt(header.salt),
                         .tail = {kFileHeaderBytes, *crc, kFileHeaderBytes},
                         .capacity = header.file_bytes,
                         .sequence = &sequence});
    for (const auto& [kind, body] : first_records(begin)) writer.stage(kind, body);
    EVERSTEP_TRY(writer.write());
    EVERSTEP_TRY(writer.sync());
    segment.redo = {envelope_salt(header.salt), writer.tail()};
    return {};
}

Result<Store::Impl::Made> Store::Impl::make_files(NewSegment& begin) {
    Made made;
    made.segment = std::make_unique<Segment>();
    Segment& segment = *made.segment;
    segment.number = open_segment == nullptr ? 1 : open_segment->number + 1;
    segment.begun_at = age.now();
    begin.kept = history.kept(segment.begun_at);
    if (!history.begun()) begin.kept.baseline = kept_tip(begin.head.baseline);
    begin.kept.segments = with(begin.kept.segments, segment.number);
    segment.timeline = begin.head.chain.tip.point.timeline;
    segment.first = segment.last = segment.imaged_to = begin.head.chain.position();
    std::uint64_t wanted = kFileHeaderBytes + record_bytes(begin.body_bytes) + 3 * kBatchAlign;
    for (const auto& [kind, body] : first_records(begin)) wanted += record_bytes(body.size());
    FileHeader header;
    header.group = options.group;
    header.timeline = segment.timeline;
    header.segment = segment.number;
    header.first = segment.first;
    EVERSTEP_TRY(make_undo(segment, header));
    header.file_bytes =
        ByteCount(align_up(std::max(options.segment_bytes.value(), wanted), kBatchAlign));
    EVERSTEP_TRY(make_redo(segment, header, begin));

    // Undo first: a redo file under its final name has its undo file beside it.
    for (const FileKind kind : {FileKind::undo, FileKind::redo}) {
        EVERSTEP_TRY(files.rename(path_of(unfinished_name(kind, segment.number)),
                                  path_of(file_name(kind, segment.number))));
        EVERSTEP_TRY(files.sync_directory(options.directory));
    }
    auto opened = files.open(path_of(file_name(FileKind::redo, segment.number)), kAppendOptions);
    if (!opened.ok()) return opened.status();
    made.redo = std::make_unique<RecordWriter>(RecordWriter::Setup{.file = std::move(*opened),
                                                                   .salt = segment.redo.salt,
                                                                   .tail = segment.redo.tail,
                                                                   .capacity = header.file_bytes,
                                                                   .sequence = &sequence});
    return made;
}

Status Store::Impl::begin_segment(NewSegment begin) {
    auto made = make_files(begin);
    if (!made.ok()) return made.status();
    redo = std::move(made->redo);
    const std::unique_lock guard(mutex);
    const Status taken = history.take_head(begin.head);
    EVERSTEP_ASSERT(taken.ok(), "a head that was made from the history fits it");
    for (const TimelineInfo& t : begin.begun) history.take_timeline(t);
    history.take_kept(begin.kept);
    open_segment = &history.take_segment(std::move(made->segment));
    durable = now();
    return {};
}

}  // namespace everstep::journal
