// What lies inside the records that the store makes itself: pack and unpack of each body
// (docs/journal-format.md). The bodies of frame and resync records are sealed frames
// (common/base/frame.hpp).
//
// Thread: pure functions.
// Invariants: unpack_* takes any bytes and gives a whole value or nothing; every length inside is
// checked against the body before it is used; nothing may lie behind the last field.
#pragma once

#include <optional>
#include <vector>

#include "journal/history_types.hpp"

namespace everstep::journal {

using BodyBytes = std::vector<std::byte>;

// Where the receiving line stands: what the next frame has to continue.
struct Chain {
    Tip tip;
    std::uint32_t sub = 0;  // resync extents behind tip.point.lsn
    bool may_jump =
        false;  // a gap is open and no frame has come since: LSN and chain may leave a hole
    [[nodiscard]] Position position() const { return {tip.point.lsn, sub}; }
    bool operator==(const Chain&) const = default;
};

// A gap as the store keeps it. `line` is the timeline in which its last known step lies.
struct GapRecord {
    Gap gap;
    TimelineId line;
    Lsn line_end;           // given up: nothing behind gap.from up to here is a point
    bool given_up = false;  // the receiving line left it while it was open
};

struct HeadBody {  // redo, first record: everything that is valid when the segment begins
    Tip baseline;
    Chain chain;
    std::vector<TimelineInfo> timelines;
    std::vector<Mark> marks;
    std::vector<GapRecord> gaps;
    std::optional<Gap> open_gap;
};

struct PositionBody {
    ReplicaState state;
    bool moving = false;  // written by begin_move
};

struct FooterBody {
    Position last;  // of the segment's writes
};

// One aligned power-of-two run of 4 KiB blocks, as it was before its segment's first write.
struct ImageExtent {
    VolumeIndex volume;
    std::uint64_t block = 0;  // number of the first block; a multiple of `blocks`
    std::uint32_t blocks =
        0;  // a power of two, at most kImageDataBlocksMax with data, kImageZeroBlocksMax without
    std::uint32_t data_at =
        0;  // from the start of the body; 0: the blocks were zeroes, nothing is stored
    std::uint32_t crc = 0;  // CRC32C of the data
    bool operator==(const ImageExtent&) const = default;
};
inline constexpr std::uint32_t kImageDataBlocksMax =
    16;  // one checksum a 64 KiB: what a read has to verify
inline constexpr std::uint32_t kImageZeroBlocksMax = kPieceBytesMax / kBlockBytes;
inline constexpr std::size_t kImageTableHeaderBytes = 16;
inline constexpr std::size_t kImageExtentBytes = 32;

[[nodiscard]] BodyBytes pack_head(const HeadBody& head);
[[nodiscard]] std::optional<HeadBody> unpack_head(Bytes body);
[[nodiscard]] BodyBytes pack_timeline(const TimelineInfo& timeline);
[[nodiscard]] std::optional<TimelineInfo> unpack_timeline(Bytes body);
[[nodiscard]] BodyBytes pack_mark_record(const Mark& mark);
[[nodiscard]] std::optional<Mark> unpack_mark_record(Bytes body);
[[nodiscard]] BodyBytes pack_name(const std::string& name);  // unmark
[[nodiscard]] std::optional<std::string> unpack_name(Bytes body);
[[nodiscard]] BodyBytes pack_gap_open(const Gap& gap);  // from and reason
[[nodiscard]] std::optional<Gap> unpack_gap_open(Bytes body);
[[nodiscard]] BodyBytes pack_gap(const GapRecord& gap);
[[nodiscard]] std::optional<GapRecord> unpack_gap(Bytes body);
[[nodiscard]] BodyBytes pack_position(const PositionBody& position);
[[nodiscard]] std::optional<PositionBody> unpack_position(Bytes body);
[[nodiscard]] BodyBytes pack_footer(const FooterBody& footer);
[[nodiscard]] std::optional<FooterBody> unpack_footer(Bytes body);
// The table only; the data of its extents follows it in the body.
[[nodiscard]] BodyBytes pack_image_table(std::span<const ImageExtent> extents);
[[nodiscard]] std::optional<std::vector<ImageExtent>> unpack_image_table(Bytes body);

}  // namespace everstep::journal
