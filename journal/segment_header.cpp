#include "journal/segment_header.hpp"

#include <algorithm>
#include <cstdio>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint32_t kRedoMagic = 0x52535645;  // "EVSR"
constexpr std::uint32_t kUndoMagic = 0x55535645;  // "EVSU"
constexpr std::string_view kUnfinished = ".new";

constexpr std::size_t kMagicAt = 0;
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kHeaderBytesAt = 8;
constexpr std::size_t kGroupAt = 16;
constexpr std::size_t kSaltAt = 32;
constexpr std::size_t kTimelineAt = 48;
constexpr std::size_t kSegmentAt = 64;
constexpr std::size_t kFirstLsnAt = 72;
constexpr std::size_t kFirstSubAt = 80;
constexpr std::size_t kFileBytesAt = 88;
constexpr std::size_t kReservedAt = 96;
constexpr std::size_t kCrcAt = kFileHeaderBytes - 4;
static_assert(kTimelineAt == kSaltAt + 16 && kSegmentAt == kTimelineAt + 16);
static_assert(kFileBytesAt == kFirstSubAt + 8 && kReservedAt == kFileBytesAt + 8);

void put_uuid(MutableBytes to, std::size_t at, const Uuid& id) {
    std::memcpy(to.data() + at, id.bytes().data(), 16);
}
Uuid get_uuid(Bytes from, std::size_t at) {
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), from.data() + at, 16);
    return Uuid(bytes);
}
std::uint32_t magic_of(FileKind kind) {
    return kind == FileKind::redo ? kRedoMagic : kUndoMagic;
}
std::string_view prefix_of(FileKind kind) {
    switch (kind) {
        case FileKind::redo:
            return "redo-";
        case FileKind::undo:
            return "undo-";
        case FileKind::pool:
            return "pool-";
        case FileKind::redo_index:
            return "redo-index-";
        case FileKind::undo_index:
            return "undo-index-";
        case FileKind::merged_index:
            return "merged-index-";
    }
    return {};
}
bool is_finished_name(std::string_view name) {
    constexpr FileKind kKinds[] = {FileKind::redo,       FileKind::undo,
                                   FileKind::pool,       FileKind::redo_index,
                                   FileKind::undo_index, FileKind::merged_index};
    return std::any_of(std::begin(kKinds), std::end(kKinds),
                       [&](FileKind kind) { return parse_file_name(kind, name).has_value(); });
}

}  // namespace

std::uint64_t envelope_salt(const Uuid& salt) {
    std::uint64_t value = 0;
    std::memcpy(&value, salt.bytes().data(), sizeof value);
    return value;
}

std::uint32_t pack_header(const FileHeader& header, MutableBytes to) {
    std::fill_n(to.begin(), kFileHeaderBytes, std::byte{0});
    put<std::uint32_t>(to, kMagicAt, magic_of(header.kind));
    put<std::uint32_t>(to, kVersionAt, kFormatVersion);
    put<std::uint32_t>(to, kHeaderBytesAt, static_cast<std::uint32_t>(kFileHeaderBytes));
    put_uuid(to, kGroupAt, header.group);
    put_uuid(to, kSaltAt, header.salt);
    put_uuid(to, kTimelineAt, header.timeline);
    put<std::uint64_t>(to, kSegmentAt, header.segment);
    put<std::uint64_t>(to, kFirstLsnAt, header.first.lsn.value());
    put<std::uint32_t>(to, kFirstSubAt, header.first.sub);
    put<std::uint64_t>(to, kFileBytesAt, header.file_bytes.value());
    const std::uint32_t crc = crc32c(Bytes(to).first(kCrcAt));
    put<std::uint32_t>(to, kCrcAt, crc);
    return crc;
}

Result<CheckedHeader> unpack_header(Bytes from, FileKind kind, const std::string& name) {
    if (from.size() < kFileHeaderBytes)
        return Status(ErrorCode::corrupt, name + ": " + std::to_string(from.size()) +
                                              " bytes, shorter than its header of 4096");
    if (get<std::uint32_t>(from, kMagicAt) != magic_of(kind))
        return Status(ErrorCode::corrupt, name + ": offset 0: not a " +
                                              std::string(prefix_of(kind).substr(0, 4)) +
                                              " file (wrong magic)");
    const auto crc = get<std::uint32_t>(from, kCrcAt);
    if (crc32c(from.first(kCrcAt)) != crc)
        return Status(ErrorCode::corrupt, name + ": offset 0: the header fails its checksum");
    const auto version = get<std::uint32_t>(from, kVersionAt);
    if (version != kFormatVersion)
        return Status(ErrorCode::version, name + ": format version " + std::to_string(version) +
                                              ", this program reads version " +
                                              std::to_string(kFormatVersion));
    const bool reserved_zero = is_zero(from.subspan(kReservedAt, kCrcAt - kReservedAt)) &&
                               get<std::uint32_t>(from, kHeaderBytesAt) == kFileHeaderBytes &&
                               get<std::uint32_t>(from, kHeaderBytesAt + 4) == 0 &&
                               get<std::uint32_t>(from, kFirstSubAt + 4) == 0;
    if (!reserved_zero)
        return Status(ErrorCode::corrupt,
                      name + ": offset 0: reserved bytes of the header are set");
    CheckedHeader out;
    out.crc = crc;
    out.header = {.kind = kind,
                  .group = get_uuid(from, kGroupAt),
                  .salt = get_uuid(from, kSaltAt),
                  .timeline = get_uuid(from, kTimelineAt),
                  .segment = get<std::uint64_t>(from, kSegmentAt),
                  .first = {.lsn = Lsn(get<std::uint64_t>(from, kFirstLsnAt)),
                            .sub = get<std::uint32_t>(from, kFirstSubAt)},
                  .file_bytes = ByteCount(get<std::uint64_t>(from, kFileBytesAt))};
    return out;
}

std::string file_name(FileKind kind, std::uint64_t segment) {
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx",
                  static_cast<unsigned long long>(segment));
    return std::string(prefix_of(kind)) + digits.data();
}

std::string unfinished_name(FileKind kind, std::uint64_t segment) {
    return file_name(kind, segment).append(kUnfinished);
}

std::optional<std::uint64_t> parse_file_name(FileKind kind, std::string_view name) {
    const std::string_view prefix = prefix_of(kind);
    if (name.size() != prefix.size() + 16 || !name.starts_with(prefix)) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : name.substr(prefix.size())) {
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
        value = value << 4 | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return value;
}

bool is_unfinished_name(std::string_view name) {
    if (!name.ends_with(kUnfinished)) return false;
    name.remove_suffix(kUnfinished.size());
    return is_finished_name(name);
}

bool is_store_file(std::string_view name) {
    return is_finished_name(name) || is_unfinished_name(name);
}

}  // namespace everstep::journal
