#include "daemon/seal.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

TEST(SealStage, AFrameOfDiscardsIsSealedBeforeItHasTooManyPieces) {
    journal::Tip tip;
    tip.point.timeline = TimelineId(Uuid::random().bytes());
    std::vector<FramePtr> frames;
    SealStage seal(Uuid::random(), tip, false,
                   [&](const FramePtr& frame) { frames.push_back(frame); });
    constexpr std::uint64_t kSteps = 4000;
    for (std::uint64_t lsn = 1; lsn <= kSteps; ++lsn) {
        FrameEntry entry;
        entry.lsn = Lsn(lsn);
        entry.kind = lsn % 2 == 0 ? EntryKind::discard : EntryKind::zero;
        entry.offset = ByteOffset(512);
        entry.length = ByteCount((4ULL << 30) - 512);  // the longest that NBD asks for
        seal.push(entry, {});
    }
    seal.seal();
    std::uint64_t steps = 0;
    for (const FramePtr& frame : frames) {
        std::uint64_t pieces = 0;
        for (const FrameEntry& entry : frame->entries())
            pieces += journal::zero_pieces(entry.offset, entry.length);
        EXPECT_LE(pieces, journal::kFramePiecesMax);
        steps += frame->entries().size();
    }
    EXPECT_EQ(steps, kSteps);
}

}  // namespace
}  // namespace everstep::daemon
