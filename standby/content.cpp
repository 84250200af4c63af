#include "standby/content.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/base/checksum.hpp"

namespace everstep::standby {
namespace {

constexpr std::uint64_t kCompareBytes = 1ULL << 20;
constexpr std::size_t kStatusExtentsMax = 256;

bool has_range(EntryKind kind) {
    return takes_lsn(kind) && kind != EntryKind::sync;
}

bool is_data(EntryKind kind) {
    return kind == EntryKind::data || kind == EntryKind::reread;
}

// Gathers what differs into frames of positions at the tip.
class ResyncJournal {
  public:
    ResyncJournal(journal::Store& store, const Replica& replica, Uuid group)
        : store_(store), replica_(replica), group_(group), content_(kCompareBytes) {
        restart();
    }

    Status compare(const FrameEntry& entry, Bytes payload) {
        // Later extents win: what overlaps an earlier one is compared with the earlier one's
        // outcome.
        if (entry.volume == last_volume_ && entry.offset.value() < last_end_) EVERSTEP_TRY(flush());
        last_volume_ = entry.volume;
        last_end_ = entry.offset.value() + entry.length.value();
        return is_data(entry.kind) ? compare_data(entry, payload) : compare_zero(entry);
    }

    Status flush() {
        if (builder_.empty()) return {};
        FrameHeader header;
        header.kind = FrameKind::resync;
        header.group = group_;
        header.timeline = tip_.timeline;
        header.first_lsn = tip_.lsn;
        header.last_lsn = tip_.lsn;
        header.sub_first = 1;
        const FramePtr frame = builder_.seal(header);
        EVERSTEP_TRY(store_.append_resync(frame));
        restart();
        return {};
    }

  private:
    struct Run {
        std::uint64_t start = 0;
        std::uint64_t end = 0;
        bool zero = false;
    };

    void restart() {
        tip_ = store_.tip().point;
        view_ = store_.view_at_tip();
    }

    Status compare_data(const FrameEntry& entry, Bytes payload) {
        for (std::uint64_t at = 0; at < entry.length.value();) {
            const std::uint64_t start = entry.offset.value() + at;
            const std::uint64_t count = chunk(start, entry.length.value() - at);
            EVERSTEP_TRY(compare_chunk(entry, start, payload.subspan(at, count)));
            at += count;
        }
        return {};
    }

    // Long runs of zeroes are mostly zeroes already: only what is not is read.
    Status compare_zero(const FrameEntry& entry) {
        std::uint64_t at = entry.offset.value();
        const std::uint64_t end = at + entry.length.value();
        while (at < end) {
            auto extents = store_.block_status(view_, replica_, entry.volume, ByteOffset(at),
                                               ByteCount(end - at), kStatusExtentsMax);
            if (!extents.ok()) return extents.status();
            for (const BlockExtent& extent : *extents) {
                const std::uint64_t length = std::min(extent.length, end - at);
                if (!extent.zero) EVERSTEP_TRY(compare_zero_range(entry, at, at + length));
                at += length;
            }
        }
        return {};
    }

    Status compare_zero_range(const FrameEntry& entry, std::uint64_t start, std::uint64_t end) {
        zeroes_.resize(kCompareBytes);
        while (start < end) {
            const std::uint64_t count = chunk(start, end - start);
            EVERSTEP_TRY(compare_chunk(entry, start, Bytes(zeroes_).first(count)));
            start += count;
        }
        return {};
    }

    // Up to kCompareBytes, ending at a block's end where it can.
    static std::uint64_t chunk(std::uint64_t start, std::uint64_t left) {
        return std::min(left, kCompareBytes - start % kBlockBytes);
    }

    Status compare_chunk(const FrameEntry& entry, std::uint64_t start, Bytes wanted) {
        content_.resize(wanted.size());
        EVERSTEP_TRY(
            store_.read(view_, replica_, entry.volume, ByteOffset(start), content_.bytes()));
        const Bytes found = content_.bytes();
        Run run;
        for (std::uint64_t at = 0; at < wanted.size();) {
            const std::uint64_t left = wanted.size() - at;
            const std::uint64_t count = std::min(left, kBlockBytes - (start + at) % kBlockBytes);
            const Bytes block = wanted.subspan(at, count);
            if (std::memcmp(block.data(), found.data() + at, count) != 0) {
                const bool zero = is_zero(block);
                if (run.end != at || run.zero != zero || run.start == run.end) {
                    EVERSTEP_TRY(add(entry, start, run, wanted));
                    run = {at, at, zero};
                }
                run.end = at + count;
            }
            at += count;
        }
        return add(entry, start, run, wanted);
    }

