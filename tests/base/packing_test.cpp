// Packed payloads and the frames that hold them: round trips, and everything that hostile bytes can
// say.
#include "common/base/packing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <random>

#include "common/base/checksum.hpp"
#include "common/base/frame_format.hpp"
#include "tests/base/random_frame.hpp"

namespace everstep {
namespace {

using Data = std::vector<std::byte>;

// Different in every sector, and shorter when it is packed.
Data text(std::size_t bytes, std::uint64_t number) {
    Data data(bytes);
    for (std::size_t at = 0; at < bytes; ++at)
        data[at] =
            static_cast<std::byte>(at % 512 < 16 ? (number + at / 512) >> at % 8 * 8 : at % 7);
    return data;
}

Data noise(std::size_t bytes, std::uint64_t number) {
    std::mt19937_64 random(number);
    Data data(bytes);
    for (std::byte& byte : data) byte = static_cast<std::byte>(random());
    return data;
}

Data unpacked(Bytes stored, std::size_t length) {
    Data to(length);
    const Status status = StoredPayload(stored, length).read(to);
    EXPECT_TRUE(status.ok()) << status.message();
    return to;
}

bool reads(Bytes stored, std::size_t length) {
    Data to(length);
    const StoredPayload payload(stored, length);
    const bool ok = payload.read(to).ok();
    EXPECT_EQ(ok, payload.data_crc().ok());
    return ok;
}

Data packed(int level, Bytes data) {
    Packer packer(level);
    Buffer to;
    EXPECT_TRUE(packer.pack(data, to));
    EXPECT_LT(to.size(), data.size());
    const Bytes bytes = to.bytes();
    return {bytes.begin(), bytes.end()};
}

TEST(Packing, EveryLevelAndLengthRoundTrips) {
    for (int level = 1; level <= kPackLevelMax; ++level) {
        for (const std::size_t bytes :
             {512U, 1024U, 4096U, 65024U, 65536U, 66048U, 131072U, 200192U}) {
            const Data data = text(bytes, static_cast<std::uint64_t>(level));
            const Data stored = packed(level, data);
            EXPECT_EQ(unpacked(stored, bytes), data) << level << " " << bytes;
            const auto crc = StoredPayload(stored, bytes).data_crc();
            ASSERT_TRUE(crc.ok());
            EXPECT_EQ(*crc, crc32c(data));
        }
    }
}

TEST(Packing, AChunkIsReadWithoutTheOthers) {
    Data data = text(3 * kPackChunkBytes + 512, 5);
    const Data middle = noise(kPackChunkBytes, 6);  // one that is stored as it is
    std::copy(middle.begin(), middle.end(), data.begin() + kPackChunkBytes);
    const Data stored = packed(1, data);
    const StoredPayload payload(stored, data.size());
    std::size_t raw = 0;
    for (std::uint32_t n = 0; n < pack_chunks(data.size()); ++n) {
        const auto chunk = payload.chunk(n);
        ASSERT_TRUE(chunk.ok());
        Data to(pack_chunk_length(data.size(), n));
        raw += chunk->stored.size() == to.size() ? 1 : 0;
        ASSERT_TRUE(unpack_chunk(chunk->stored, to).ok());
        EXPECT_TRUE(std::equal(to.begin(), to.end(), data.begin() + n * kPackChunkBytes));
        EXPECT_EQ(chunk->stored.data(), stored.data() + chunk->at);
    }
    EXPECT_EQ(raw, 1U);
}

TEST(Packing, WhatDoesNotBecomeShorterIsLeft) {
    Packer packer(1);
    Buffer to;
    to.append(text(100, 1));
    for (const std::size_t bytes : {512U, 4096U, 65536U, 200192U}) {
        EXPECT_FALSE(packer.pack(noise(bytes, bytes), to));
        EXPECT_EQ(to.size(), 100U);
    }
    EXPECT_FALSE(packer.pack({}, to));
    EXPECT_TRUE(packer.pack(text(4096, 2), to));  // and it goes on behind that
    EXPECT_EQ(unpacked(Bytes(to.bytes()).subspan(100), 4096), text(4096, 2));
}

TEST(Packing, AnotherLengthIsRefusedAndNothingIsWrittenBeyondIt) {
    const Data data = text(4096, 3);
    const Data stored = packed(3, data);
    for (std::size_t length = stored.size() + 1; length < 3 * data.size(); ++length) {
        Data to(length + 64, std::byte{0xee});
        const bool ok = unpack_chunk(stored, MutableBytes(to).first(length)).ok();
        EXPECT_EQ(ok, length == data.size()) << length;
        for (std::size_t at = length; at < to.size(); ++at) ASSERT_EQ(to[at], std::byte{0xee});
    }
}

TEST(Packing, EveryFlippedBitIsRefusedOrGivesOtherDataOfTheSameLength) {
    const Data data = text(1024, 4);
    const Data stored = packed(1, data);
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < stored.size() * 8; ++bit) {
        Data one = stored;
        one[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        refused += reads(one, data.size()) ? 0 : 1;
        if (bit / 8 < 7) {
            EXPECT_FALSE(reads(one, data.size())) << "bit " << bit;
        }
    }
    EXPECT_GT(refused, stored.size());
}

TEST(Packing, EveryTruncationAndEveryTailIsRefused) {
    const Data data = text(4096, 5);
    const Data stored = packed(1, data);
    for (std::size_t size = 1; size < stored.size(); ++size)
        EXPECT_FALSE(reads(Bytes(stored).first(size), data.size())) << size;
    Data tail = stored;
    for (int i = 0; i < 40; ++i) {
        tail.push_back(std::byte{0});
        EXPECT_FALSE(reads(tail, data.size()));
    }
    // A second frame of nothing, and one that readers leave out.
    for (const Data& behind :
         {Data{std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f}, std::byte{0xfd}, std::byte{0x20},
               std::byte{0}, std::byte{1}, std::byte{0}, std::byte{0}},
          Data{std::byte{0x50}, std::byte{0x2a}, std::byte{0x4d}, std::byte{0x18}, std::byte{0},
               std::byte{0}, std::byte{0}, std::byte{0}}}) {
        Data two = stored;
        two.insert(two.end(), behind.begin(), behind.end());
        EXPECT_FALSE(reads(two, data.size()));
        Data before = behind;
        before.insert(before.end(), stored.begin(), stored.end());
        EXPECT_FALSE(reads(before, data.size()));
    }
}

// The same data in frames that zstd's own reader takes: with a checksum, without its size, with a
// window, of a dictionary.
TEST(Packing, OnlyOneHeaderIsTaken) {
    const Data data = text(4096, 6);
    const Data stored = packed(1, data);
    ASSERT_EQ(stored[4], std::byte{0x60});
    for (unsigned descriptor = 0; descriptor < 256; ++descriptor) {
        if (descriptor == 0x60) continue;
        for (const std::size_t more : {0U, 1U, 2U, 3U, 4U}) {  // bytes that the descriptor may want
            Data one = stored;
            one[4] = static_cast<std::byte>(descriptor);
            one.insert(one.begin() + 5, more, std::byte{0x10});
            EXPECT_FALSE(reads(one, data.size())) << descriptor << " " << more;
        }
    }
}

TEST(Packing, TheTableOfChunksIsChecked) {
    const Data data = text(3 * std::size_t{kPackChunkBytes}, 7);
    const Data good = packed(1, data);
    ASSERT_TRUE(reads(good, data.size()));
    const auto with = [&](std::size_t at, std::uint32_t end) {
        Data one = good;
        std::memcpy(one.data() + at * 4, &end, sizeof end);
        return one;
    };
    std::array<std::uint32_t, 3> ends{};
    std::memcpy(ends.data(), good.data(), sizeof ends);
    for (std::size_t at = 0; at < ends.size(); ++at)
        for (const std::uint32_t end :
             {0U, 11U, 12U, ends[at] - 1, ends[at] + 1, ends[(at + 1) % 3],
              static_cast<std::uint32_t>(good.size()) + 1, 0x7fffffffU, 0xffffffffU})
            if (end != ends[at]) {
                EXPECT_FALSE(reads(with(at, end), data.size())) << at << " " << end;
            }
    for (std::size_t size = 1; size < 13; ++size)
        EXPECT_FALSE(reads(Bytes(good).first(size), data.size())) << size;
}

class CompressedFrame : public testing::Test {
  protected:
    static FrameEntry entry_of(std::uint64_t lsn, EntryKind kind, std::size_t bytes) {
        FrameEntry entry;
        entry.lsn = Lsn(lsn);
        entry.kind = kind;
        entry.offset = ByteOffset(lsn * (1U << 20));
        entry.length = ByteCount(bytes);
        return entry;
    }
    static FrameHeader header_of() {
        FrameHeader header;
        header.seq = FrameSeq(3);
        header.first_lsn = Lsn(1);
        header.last_lsn = Lsn(5);
        return header;
    }
    // Packed, left as it is, without data, packed in chunks, packed.
    FramePtr make(Packer* with) {
        FrameBuilder builder;
        builder.add(entry_of(1, EntryKind::data, 4096), all[0]);
        builder.add(entry_of(2, EntryKind::data, 8192), all[1]);
        builder.add(entry_of(3, EntryKind::zero, 512), {});
        builder.add(entry_of(4, EntryKind::reread, all[2].size()), all[2]);
        FrameEntry mark;
        mark.kind = EntryKind::mark;
        mark.lsn = Lsn(4);
        builder.add(mark, pack_mark({.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                     .consistency = "crash",
                                     .pinned = false}));
        builder.add(entry_of(5, EntryKind::data, 512), all[3]);
        return builder.seal(header_of(), with);
    }
    // The frame taken apart and joined again with right checksums.
    struct Parts {
        frame_format::HeaderDisk header{};
        Data payload;
        std::vector<frame_format::EntryDisk> entries;
        [[nodiscard]] Buffer join() {
            const std::size_t packed_bytes = entries.size() * sizeof(frame_format::EntryDisk);
            for (frame_format::EntryDisk& one : entries)
                if (one.payload_bytes > 0)
                    one.payload_crc = crc32c(Bytes(payload).subspan(
                        one.payload_offset - kFrameHeaderBytes, one.payload_bytes));
            header.entry_count = static_cast<std::uint32_t>(entries.size());
            header.payload_bytes = static_cast<std::uint32_t>(payload.size());
            header.body_bytes = static_cast<std::uint32_t>(payload.size() + packed_bytes);
            const Bytes packed = std::as_bytes(std::span(entries));
            header.entries_crc = crc32c(packed);
            header.header_crc = crc32c(std::as_bytes(std::span(&header, 1)).first(124));
            Buffer bytes;
            bytes.append(std::as_bytes(std::span(&header, 1)));
            bytes.append(payload);
            bytes.append(packed);
            return bytes;
        }
    };
    [[nodiscard]] Parts parts_of(const SealedFrame& frame) const {
        Parts parts;
        const Bytes bytes = frame.bytes();
        std::memcpy(&parts.header, bytes.data(), sizeof parts.header);
        const Bytes payload = bytes.subspan(kFrameHeaderBytes, parts.header.payload_bytes);
        parts.payload.assign(payload.begin(), payload.end());
        parts.entries.resize(parts.header.entry_count);
        std::memcpy(parts.entries.data(), payload.data() + payload.size(),
                    parts.entries.size() * sizeof(frame_format::EntryDisk));
        return parts;
    }
    void expect_refused(const std::string& field, const std::function<void(Parts&)>& breaks,
                        ErrorCode code = ErrorCode::corrupt) {
        Parts parts = parts_of(*make(&packer));
        breaks(parts);
        const auto parsed = SealedFrame::parse(parts.join());
        ASSERT_FALSE(parsed.ok()) << field;
        EXPECT_EQ(parsed.status().code(), code) << parsed.status().message();
        EXPECT_NE(parsed.status().message().find(field), std::string::npos)
            << field << ": " << parsed.status().message();
    }
    // Another payload for the first entry, which says that it holds 4096 bytes.
    static void replace_first(Parts& parts, const Data& stored) {
        const std::uint32_t before = parts.entries[0].payload_bytes;
        parts.payload.erase(parts.payload.begin(), parts.payload.begin() + before);
        parts.payload.insert(parts.payload.begin(), stored.begin(), stored.end());
        parts.entries[0].payload_bytes = static_cast<std::uint32_t>(stored.size());
        for (std::size_t i = 1; i < parts.entries.size(); ++i)
            if (parts.entries[i].payload_offset > 0)
                parts.entries[i].payload_offset +=
                    static_cast<std::uint32_t>(stored.size()) - before;
    }
    const std::vector<Data> all{text(4096, 1), noise(8192, 2), text(200192, 3), text(512, 4)};
    Packer packer{3};
};

TEST_F(CompressedFrame, GivesTheSameDataInFewerBytes) {
    const FramePtr plain = make(nullptr);
    const FramePtr frame = make(&packer);
    EXPECT_FALSE(plain->header().compressed);
    EXPECT_TRUE(frame->header().compressed);
    EXPECT_LT(frame->bytes().size(), plain->bytes().size() / 4);
    EXPECT_EQ(frame->crc(), crc32c(frame->bytes()));
    EXPECT_LT(frame->memory_bytes(), frame->bytes().size() + (16U << 10));
    const auto parsed = SealedFrame::parse(test::copy_of(frame->bytes()));
    ASSERT_TRUE(parsed.ok()) << parsed.status().message();
    EXPECT_EQ((*parsed)->hash(), frame->hash());
    Buffer one;
    Buffer other;
    for (std::size_t i = 0; i < plain->entries().size(); ++i) {
        const auto wanted = plain->payload(plain->entries()[i], one);
        const auto found = (*parsed)->payload((*parsed)->entries()[i], other);
        ASSERT_TRUE(wanted.ok() && found.ok());
        EXPECT_TRUE(std::ranges::equal(*wanted, *found)) << i;
    }
    EXPECT_FALSE((*parsed)->stored((*parsed)->entries()[1]).packed());
    EXPECT_TRUE((*parsed)->stored((*parsed)->entries()[3]).packed());
}

TEST_F(CompressedFrame, IsOneOnlyIfSomethingOfItIsPacked) {
    FrameBuilder builder;
    builder.add(entry_of(1, EntryKind::data, 8192), all[1]);
    FrameHeader header = header_of();
    header.last_lsn = Lsn(1);
    const FramePtr frame = builder.seal(header, &packer);
    EXPECT_FALSE(frame->header().compressed);
    builder.add(entry_of(1, EntryKind::data, 8192), all[1]);
    EXPECT_TRUE(std::ranges::equal(builder.seal(header)->bytes(), frame->bytes()));
}

TEST_F(CompressedFrame, EveryChangedByteIsRefused) {
    const FramePtr frame = make(&packer);
    for (std::size_t at = 0; at < frame->bytes().size(); at += at < 300 ? 1 : 7) {
        Buffer bytes = test::copy_of(frame->bytes());
        bytes.data()[at] ^= std::byte{0x41};
        ASSERT_FALSE(SealedFrame::parse(std::move(bytes)).ok()) << "byte " << at;
    }
}

TEST_F(CompressedFrame, RandomFramesRoundTrip) {
    std::mt19937_64 random(test::test_seed());
    FrameBuilder builder;
    std::size_t compressed = 0;
    for (int round = 0; round < 300; ++round) {
        test::FramePlan plan = test::random_plan(random);
        for (auto& payload : plan.payloads)
            if (payload.size() >= kSectorBytes && random() % 2 == 0)
                payload = text(payload.size(), random());
        packer.set_level(1 + static_cast<int>(random() % kPackLevelMax));
        for (std::size_t i = 0; i < plan.entries.size(); ++i)
            builder.add(plan.entries[i], plan.payloads[i]);
        const FramePtr frame = builder.seal(plan.header, &packer);
        compressed += frame->header().compressed ? 1 : 0;
        const auto parsed = SealedFrame::parse(test::copy_of(frame->bytes()));
        ASSERT_TRUE(parsed.ok()) << parsed.status().message();
        EXPECT_EQ((*parsed)->crc(), crc32c(frame->bytes()));
        Buffer data;
        for (std::size_t i = 0; i < plan.entries.size(); ++i) {
            const auto found = (*parsed)->payload((*parsed)->entries()[i], data);
            ASSERT_TRUE(found.ok());
            ASSERT_TRUE(std::ranges::equal(*found, plan.payloads[i]));
        }
    }
    EXPECT_GT(compressed, 100U);
}

TEST_F(CompressedFrame, HostileFieldsAreRefused) {
    expect_refused("compression", [](Parts& p) { p.header.compression = 2; });
    expect_refused("compression", [](Parts& p) { p.header.compression = 255; });
    expect_refused("payload_bytes", [](Parts& p) { p.header.compression = 0; });
    expect_refused("data_crc", [](Parts& p) { p.entries[0].data_crc ^= 1; });
    expect_refused("data_crc", [](Parts& p) { p.entries[1].data_crc = 7; });
    expect_refused("data_crc", [](Parts& p) { p.entries[2].data_crc = 7; });
    expect_refused("data_crc", [](Parts& p) { p.entries[4].data_crc = 7; });
    expect_refused("entry reserved", [](Parts& p) { p.entries[0].reserved[3] = 1; });
    expect_refused("packed data", [](Parts& p) { p.entries[0].length += 512; });
    expect_refused("packed data", [](Parts& p) { p.entries[0].length = 32U << 20; });
    expect_refused("packed data", [](Parts& p) { p.entries[3].length += 512; });
    expect_refused(
        "payload_bytes", [](Parts& p) { p.entries[0].length = (32U << 20) + 512; },
        ErrorCode::too_large);
    expect_refused("packed data", [](Parts& p) { p.payload[4] = std::byte{0x20}; });
    expect_refused("packed data", [](Parts& p) { p.payload[0] ^= std::byte{1}; });
}

TEST_F(CompressedFrame, HostilePayloadsAreRefused) {
    const Data good = packed(3, all[0]);
    expect_refused("packed data", [&](Parts& p) { replace_first(p, noise(600, 9)); });
    expect_refused("packed data", [&](Parts& p) { replace_first(p, Data(40)); });
    expect_refused("packed data", [&](Parts& p) {
        Data tail = good;
        tail.push_back(std::byte{0});
        replace_first(p, tail);
    });
    expect_refused("packed data", [&](Parts& p) { replace_first(p, packed(3, text(8192, 1))); });
    expect_refused("data_crc", [&](Parts& p) { replace_first(p, packed(3, text(4096, 8))); });
    Parts parts = parts_of(*make(&packer));
    replace_first(parts, packed(9, all[0]));  // packed in another way it is the same data
    EXPECT_TRUE(SealedFrame::parse(parts.join()).ok());
}

// A few bytes that give more data than any frame holds: refused by their lengths alone.
TEST_F(CompressedFrame, DataIsBoundedByWhatAFrameMayHold) {
    const Data zeroes(32U << 20);
    const Data stored = packed(1, zeroes);
    Parts parts;
    parts.header = parts_of(*make(&packer)).header;
    parts.header.last_lsn = 2;
    for (std::uint64_t lsn = 1; lsn <= 2; ++lsn) {
        frame_format::EntryDisk entry{};
        entry.lsn = lsn;
        entry.kind = 1;
        entry.length = zeroes.size();
        entry.payload_offset = kFrameHeaderBytes + static_cast<std::uint32_t>(parts.payload.size());
        entry.payload_bytes = static_cast<std::uint32_t>(stored.size());
        entry.data_crc = crc32c(zeroes);
        parts.payload.insert(parts.payload.end(), stored.begin(), stored.end());
        parts.entries.push_back(entry);
    }
    const auto both = SealedFrame::parse(parts.join());
    ASSERT_FALSE(both.ok());
    EXPECT_EQ(both.status().code(), ErrorCode::too_large);
    parts.entries.pop_back();
    parts.payload.resize(stored.size());
    parts.header.last_lsn = 1;
    EXPECT_TRUE(SealedFrame::parse(parts.join()).ok());
}

}  // namespace
}  // namespace everstep
