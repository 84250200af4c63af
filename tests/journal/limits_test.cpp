// What one small frame may ask for.
#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr ByteCount kSize(8ULL << 40);

// A store of one volume of 8 TiB, without a replica: nothing is applied.
class FrameLimits : public testing::Test {
  protected:
    FrameLimits() {
        options_.directory = directory_.path() + "/store";
        options_.group = test_uuid(0x11);
        options_.volume_bytes = {kSize};
        options_.segment_bytes = ByteCount(1 << 20);
        std::vector<std::string> report;
        auto opened = Store::open(io::system_files(), options_, report);
        EXPECT_TRUE(opened.ok()) << opened.status().message();
        store_ = std::move(*opened);
        tip_.point = {test_uuid(1), Lsn(0)};
        EXPECT_TRUE(store_->begin_history({root_timeline(test_uuid(1))}, tip_).ok());
    }
    // Discards from the volume's begin, each of this length.
    [[nodiscard]] FramePtr discards(std::uint64_t count, ByteCount length) const {
        FrameBuilder builder;
        for (std::uint64_t i = 1; i <= count; ++i) {
            FrameEntry entry;
            entry.lsn = Lsn(i);
            entry.kind = EntryKind::discard;
            entry.length = length;
            builder.add(entry, {});
        }
        FrameHeader header;
        header.group = options_.group;
        header.timeline = test_uuid(1);
        header.seq = FrameSeq(1);
        header.first_lsn = Lsn(1);
        header.last_lsn = Lsn(count);
        return builder.seal(header);
    }
    [[nodiscard]] Status append(const FramePtr& frame) { return store_->append({&frame, 1}); }

    ScratchDirectory directory_;
    StoreOptions options_;
    std::unique_ptr<Store> store_;
    Tip tip_;
};

TEST_F(FrameLimits, ASmallFrameOfLongDiscardsIsRefused) {
    EXPECT_EQ(append(discards(1, kSize)).code(), ErrorCode::too_large);
    EXPECT_EQ(append(discards(1025, ByteCount(4ULL << 30))).code(), ErrorCode::too_large);
    EXPECT_EQ(store_->tip().point.lsn, Lsn(0));
    EXPECT_TRUE(append(discards(1024, ByteCount(4ULL << 30))).ok()) << "as many as are allowed";
    EXPECT_EQ(store_->tip().point.lsn, Lsn(1024));
}

TEST_F(FrameLimits, PiecesAreCountedAsTheyAreCut) {
    EXPECT_EQ(zero_pieces(ByteOffset(0), ByteCount(0)), 0U);
    EXPECT_EQ(zero_pieces(ByteOffset(0), ByteCount(kPieceBytesMax)), 1U);
    EXPECT_EQ(zero_pieces(ByteOffset(512), ByteCount(kPieceBytesMax)), 2U);
    EXPECT_EQ(zero_pieces(ByteOffset(512), ByteCount(4ULL << 30)), 65U);
    EXPECT_EQ(zero_pieces(ByteOffset(kPieceBytesMax - 512), ByteCount(512)), 1U);
}

}  // namespace
}  // namespace everstep::journal::lab
