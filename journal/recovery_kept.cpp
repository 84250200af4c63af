// Recovery: which segments there have to be, and what of those that are gone has to go.
#include <algorithm>

#include "journal/pool.hpp"
#include "journal/recovery.hpp"

namespace everstep::journal {
namespace {

bool named(const KeptBody& kept, std::uint64_t number) {
    if (is_condensed(number))
        return std::binary_search(kept.condensed.begin(), kept.condensed.end(), number);
    return std::any_of(kept.segments.begin(), kept.segments.end(), [&](const NumberRun& run) {
        return run.first <= number && number <= run.last;
    });
}

Status damaged(const io::File& file, const ScannedRecord& record, const char* why) {
    return {ErrorCode::corrupt, file.path() + ": offset " +
                                    std::to_string(record.envelope.offset.value()) + ": " + why};
}

}  // namespace

// The newest redo file repeats in front what is kept, and has every change since.
Status Recovery::learn_kept() {
    if (redo_.empty()) {
        if (condensed_redo_.empty()) return drop_unkept();
        return {ErrorCode::corrupt,
                s_.options.directory + ": the newest segment's files are missing"};
    }
    const auto file = s_.files.open(s_.path_of(file_name(FileKind::redo, redo_.back())),
                                    {.mode = io::OpenMode::read_write});
    if (!file.ok()) return file.status();
    const auto header = read_header(**file, FileKind::redo);
    if (!header.ok()) return header.status();
    const auto scanned = scan_records(**file, *header, [&](const ScannedRecord& record) -> Status {
        if (record.envelope.kind == RecordKind::head)
            if (const auto head = unpack_head(record.body)) timelines_ = head->timelines;
        if (record.envelope.kind != RecordKind::kept) return {};
        kept_ = unpack_kept(record.body);
        if (kept_ && !kept_->segments.empty() && kept_->segments.back().last == redo_.back())
            return {};
        return damaged(**file, record,
                       kept_ ? "the record of what is kept does not name its own segment"
                             : "the record of what is kept makes no sense");
    });
    if (!scanned.ok()) return scanned.status();
    // Before anything goes that only this record lets go: the process that wrote it may have ended
    // before its sync.
    if (has_unkept()) EVERSTEP_TRY(make_durable(**file, *scanned));
    if (kept_ && !kept_->condensed.empty()) s_.condensed_number = kept_->condensed.back();
    return drop_unkept();
}

bool Recovery::is_kept(std::uint64_t number) const {
    return kept_ ? named(*kept_, number) : !is_condensed(number);
}

bool Recovery::has_unkept() const {
    for (const auto* numbers : {&undo_, &condensed_undo_, &condensed_redo_, &redo_})
        for (const std::uint64_t number : *numbers)
            if (!is_kept(number)) return true;
    return false;
}

// What the program had decided to drop, or was still making, when it ended.
Status Recovery::drop_unkept() {
    bool dropped = false;
    const auto drop = [&](FileKind kind, std::vector<std::uint64_t>& numbers) -> Status {
        std::vector<std::uint64_t> left;
        for (const std::uint64_t number : numbers) {
            if (is_kept(number)) {
                left.push_back(number);
                continue;
            }
            const std::string path = s_.path_of(file_name(kind, number));
            EVERSTEP_TRY(Pool::end_use(s_.files, path));
            EVERSTEP_TRY(s_.files.remove(path));
            dropped = true;
        }
        numbers = std::move(left);
        return {};
    };
    EVERSTEP_TRY(drop(FileKind::undo, undo_));
    EVERSTEP_TRY(drop(FileKind::undo, condensed_undo_));
    EVERSTEP_TRY(drop(FileKind::redo, condensed_redo_));
    EVERSTEP_TRY(drop(FileKind::redo, redo_));
    return dropped ? s_.files.sync_directory(s_.options.directory) : Status();
}

Status Recovery::check_numbers() {
    const auto missing = [&](FileKind kind, std::uint64_t number) -> Status {
        return {ErrorCode::corrupt, s_.path_of(file_name(kind, number)) + ": the file is missing"};
    };
    std::vector<NumberRun> wanted;
    if (kept_) wanted = kept_->segments;
    if (!kept_ && !redo_.empty()) wanted.push_back({1, redo_.back()});
    auto redo = redo_.begin();
    auto undo = undo_.begin();
    for (const NumberRun& run : wanted) {
        for (std::uint64_t number = run.first;; ++number) {
            if (redo == redo_.end() || *redo != number) return missing(FileKind::redo, number);
            if (undo == undo_.end() || *undo != number) return missing(FileKind::undo, number);
            ++redo;
            ++undo;
            if (number == run.last) break;
        }
    }
    if (undo != undo_.end()) return missing(FileKind::redo, *undo);
    for (const std::uint64_t number : kept_ ? kept_->condensed : std::vector<std::uint64_t>()) {
        if (!std::binary_search(condensed_redo_.begin(), condensed_redo_.end(), number))
            return missing(FileKind::redo, number);
        if (!std::binary_search(condensed_undo_.begin(), condensed_undo_.end(), number))
            return missing(FileKind::undo, number);
    }
    redo_.insert(redo_.begin(), condensed_redo_.begin(), condensed_redo_.end());
    here_.insert(redo_.begin(), redo_.end());
    return {};
}

// Index files of segments that are not kept.
Status Recovery::drop_indexes() const {
    for (const std::uint64_t number : indexed_)
        if (!here_.contains(number)) EVERSTEP_TRY(s_.indexes.remove(number));
    return {};
}

// The segment's head does not continue what was read before it.
bool Recovery::cut_before(std::uint64_t number) const {
    if (is_condensed(number)) return true;
    const auto& segments = s_.history.segments();
    const auto before =
        std::lower_bound(segments.begin(), segments.end(), number,
                         [](const auto& segment, std::uint64_t n) { return segment->number < n; });
    return before == segments.begin() || (*(before - 1))->number + 1 != number;
}

// A side's condensed segment has no before-images, though what goes on behind it may have some.
bool Recovery::behind_condensed(const Segment& segment) const {
    for (const PathPart& part : s_.history.topology().path({segment.timeline, segment.last})) {
        const Line* own = s_.history.line(part.timeline);
        if (own == nullptr) continue;
        for (const Segment* one : own->segments)
            if (one->condensed() && one->first < part.to && one->imaged_to < one->last) return true;
    }
    return false;
}

Status Recovery::take_kept(Segment& segment, const ScannedRecord& record) {
    const auto kept = unpack_kept(record.body);
    if (!kept || is_condensed(segment.number))
        return damaged(*file_, record, "the record of what is kept makes no sense");
    if (!s_.history.topology().knows(kept->baseline.step.point.timeline))
        return damaged(*file_, record, "history begins on a timeline that is not stored");
    if (segment.begun_at == Age(0)) segment.begun_at = kept->age;
    s_.age.learn(kept->age);
    s_.history.take_kept(*kept);
    return {};
}

Status Recovery::take_condensed(Segment& segment, const ScannedRecord& record) {
    if (record.envelope.kind == RecordKind::condensed) {
        const auto body = unpack_condensed(record.body);
        const bool fits =
            body && is_condensed(segment.number) && !segment.condensed() &&
            body->ends.front().tip.step.point == Point{segment.timeline, segment.first.lsn} &&
            segment.first.sub == 0;
        if (!fits) return damaged(*file_, record, "the kept steps make no sense");
        s_.age.learn(body->age);
        s_.history.take_condensed(segment, *body);
        return {};
    }
    Buffer bytes;
    bytes.append(record.body);
    const auto frame = SealedFrame::parse(std::move(bytes));
    if (!frame.ok()) return frame.status().with_context(file_->path());
    if (s_.history.take_condensed_frame(segment, **frame, record.body_at)) return {};
    return damaged(*file_, record, "a frame that fits no kept step");
}

}  // namespace everstep::journal
