// DirectVolume: what a volume held before it was added to a running group becomes steps, piece by
// piece, in the order of the device: each piece is as of the newest LSN, on the capture thread, so
// writes of clients lie before it or behind it.
#include <algorithm>

#include "common/base/buffer.hpp"
#include "daemon/direct_volume.hpp"

namespace everstep::daemon {

namespace {
constexpr std::uint64_t kPieceBytes = 256U << 10;  // read at once, while writes of clients wait
constexpr std::uint64_t kHoleBytes = 64ULL << 20;  // looked for at once
}  // namespace

void DirectVolume::begin_taking_in() {
    not_shipped_ = 0;
    keep_failed_marked();
}

Result<ByteOffset> DirectVolume::take_in() {
    if (!not_shipped_) return ByteOffset(size_.value());
    const ByteOffset offset(*not_shipped_);
    const std::uint64_t rest = size_.value() - offset.value();
    const auto extents = file_->extents(offset, ByteCount(std::min(rest, kHoleBytes)));
    if (!extents.ok()) return extents.status();
    Buffer buffer;
    CapturedWrite write;
    write.volume = index_;
    write.offset = offset;
    write.kind = EntryKind::zero;
    write.length = extents->front().length;
    if (!extents->front().hole) {
        write.kind = EntryKind::reread;
        write.length = ByteCount(std::min(write.length.value(), kPieceBytes));
        buffer.resize(write.length.value());
        EVERSTEP_TRY(file_->read_at(offset, buffer.bytes()));
        write.payload = buffer.bytes();
    }
    const Lsn lsn = capture_.captured(write);
    const std::uint64_t end = offset.value() + write.length.value();
    if (end == size_.value()) {
        not_shipped_.reset();
    } else {
        not_shipped_ = end;
    }
    note_written({offset, write.length}, lsn);
    capture_.end_of_batch();
    return ByteOffset(end);
}

// A mark goes by the last write to its region, which is not the last of what lies there.
void DirectVolume::keep_unshipped_marked(IntentMap::Range written) {
    if (!not_shipped_) return;
    const std::uint64_t end = written.offset.value() + written.length.value();
    const std::uint64_t begin = std::max(*not_shipped_, written.offset.value());
    intent_->failed({ByteOffset(*not_shipped_), ByteCount(kSectorBytes)});
    if (begin < end) intent_->failed({ByteOffset(begin), ByteCount(end - begin)});
}

void DirectVolume::cut_off(std::vector<journal::GapExtent>& extents, std::uint64_t from) {
    std::erase_if(extents, [&](const auto& one) { return one.offset.value() >= from; });
    for (journal::GapExtent& one : extents)
        one.length = ByteCount(std::min(one.length.value(), from - one.offset.value()));
}

}  // namespace everstep::daemon
