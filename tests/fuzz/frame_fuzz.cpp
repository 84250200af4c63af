// Hostile frame bytes. Either they are refused, or what parse() gives out builds the very same
// bytes again; of a compressed one the same frame without compression, which packs to a frame of
// the same data. Random input never gets past a CRC, so each input is tried as it is and once more
// with its checksums made right.
#include <cstring>

#include "common/base/checksum.hpp"
#include "common/base/frame_format.hpp"

namespace {

using everstep::Buffer;
using everstep::Bytes;
using everstep::SealedFrame;
using everstep::frame_format::EntryDisk;
using everstep::frame_format::HeaderDisk;

void pack_again(const SealedFrame& frame, const everstep::FramePtr& plain) {
    EVERSTEP_ASSERT(!plain->header().compressed, "a frame without a packer is compressed");
    everstep::FrameBuilder builder;
    for (std::size_t i = 0; i < plain->entries().size(); ++i) {
        const everstep::FrameEntry& entry = plain->entries()[i];
        const everstep::FrameEntry& packed = frame.entries()[i];
        EVERSTEP_ASSERT(packed.data_crc == 0 || packed.data_crc == entry.payload_crc,
                        "data of another checksum");
        builder.add(entry, plain->stored(entry).stored());
    }
    everstep::Packer packer(1);
    Buffer bytes;
    bytes.append(builder.seal(plain->header(), &packer)->bytes());
    EVERSTEP_ASSERT(SealedFrame::parse(std::move(bytes)).ok(), "packed again it is refused");
}

void check(Buffer bytes) {
    Buffer before;
    before.append(bytes.bytes());
    const auto parsed = SealedFrame::parse(std::move(bytes));
    if (!parsed.ok()) {
        EVERSTEP_ASSERT(!parsed.status().message().empty(), "a refusal without a reason");
        return;
    }
    const SealedFrame& frame = **parsed;
    everstep::FrameBuilder builder;
    Buffer unpacked;
    for (const everstep::FrameEntry& entry : frame.entries()) {
        const auto payload = frame.payload(entry, unpacked);
        EVERSTEP_ASSERT(payload.ok(), "what parse() gave out does not unpack");
        builder.add(entry, *payload);
    }
    if (frame.header().compressed) return pack_again(frame, builder.seal(frame.header()));
    const everstep::FramePtr again = builder.seal(frame.header());
    EVERSTEP_ASSERT(again->hash() == frame.hash(), "built again it has another hash");
    EVERSTEP_ASSERT(again->bytes().size() == before.size() &&
                        std::memcmp(again->bytes().data(), before.data(), before.size()) == 0,
                    "built again it has other bytes");
}

// Whatever the lengths say, checksums are computed over what is there.
void make_checksums_right(Buffer& bytes) {
    HeaderDisk header;
    if (bytes.size() < sizeof header) return;
    std::memcpy(&header, bytes.data(), sizeof header);
    header.magic = everstep::frame_format::kMagic;
    const std::size_t body = bytes.size() - sizeof header;
    const std::size_t entries_max = body / sizeof(EntryDisk);
    header.entry_count =
        static_cast<std::uint32_t>(entries_max == 0 ? 0 : 1 + header.entry_count % entries_max);
    const std::size_t packed = header.entry_count * sizeof(EntryDisk);
    header.payload_bytes = static_cast<std::uint32_t>(body - packed);
    header.body_bytes = static_cast<std::uint32_t>(body);
    std::byte* entries = bytes.data() + bytes.size() - packed;
    for (std::uint32_t i = 0; i < header.entry_count; ++i) {
        EntryDisk entry;
        std::memcpy(&entry, entries + i * sizeof entry, sizeof entry);
        const std::size_t end = std::size_t{entry.payload_offset} + entry.payload_bytes;
        if (entry.payload_bytes == 0 || end > bytes.size() - packed) continue;
        const Bytes stored =
            Bytes(bytes.bytes()).subspan(entry.payload_offset, entry.payload_bytes);
        entry.payload_crc = everstep::crc32c(stored);
        if (entry.payload_bytes < entry.length && entry.length <= everstep::kWritePayloadBytesMax) {
            const auto data = everstep::StoredPayload(stored, entry.length).data_crc();
            if (data.ok()) entry.data_crc = *data;
        }
        std::memcpy(entries + i * sizeof entry, &entry, sizeof entry);
    }
    header.entries_crc = everstep::crc32c(Bytes(entries, packed));
    const Bytes head = std::as_bytes(std::span(&header, 1));
    header.header_crc = everstep::crc32c(head.first(offsetof(HeaderDisk, header_crc)));
    std::memcpy(bytes.data(), &header, sizeof header);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input = std::as_bytes(std::span(data, size));
    Buffer bytes;
    bytes.append(input);
    Buffer repaired;
    repaired.append(input);
    make_checksums_right(repaired);
    check(std::move(bytes));
    check(std::move(repaired));
    return 0;
}
