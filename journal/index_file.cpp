#include "journal/index_file.hpp"

#include "common/base/checksum.hpp"
#include "journal/body_codec.hpp"
#include "journal/merged_file.hpp"
#include "journal/paged_index.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint32_t kMagic = 0x49535645;  // "EVSI"
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kKindAt = 8;
constexpr std::size_t kGroupAt = 16;
constexpr std::size_t kSegmentAt = 32;
constexpr std::size_t kSaltAt = 40;
constexpr std::size_t kBodyBytesAt = 48;
constexpr std::size_t kBodyCrcAt = 56;
constexpr std::size_t kHeaderCrcAt = 60;
static_assert(kHeaderCrcAt + 4 == kHeaderBytes);

constexpr std::uint64_t kKeptBytesMax = 64 << 10;  // of a merged index, asked in every look-up

constexpr std::size_t kUnitBytes = 47;
constexpr std::size_t kFrameBytes = 68;
constexpr std::size_t kFlushBytes = 10;
constexpr std::size_t kImageBytes = 27;

constexpr std::uint64_t pages_at(std::uint64_t body_bytes) {
    return align_up(kHeaderBytes + body_bytes, kIndexPageBytes);
}

std::uint32_t code_of(FileKind kind) {
    if (kind == FileKind::redo) return 1;
    return kind == FileKind::undo ? 2 : 3;
}

std::size_t tables_of(FileKind kind) {
    if (kind == FileKind::redo) return kRedoPageTables;
    return kind == FileKind::undo ? kUndoPageTables : kMergedPageTables;
}

BodyBytes behind(BodyBytes head, const BodyBytes& pages) {
    head.insert(head.end(), pages.begin(), pages.end());
    return head;
}

Status bad(const std::string& name, const std::string& what) {
    return {ErrorCode::corrupt, name + ": " + what};
}

// The header alone; gives the body's length.
Result<std::uint64_t> check_header(Bytes from, const IndexedFile& of, FileKind kind,
                                   const std::string& name) {
    if (from.size() < kHeaderBytes || get<std::uint32_t>(from, 0) != kMagic ||
        get<std::uint32_t>(from, kHeaderCrcAt) != crc32c(from.first(kHeaderCrcAt)))
        return bad(name, "not an undamaged header of an index file");
    const auto version = get<std::uint32_t>(from, 4);
    if (version != kIndexVersion)
        return Status(ErrorCode::version, name + ": index format " + std::to_string(version) +
                                              ", this program reads " +
                                              std::to_string(kIndexVersion));
    if (std::memcmp(from.data() + kGroupAt, of.group.bytes().data(), 16) != 0 ||
        get<std::uint64_t>(from, kSegmentAt) != of.segment ||
        get<std::uint64_t>(from, kSaltAt) != of.salt ||
        get<std::uint32_t>(from, kKindAt) != code_of(kind))
        return bad(name, "it is the index of another file");
    return get<std::uint64_t>(from, kBodyBytesAt);
}

}  // namespace

BodyBytes pack_index_head(const IndexedFile& of, FileKind kind, const BodyBytes& body) {
    BodyBytes out(kHeaderBytes);
    const MutableBytes to(out);
    put<std::uint32_t>(to, 0, kMagic);
    put<std::uint32_t>(to, 4, kIndexVersion);
    put<std::uint32_t>(to, kKindAt, code_of(kind));
    std::memcpy(out.data() + kGroupAt, of.group.bytes().data(), 16);
    put<std::uint64_t>(to, kSegmentAt, of.segment);
    put<std::uint64_t>(to, kSaltAt, of.salt);
    put<std::uint64_t>(to, kBodyBytesAt, body.size());
    put<std::uint32_t>(to, kBodyCrcAt, crc32c(body));
    put<std::uint32_t>(to, kHeaderCrcAt, crc32c(Bytes(out).first(kHeaderCrcAt)));
    out.insert(out.end(), body.begin(), body.end());
    out.resize(pages_at(body.size()));
    return out;
}