    Status add(const FrameEntry& entry, std::uint64_t start, const Run& run, Bytes wanted) {
        if (run.start == run.end) return {};
        const Bytes payload = run.zero ? Bytes() : wanted.subspan(run.start, run.end - run.start);
        if (!builder_.fits(payload.size())) {
            // What is flushed lies in this node's tip from now on; the rest of the chunk was
            // compared with content that it did not touch.
            EVERSTEP_TRY(flush());
        }
        FrameEntry piece;
        piece.lsn = tip_.lsn;
        piece.volume = entry.volume;
        piece.offset = ByteOffset(start + run.start);
        piece.length = ByteCount(run.end - run.start);
        piece.kind = run.zero ? EntryKind::zero : EntryKind::data;
        piece.wall = entry.wall;
        piece.step_time = entry.step_time;
        builder_.add(piece, payload);
        return {};
    }

    journal::Store& store_;
    const Replica& replica_;
    Uuid group_;
    FrameBuilder builder_;
    Buffer content_;
    std::vector<std::byte> zeroes_;
    Point tip_;
    journal::View view_;
    VolumeIndex last_volume_{~0ULL};
    std::uint64_t last_end_ = 0;
};

// Zeroes what is data there; holes stay holes and cost nothing.
Status zero_data(Replica& replica, const FrameEntry& entry) {
    auto extents = replica.extents(entry.volume, entry.offset, entry.length);
    if (!extents.ok()) return extents.status();
    for (const io::DataExtent& extent : *extents) {
        if (!extent.hole) EVERSTEP_TRY(replica.zero(entry.volume, extent.offset, extent.length));
    }
    return {};
}

}  // namespace

Status check_ranges(const SealedFrame& frame, const Replica& replica) {
    for (const FrameEntry& entry : frame.entries()) {
        if (!has_range(entry.kind)) continue;
        if (entry.volume.value() >= replica.volumes()) {
            return {ErrorCode::corrupt,
                    fmt::format("step {}: volume {}: the group has {} volumes", entry.lsn.value(),
                                entry.volume.value(), replica.volumes())};
        }
        const std::uint64_t size = replica.size(entry.volume).value();
        if (entry.offset.value() > size || entry.length.value() > size - entry.offset.value()) {
            return {ErrorCode::corrupt,
                    fmt::format("step {}: offset {} length {}: beyond volume {} of {} bytes",
                                entry.lsn.value(), entry.offset.value(), entry.length.value(),
                                entry.volume.value(), size)};
        }
    }
    return {};
}

Status journal_resync(journal::Store& store, const Replica& replica, const FramePtr& frame) {
    ResyncJournal resync(store, replica, frame->header().group);
    Buffer unpacked;
    for (const FrameEntry& entry : frame->entries()) {
        if (!has_range(entry.kind)) continue;
        const auto payload = frame->payload(entry, unpacked);
        if (!payload.ok()) return payload.status();
        EVERSTEP_TRY(resync.compare(entry, *payload));
    }
    return resync.flush();
}

wire::HashReply hash_content(const journal::Store& store, const Replica& replica,
                             const wire::HashRequest& request, const journal::View* view) {
    wire::HashReply reply;
    reply.id = request.id;
    Buffer content;
    content.resize(request.length.value());
    const Status read =
        view == nullptr
            ? replica.read(request.volume, request.offset, content.bytes())
            : store.read(*view, replica, request.volume, request.offset, content.bytes());
    if (!read.ok()) {
        reply.error = read.code();
        reply.message = read.message();
        return reply;
    }
    const Bytes bytes = content.bytes();
    reply.zero = is_zero(bytes);
    for (std::size_t at = 0; at < bytes.size() && !reply.zero; at += wire::kHashedBlockBytes) {
        const std::size_t count = std::min<std::size_t>(wire::kHashedBlockBytes, bytes.size() - at);
        reply.hashes.push_back(xxh3_128(bytes.subspan(at, count), request.seed));
    }
    return reply;
}

Status write_initial(Replica& replica, const SealedFrame& frame) {
    std::vector<io::WriteOp> ops;
    std::vector<Buffer> unpacked;  // what of them was packed
    VolumeIndex volume;
    std::uint64_t end = 0;
    const auto flush = [&] {
        const Status status = replica.write(volume, ops);
        ops.clear();
        unpacked.clear();
        return status;
    };
    for (const FrameEntry& entry : frame.entries()) {
        if (!has_range(entry.kind)) continue;
        // Operations of one batch run in any order: an overlap waits for the batch before.
        const bool fits = entry.volume == volume && entry.offset.value() >= end;
        if (!ops.empty() && (!fits || !is_data(entry.kind))) EVERSTEP_TRY(flush());
        if (!is_data(entry.kind)) {
            EVERSTEP_TRY(zero_data(replica, entry));
            continue;
        }
        volume = entry.volume;
        end = entry.offset.value() + entry.length.value();
        const auto payload = frame.payload(entry, unpacked.emplace_back());
        if (!payload.ok()) return payload.status();
        ops.push_back({entry.offset, *payload});
    }
    return ops.empty() ? Status() : flush();
}

}  // namespace everstep::standby
