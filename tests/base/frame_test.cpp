// The sealed frame as a whole: its bytes, damage, round trips, the builder's memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "common/base/checksum.hpp"
#include "common/base/frame_format.hpp"
#include "tests/base/random_frame.hpp"

namespace everstep {
namespace {

using test::copy_of;

// Made by a program of its own from docs/journal-format.md, not by this code.
constexpr std::string_view kGoldenHeader =
    "45565346010001000100000004000000000102030405060708090a0b0c0d0e0f"
    "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
    "070000000000000029000000000000002a00000000000000000000000b020000"
    "0b030000bf4535bd0000000000000000000000000000000000000000cd9c0d5c";
constexpr std::string_view kGoldenMark = "0102010772656c65617365";
constexpr std::string_view kGoldenEntries =
    "29000000000000000020000000000000000200000000000015cd853dfe9c9717"
    "15cd853dfe9c97178000000000020000b51d4ae4000001010000000000000000"
    "2a000000000000000000000000010000000000400100000015ae7b43fe9c9717"
    "15ae7b43fe9c9717000000000000000000000000010003000000000000000000"
    "290000000000000000000000000000000000000000000000158f7149fe9c9717"
    "158f7149fe9c9717000000000000000000000000000010000000000000000000"
    "2a00000000000000000000000000000000000000000000001570674ffe9c9717"
    "1570674ffe9c9717800200000b0000001b8dd5f2000011000000000000000000";

std::vector<std::byte> from_hex(std::string_view hex) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        const std::string pair(hex.substr(i, 2));
        bytes.push_back(static_cast<std::byte>(std::strtoul(pair.c_str(), nullptr, 16)));
    }
    return bytes;
}

std::vector<std::byte> golden_payload() {
    std::vector<std::byte> payload(512);
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i * 7 + 3);
    return payload;
}

