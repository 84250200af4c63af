#include "common/base/frame.hpp"

#include <fmt/format.h>

#include "common/base/checksum.hpp"
#include "common/base/frame_format.hpp"

namespace everstep {
namespace {

Status check_payload(const FrameEntry& entry, Bytes payload) {
    const std::uint32_t crc = crc32c(payload);
    if (crc != entry.payload_crc) {
        return {
            ErrorCode::corrupt,
            fmt::format("frame: payload_crc of step {} at byte {}: found {:#010x}, wanted {:#010x}",
                        entry.lsn.value(), entry.payload_offset, crc, entry.payload_crc)};
    }
    if (entry.kind == EntryKind::mark) return unpack_mark(payload).status();
    const StoredPayload stored(payload, entry.length.value());
    if (!stored.packed()) return {};
    const auto data = stored.data_crc();
    if (!data.ok())
        return data.status().with_context(fmt::format("frame: payload of step {} at byte {}",
                                                      entry.lsn.value(), entry.payload_offset));
    if (*data == entry.data_crc) return {};
    return {ErrorCode::corrupt,
            fmt::format("frame: data_crc of step {} at byte {}: found {:#010x}, wanted {:#010x}",
                        entry.lsn.value(), entry.payload_offset, *data, entry.data_crc)};
}

}  // namespace

std::string_view entry_kind_name(EntryKind kind) {
    switch (kind) {
        case EntryKind::data:
            return "data";
        case EntryKind::zero:
            return "zero";
        case EntryKind::discard:
            return "discard";
        case EntryKind::reread:
            return "reread";
        case EntryKind::sync:
            return "sync";
        case EntryKind::flush:
            return "flush";
        case EntryKind::mark:
            return "mark";
        case EntryKind::batch_begin:
            return "batch begin";
        case EntryKind::batch_end:
            return "batch end";
    }
    return "unknown";
}

Result<std::uint32_t> SealedFrame::frame_bytes(Bytes header) {
    FrameHeader read;
    frame_format::HeaderExtra extra;
    EVERSTEP_TRY(frame_format::unpack_header(header, read, extra));
    return kFrameHeaderBytes + read.body_bytes;
}

Result<std::shared_ptr<const SealedFrame>> SealedFrame::parse(Buffer bytes) {
    auto frame = std::make_shared<SealedFrame>();
    frame_format::HeaderExtra extra;
    EVERSTEP_TRY(frame_format::unpack_header(bytes.bytes(), frame->header_, extra));
    const std::size_t wanted = kFrameHeaderBytes + std::size_t{frame->header_.body_bytes};
    if (bytes.size() != wanted) {
        return Status(ErrorCode::corrupt,
                      fmt::format("frame: bytes: found {}, wanted {}", bytes.size(), wanted));
    }
    const Bytes all = bytes.bytes();
    const Bytes packed = all.subspan(kFrameHeaderBytes + extra.payload_bytes);
    if (const std::uint32_t crc = crc32c(packed); crc != extra.entries_crc) {
        return Status(ErrorCode::corrupt,
                      fmt::format("frame: entries_crc: found {:#010x}, wanted {:#010x}", crc,
                                  extra.entries_crc));
    }
    frame->entries_.resize(frame->header_.entry_count);
    for (std::size_t i = 0; i < frame->entries_.size(); ++i) {
        const Bytes one = packed.subspan(i * kFrameEntryBytes, kFrameEntryBytes);
        const Status status = frame_format::unpack_entry(one, frame->entries_[i]);
        if (!status.ok()) return status.with_context(fmt::format("entry {}", i));
    }
    EVERSTEP_TRY(frame_format::check_entries(frame->header_, extra.payload_bytes, frame->entries_));
    for (const FrameEntry& entry : frame->entries_) {
        if (entry.payload_bytes == 0) continue;
        EVERSTEP_TRY(check_payload(entry, all.subspan(entry.payload_offset, entry.payload_bytes)));
    }
    frame->hash_ = xxh3_128(all);
    frame->bytes_ = std::move(bytes);
    return std::shared_ptr<const SealedFrame>(std::move(frame));
}

StoredPayload SealedFrame::stored(const FrameEntry& entry) const {
    if (entry.payload_bytes == 0) return {};
    const std::size_t end = std::size_t{entry.payload_offset} + entry.payload_bytes;
    EVERSTEP_ASSERT(end <= bytes_.size(), "an entry of another frame");
    const Bytes stored = bytes().subspan(entry.payload_offset, entry.payload_bytes);
    return {stored, carries_data(entry.kind) ? entry.length.value() : stored.size()};
}

Result<Bytes> SealedFrame::payload(const FrameEntry& entry, Buffer& unpacked) const {
    const StoredPayload payload = stored(entry);
    if (!payload.packed()) return payload.stored();
    unpacked.resize(payload.length());
    EVERSTEP_TRY(payload.read(unpacked.bytes()));
    return Bytes(unpacked.bytes());
}

std::uint32_t SealedFrame::crc() const {
    std::uint32_t crc = 0;
    std::size_t at = 0;
    for (const FrameEntry& entry : entries_) {
        if (entry.payload_bytes == 0 || entry.payload_offset < at) continue;
        crc = crc32c(bytes().subspan(at, entry.payload_offset - at), crc);
        crc = crc32c_joined(crc, entry.payload_crc, entry.payload_bytes);
        at = std::size_t{entry.payload_offset} + entry.payload_bytes;
    }
    return crc32c(bytes().subspan(at), crc);
}

}  // namespace everstep
