// Recovery: what the catalogue says is not read again.
#include "journal/recovery.hpp"

namespace everstep::journal {

Status Recovery::run_by_catalogue() {
    learn_catalogue();
    return run();
}

// A catalogue that cannot be used is told and dropped: everything in it is in the segments.
void Recovery::learn_catalogue() {
    if (s_.options.catalogue == nullptr) return;
    auto content = s_.options.catalogue->load(s_.options.group);
    if (content.ok()) {
        known_ = std::move(*content);
        return;
    }
    if (content.status().code() == ErrorCode::not_found) return;
    report_.push_back(content.status().message() + "; the segments are read instead");
    s_.options.catalogue->clear().ignore("it is written anew, or refused again, later");
}

// What every segment's records would say first. Timelines: the newest head names all of them. A
// catalogue that describes nothing of what is here may be another store's: its position is not
// believed.
void Recovery::begin_known() {
    for (const auto& [number, entry] : known_->entries)
        if (!here_.contains(number)) s_.dropped_numbers.push_back(number);
    if (s_.dropped_numbers.size() == known_->entries.size()) return known_.reset();
    for (const TimelineInfo& timeline : timelines_)
        if (!timeline.id.nil() && !s_.history.topology().knows(timeline.id))
            s_.history.take_timeline(timeline);
    sequence_max_ = position_sequence_ = known_->state.sequence;
    position_ = known_->state.position;
}

// A number is given once: under another salt it is another store's.
Status Recovery::check_known(const CheckedHeader& header) const {
    if (!known_) return {};
    const auto found = known_->entries.find(header.header.segment);
    if (found == known_->entries.end()) return {};
    const bool redo = header.header.kind == FileKind::redo;
    const FileState& wanted = redo ? found->second.redo : found->second.undo;
    if (envelope_salt(header.header.salt) == wanted.salt) return {};
    return {ErrorCode::corrupt, file_->path() + ": the catalogue is of another store's"};
}

// False: the catalogue does not have it.
Result<bool> Recovery::recover_known(std::uint64_t number) {
    const auto found = known_->entries.find(number);
    if (found == known_->entries.end()) return false;
    const CatalogueEntry& entry = found->second;
    CheckedHeader header;
    EVERSTEP_TRY(open_file(FileKind::redo, number, header));
    EVERSTEP_TRY(open_file(FileKind::undo, number, header));
    if (!s_.history.topology().knows(entry.timeline))
        return Status(ErrorCode::corrupt, s_.path_of(file_name(FileKind::redo, number)) +
                                              ": the catalogue names timeline " +
                                              entry.timeline.hex() + ", which is not stored");
    Segment& segment = s_.history.take_known(segment_of(entry));
    skipped_ = true;
    EVERSTEP_TRY(fetch_indexes(segment, header));
    segment.catalogued = segment.undo.sealed == entry.undo.sealed;
    return true;
}

// What has to be in memory: before-images that grow, and the writes that they are taken of.
Status Recovery::fetch_indexes(Segment& segment, const CheckedHeader& undo) {
    if (!segment.undo.sealed) EVERSTEP_TRY(recover_undo(segment, undo));
    segment.imaging = segment.first < segment.imaged_to;
    if (!segment.redo_fixed()) {
        const auto index = s_.indexes.redo(segment.number, segment.redo.salt);
        if (!index.ok()) return index.status();
        // Sealed: nobody changes it.
        segment.index = std::const_pointer_cast<RedoIndex>(*index);
    }
    put_away(segment);
    return {};
}

}  // namespace everstep::journal
