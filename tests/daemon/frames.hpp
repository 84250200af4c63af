// Chained write frames for tests: every write has its own content.
#pragma once

#include <cstring>
#include <vector>

#include "common/base/frame.hpp"
#include "journal/history_types.hpp"

namespace everstep::test {

class FrameMaker {
  public:
    FrameMaker(Uuid group, TimelineId timeline) : group_(group) { tip.point.timeline = timeline; }

    // One frame with `writes` writes of one block each.
    FramePtr next(std::size_t writes = 1) {
        FrameBuilder builder;
        const Lsn first = tip.point.lsn + 1;
        for (std::size_t i = 0; i < writes; ++i) {
            FrameEntry entry;
            entry.lsn = tip.point.lsn + 1 + i;
            entry.offset = ByteOffset(entry.lsn.value() % 16 * kBlockBytes);
            entry.length = ByteCount(kBlockBytes);
            entry.step_time = WallTime(std::chrono::seconds(entry.lsn.value()));
            entry.wall = entry.step_time;
            std::vector<std::byte> payload(kBlockBytes);
            const std::uint64_t value = entry.lsn.value();
            for (std::size_t at = 0; at < payload.size(); at += sizeof value) {
                std::memcpy(payload.data() + at, &value, sizeof value);
            }
            builder.add(entry, payload);
        }
        FrameHeader header;
        header.group = group_;
        header.timeline = tip.point.timeline;
        header.seq = tip.seq + 1;
        header.first_lsn = first;
        header.last_lsn = tip.point.lsn + writes;
        header.prev_hash = tip.hash;
        const FramePtr frame = builder.seal(header);
        tip.point.lsn = header.last_lsn;
        tip.seq = header.seq;
        tip.hash = frame->hash();
        return frame;
    }

    journal::Tip tip;

  private:
    Uuid group_;
};

}  // namespace everstep::test
