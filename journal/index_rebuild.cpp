#include "journal/index_rebuild.hpp"

#include "journal/record_scan.hpp"
#include "journal/redo_scan.hpp"

namespace everstep::journal {
namespace {

struct OpenFile {
    std::unique_ptr<io::File> file;
    CheckedHeader header;
};

Result<OpenFile> open_file(io::FileSystem& files, const std::string& path, FileKind kind,
                           const IndexedFile& of) {
    auto file = files.open(path, {});
    if (!file.ok()) return file.status();
    const auto header = read_header(**file, kind);
    if (!header.ok()) return header.status();
    const FileHeader& found = header->header;
    if (found.group != of.group || found.segment != of.segment ||
        envelope_salt(found.salt) != of.salt)
        return Status(ErrorCode::corrupt,
                      path + ": the file is not the one that was sealed as segment " +
                          std::to_string(of.segment));
    return OpenFile{std::move(*file), *header};
}

std::string place_of(const std::string& path, const ScannedRecord& record) {
    return path + ": offset " + std::to_string(record.envelope.offset.value());
}

Status unreadable(const std::string& path, const ScannedRecord& record) {
    return {ErrorCode::corrupt,
            place_of(path, record) + ": the record passes its checksum but makes no sense"};
}

Status check_sealed(const Result<ScanEnd>& end, const std::string& path) {
    if (!end.ok()) return end.status();
    if (end->sealed) return {};
    return {ErrorCode::corrupt, path + ": offset " + std::to_string(end->tail.end) +
                                    ": damaged: no good record, but the file was sealed behind it"};
}

}  // namespace

Result<RedoIndex> rebuild_redo_index(io::FileSystem& files, const std::string& path,
                                     const IndexedFile& of) {
    const auto open = open_file(files, path, FileKind::redo, of);
    if (!open.ok()) return open.status();
    RedoScan scan(of);
    EVERSTEP_TRY(check_sealed(scan_records(*open->file, open->header,
                                           [&](const ScannedRecord& record) {
                                               return scan.take(record).with_context(
                                                   place_of(path, record));
                                           }),
                              path));
    if (!scan.begun()) return Status(ErrorCode::corrupt, path + ": no head record");
    return scan.give();
}

Result<BeforeImageIndex> rebuild_undo_index(io::FileSystem& files, const std::string& path,
                                            const IndexedFile& of) {
    const auto open = open_file(files, path, FileKind::undo, of);
    if (!open.ok()) return open.status();
    BeforeImageIndex images;
    EVERSTEP_TRY(check_sealed(scan_records(*open->file, open->header,
                                           [&](const ScannedRecord& record) -> Status {
                                               if (record.envelope.kind != RecordKind::images)
                                                   return {};
                                               const auto extents = unpack_image_table(record.body);
                                               if (!extents) return unreadable(path, record);
                                               for (const ImageExtent& e : *extents)
                                                   if (e.volume.value() >= of.volume_bytes.size() ||
                                                       e.block >= kRangeUnitsMax >> kBlockLevel)
                                                       return unreadable(path, record);
                                               images.add(*extents, record.body_at);
                                               return {};
                                           }),
                              path));
    return images;
}

}  // namespace everstep::journal
