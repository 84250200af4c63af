#include "journal/condense.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/before_images.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint64_t kReadBytes = 1ULL << 20;
constexpr std::size_t kFrameBytes = 4U << 20;
constexpr int kPackLevel = 1;

// The volumes as they were at a step, for before-images.
class Before final : public ReplicaReader {
  public:
    Before(const Store& store, const View& view, const KeepOrder& order,
           const std::vector<ByteCount>& volume_bytes)
        : store_(store), view_(view), order_(order), volume_bytes_(volume_bytes) {}
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override {
        if (order_.stop != nullptr && *order_.stop) return {ErrorCode::closed, "told to stop"};
        const std::uint64_t size = volume_bytes_[volume.value()].value();
        const std::size_t inside =
            std::min<std::uint64_t>(to.size(), size - std::min(size, offset.value()));
        std::fill(to.begin() + static_cast<std::ptrdiff_t>(inside), to.end(), std::byte{0});
        return store_.read(view_, *order_.replica, volume, offset, to.first(inside));
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override {
        std::vector<io::DataExtent> out;
        const std::uint64_t end = offset.value() + length.value();
        for (std::uint64_t at = offset.value(); at < end;) {
            const auto known = store_.block_status(view_, *order_.replica, volume, ByteOffset(at),
                                                   ByteCount(end - at), kExtentsMax);
            if (!known.ok()) return known.status();
            for (const BlockExtent& one : *known) {
                out.push_back({ByteOffset(at), ByteCount(one.length), one.zero});
                at += one.length;
            }
        }
        return out;
    }

  private:
    static constexpr std::size_t kExtentsMax = 1024;
    const Store& store_;
    const View& view_;
    const KeepOrder& order_;
    const std::vector<ByteCount>& volume_bytes_;
};

}  // namespace

// What the writes would take more if they were not packed.
Result<std::uint64_t> Condenser::saved_bytes() const {
    std::uint64_t saved = 0;
    for (const std::uint64_t number : plan_.numbers) {
        EVERSTEP_TRY(s_.with_index(number, [&](const RedoIndex& index) {
            for (std::uint32_t n = 0; n < index.writes.unit_count(); ++n) {
                const Unit& unit = index.writes.unit(n);
                saved += unit.length - unit.stored_bytes();
            }
        }));
    }
    return saved;
}

Result<bool> Condenser::has_room() {
    const auto saved = saved_bytes();
    if (!saved.ok()) return saved.status();
    if (*saved > 0) packer_.emplace(kPackLevel);
    std::uint64_t wanted = 2 * kBatchAlign + *saved;
    {
        const std::shared_lock guard(s_.mutex);
        for (const std::uint64_t number : plan_.numbers)
            if (const Segment* segment = s_.history.segment(number))
                wanted += segment->redo.tail.end + segment->undo.tail.end;
    }
    const auto free = s_.files.free_bytes(s_.options.directory);
    if (!free.ok()) return free.status();
    return ByteCount(wanted) < *free;
}

Result<KeptStep> Condenser::kept_step(const Point& at) const {
    {
        const std::shared_lock guard(s_.mutex);
        const Topology& topology = s_.history.topology();
        if (const KeptStep* known = s_.history.kept_step(topology.owner(place_of(at)))) {
            KeptStep step = *known;
            step.tip.step.point = at;
            return step;
        }
    }
    KeptStep out;
    const auto step = s_.tip_at(at, false);
    if (!step.ok()) return step.status();
    const auto stream = s_.tip_at(at, true);
    if (!stream.ok()) return stream.status();
    out.tip = {*step, stream->hash, stream->seq};
    const auto view = store_.view(at);
    if (!view.ok()) return view.status();
    const auto info = store_.step(*view, at.lsn);
    if (info.ok()) out.info = *info;
    if (!info.ok() && info.status().code() != ErrorCode::not_found) return info.status();
    for (std::size_t v = 0; v < s_.options.volume_bytes.size(); ++v) {
        const auto flush = store_.flush_before(*view, VolumeIndex(v));
        if (!flush.ok()) return flush.status();
        if (*flush && **flush == at.lsn) out.flushed.emplace_back(v);
    }
    return out;
}

Result<std::vector<KeptStep>> Condenser::kept_steps() const {
    std::vector<KeptStep> steps;
    for (const Point& at : plan_.ends) {
        auto step = kept_step(at);
        if (!step.ok()) return step.status();
        steps.push_back(std::move(*step));
    }
    return steps;
}

