#include "daemon/resync_frame.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"

namespace everstep::daemon {

namespace {

FramePtr seal_resync(FrameBuilder& builder, Uuid group, Point as_of) {
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = group;
    header.timeline = as_of.timeline;
    header.first_lsn = as_of.lsn;
    header.last_lsn = as_of.lsn;
    header.sub_first = 1;
    return builder.seal(header);
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

std::uint64_t add_runs(FrameBuilder& builder, Lsn as_of, const ResyncExtent& extent, Bytes content,
                       const KnownContent* known) {
    const Blocks blocks(content, known);
    std::uint64_t differing = 0;
    for (std::size_t at = 0; at < content.size();) {
        const Sent sent = blocks.sent(at);
        std::size_t end = at + blocks.at(at).size();
        while (end < content.size() && blocks.sent(end) == sent) end += blocks.at(end).size();
        if (sent != Sent::not_at_all) {
            const ResyncExtent run{extent.volume, extent.offset + at, ByteCount(end - at)};
            const bool zero = sent == Sent::zeroes;
            builder.add(entry_of(as_of, run, zero ? EntryKind::zero : EntryKind::data),
                        zero ? Bytes() : content.subspan(at, end - at));
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

ResyncFrame make_resync_frame(Uuid group, Point as_of, const ResyncExtent& extent, Bytes content,
                              const KnownContent* known) {
    FrameBuilder builder(kFrameHeaderBytes + (known == nullptr ? content.size() : 0));
    ResyncFrame made;
    made.differing_bytes = add_runs(builder, as_of.lsn, extent, content, known);
    if (!builder.empty()) made.frame = seal_resync(builder, group, as_of);
    return made;
}

FramePtr make_zero_frame(Uuid group, Point as_of, const std::vector<ResyncExtent>& extents) {
    FrameBuilder builder(kFrameHeaderBytes + extents.size() * kFrameEntryBytes);
    for (const ResyncExtent& extent : extents)
        builder.add(entry_of(as_of.lsn, extent, EntryKind::zero), {});
    return seal_resync(builder, group, as_of);
}

}  // namespace everstep::daemon