Result<Bytes> unpack_index_head(Bytes from, const IndexedFile& of, FileKind kind,
                                const std::string& name) {
    const auto bytes = check_header(from, of, kind, name);
    if (!bytes.ok()) return bytes.status();
    if (*bytes > from.size() - kHeaderBytes ||
        get<std::uint32_t>(from, kBodyCrcAt) != crc32c(from.subspan(kHeaderBytes, *bytes)))
        return bad(name, "the index fails its checksum");
    return from.subspan(kHeaderBytes, *bytes);
}

void put_unit(BodyWriter& to, const Unit& unit) {
    to.position(unit.position());
    to.number<std::uint64_t>(unit.offset.value());
    to.number<std::uint64_t>(unit.payload_at.value());
    to.number<std::uint32_t>(unit.length);
    to.number<std::uint32_t>(unit.crc);
    to.number<std::uint32_t>(unit.chunks_at);
    to.number<std::uint32_t>(unit.packed_bytes);
    to.number<std::uint16_t>(unit.volume);
    to.flag(unit.zero);
}

Unit get_unit(BodyReader& from) {
    Unit unit;
    const Position position = from.position();
    unit.lsn = position.lsn;
    unit.sub = position.sub;
    unit.offset = ByteOffset(from.number<std::uint64_t>());
    unit.payload_at = ByteOffset(from.number<std::uint64_t>());
    unit.length = from.number<std::uint32_t>();
    unit.crc = from.number<std::uint32_t>();
    unit.chunks_at = from.number<std::uint32_t>();
    unit.packed_bytes = from.number<std::uint32_t>();
    unit.volume = from.number<std::uint16_t>();
    unit.zero = from.flag();
    return unit;
}

namespace {

void put_frame(BodyWriter& to, const FrameRef& frame) {
    to.number<std::uint64_t>(frame.seq.value());
    to.raw(frame.hash);
    to.number<std::uint64_t>(frame.first.value());
    to.number<std::uint64_t>(frame.last.value());
    to.time(frame.step_first);
    to.time(frame.step_last);
    to.number<std::uint64_t>(frame.at.value());
    to.number<std::uint32_t>(frame.bytes);
}

FrameRef get_frame(BodyReader& from, std::uint64_t segment) {
    FrameRef frame;
    frame.seq = FrameSeq(from.number<std::uint64_t>());
    frame.hash = from.raw();
    frame.first = Lsn(from.number<std::uint64_t>());
    frame.last = Lsn(from.number<std::uint64_t>());
    frame.step_first = from.time();
    frame.step_last = from.time();
    frame.segment = segment;
    frame.at = ByteOffset(from.number<std::uint64_t>());
    frame.bytes = from.number<std::uint32_t>();
    return frame;
}

bool chunks_are_sane(const Unit& unit, std::span<const std::uint32_t> words) {
    const std::uint32_t count = unit.zero || unit.packed_bytes == 0 ? 0 : pack_chunks(unit.length);
    for (std::uint32_t n = 0; n < count; ++n)
        if (!chunk_of(unit, n, [&](std::uint32_t word) { return words[word]; })) return false;
    return true;
}

// They end the body.
Status get_lists(BodyReader& reader, const IndexedFile& of, const std::string& name,
                 RedoLists& lists) {
    lists.frames.resize(reader.count(kFrameBytes));
    for (FrameRef& frame : lists.frames) frame = get_frame(reader, of.segment);
    lists.flushes.resize(reader.count(kFlushBytes));
    for (FlushMark& mark : lists.flushes) {
        mark.lsn = Lsn(reader.number<std::uint64_t>());
        mark.volume = VolumeIndex(reader.number<std::uint16_t>());
    }
    return reader.done() ? Status() : bad(name, "the lists of the index do not fill it");
}

}  // namespace