template <std::size_t N>
std::array<std::uint8_t, N> counting_from(std::uint8_t first) {
    std::array<std::uint8_t, N> bytes{};
    for (std::size_t i = 0; i < N; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
    return bytes;
}

FrameEntry golden_entry(std::uint64_t lsn, EntryKind kind, std::int64_t after_ms) {
    FrameEntry entry;
    entry.lsn = Lsn(lsn);
    entry.kind = kind;
    entry.wall = WallTime(std::chrono::nanoseconds(1700000000123456789) +
                          std::chrono::milliseconds(after_ms));
    entry.step_time = entry.wall;
    return entry;
}

FramePtr golden_frame(FrameBuilder& builder) {
    FrameEntry data = golden_entry(41, EntryKind::data, 0);
    data.offset = ByteOffset(8192);
    data.length = ByteCount(512);
    data.fua = true;
    builder.add(data, golden_payload());
    FrameEntry discard = golden_entry(42, EntryKind::discard, 100);
    discard.volume = VolumeIndex(1);
    discard.offset = ByteOffset(1ULL << 40);
    discard.length = ByteCount(5ULL << 30);
    builder.add(discard, {});
    builder.add(golden_entry(41, EntryKind::flush, 200), {});
    builder.add(golden_entry(42, EntryKind::mark, 300),
                pack_mark({.name = "release", .consistency = "filesystem", .pinned = true}));
    FrameHeader header;
    header.group = Uuid(counting_from<16>(0));
    header.timeline = Uuid(counting_from<16>(16));
    header.prev_hash = counting_from<16>(32);
    header.seq = FrameSeq(7);
    header.first_lsn = Lsn(41);
    header.last_lsn = Lsn(42);
    header.after_branch = true;
    return builder.seal(header);
}

std::vector<std::byte> golden_bytes() {
    std::vector<std::byte> all = from_hex(kGoldenHeader);
    for (const auto& part : {golden_payload(), from_hex(kGoldenMark), from_hex(kGoldenEntries)}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

void expect_same(const SealedFrame& a, const SealedFrame& b) {
    EXPECT_TRUE(std::ranges::equal(a.bytes(), b.bytes()));
    EXPECT_EQ(a.hash(), b.hash());
    EXPECT_EQ(a.header().kind, b.header().kind);
    EXPECT_EQ(a.header().group, b.header().group);
    EXPECT_EQ(a.header().timeline, b.header().timeline);
    EXPECT_EQ(a.header().seq, b.header().seq);
    EXPECT_EQ(a.header().first_lsn, b.header().first_lsn);
    EXPECT_EQ(a.header().last_lsn, b.header().last_lsn);
    EXPECT_EQ(a.header().sub_first, b.header().sub_first);
    EXPECT_EQ(a.header().after_branch, b.header().after_branch);
    EXPECT_EQ(a.header().after_gap, b.header().after_gap);
    EXPECT_EQ(a.header().compressed, b.header().compressed);
    EXPECT_EQ(a.header().entry_count, b.header().entry_count);
    EXPECT_EQ(a.header().body_bytes, b.header().body_bytes);
    EXPECT_EQ(a.header().prev_hash, b.header().prev_hash);
    ASSERT_EQ(a.entries().size(), b.entries().size());
    for (std::size_t i = 0; i < a.entries().size(); ++i) {
        const FrameEntry& x = a.entries()[i];
        const FrameEntry& y = b.entries()[i];
        EXPECT_EQ(std::tie(x.lsn, x.offset, x.length, x.wall, x.step_time, x.payload_offset),
                  std::tie(y.lsn, y.offset, y.length, y.wall, y.step_time, y.payload_offset));
        EXPECT_EQ(std::tie(x.payload_bytes, x.payload_crc, x.volume, x.kind, x.fua, x.data_crc),
                  std::tie(y.payload_bytes, y.payload_crc, y.volume, y.kind, y.fua, y.data_crc));
    }
}

TEST(Frame, GoldenBytesDoNotChange) {
    FrameBuilder builder;
    const FramePtr frame = golden_frame(builder);
    EXPECT_TRUE(std::ranges::equal(frame->bytes(), golden_bytes()));
    const auto parsed = SealedFrame::parse(copy_of(golden_bytes()));
    ASSERT_TRUE(parsed.ok()) << parsed.status().message();
    expect_same(**parsed, *frame);
    const auto mark = unpack_mark((*parsed)->stored((*parsed)->entries()[3]).stored());
    ASSERT_TRUE(mark.ok());
    EXPECT_EQ(mark->name, "release");
    EXPECT_EQ(mark->consistency, "filesystem");
    EXPECT_TRUE(mark->pinned);
}

TEST(Frame, EveryFlippedBitIsRefused) {
    const std::vector<std::byte> good = golden_bytes();
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Buffer bytes = copy_of(good);
        bytes.data()[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        const auto parsed = SealedFrame::parse(std::move(bytes));
        ASSERT_FALSE(parsed.ok()) << "bit " << bit;
        EXPECT_EQ(parsed.status().code(), ErrorCode::corrupt) << parsed.status().message();
    }
}

TEST(Frame, EveryChangedByteIsRefused) {
    const std::vector<std::byte> good = golden_bytes();
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (unsigned change = 1; change < 256; change += 11) {
            Buffer bytes = copy_of(good);
            bytes.data()[at] ^= static_cast<std::byte>(change);
            ASSERT_FALSE(SealedFrame::parse(std::move(bytes)).ok()) << "byte " << at;
        }
    }
}

TEST(Frame, EveryTruncationAndAnyTailIsRefused) {
    const std::vector<std::byte> good = golden_bytes();
    for (std::size_t size = 0; size < good.size(); ++size) {
        ASSERT_FALSE(SealedFrame::parse(copy_of(Bytes(good).first(size))).ok()) << size;
    }
    Buffer longer = copy_of(good);
    longer.append(Bytes(good).first(1));
    EXPECT_FALSE(SealedFrame::parse(std::move(longer)).ok());
}

TEST(Frame, HeaderAloneSaysTheLength) {
    const std::vector<std::byte> good = golden_bytes();
    const auto length = SealedFrame::frame_bytes(Bytes(good).first(kFrameHeaderBytes));
    ASSERT_TRUE(length.ok());
    EXPECT_EQ(*length, good.size());
    for (std::size_t size = 0; size < kFrameHeaderBytes; ++size) {
        EXPECT_FALSE(SealedFrame::frame_bytes(Bytes(good).first(size)).ok());
    }
}

TEST(Frame, RandomFramesRoundTrip) {
    std::mt19937_64 random(test::test_seed());
    FrameBuilder builder;
    for (int round = 0; round < 500; ++round) {
        const test::FramePlan plan = test::random_plan(random);
        const FramePtr frame = test::build(builder, plan);
        EXPECT_TRUE(builder.empty());
        const auto parsed = SealedFrame::parse(copy_of(frame->bytes()));
        ASSERT_TRUE(parsed.ok()) << parsed.status().message();
        expect_same(*frame, **parsed);
        EXPECT_EQ(frame->crc(), crc32c(frame->bytes()));
        EXPECT_EQ((*parsed)->crc(), crc32c(frame->bytes()));
        for (std::size_t i = 0; i < plan.entries.size(); ++i) {
            const FrameEntry& entry = (*parsed)->entries()[i];
            EXPECT_TRUE(std::ranges::equal((*parsed)->stored(entry).stored(), plan.payloads[i]));
            EXPECT_EQ(entry.payload_crc, crc32c(plan.payloads[i]));
            EXPECT_EQ(entry.offset, plan.entries[i].offset);
            EXPECT_EQ(entry.step_time, plan.entries[i].step_time);
        }
    }
}

TEST(Frame, RandomDamageIsRefused) {
    std::mt19937_64 random(test::test_seed());
    FrameBuilder builder;
    for (int round = 0; round < 2000; ++round) {
        const FramePtr frame = test::build(builder, test::random_plan(random));
        Buffer bytes = copy_of(frame->bytes());
        const std::size_t at = random() % bytes.size();
        bytes.data()[at] ^= static_cast<std::byte>(1 + random() % 255);
        ASSERT_FALSE(SealedFrame::parse(std::move(bytes)).ok()) << "byte " << at;
    }
}

TEST(Frame, SizeBytesIsWhatSealGives) {
    std::mt19937_64 random(test::test_seed());
    FrameBuilder builder;
    const test::FramePlan plan = test::random_plan(random);
    for (std::size_t i = 0; i < plan.entries.size(); ++i) {
        builder.add(plan.entries[i], plan.payloads[i]);
    }
    const std::size_t size = builder.size_bytes();
    EXPECT_EQ(builder.seal(plan.header)->bytes().size(), size);
    EXPECT_EQ(builder.size_bytes(), kFrameHeaderBytes);
}

TEST(Frame, TheGreatestWriteFitsAndOneMoreByteDoesNot) {
    FrameBuilder builder;
    EXPECT_TRUE(builder.fits(frame_format::kPayloadBytesMax));
    EXPECT_FALSE(builder.fits(frame_format::kPayloadBytesMax + std::size_t{1}));
    FrameEntry entry = golden_entry(1, EntryKind::data, 0);
    entry.length = ByteCount(kWritePayloadBytesMax);
    const std::vector<std::byte> payload(kWritePayloadBytesMax, std::byte{0x5a});
    builder.add(entry, payload);
    EXPECT_TRUE(builder.fits(1U << 20));
    EXPECT_FALSE(builder.fits((1U << 20) + 1));
    FrameHeader header;
    header.seq = FrameSeq(1);
    header.first_lsn = header.last_lsn = Lsn(1);
    const FramePtr frame = builder.seal(header);
    EXPECT_LE(frame->bytes().size(), kFrameBytesMax);
    EXPECT_TRUE(SealedFrame::parse(copy_of(frame->bytes())).ok());
}

TEST(Frame, EntriesAreBounded) {
    FrameBuilder builder;
    FrameHeader header;
    header.seq = FrameSeq(1);
    header.first_lsn = Lsn(1);
    header.last_lsn = Lsn(kFrameEntriesMax);
    for (std::uint64_t lsn = 1; lsn <= kFrameEntriesMax; ++lsn) {
        ASSERT_TRUE(builder.fits(0));
        FrameEntry entry = golden_entry(lsn, EntryKind::zero, 0);
        entry.offset = ByteOffset(lsn * kSectorBytes);
        entry.length = ByteCount(kSectorBytes);
        builder.add(entry, {});
    }
    EXPECT_FALSE(builder.fits(0));
    EXPECT_TRUE(SealedFrame::parse(copy_of(builder.seal(header)->bytes())).ok());
}

TEST(Frame, FlushMarksAloneMakeAFrameOfTheirOwn) {
    FrameBuilder builder;
    builder.add(golden_entry(9, EntryKind::flush, 0), {});
    FrameHeader header;
    header.seq = FrameSeq(3);
    header.first_lsn = Lsn(10);
    header.last_lsn = Lsn(9);
    EXPECT_TRUE(SealedFrame::parse(copy_of(builder.seal(header)->bytes())).ok());
}

// What is queued is counted by its bytes; a small frame must not hold a large buffer.
TEST(Frame, ASealedFrameHoldsNoMoreMemoryThanItsShare) {
    FrameBuilder builder(1U << 20);
    const FramePtr small = golden_frame(builder);
    const FramePtr again = golden_frame(builder);
    EXPECT_TRUE(std::ranges::equal(small->bytes(), again->bytes()));
    EXPECT_NE(small->bytes().data(), again->bytes().data());
    EXPECT_EQ(small->hash(), xxh3_128(golden_bytes()));
}

TEST(FrameDeathTest, TheBuilderRefusesWhatAReaderWould) {
    FrameEntry entry = golden_entry(1, EntryKind::data, 0);
    entry.length = ByteCount(1024);
    const std::vector<std::byte> payload(512);
    EXPECT_DEATH(FrameBuilder().add(entry, payload), "payload_bytes");
    EXPECT_DEATH((void)FrameBuilder().seal({}), "without an entry");
}

}  // namespace
}  // namespace everstep
