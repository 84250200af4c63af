#include <algorithm>
#include <cstring>

#include "common/base/checksum.hpp"
#include "common/base/frame.hpp"
#include "common/base/frame_format.hpp"

namespace everstep {
namespace {

// A frame that fills less than this part of the buffer is sealed into one of its own size, and a
// compressed one always: what is queued takes at most so many times its bytes of memory, and the
// builder keeps its buffers.
constexpr std::size_t kWasteFactorMax = 4;

}  // namespace

FrameBuilder::FrameBuilder(std::size_t capacity_bytes)
    : capacity_bytes_(std::clamp<std::size_t>(capacity_bytes, kFrameHeaderBytes, kFrameBytesMax)) {}

std::size_t FrameBuilder::size_bytes() const {
    const std::size_t payload_end = std::max<std::size_t>(bytes_.size(), kFrameHeaderBytes);
    return payload_end + entries_.size() * kFrameEntryBytes;
}

bool FrameBuilder::fits(std::size_t payload_bytes) const {
    const std::size_t payload =
        std::max<std::size_t>(bytes_.size(), kFrameHeaderBytes) - kFrameHeaderBytes;
    return entries_.size() < kFrameEntriesMax &&
           payload_bytes <= frame_format::kPayloadBytesMax - payload;
}

void FrameBuilder::add(FrameEntry entry, Bytes payload) {
    EVERSTEP_ASSERT(fits(payload.size()), "a write that does not fit; ask fits() first");
    if (bytes_.size() == 0) {
        bytes_.reserve(capacity_bytes_);
        bytes_.resize(kFrameHeaderBytes);
    }
    entry.payload_bytes = static_cast<std::uint32_t>(payload.size());
    entry.payload_offset = payload.empty() ? 0U : static_cast<std::uint32_t>(bytes_.size());
    entry.payload_crc = payload.empty() ? 0U : crc32c(payload);
    entry.data_crc = 0;
    EVERSTEP_ASSERT(!carries_data(entry.kind) || payload.size() == entry.length.value(),
                    "payload_bytes: the data of a write is as long as the write");
    const Status status = frame_format::check_entry(entry);
    EVERSTEP_ASSERT(status.ok(), status.message());
    EVERSTEP_ASSERT(entry.kind != EntryKind::mark || unpack_mark(payload).ok(), "a bad mark body");
    bytes_.append(payload);
    entries_.push_back(entry);
}

// Into packed_, where anything becomes shorter by it.
bool FrameBuilder::pack(Packer& packer) {
    packed_.clear();
    packed_.reserve(bytes_.size());
    packed_.resize(kFrameHeaderBytes);
    std::vector<FrameEntry> entries = entries_;
    bool any = false;
    for (FrameEntry& entry : entries) {
        if (entry.payload_bytes == 0) continue;
        const Bytes payload =
            Bytes(bytes_.bytes()).subspan(entry.payload_offset, entry.payload_bytes);
        const std::size_t at = packed_.size();
        entry.payload_offset = static_cast<std::uint32_t>(at);
        if (!carries_data(entry.kind) || !packer.pack(payload, packed_)) {
            packed_.append(payload);
            continue;
        }
        any = true;
        entry.data_crc = entry.payload_crc;
        entry.payload_bytes = static_cast<std::uint32_t>(packed_.size() - at);
        entry.payload_crc = crc32c(Bytes(packed_.bytes()).subspan(at));
    }
    if (any) entries_ = std::move(entries);
    return any;
}

FramePtr FrameBuilder::seal(FrameHeader header, Packer* packer) {
    EVERSTEP_ASSERT(!entries_.empty(), "a frame without an entry");
    header.compressed = packer != nullptr && pack(*packer);
    Buffer& bytes = header.compressed ? packed_ : bytes_;
    const std::size_t payload_end = bytes.size();
    const frame_format::HeaderExtra sizes{
        .payload_bytes = static_cast<std::uint32_t>(payload_end - kFrameHeaderBytes)};
    header.entry_count = static_cast<std::uint32_t>(entries_.size());
    const MutableBytes packed = bytes.extend(entries_.size() * kFrameEntryBytes);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        frame_format::pack_entry(entries_[i],
                                 packed.subspan(i * kFrameEntryBytes, kFrameEntryBytes));
    }
    header.body_bytes = sizes.payload_bytes + header.entry_count * kFrameEntryBytes;
    const frame_format::HeaderExtra extra{.payload_bytes = sizes.payload_bytes,
                                          .entries_crc = crc32c(packed)};
    frame_format::pack_header(header, extra, bytes.bytes().first(kFrameHeaderBytes));

    // What the caller said of the frame is checked as a reader will check it.
    auto frame = std::make_shared<SealedFrame>();
    frame_format::HeaderExtra again;
    Status status = frame_format::unpack_header(bytes.bytes(), frame->header_, again);
    if (status.ok()) status = frame_format::check_entries(header, extra.payload_bytes, entries_);
    EVERSTEP_ASSERT(status.ok(), status.message());

    const std::size_t entries_before = entries_.size();
    frame->entries_ = std::move(entries_);
    entries_ = {};
    entries_.reserve(std::min<std::size_t>(entries_before, 1024));
    if (header.compressed || bytes.size() * kWasteFactorMax < bytes.capacity()) {
        frame->bytes_.append(bytes.bytes());
    } else {
        frame->bytes_ = std::move(bytes);
        bytes = Buffer();
    }
    bytes_.clear();
    frame->hash_ = xxh3_128(frame->bytes());
    return frame;
}

}  // namespace everstep