Result<Condensed> Condenser::make() {
    segment_ = std::make_unique<Segment>();
    segment_->number = ++s_.condensed_number;
    segment_->timeline = plan_.ends.front().timeline;
    segment_->first = {plan_.ends.front().lsn, 0};
    segment_->last = {plan_.ends.back().lsn, 0};
    segment_->imaged_to = plan_.imaged_to;
    segment_->begun_at = plan_.ended_at;
    auto steps = kept_steps();
    if (!steps.ok()) return steps.status();
    segment_->ends = std::move(*steps);
    EVERSTEP_TRY(write_redo());
    EVERSTEP_TRY(write_undo());
    EVERSTEP_TRY(finish_names());
    return Condensed{std::move(segment_)};
}

Result<std::unique_ptr<RecordWriter>> Condenser::begin_file(FileKind kind, FileState& state) const {
    FileHeader header;
    header.kind = kind;
    header.group = s_.options.group;
    header.salt = Uuid::random();
    header.timeline = segment_->timeline;
    header.segment = segment_->number;
    header.first = segment_->first;
    const std::string path = s_.path_of(unfinished_name(kind, segment_->number));
    const auto there = s_.files.exists(path);
    if (!there.ok()) return there.status();
    if (*there) EVERSTEP_TRY(s_.files.remove(path));
    auto file = s_.files.open(path, {.mode = io::OpenMode::create});
    if (!file.ok()) return file.status();
    Buffer bytes;
    bytes.resize(kFileHeaderBytes);
    const std::uint32_t crc = pack_header(header, bytes.bytes());
    EVERSTEP_TRY((*file)->write_at(ByteOffset(0), bytes.bytes()));
    state.salt = envelope_salt(header.salt);
    state.tail = {kFileHeaderBytes, crc, kFileHeaderBytes};
    return std::make_unique<RecordWriter>(RecordWriter::Setup{.file = std::move(*file),
                                                              .salt = state.salt,
                                                              .tail = state.tail,
                                                              .capacity = ByteCount(0),
                                                              .sequence = &s_.sequence});
}

Status Condenser::write_redo() {
    auto file = begin_file(FileKind::redo, segment_->redo);
    if (!file.ok()) return file.status();
    redo_ = std::move(*file);
    HeadBody head;
    {
        const std::lock_guard writer(s_.writer_mutex);
        head = s_.history.head();
    }
    head.chain = {};
    head.chain.tip = segment_->ends.front().tip.step;
    redo_->stage(RecordKind::head, pack_head(head));
    redo_->stage(RecordKind::condensed,
                 pack_condensed({plan_.ended_at, plan_.imaged_to, segment_->ends}));
    for (std::size_t n = 1; n < plan_.ends.size(); ++n)
        EVERSTEP_TRY(write_span(plan_.ends[n - 1], plan_.ends[n]));
    redo_->stage(RecordKind::footer, pack_footer({segment_->last}));
    EVERSTEP_TRY(redo_->write());
    EVERSTEP_TRY(redo_->sync());
    segment_->redo.tail = redo_->tail();
    segment_->redo.sealed = true;
    return {};
}

Result<std::vector<GapExtent>> Condenser::written(const Point& from, const Point& to) const {
    const auto a = store_.view(from);
    if (!a.ok()) return a.status();
    const auto b = store_.view(to);
    if (!b.ok()) return b.status();
    return s_.touched(a->at, {b->timeline, b->at}, Grain::sectors);
}

Status Condenser::write_span(const Point& from, const Point& to) {
    const auto extents = written(from, to);
    if (!extents.ok()) return extents.status();
    span_ = from.lsn;
    sub_ = sub_added_ = 0;
    for (const GapExtent& extent : *extents) EVERSTEP_TRY(write_extent(from, to, extent));
    return seal_frame();
}