bool is_sane(const Unit& unit, std::size_t chunks, const IndexedFile& of) {
    if (unit.volume >= of.volume_bytes.size()) return false;
    const std::uint64_t size = of.volume_bytes[unit.volume].value();
    const std::uint64_t offset = unit.offset.value();
    const bool fits = offset % kSectorBytes == 0 && unit.length % kSectorBytes == 0 &&
                      unit.length > 0 && unit.length <= kPieceBytesMax && offset <= size &&
                      unit.length <= size - offset;
    return fits && unit.packed_bytes < unit.length && (unit.packed_bytes == 0 || !unit.zero) &&
           unit.chunks_at <= chunks && unit.chunk_words() <= chunks - unit.chunks_at;
}

bool is_sane(const BeforeImage& image, const IndexedFile& of) {
    const std::uint32_t blocks_max = image.zero ? kImageZeroBlocksMax : kImageDataBlocksMax;
    return image.blocks > 0 && image.blocks <= blocks_max &&
           image.volume < of.volume_bytes.size() &&
           image.block <= of.volume_bytes[image.volume].value() / kBlockBytes;
}

void put_image(BodyWriter& to, const BeforeImage& image) {
    to.number<std::uint64_t>(image.at.value());
    to.number<std::uint64_t>(image.block);
    to.number<std::uint32_t>(image.blocks);
    to.number<std::uint32_t>(image.crc);
    to.number<std::uint16_t>(image.volume);
    to.flag(image.zero);
}

BeforeImage get_image(BodyReader& from) {
    BeforeImage image;
    image.at = ByteOffset(from.number<std::uint64_t>());
    image.block = from.number<std::uint64_t>();
    image.blocks = from.number<std::uint32_t>();
    image.crc = from.number<std::uint32_t>();
    image.volume = from.number<std::uint16_t>();
    image.zero = from.flag();
    return image;
}

BodyBytes pack_redo_index(const IndexedFile& of, const RedoIndex& index) {
    BodyWriter body;
    const SegmentIndex& writes = index.writes;
    body.number(static_cast<std::uint32_t>(writes.chunk_words().size()));
    for (const std::uint32_t word : writes.chunk_words()) body.number(word);
    body.number(static_cast<std::uint32_t>(writes.unit_count()));
    for (std::uint32_t n = 0; n < writes.unit_count(); ++n) put_unit(body, writes.unit(n));
    body.number(static_cast<std::uint32_t>(index.frames.size()));
    for (const FrameRef& frame : index.frames) put_frame(body, frame);
    body.number(static_cast<std::uint32_t>(index.flushes.size()));
    for (const FlushMark& mark : index.flushes) {
        body.number<std::uint64_t>(mark.lsn.value());
        body.number(static_cast<std::uint16_t>(mark.volume.value()));
    }
    return behind(pack_index_head(of, FileKind::redo, body.take()),
                  pack_redo_pages(of.salt, writes));
}

Result<RedoIndex> unpack_redo_index(Bytes from, const IndexedFile& of, const std::string& name) {
    const auto body = unpack_index_head(from, of, FileKind::redo, name);
    if (!body.ok()) return body.status();
    BodyReader reader(*body);
    std::vector<std::uint32_t> chunks(reader.count(4));
    for (std::uint32_t& word : chunks) word = reader.number<std::uint32_t>();
    RedoIndex index;
    index.writes = SegmentIndex(std::move(chunks));
    for (std::size_t n = reader.count(kUnitBytes); n > 0; --n) {
        const Unit unit = get_unit(reader);
        const auto count = static_cast<std::uint32_t>(index.writes.unit_count());
        const bool follows =
            count == 0 || index.writes.unit(count - 1).position() < unit.position();
        if (!reader.ok() || !follows || !is_sane(unit, index.writes.chunk_words().size(), of) ||
            !chunks_are_sane(unit, index.writes.chunk_words()))
            return bad(name, "a write in the index makes no sense");
        index.writes.restore(unit);
    }
    EVERSTEP_TRY(get_lists(reader, of, name, index));
    return index;
}

