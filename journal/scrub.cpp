#include "journal/scrub.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/catalogue.hpp"
#include "journal/merged_check.hpp"
#include "journal/scrub_file.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {

std::vector<Finding> Store::check_derived() const {
    Impl& s = *impl_;
    std::vector<Finding> out;
    if (s.options.catalogue != nullptr) out = s.options.catalogue->check();
    std::vector<MergedIndexPtr> merged;
    {
        const std::shared_lock guard(s.mutex);
        merged = s.history.merged();
    }
    for (const MergedIndexPtr& index : merged) {
        const auto finding = check_merged({s.files, s.indexes, s.options}, index->salt);
        if (!finding) continue;
        s.indexes.note_damaged(*index);
        out.push_back(*finding);
    }
    return out;
}

// What was published of a file was written, and is not written again.
std::vector<ScrubSegment> Store::scrub_segments() const {
    const std::shared_lock guard(impl_->mutex);
    std::vector<ScrubSegment> out;
    for (const auto& segment : impl_->history.segments())
        out.push_back({.number = segment->number,
                       .redo = {segment->redo.sealed, segment->redo.tail.end},
                       .undo = {segment->undo.sealed, segment->undo.tail.end}});
    return out;
}

Scrub::Scrub(io::FileSystem& files, std::string directory, ScrubHooks hooks)
    : files_(files), directory_(std::move(directory)), hooks_(std::move(hooks)) {}

void Scrub::tell(const Finding& finding) {
    if (finding.damage) ++damages_;
    if (hooks_.found) hooks_.found(finding);
}

Result<ScrubbedSegment> Scrub::segment(const ScrubSegment& segment) {
    FileScrub::Of of{files_, directory_, FileKind::redo, segment.number, segment.redo};
    RedoScrub redo(of, timelines_);
    EVERSTEP_TRY(redo.run(hooks_.go_on));
    check_chain(redo);
    of.kind = FileKind::undo;
    of.known = segment.undo;
    UndoScrub undo(of, redo);
    EVERSTEP_TRY(undo.run(hooks_.go_on));
    if (redo.header() && undo.header()) {
        const FileHeader& a = redo.header()->header;
        const FileHeader& b = undo.header()->header;
        if (a.timeline != b.timeline || a.first != b.first || a.group != b.group)
            undo.damage(0, kFileHeaderBytes, "the header does not fit the redo file's");
    }
    for (const Finding& finding : redo.findings()) tell(finding);
    for (const Finding& finding : undo.findings()) tell(finding);

    ScrubbedSegment out;
    out.redo_salt = redo.salt();
    out.undo_salt = undo.salt();
    for (const FileScrub* file :
         {static_cast<const FileScrub*>(&redo), static_cast<const FileScrub*>(&undo)})
        if (file->header()) out.group = file->header()->header.group;
    chain_.reset();
    if (redo.whole()) chain_ = ScrubChain{segment.number, redo.scan().history().chain()};
    const IndexedFile redo_of{out.group, segment.number, out.redo_salt, any_volumes()};
    const IndexedFile undo_of{out.group, segment.number, out.undo_salt, any_volumes()};
    if (redo.whole() && redo.sealed()) {
        out.redo = redo.scan().give();
        check_index(file_name(FileKind::redo_index, segment.number), out.redo_salt,
                    pack_redo_index(redo_of, *out.redo));
    }
    if (undo.clean() && undo.sealed()) {
        out.undo = std::move(undo.images());
        check_index(file_name(FileKind::undo_index, segment.number), out.undo_salt,
                    pack_undo_index(undo_of, *out.undo));
    }
    return out;
}

// A segment of the line that the segment before belongs to goes on where that one ended.
void Scrub::check_chain(const RedoScrub& redo) {
    if (!chain_ || !redo.whole() || !redo.head()) return;
    const Chain& found = redo.head()->chain;
    const Chain& wanted = chain_->chain;
    const std::uint64_t number = redo.scan().segment().number;
    if (is_condensed(number) || number != chain_->segment + 1) return;  // others lie between
    if (found.tip.point.timeline != wanted.tip.point.timeline || found == wanted) return;
    Finding finding;
    finding.file = directory_ + "/" + file_name(FileKind::redo, redo.scan().segment().number);
    finding.at = ByteOffset(kFileHeaderBytes);
    finding.what = fmt::format(
        "the segment goes on from step {}, frame {}; segment {} ends at step {}, frame {}",
        found.tip.point.lsn.value(), hex(found.tip.hash), chain_->segment,
        wanted.tip.point.lsn.value(), hex(wanted.tip.hash));
    finding.timeline = wanted.tip.point.timeline;
    finding.first = std::min(found.tip.point.lsn, wanted.tip.point.lsn);
    tell(finding);
}

// One that is not there is made when it is needed; one that differs is, too, once that is seen.
void Scrub::check_index(const std::string& name, std::uint64_t salt, const BodyBytes& wanted) {
    Finding finding;
    finding.file = directory_ + "/" + name;
    const auto found = read_index(files_, finding.file);
    if (found.status().code() == ErrorCode::not_found) return;
    if (!found.ok()) {
        finding.what = found.status().message();
        return tell(finding);
    }
    const Bytes bytes = found->bytes();
    const std::size_t both = std::min(bytes.size(), wanted.size());
    const auto differs = static_cast<std::size_t>(
        std::mismatch(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(both),
                      wanted.begin())
            .first -
        bytes.begin());
    if (differs == bytes.size() && differs == wanted.size()) return;
    finding.at = ByteOffset(differs);
    finding.length = ByteCount(bytes.size() - differs);
    finding.what = fmt::format(
        "the index is not the one of its file (salt {:016x}): {} bytes, {} wanted; no step is hit, "
        "it is made again",
        salt, bytes.size(), wanted.size());
    tell(finding);
}

}  // namespace everstep::journal
