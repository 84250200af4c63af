#include "daemon/resync_frame.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"

namespace everstep::daemon {

namespace {

FramePtr seal_resync(FrameBuilder& builder, Uuid group, Point as_of,
                     FrameCompressor* compressor = nullptr) {
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = group;
    header.timeline = as_of.timeline;
    header.first_lsn = as_of.lsn;
    header.last_lsn = as_of.lsn;
    header.sub_first = 1;
    return compressor == nullptr ? builder.seal(header) : compressor->seal(builder, header);
}

FrameEntry entry_of(Lsn as_of, const ResyncExtent& run, EntryKind kind) {
    FrameEntry entry;
    entry.lsn = as_of;
    entry.volume = run.volume;
    entry.offset = run.offset;
    entry.length = run.length;
    entry.kind = kind;
    return entry;
}

// What a run of blocks is sent as.
enum class Sent : std::uint8_t { not_at_all, zeroes, data };

class Blocks {
  public:
    Blocks(Bytes content, const KnownContent* known) : content_(content), known_(known) {}
    [[nodiscard]] Bytes at(std::size_t offset) const {
        return content_.subspan(offset, std::min<std::size_t>(kBlock, content_.size() - offset));
    }
    [[nodiscard]] Bytes run(std::size_t begin, std::size_t end) const {
        return content_.subspan(begin, end - begin);
    }
    [[nodiscard]] std::size_t size() const { return content_.size(); }
    [[nodiscard]] Sent sent(std::size_t offset) const {
        const Bytes block = at(offset);
        if (known_ != nullptr && known_->has(block, offset / kBlock)) return Sent::not_at_all;
        return is_zero(block) ? Sent::zeroes : Sent::data;
    }

  private:
    static constexpr std::size_t kBlock = wire::kHashedBlockBytes;
    Bytes content_;
    const KnownContent* known_;
};

// Gives the bytes that are sent.
std::uint64_t add_runs(FrameBuilder& builder, const ResyncPlace& place, const Blocks& blocks) {
    std::uint64_t differing = 0;
    for (std::size_t at = 0; at < blocks.size();) {
        const Sent sent = blocks.sent(at);
        std::size_t end = at + blocks.at(at).size();
        while (end < blocks.size() && blocks.sent(end) == sent) end += blocks.at(end).size();
        if (sent != Sent::not_at_all) {
            const ResyncExtent run{place.extent.volume, place.extent.offset + at,
                                   ByteCount(end - at)};
            const bool zero = sent == Sent::zeroes;
            builder.add(entry_of(place.as_of.lsn, run, zero ? EntryKind::zero : EntryKind::data),
                        zero ? Bytes() : blocks.run(at, end));
            differing += end - at;
        }
        at = end;
    }
    return differing;
}

}  // namespace

bool KnownContent::has(Bytes block, std::size_t number) const {
    return zero ? is_zero(block) : xxh3_128(block, seed) == hashes[number];
}

ResyncFrame make_resync_frame(const ResyncPlace& place, Bytes content, const KnownContent* known,
                              FrameCompressor* compressor) {
    FrameBuilder builder(kFrameHeaderBytes + (known == nullptr ? content.size() : 0));
    ResyncFrame made;
    made.differing_bytes = add_runs(builder, place, Blocks(content, known));
    if (!builder.empty()) made.frame = seal_resync(builder, place.group, place.as_of, compressor);
    return made;
}

FramePtr make_zero_frame(Uuid group, Point as_of, const std::vector<ResyncExtent>& extents) {
    FrameBuilder builder(kFrameHeaderBytes + extents.size() * kFrameEntryBytes);
    for (const ResyncExtent& extent : extents)
        builder.add(entry_of(as_of.lsn, extent, EntryKind::zero), {});
    return seal_resync(builder, group, as_of);
}

}  // namespace everstep::daemon