Result<RedoLists> unpack_redo_lists(Bytes from, const IndexedFile& of, const std::string& name) {
    const auto body = unpack_index_head(from, of, FileKind::redo, name);
    if (!body.ok()) return body.status();
    BodyReader reader(*body);
    reader.skip(reader.count(sizeof(std::uint32_t)) * sizeof(std::uint32_t));
    reader.skip(reader.count(kUnitBytes) * kUnitBytes);
    RedoLists lists;
    EVERSTEP_TRY(get_lists(reader, of, name, lists));
    return lists;
}

BodyBytes pack_undo_index(const IndexedFile& of, const BeforeImageIndex& images) {
    BodyWriter body;
    body.number(static_cast<std::uint32_t>(images.images().size()));
    for (const BeforeImage& image : images.images()) put_image(body, image);
    return behind(pack_index_head(of, FileKind::undo, body.take()),
                  pack_undo_pages(of.salt, images));
}

Result<BeforeImageIndex> unpack_undo_index(Bytes from, const IndexedFile& of,
                                           const std::string& name) {
    const auto body = unpack_index_head(from, of, FileKind::undo, name);
    if (!body.ok()) return body.status();
    BodyReader reader(*body);
    BeforeImageIndex images;
    for (std::size_t n = reader.count(kImageBytes); n > 0; --n) {
        const BeforeImage image = get_image(reader);
        if (!reader.ok() || !is_sane(image, of))
            return bad(name, "a before-image in the index makes no sense");
        images.restore(image);
    }
    if (!reader.done()) return bad(name, "the list of the index does not fill it");
    return images;
}

Result<std::shared_ptr<const IndexPages>> open_index_pages(io::FileSystem& files,
                                                           const std::string& path,
                                                           const IndexedFile& of, FileKind kind) {
    auto file = files.open(path, {});
    if (!file.ok()) return file.status();
    Buffer header;
    header.resize(kHeaderBytes);
    EVERSTEP_TRY((*file)->read_at(ByteOffset(0), header.bytes()));
    const auto body = check_header(header.bytes(), of, kind, path);
    if (!body.ok()) return body.status();
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    if (*body > size->value()) return bad(path, "the index is cut off");
    const bool all = kind == FileKind::merged_index && size->value() <= kKeptBytesMax;
    return IndexPages::open(std::move(*file), {pages_at(*body), of.salt, tables_of(kind), *size,
                                               all ? IndexPages::kKeepAll : 1U << kPageFences});
}

Status write_index(io::FileSystem& files, const IndexPath& path, Bytes content) {
    const auto there = files.exists(path.unfinished);
    if (!there.ok()) return there.status();
    if (*there) EVERSTEP_TRY(files.remove(path.unfinished));
    const auto file = files.open(path.unfinished, {.mode = io::OpenMode::create});
    if (!file.ok()) return file.status();
    EVERSTEP_TRY((*file)->write_at(ByteOffset(0), content));
    return files.rename(path.unfinished, path.finished);
}

Result<Buffer> read_index(io::FileSystem& files, const std::string& path) {
    const auto file = files.open(path, {});
    if (!file.ok()) return file.status();
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    Buffer bytes;
    bytes.resize(size->value());
    EVERSTEP_TRY((*file)->read_at(ByteOffset(0), bytes.bytes()));
    return bytes;
}

Result<Buffer> read_index_head(io::FileSystem& files, const std::string& path) {
    const auto file = files.open(path, {});
    if (!file.ok()) return file.status();
    const auto size = (*file)->size();
    if (!size.ok()) return size.status();
    Buffer bytes;
    bytes.resize(std::min<std::uint64_t>(size->value(), kHeaderBytes));
    EVERSTEP_TRY((*file)->read_at(ByteOffset(0), bytes.bytes()));
    if (bytes.size() < kHeaderBytes) return bytes;
    const std::uint64_t body = std::min(get<std::uint64_t>(Bytes(bytes.bytes()), kBodyBytesAt),
                                        size->value() - kHeaderBytes);
    EVERSTEP_TRY((*file)->read_at(ByteOffset(kHeaderBytes), bytes.extend(body)));
    return bytes;
}

}  // namespace everstep::journal
