#include "journal/before_images.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"

namespace everstep::journal {
namespace {

// Stands for "no data" until the size of the table in front of the data is known.
constexpr std::uint32_t kNoData = 0xffffffff;
constexpr std::size_t kExtentsPerRecordMax = 16384;

unsigned level_of(std::uint32_t blocks) {
    unsigned level = 0;
    while ((1U << (level + 1)) <= blocks) ++level;
    return level;
}
constexpr std::uint64_t up(std::uint64_t bytes) {
    return (bytes + kBlockBytes - 1) / kBlockBytes;
}

}  // namespace

Status BeforeImages::take(const std::vector<GapExtent>& writes) {
    std::uint64_t done = 0;  // neighbours may share a block
    VolumeIndex volume;
    for (const GapExtent& w : writes) {
        if (w.volume != volume) done = 0;
        volume = w.volume;
        const std::uint64_t first = std::max(done, w.offset.value() / kBlockBytes);
        const std::uint64_t end = up(w.offset.value() + w.length.value());
        if (end > first) EVERSTEP_TRY(take_missing({volume, first, end - first}));
        done = end;
    }
    return flush();
}

Status BeforeImages::take_missing(const Blocks& blocks) {
    const std::uint64_t end = blocks.first + blocks.count;
    std::uint64_t run = blocks.first;
    for (std::uint64_t at = blocks.first; at < end;) {
        const BeforeImage* image = index_.find(blocks.volume, at);
        if (image == nullptr) {
            ++at;
            continue;
        }
        if (at > run) EVERSTEP_TRY(take_run({blocks.volume, run, at - run}));
        at = run = std::min(end, image->block + image->blocks);
    }
    return run < end ? take_run({blocks.volume, run, end - run}) : Status();
}

Status BeforeImages::take_run(const Blocks& blocks) {
    const std::uint64_t end = blocks.first + blocks.count;
    const std::uint64_t offset = blocks.first * kBlockBytes;
    const std::uint64_t bytes =
        std::min(end * kBlockBytes, volume_bytes_[blocks.volume.value()].value()) - offset;
    const auto extents = replica_.extents(blocks.volume, ByteOffset(offset), ByteCount(bytes));
    if (!extents.ok()) return extents.status();
    std::uint64_t at = blocks.first;
    for (const io::DataExtent& e : *extents) {
        if (!e.hole) continue;
        // Whole blocks inside the hole; the rest is read, and found to be zeroes if it is.
        const std::uint64_t hole = std::clamp(up(e.offset.value()), at, end);
        const std::uint64_t hole_end =
            std::clamp((e.offset.value() + e.length.value()) / kBlockBytes, hole, end);
        if (hole_end == hole) continue;
        if (hole > at) EVERSTEP_TRY(take_data({blocks.volume, at, hole - at}));
        EVERSTEP_TRY(take_zero({blocks.volume, hole, hole_end - hole}));
        at = hole_end;
    }
    return at < end ? take_data({blocks.volume, at, end - at}) : Status();
}

Status BeforeImages::take_zero(const Blocks& blocks) {
    Status status;
    for_each_piece(blocks.first, blocks.count, level_of(kImageZeroBlocksMax),
                   [&](std::uint64_t first, unsigned level) {
                       if (!status.ok()) return;
                       status = add({.volume = blocks.volume,
                                     .block = first,
                                     .blocks = 1U << level,
                                     .data_at = kNoData},
                                    {});
                   });
    return status;
}

Status BeforeImages::take_data(const Blocks& blocks) {
    for (std::uint64_t at = blocks.first; at < blocks.first + blocks.count;) {
        const std::uint64_t count =
            std::min(kImageReadBytes / kBlockBytes, blocks.first + blocks.count - at);
        read_.clear();
        read_.resize(count * kBlockBytes);
        EVERSTEP_TRY(replica_.read(blocks.volume, ByteOffset(at * kBlockBytes), read_.bytes()));
        Status status;
        for_each_piece(
            at, count, level_of(kImageDataBlocksMax), [&](std::uint64_t first, unsigned level) {
                if (!status.ok()) return;
                const Bytes data =
                    Bytes(read_.bytes()).subspan((first - at) * kBlockBytes, kBlockBytes << level);
                ImageExtent extent{.volume = blocks.volume,
                                   .block = first,
                                   .blocks = 1U << level,
                                   .data_at = kNoData};
                if (!is_zero(data)) {
                    extent.data_at = static_cast<std::uint32_t>(data_.size());
                    extent.crc = crc32c(data);
                }
                status = add(extent, extent.data_at == kNoData ? Bytes() : data);
            });
        EVERSTEP_TRY(status);
        at += count;
    }
    return {};
}

Status BeforeImages::add(const ImageExtent& extent, Bytes data) {
    extents_.push_back(extent);
    data_.append(data);
    if (data_.size() < kImageRecordBytes && extents_.size() < kExtentsPerRecordMax) return {};
    return flush();
}

Status BeforeImages::flush() {
    if (extents_.empty()) return {};
    const std::size_t table_bytes = kImageTableHeaderBytes + extents_.size() * kImageExtentBytes;
    for (ImageExtent& e : extents_)
        e.data_at = e.data_at == kNoData ? 0 : e.data_at + static_cast<std::uint32_t>(table_bytes);
    const BodyBytes table = pack_image_table(extents_);
    const std::array<Bytes, 2> parts{Bytes(table), Bytes(data_.bytes())};
    const ByteOffset body_at = undo_.stage(RecordKind::images, parts);
    EVERSTEP_TRY(undo_.write());
    taken_.push_back({std::move(extents_), body_at});
    extents_.clear();
    data_.clear();
    return {};
}

}  // namespace everstep::journal
