#include "journal/scrub_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "common/base/checksum.hpp"

namespace everstep::journal {
namespace {

constexpr std::string_view kNoSense = "the record passes its checksum but makes no sense";

// The bodies of which nothing else than their form can be checked.
bool makes_sense(const WalkedRecord& record) {
    switch (record.envelope.kind) {
        case RecordKind::head:
            return unpack_head(record.body).has_value();
        case RecordKind::mark:
            return unpack_mark_record(record.body).has_value();
        case RecordKind::unmark:
            return unpack_name(record.body).has_value();
        case RecordKind::gap_open:
            return unpack_gap_open(record.body).has_value();
        case RecordKind::gap:
            return unpack_gap(record.body).has_value();
        case RecordKind::timeline:
            return unpack_timeline(record.body).has_value();
        case RecordKind::position:
            return unpack_position(record.body).has_value();
        case RecordKind::footer:
            return unpack_footer(record.body).has_value();
        case RecordKind::images:
            return unpack_image_table(record.body).has_value();
        case RecordKind::kept:
            return unpack_kept(record.body).has_value();
        case RecordKind::condensed:
            return unpack_condensed(record.body).has_value();
        case RecordKind::frame:
        case RecordKind::resync:
            return true;
    }
    return false;
}

}  // namespace

const std::vector<ByteCount>& any_volumes() {
    static const std::vector<ByteCount> all(kRangeVolumesMax,
                                            ByteCount((kRangeUnitsMax - 1) * kSectorBytes));
    return all;
}

FileScrub::FileScrub(const Of& of)
    : of_(of), path_(of.directory + "/" + file_name(of.kind, of.segment)) {}

Finding& FileScrub::damage(std::uint64_t at, std::uint64_t length, std::string what) {
    clean_ = false;
    Finding finding;
    finding.file = path_;
    finding.at = ByteOffset(at);
    finding.length = ByteCount(length);
    finding.what = std::move(what);
    findings_.push_back(std::move(finding));
    return findings_.back();
}

void FileScrub::damage_at(const WalkedRecord& record, std::string what) {
    hit(record, damage(record.envelope.offset.value(), record_bytes(record.envelope.body_bytes),
                       std::move(what)));
}

Result<std::unique_ptr<io::File>> FileScrub::open() {
    auto file = of_.files.open(path_, {});
    if (!file.ok()) return file.status();
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    size_ = size->value();
    return file;
}

// False: there is nothing behind it that can be told apart.
bool FileScrub::read_header_of(const io::File& file) {
    const auto read = read_header(file, of_.kind);
    if (!read.ok()) {
        const std::string found = read.status().message();
        const bool named = found.starts_with(path_ + ": ");
        lost(damage(0, std::min(size_, kFileHeaderBytes),
                    named ? found.substr(path_.size() + 2) : found));
        return read.status().code() == ErrorCode::corrupt;
    }
    header_ = *read;
    const FileHeader& header = header_->header;
    if (header.segment != of_.segment)
        damage(0, kFileHeaderBytes, fmt::format("the header says segment {}", header.segment));
    return true;
}

void FileScrub::visit(const WalkedRecord& record) {
    const auto kind = static_cast<std::uint16_t>(record.envelope.kind);
    if (kind > kRecordKindMax)
        damage_at(record,
                  fmt::format("a record of kind {}, which this program does not know", kind));
    else if (!record.good)
        damage_at(record, "the record's body fails its checksum");
    else if (!makes_sense(record))
        damage_at(record, std::string(kNoSense));
    else
        take(record);
}

Status FileScrub::run(const std::function<bool(ByteCount)>& go_on) {
    const auto file = open();
    if (!file.ok()) {
        const bool missing = file.status().code() == ErrorCode::not_found;
        lost(damage(0, 0, missing ? "the file is missing" : file.status().message()));
        return {};
    }
    if (!read_header_of(**file)) return {};
    const bool good_header = clean_;
    std::uint64_t told = 0;
    const auto paced = [&](std::uint64_t to) -> Status {
        const std::uint64_t more = to - std::min(told, to);
        told = std::max(told, to);
        if (!go_on || go_on(ByteCount(more))) return {};
        return {ErrorCode::closed, "the scrub was ended"};
    };
    const auto end = walk_records(
        **file, limits(),
        {.record =
             [&](const WalkedRecord& record) {
                 visit(record);
                 return paced(record.body_at.value() + record.envelope.body_bytes);
             },
         .bad =
             [&](const BadRange& range) {
                 Finding& finding = damage(range.at.value(), range.length.value(), range.what);
                 finding.damage = !range.torn;
                 if (!range.torn && !range.padding) lost(finding);
                 return paced(range.at.value() + range.length.value());
             }});
    if (end.status().code() == ErrorCode::closed) return end.status();
    clean_ = good_header && std::none_of(findings_.begin(), findings_.end(),
                                         [](const Finding& f) { return f.damage; });
    if (end.ok())
        check_end(*end);
    else
        lost(damage(told, size_ - std::min(told, size_), end.status().message()));
    ended();
    return {};
}

WalkLimits FileScrub::limits() const {
    WalkLimits out;
    const bool running = of_.known.end != 0;
    out.end = running ? std::min(of_.known.end, size_) : size_;
    out.synced_to = of_.known.sealed ? std::numeric_limits<std::uint64_t>::max() : of_.known.end;
    out.salt = salt();
    if (header_) out.header_crc = header_->crc;
    return out;
}

// What is missing behind the last record.
void FileScrub::check_end(const WalkEnd& end) {
    end_ = end;
    const std::uint64_t wanted = header_ ? header_->header.file_bytes.value() : 0;
    if (size_ < wanted)
        lost(
            damage(size_, wanted - size_, fmt::format("truncated: {} bytes of {}", size_, wanted)));
    if (clean_ && end_.end < of_.known.end)
        lost(damage(end_.end, of_.known.end - end_.end, "records are missing here"));
    if (clean_ && of_.known.sealed && !end_.sealed)
        lost(damage(end_.end, 0, "no footer, but the file was sealed"));
}

RedoScrub::RedoScrub(const Of& of, const std::vector<TimelineInfo>& timelines)
    : FileScrub(of),
      timelines_(timelines),
      scan_({.group = {}, .segment = of.segment, .salt = 0, .volume_bytes = any_volumes()}) {}

void RedoScrub::take(const WalkedRecord& record) {
    const bool first = record.envelope.offset == ByteOffset(kFileHeaderBytes);
    if (first != (record.envelope.kind == RecordKind::head) ||
        record.envelope.kind == RecordKind::images)
        return damage_at(record, fmt::format("a record of kind {} in this place",
                                             static_cast<int>(record.envelope.kind)));
    if (first) take_head(record);
    if (record.envelope.kind == RecordKind::footer) {
        const auto footer = unpack_footer(record.body);
        resolve(footer->last.lsn + 1);
        if (whole() && footer->last != scan_.segment().last)
            damage_at(record,
                      fmt::format("the footer ends at step {}, the frames at step {}",
                                  footer->last.lsn.value(), scan_.segment().last.lsn.value()));
        return;
    }
    if (!clean()) return take_alone(record);
    const Status taken = scan_.take({record.envelope, record.body_at, record.body});
    if (!taken.ok()) return damage_at(record, taken.message());
    if (record.envelope.kind != RecordKind::frame) return;
    take_frame(record, scan_.segment().index->frames.back());
}

void RedoScrub::take_head(const WalkedRecord& record) {
    head_ = unpack_head(record.body);
    newest_ = head_->chain.tip.point.lsn;
    if (!header()) return;
    const FileHeader& file = header()->header;
    if (head_->chain.position() != file.first || head_->chain.tip.point.timeline != file.timeline)
        damage_at(record, "the head does not fit the file's header");
}

// Behind a damage: each frame by itself, and its chain to the one before it.
void RedoScrub::take_alone(const WalkedRecord& record) {
    if (record.envelope.kind != RecordKind::frame && record.envelope.kind != RecordKind::resync)
        return;
    Buffer bytes;
    bytes.append(record.body);
    const auto frame = SealedFrame::parse(std::move(bytes));
    if (!frame.ok()) return damage_at(record, frame.status().message());
    if (record.envelope.kind == RecordKind::resync) return;
    const FrameHeader& header_found = (*frame)->header();
    if (before_ && record.joined && header_found.seq == before_->seq + 1 &&
        header_found.prev_hash != before_->hash)
        damage_at(record, fmt::format("the frame names another predecessor: found {}, stored {}",
                                      hex(header_found.prev_hash), hex(before_->hash)));
    FrameRef found;
    found.seq = header_found.seq;
    found.hash = (*frame)->hash();
    found.first = header_found.first_lsn;
    found.last = header_found.last_lsn;
    before_ = found;
    take_frame(record, found);
}

void RedoScrub::take_frame(const WalkedRecord& record, const FrameRef& frame) {
    resolve(frame.first);
    newest_ = std::max(newest_.value_or(Lsn(0)), frame.last);
    const TimelineId line = header() ? header()->header.timeline : TimelineId();
    for (const TimelineInfo& t : timelines_) {
        if (t.parent != line || line.nil() || t.branch_hash == Hash128{} ||
            t.branch_lsn < frame.first || frame.last < t.branch_lsn || t.branch_hash == frame.hash)
            continue;
        damage_at(record, fmt::format("timeline {} branches here from frame {}, found frame {}",
                                      t.id.hex(), hex(t.branch_hash), hex(frame.hash)));
    }
}

void RedoScrub::hit(const WalkedRecord& record, Finding& finding) {
    const RecordKind kind = record.envelope.kind;
    if (kind == RecordKind::frame || kind == RecordKind::resync)
        locate_in_frame(record.body, finding);
    before_.reset();
    if (!finding.located() && (kind == RecordKind::frame || kind == RecordKind::resync))
        lost(finding);
}

void RedoScrub::lost(Finding& finding) {
    before_.reset();
    if (header()) finding.timeline = header()->header.timeline;
    if (newest_) finding.first = *newest_ + 1;
    pending_.push_back(static_cast<std::size_t>(&finding - found().data()));
}

// A good frame or the footer says which step came next.
void RedoScrub::resolve(Lsn before) {
    for (const std::size_t n : pending_) {
        Finding& finding = found()[n];
        if (before.value() > 0) finding.last = before - 1;
        if (finding.first && finding.last && *finding.last < *finding.first) {
            finding.first.reset();
            finding.last.reset();
            finding.what += "; no step is hit";
        }
    }
    pending_.clear();
}

UndoScrub::UndoScrub(const Of& of, const RedoScrub& redo) : FileScrub(of), redo_(redo) {}

void UndoScrub::take(const WalkedRecord& record) {
    if (record.envelope.kind == RecordKind::images) return take_images(record);
    if (record.envelope.kind == RecordKind::position) {
        imaged_to_ = std::max(imaged_to_, unpack_position(record.body)->state.high);
        return;
    }
    if (record.envelope.kind != RecordKind::footer)
        return damage_at(record, fmt::format("a record of kind {} in an undo file",
                                             static_cast<int>(record.envelope.kind)));
    imaged_to_ = unpack_footer(record.body)->last;
    if (redo_.whole() && redo_.scan().segment().last != imaged_to_)
        damage_at(record,
                  fmt::format("the footer ends at step {}, the redo file at step {}",
                              imaged_to_.lsn.value(), redo_.scan().segment().last.lsn.value()));
}

void UndoScrub::take_images(const WalkedRecord& record) {
    const auto extents = unpack_image_table(record.body);
    for (const ImageExtent& e : *extents)
        if (e.volume.value() >= kRangeVolumesMax || e.block >= kRangeUnitsMax >> kBlockLevel)
            return damage_at(record, std::string(kNoSense));
    Finding bad;
    std::vector<ImageExtent> good;
    locate_in_images(record.body, bad, good);
    if (!bad.extents.empty()) return damage_at(record, "a before-image fails its own checksum");
    images_.add(*extents, record.body_at);
}

void UndoScrub::hit(const WalkedRecord& record, Finding& finding) {
    if (record.envelope.kind != RecordKind::images) return;
    std::vector<ImageExtent> good;
    locate_in_images(record.body, finding, good);
    std::erase_if(good, [](const ImageExtent& e) {
        return e.volume.value() >= kRangeVolumesMax || e.block >= kRangeUnitsMax >> kBlockLevel;
    });
    images_.add(good, record.body_at);
    if (finding.extents.empty()) lost(finding);
    finding.what += "; before-images: the steps before this segment's cannot be read there";
}

void UndoScrub::lost(Finding& finding) {
    unknown_.push_back(static_cast<std::size_t>(&finding - found().data()));
}

// What no image is left of is what was hit.
void UndoScrub::ended() {
    if (unknown_.empty() || !redo_.whole()) return;
    const Position last = redo_.scan().segment().last;
    // Behind a damage at the file's end nothing says how far the images reached.
    const bool bounded = sealed() || imaged_to_ != Position();
    const auto missing =
        without_image(of().known.sealed || !bounded ? last : std::min(imaged_to_, last));
    for (const std::size_t n : unknown_) {
        Finding& finding = found()[n];
        finding.extents = missing;
        if (missing.empty()) finding.what += "; no before-image is hit";
    }
}

std::vector<GapExtent> UndoScrub::without_image(Position to) const {
    std::vector<GapExtent> missing;
    const SegmentIndex& writes = redo_.scan().segment().index->writes;
    for (std::uint32_t n = 0; n < writes.unit_count(); ++n) {
        const Unit& unit = writes.unit(n);
        if (to < unit.position()) break;
        const VolumeIndex volume(unit.volume);
        const std::uint64_t end = unit.offset.value() + unit.length;
        for (std::uint64_t block = unit.offset.value() / kBlockBytes; block * kBlockBytes < end;
             ++block)
            if (images_.find(volume, block) == nullptr)
                missing.push_back(
                    {volume, ByteOffset(block * kBlockBytes), ByteCount(kBlockBytes)});
    }
    shorten(missing);
    return missing;
}

}  // namespace everstep::journal
