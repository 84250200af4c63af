#include "common/base/frame_format.hpp"

#include <fmt/format.h>

#include <cstring>
#include <limits>

#include "common/base/checksum.hpp"

namespace everstep::frame_format {
namespace {

// The end of a write must be a file offset.
constexpr std::uint64_t kEndMax = std::numeric_limits<std::int64_t>::max();

template <class Found, class Wanted>
Status corrupt(std::string_view field, const Found& found, const Wanted& wanted) {
    return {ErrorCode::corrupt,
            fmt::format("frame: {}: found {}, wanted {}", field, found, wanted)};
}

bool known(EntryKind kind) {
    switch (kind) {
        case EntryKind::data:
        case EntryKind::zero:
        case EntryKind::discard:
        case EntryKind::reread:
        case EntryKind::sync:
        case EntryKind::flush:
        case EntryKind::mark:
        case EntryKind::batch_begin:
        case EntryKind::batch_end:
            return true;
    }
    return false;
}

bool has_range(EntryKind kind) {
    return takes_lsn(kind) && kind != EntryKind::sync;
}

bool is_packed(const FrameEntry& entry) {
    return carries_data(entry.kind) && entry.payload_bytes < entry.length.value();
}

Status check_chain(const FrameHeader& header) {
    if (header.kind == FrameKind::writes) {
        if (header.seq.value() == 0) return corrupt("seq", 0, "1 or more");
        if (header.first_lsn.value() == 0) return corrupt("first_lsn", 0, "1 or more");
        if (header.last_lsn + 1 < header.first_lsn) {
            return corrupt("last_lsn", header.last_lsn.value(), header.first_lsn.value() - 1);
        }
        if (header.sub_first != 0) return corrupt("sub_first", header.sub_first, 0);
        return {};
    }
    if (header.last_lsn != header.first_lsn) {
        return corrupt("last_lsn", header.last_lsn.value(), header.first_lsn.value());
    }
    if (header.sub_first > std::numeric_limits<std::uint32_t>::max() - header.entry_count) {
        return corrupt("sub_first", header.sub_first, "room for its entries");
    }
    if (header.after_branch || header.after_gap) return corrupt("flags", "set", "none on resync");
    if (header.prev_hash != Hash128{}) {
        return corrupt("prev_hash", hex(header.prev_hash), "zero on resync");
    }
    return {};
}

Status check_sizes(const HeaderDisk& disk) {
    if (disk.entry_count == 0) return corrupt("entry_count", 0, "1 or more");
    if (disk.entry_count > kFrameEntriesMax) {
        return {ErrorCode::too_large, fmt::format("frame: entry_count: found {}, at most {}",
                                                  disk.entry_count, kFrameEntriesMax)};
    }
    if (disk.payload_bytes > kPayloadBytesMax) {
        return {ErrorCode::too_large, fmt::format("frame: payload_bytes: found {}, at most {}",
                                                  disk.payload_bytes, kPayloadBytesMax)};
    }
    const std::uint32_t body = disk.payload_bytes + disk.entry_count * kFrameEntryBytes;
    if (disk.body_bytes != body) return corrupt("body_bytes", disk.body_bytes, body);
    return {};
}

Status check_range(const FrameEntry& entry) {
    const std::uint64_t offset = entry.offset.value();
    const std::uint64_t length = entry.length.value();
    if (!has_range(entry.kind)) {
        if (offset != 0) return corrupt("entry offset", offset, 0);
        if (length != 0) return corrupt("entry length", length, 0);
        return {};
    }
    if (offset % kSectorBytes != 0) return corrupt("entry offset", offset, "a multiple of 512");
    if (length == 0 || length % kSectorBytes != 0) {
        return corrupt("entry length", length, "a multiple of 512, not 0");
    }
    if (length > kEndMax || offset > kEndMax - length) {
        return corrupt("entry offset + length", fmt::format("{} + {}", offset, length),
                       "less than 2^63");
    }
    return {};
}

Status check_payload_size(const FrameEntry& entry) {
    if (carries_data(entry.kind)) {
        if (entry.payload_bytes == 0 || entry.payload_bytes > entry.length.value()) {
            return corrupt("entry payload_bytes", entry.payload_bytes,
                           fmt::format("1 to {}", entry.length.value()));
        }
        if (entry.length.value() > kWritePayloadBytesMax) {
            return {ErrorCode::too_large,
                    fmt::format("frame: data of an entry, payload_bytes {}: found {}, at most {}",
                                entry.payload_bytes, entry.length.value(), kWritePayloadBytesMax)};
        }
        if (entry.data_crc != 0 && !is_packed(entry)) {
            return corrupt("entry data_crc", entry.data_crc, 0);
        }
        return {};
    }
    if (entry.data_crc != 0) return corrupt("entry data_crc", entry.data_crc, 0);
    if (entry.kind == EntryKind::mark) {
        if (entry.payload_bytes == 0 || entry.payload_bytes > kMarkBodyBytesMax) {
            return corrupt("mark payload_bytes", entry.payload_bytes,
                           fmt::format("1 to {}", kMarkBodyBytesMax));
        }
        return {};
    }
    if (entry.payload_bytes != 0) return corrupt("entry payload_bytes", entry.payload_bytes, 0);
    if (entry.payload_offset != 0) return corrupt("entry payload_offset", entry.payload_offset, 0);
    if (entry.payload_crc != 0) return corrupt("entry payload_crc", entry.payload_crc, 0);
    return {};
}

// The LSN of one entry of a write frame; `next` is the LSN that the next write has to bear.
Status check_write_lsn(const FrameHeader& header, const FrameEntry& entry, Lsn& next) {
    if (takes_lsn(entry.kind)) {
        if (entry.lsn != next) return corrupt("entry lsn", entry.lsn.value(), next.value());
        ++next;
        return {};
    }
    if (entry.kind == EntryKind::batch_begin || entry.kind == EntryKind::batch_end) {
        if (entry.lsn == next - 1) return {};
        return corrupt("batch lsn", entry.lsn.value(), (next - 1).value());
    }
    // A flush takes its time: when it succeeds, the step that it lies behind may have been sealed
    // long ago.
    const Lsn first = entry.kind == EntryKind::flush ? Lsn(0) : header.first_lsn - 1;
    if (entry.lsn < first || entry.lsn > header.last_lsn) {
        return corrupt("mark lsn", entry.lsn.value(),
                       fmt::format("{} to {}", first.value(), header.last_lsn.value()));
    }
    return {};
}

Status check_resync_entry(const FrameHeader& header, const FrameEntry& entry) {
    switch (entry.kind) {
        case EntryKind::data:
        case EntryKind::zero:
        case EntryKind::discard:
            break;
        case EntryKind::reread:
        case EntryKind::sync:
        case EntryKind::flush:
        case EntryKind::mark:
        case EntryKind::batch_begin:
        case EntryKind::batch_end:
            return corrupt("resync entry kind", entry_kind_name(entry.kind), "data, zero, discard");
    }
    if (entry.lsn != header.first_lsn) {
        return corrupt("resync entry lsn", entry.lsn.value(), header.first_lsn.value());
    }
    if (entry.fua) return corrupt("resync entry flags", "fua", "none");
    return {};
}

}  // namespace

void pack_header(const FrameHeader& header, const HeaderExtra& extra, MutableBytes to) {
    EVERSTEP_ASSERT(to.size() == kFrameHeaderBytes, "room for one header");
    HeaderDisk disk{};
    disk.magic = kMagic;
    disk.version = kVersion;
    disk.kind = static_cast<std::uint8_t>(header.kind);
    disk.compression = header.compressed ? 1 : 0;
    disk.flags =
        (header.after_branch ? kFlagAfterBranch : 0U) | (header.after_gap ? kFlagAfterGap : 0U);
    disk.entry_count = header.entry_count;
    std::memcpy(disk.group, header.group.bytes().data(), sizeof disk.group);
    std::memcpy(disk.timeline, header.timeline.bytes().data(), sizeof disk.timeline);
    std::memcpy(disk.prev_hash, header.prev_hash.data(), sizeof disk.prev_hash);
    disk.seq = header.seq.value();
    disk.first_lsn = header.first_lsn.value();
    disk.last_lsn = header.last_lsn.value();
    disk.sub_first = header.sub_first;
    disk.payload_bytes = extra.payload_bytes;
    disk.body_bytes = header.body_bytes;
    disk.entries_crc = extra.entries_crc;
    std::memcpy(to.data(), &disk, sizeof disk);
    const std::uint32_t crc = crc32c(to.first(offsetof(HeaderDisk, header_crc)));
    std::memcpy(to.data() + offsetof(HeaderDisk, header_crc), &crc, sizeof crc);
}

Status unpack_header(Bytes from, FrameHeader& header, HeaderExtra& extra) {
    if (from.size() < kFrameHeaderBytes) {
        return corrupt("header bytes", from.size(), kFrameHeaderBytes);
    }
    HeaderDisk disk;
    std::memcpy(&disk, from.data(), sizeof disk);
    if (disk.magic != kMagic) {
        return corrupt("magic", fmt::format("{:#010x}", disk.magic),
                       fmt::format("{:#010x}", kMagic));
    }
    const std::uint32_t crc = crc32c(from.first(offsetof(HeaderDisk, header_crc)));
    if (disk.header_crc != crc) {
        return corrupt("header_crc", fmt::format("{:#010x}", disk.header_crc),
                       fmt::format("{:#010x}", crc));
    }
    if (disk.version != kVersion) {
        return {ErrorCode::version, fmt::format("frame: version: found {}, this program reads {}",
                                                disk.version, kVersion)};
    }
    if (disk.kind != static_cast<std::uint8_t>(FrameKind::writes) &&
        disk.kind != static_cast<std::uint8_t>(FrameKind::resync)) {
        return corrupt("kind", disk.kind, "1 or 2");
    }
    if (disk.compression > 1) return corrupt("compression", disk.compression, "0 or 1");
    if ((disk.flags & ~kFlagsKnown) != 0) return corrupt("flags", disk.flags, "bits 0 and 1");
    if (!is_zero(std::as_bytes(std::span(disk.reserved))))
        return corrupt("reserved", "set", "zero");
    EVERSTEP_TRY(check_sizes(disk));

    FrameHeader read;
    read.kind = static_cast<FrameKind>(disk.kind);
    read.group = Uuid(std::to_array(disk.group));
    read.timeline = TimelineId(std::to_array(disk.timeline));
    read.prev_hash = std::to_array(disk.prev_hash);
    read.seq = FrameSeq(disk.seq);
    read.first_lsn = Lsn(disk.first_lsn);
    read.last_lsn = Lsn(disk.last_lsn);
    read.sub_first = disk.sub_first;
    read.after_branch = (disk.flags & kFlagAfterBranch) != 0;
    read.after_gap = (disk.flags & kFlagAfterGap) != 0;
    read.compressed = disk.compression != 0;
    read.entry_count = disk.entry_count;
    read.body_bytes = disk.body_bytes;
    EVERSTEP_TRY(check_chain(read));
    header = read;
    extra = {.payload_bytes = disk.payload_bytes, .entries_crc = disk.entries_crc};
    return {};
}

void pack_entry(const FrameEntry& entry, MutableBytes to) {
    EVERSTEP_ASSERT(to.size() == kFrameEntryBytes, "room for one entry");
    EntryDisk disk{};
    disk.lsn = entry.lsn.value();
    disk.offset = entry.offset.value();
    disk.length = entry.length.value();
    disk.wall_ns = entry.wall.time_since_epoch().count();
    disk.step_ns = entry.step_time.time_since_epoch().count();
    disk.payload_offset = entry.payload_offset;
    disk.payload_bytes = entry.payload_bytes;
    disk.payload_crc = entry.payload_crc;
    disk.volume = static_cast<std::uint16_t>(entry.volume.value());
    disk.kind = static_cast<std::uint8_t>(entry.kind);
    disk.flags = entry.fua ? kEntryFlagFua : std::uint8_t{0};
    disk.data_crc = entry.data_crc;
    std::memcpy(to.data(), &disk, sizeof disk);
}

Status unpack_entry(Bytes from, FrameEntry& entry) {
    EVERSTEP_ASSERT(from.size() == kFrameEntryBytes, "the bytes of one entry");
    EntryDisk disk;
    std::memcpy(&disk, from.data(), sizeof disk);
    if (!known(static_cast<EntryKind>(disk.kind))) {
        return corrupt("entry kind", disk.kind, "a known kind");
    }
    if ((disk.flags & ~kEntryFlagFua) != 0) return corrupt("entry flags", disk.flags, "bit 0");
    if (!is_zero(std::as_bytes(std::span(disk.reserved)))) {
        return corrupt("entry reserved", "set", "zero");
    }
    FrameEntry read;
    read.lsn = Lsn(disk.lsn);
    read.offset = ByteOffset(disk.offset);
    read.length = ByteCount(disk.length);
    read.wall = WallTime(std::chrono::nanoseconds(disk.wall_ns));
    read.step_time = WallTime(std::chrono::nanoseconds(disk.step_ns));
    read.payload_offset = disk.payload_offset;
    read.payload_bytes = disk.payload_bytes;
    read.payload_crc = disk.payload_crc;
    read.volume = VolumeIndex(disk.volume);
    read.kind = static_cast<EntryKind>(disk.kind);
    read.fua = (disk.flags & kEntryFlagFua) != 0;
    read.data_crc = disk.data_crc;
    EVERSTEP_TRY(check_entry(read));
    entry = read;
    return {};
}

Status check_entry(const FrameEntry& entry) {
    if (entry.volume.value() > std::numeric_limits<std::uint16_t>::max()) {
        return corrupt("entry volume", entry.volume.value(), "at most 65535");
    }
    if (entry.fua && !has_range(entry.kind)) {
        return corrupt("entry flags", "fua",
                       fmt::format("none on {}", entry_kind_name(entry.kind)));
    }
    EVERSTEP_TRY(check_range(entry));
    return check_payload_size(entry);
}

namespace {

Status check_packed(const FrameHeader& header, const std::vector<FrameEntry>& entries) {
    std::uint64_t bytes = 0;
    bool any = false;
    for (const FrameEntry& entry : entries) {
        bytes += carries_data(entry.kind) ? entry.length.value() : entry.payload_bytes;
        if (!is_packed(entry)) continue;
        any = true;
        if (!header.compressed)
            return corrupt("entry payload_bytes", entry.payload_bytes, entry.length.value());
    }
    if (header.compressed != any) return corrupt("compression", 1, "0: no payload is packed");
    if (bytes <= kPayloadBytesMax) return {};
    return {ErrorCode::too_large, fmt::format("frame: data of its entries: found {}, at most {}",
                                              bytes, kPayloadBytesMax)};
}

}  // namespace

Status check_entries(const FrameHeader& header, std::uint32_t payload_bytes,
                     const std::vector<FrameEntry>& entries) {
    EVERSTEP_TRY(check_packed(header, entries));
    Lsn next = header.first_lsn;
    std::uint64_t payload_next = kFrameHeaderBytes;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const FrameEntry& entry = entries[i];
        Status lsn = header.kind == FrameKind::writes ? check_write_lsn(header, entry, next)
                                                      : check_resync_entry(header, entry);
        if (!lsn.ok()) return lsn.with_context(fmt::format("entry {}", i));
        if (entry.payload_bytes == 0) continue;
        if (entry.payload_offset != payload_next) {
            return corrupt("entry payload_offset", entry.payload_offset, payload_next)
                .with_context(fmt::format("entry {}", i));
        }
        payload_next += entry.payload_bytes;
    }
    const std::uint64_t payload_end = std::uint64_t{kFrameHeaderBytes} + payload_bytes;
    if (payload_next != payload_end) return corrupt("payload end", payload_next, payload_end);
    if (header.kind == FrameKind::writes && next != header.last_lsn + 1) {
        return corrupt("last_lsn", header.last_lsn.value(), next.value() - 1);
    }
    return {};
}

}  // namespace everstep::frame_format
