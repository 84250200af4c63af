#include "journal/finding.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"
#include "common/base/frame_format.hpp"
#include "journal/history.hpp"

namespace everstep::journal {
namespace {

GapExtent range_of(const FrameEntry& entry) {
    return {entry.volume, entry.offset, entry.length};
}

bool payload_good(const FrameEntry& entry, Bytes frame) {
    if (entry.payload_bytes == 0) return true;
    if (entry.payload_offset > frame.size() ||
        entry.payload_bytes > frame.size() - entry.payload_offset)
        return false;
    const Bytes stored = frame.subspan(entry.payload_offset, entry.payload_bytes);
    if (crc32c(stored) != entry.payload_crc) return false;
    if (!carries_data(entry.kind)) return true;
    const StoredPayload payload(stored, entry.length.value());
    if (!payload.packed()) return true;
    const auto data = payload.data_crc();
    return data.ok() && *data == entry.data_crc;
}

std::string steps_text(const Finding& finding) {
    const std::string line = finding.timeline.nil()
                                 ? std::string()
                                 : fmt::format(" of timeline {}", finding.timeline.hex());
    if (finding.first && finding.last && *finding.first == *finding.last)
        return fmt::format("step {}{}", finding.first->value(), line);
    if (finding.first && finding.last)
        return fmt::format("steps {} to {}{}", finding.first->value(), finding.last->value(), line);
    if (finding.first) return fmt::format("steps from {} on{}", finding.first->value(), line);
    if (finding.last) return fmt::format("steps up to {}{}", finding.last->value(), line);
    return {};
}

}  // namespace

std::string describe(const Finding& finding, std::span<const std::string> volumes) {
    std::string out = fmt::format("{}: offset {}, {} bytes: {}", finding.file, finding.at.value(),
                                  finding.length.value(), finding.what);
    std::string hits = steps_text(finding);
    for (const GapExtent& e : finding.extents) {
        const std::uint64_t index = e.volume.value();
        hits += fmt::format("{}volume {} offset {} length {}", hits.empty() ? "" : ", ",
                            index < volumes.size() ? volumes[index] : std::to_string(index),
                            e.offset.value(), e.length.value());
    }
    if (!hits.empty()) out += "; hits " + hits;
    return out;
}

void shorten(std::vector<GapExtent>& extents) {
    merge_extents(extents);
    while (extents.size() > kFindingExtentsMax) {
        std::vector<GapExtent> joined;
        for (std::size_t i = 0; i < extents.size(); ++i) {
            const bool pair = i + 1 < extents.size() && extents[i].volume == extents[i + 1].volume;
            GapExtent e = extents[i];
            if (pair) {
                ++i;
                e.length = ByteCount(extents[i].offset.value() + extents[i].length.value() -
                                     e.offset.value());
            }
            joined.push_back(e);
        }
        if (joined.size() == extents.size()) return;  // one a volume
        extents = std::move(joined);
    }
}

void locate_in_frame(Bytes frame, Finding& finding) {
    FrameHeader header;
    frame_format::HeaderExtra extra;
    if (frame.size() < kFrameHeaderBytes ||
        !frame_format::unpack_header(frame.first(kFrameHeaderBytes), header, extra).ok())
        return;
    finding.timeline = header.timeline;
    finding.first = header.first_lsn;
    finding.last = std::max(header.first_lsn, header.last_lsn);
    if (frame.size() != kFrameHeaderBytes + std::uint64_t{header.body_bytes} ||
        extra.payload_bytes > header.body_bytes)
        return;
    const Bytes packed = frame.subspan(kFrameHeaderBytes + extra.payload_bytes);
    if (crc32c(packed) != extra.entries_crc) {
        finding.what += "; the frame's entries are among what is bad";
        return;
    }
    std::vector<FrameEntry> bad;
    std::vector<GapExtent> all;
    for (std::size_t at = 0; at + kFrameEntryBytes <= packed.size(); at += kFrameEntryBytes) {
        FrameEntry entry;
        if (!frame_format::unpack_entry(packed.subspan(at, kFrameEntryBytes), entry).ok()) return;
        if (entry.length.value() > 0) all.push_back(range_of(entry));
        if (!payload_good(entry, frame)) bad.push_back(entry);
    }
    if (!bad.empty()) {
        all.clear();
        finding.first = bad.front().lsn;
        finding.last = bad.back().lsn;
        for (const FrameEntry& entry : bad)
            if (entry.length.value() > 0) all.push_back(range_of(entry));
    }
    finding.extents = std::move(all);
    shorten(finding.extents);
}

void locate_in_images(Bytes body, Finding& finding, std::vector<ImageExtent>& good) {
    const auto extents = unpack_image_table(body);
    if (!extents) return;
    for (const ImageExtent& e : *extents) {
        if (e.data_at == 0) continue;  // only the table says so
        const std::uint64_t bytes = e.blocks * kBlockBytes;
        if (crc32c(body.subspan(e.data_at, bytes)) == e.crc)
            good.push_back(e);
        else
            finding.extents.push_back(
                {e.volume, ByteOffset(e.block * kBlockBytes), ByteCount(bytes)});
    }
    shorten(finding.extents);
}

}  // namespace everstep::journal