// What the replica would have to be given to go from one step to the other.
Status Condenser::write_extent(const Point& from, const Point& to, const GapExtent& extent) {
    ReplicaState at;
    at.line = from.timeline;
    at.low = at.high = {from.lsn, 0};
    Buffer bytes;
    FrameEntry zeroes;
    const auto flush_zeroes = [&]() -> Status {
        if (zeroes.length == ByteCount(0)) return {};
        const Status added = add(zeroes, {});
        zeroes.length = ByteCount(0);
        return added;
    };
    for (std::uint64_t done = 0; done < extent.length.value(); done += kReadBytes) {
        if (stopped()) return {ErrorCode::closed, "told to stop"};
        bytes.resize(std::min(kReadBytes, extent.length.value() - done));
        EVERSTEP_TRY(s_.read_as_if(place_of(to), at,
                                   {extent.volume, extent.offset + done, ByteCount(bytes.size())},
                                   bytes.bytes()));
        for (std::size_t part = 0; part < bytes.size(); part += kChunkBytes) {
            FrameEntry entry;
            entry.lsn = span_;
            entry.volume = extent.volume;
            entry.offset = extent.offset + done + part;
            entry.length = ByteCount(std::min<std::size_t>(kChunkBytes, bytes.size() - part));
            const Bytes payload = Bytes(bytes.bytes()).subspan(part, entry.length.value());
            entry.kind = is_zero(payload) ? EntryKind::zero : EntryKind::data;
            if (entry.kind == EntryKind::zero) {
                if (zeroes.length == ByteCount(0)) zeroes = entry;
                zeroes.length =
                    ByteCount(entry.offset.value() + entry.length.value() - zeroes.offset.value());
                continue;
            }
            EVERSTEP_TRY(flush_zeroes());
            EVERSTEP_TRY(add(entry, payload));
        }
    }
    return flush_zeroes();
}

Status Condenser::add(const FrameEntry& entry, Bytes payload) {
    const bool zero = entry.kind == EntryKind::zero;
    const std::uint64_t units = zero ? zero_pieces(entry.offset, entry.length) : 1;
    if (!builder_.fits(payload.size()) || kFrameBytes < builder_.size_bytes() + payload.size() ||
        kFramePiecesMax < pieces_ + units)
        EVERSTEP_TRY(seal_frame());
    if (0xffffffffULL - sub_added_ < units)
        return {ErrorCode::too_large, "more than 2^32 writes between two kept steps"};
    builder_.add(entry, payload);
    pieces_ += zero ? units : 0;
    sub_added_ += static_cast<std::uint32_t>(units);
    return {};
}

Status Condenser::seal_frame() {
    if (builder_.empty()) return {};
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = s_.options.group;
    header.timeline = segment_->timeline;
    header.first_lsn = header.last_lsn = span_;
    header.sub_first = sub_ + 1;
    const FramePtr frame = builder_.seal(header, packer_ ? &*packer_ : nullptr);
    sub_ = sub_added_;
    pieces_ = 0;
    const ByteOffset at = redo_->stage(RecordKind::resync, frame->bytes());
    EVERSTEP_TRY(redo_->write());
    const bool taken = s_.history.take_condensed_frame(*segment_, *frame, at);
    EVERSTEP_ASSERT(taken, "a frame that was made for the segment fits it");
    return {};
}

Status Condenser::write_undo() {
    auto undo = begin_file(FileKind::undo, segment_->undo);
    if (!undo.ok()) return undo.status();
    const Point imaged{segment_->timeline, plan_.imaged_to.lsn};
    if (segment_->first < plan_.imaged_to) {
        const auto view = store_.view(plan_.ends.front());
        if (!view.ok()) return view.status();
        const auto extents = written(plan_.ends.front(), imaged);
        if (!extents.ok()) return extents.status();
        const Before before(store_, *view, order_, s_.options.volume_bytes);
        BeforeImages images(*segment_->images, {before, s_.options.volume_bytes}, **undo);
        EVERSTEP_TRY(images.take(*extents));
        for (const TakenImages& one : images.taken())
            segment_->images->add(one.extents, one.body_at);
    }
    segment_->undo.sealed = plan_.imaged_to == segment_->last;
    if (segment_->undo.sealed) (*undo)->stage(RecordKind::footer, pack_footer({segment_->last}));
    EVERSTEP_TRY((*undo)->write());
    EVERSTEP_TRY((*undo)->sync());
    segment_->undo.tail = (*undo)->tail();
    return {};
}

void Condenser::discard() const {
    if (segment_ == nullptr) return;
    for (const FileKind kind : {FileKind::undo, FileKind::redo})
        for (const std::string& name :
             {unfinished_name(kind, segment_->number), file_name(kind, segment_->number)})
            s_.files.remove(s_.path_of(name)).ignore("there is none, or the next open removes it");
}

Status Condenser::finish_names() const {
    for (const FileKind kind : {FileKind::undo, FileKind::redo})
        EVERSTEP_TRY(s_.files.rename(s_.path_of(unfinished_name(kind, segment_->number)),
                                     s_.path_of(file_name(kind, segment_->number))));
    return s_.files.sync_directory(s_.options.directory);
}

}  // namespace everstep::journal
