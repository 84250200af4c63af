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

void add_runs(FrameBuilder& builder, Lsn as_of, const ResyncExtent& extent, Bytes content) {
    std::size_t at = 0;
    const auto block_at = [&](std::size_t offset) {
        return content.subspan(offset, std::min<std::size_t>(kBlockBytes, content.size() - offset));
    };
    while (at < content.size()) {
        const bool zero = is_zero(block_at(at));
        std::size_t end = at + block_at(at).size();
        while (end < content.size() && is_zero(block_at(end)) == zero) end += block_at(end).size();
        const ResyncExtent run{extent.volume, extent.offset + at, ByteCount(end - at)};
        builder.add(entry_of(as_of, run, zero ? EntryKind::zero : EntryKind::data),
                    zero ? Bytes() : content.subspan(at, end - at));
        at = end;
    }
}

}  // namespace

Result<FramePtr> make_resync_frame(Uuid group, Point as_of, const ResyncExtent& extent,
                                   CapturedVolume& volume) {
    Buffer content;
    content.resize(extent.length.value());
    EVERSTEP_TRY(volume.read_now(extent.offset, content.bytes()));
    FrameBuilder builder(extent.length.value() + kFrameHeaderBytes);
    add_runs(builder, as_of.lsn, extent, content.bytes());
    return seal_resync(builder, group, as_of);
}

FramePtr make_zero_frame(Uuid group, Point as_of, const ResyncExtent& extent) {
    FrameBuilder builder(kFrameHeaderBytes);
    builder.add(entry_of(as_of.lsn, extent, EntryKind::zero), {});
    return seal_resync(builder, group, as_of);
}

}  // namespace everstep::daemon
