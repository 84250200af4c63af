// Each rule of the frame format alone: a frame whose checksums are right and that breaks one rule
// is refused, and the refusal names the field.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "common/base/checksum.hpp"
#include "common/base/frame_format.hpp"
#include "tests/base/random_frame.hpp"

namespace everstep {
namespace {

using frame_format::EntryDisk;
using frame_format::HeaderDisk;

// A frame taken apart: structs to be changed, put together again with checksums that fit.
struct Parts {
    HeaderDisk header{};
    std::vector<std::byte> payload;
    std::vector<EntryDisk> entries;

    [[nodiscard]] Buffer join() const {
        HeaderDisk sealed = header;
        const Bytes packed = std::as_bytes(std::span(entries));
        sealed.entries_crc = crc32c(packed);
        const Bytes head = std::as_bytes(std::span(&sealed, 1));
        sealed.header_crc = crc32c(head.first(offsetof(HeaderDisk, header_crc)));
        Buffer bytes;
        bytes.append(head);
        bytes.append(payload);
        bytes.append(packed);
        return bytes;
    }
};

FrameEntry entry_of(std::uint64_t lsn, EntryKind kind, std::uint64_t offset, std::uint64_t length) {
    FrameEntry entry;
    entry.lsn = Lsn(lsn);
    entry.kind = kind;
    entry.offset = ByteOffset(offset);
    entry.length = ByteCount(length);
    return entry;
}

std::vector<std::byte> sectors(std::size_t count, std::uint8_t seed) {
    std::vector<std::byte> bytes(count * kSectorBytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i + seed);
    return bytes;
}

Parts take_apart(const SealedFrame& frame) {
    Parts parts;
    std::memcpy(&parts.header, frame.bytes().data(), sizeof parts.header);
    const Bytes payload = frame.bytes().subspan(kFrameHeaderBytes, parts.header.payload_bytes);
    parts.payload.assign(payload.begin(), payload.end());
    parts.entries.resize(parts.header.entry_count);
    std::memcpy(parts.entries.data(), frame.bytes().data() + kFrameHeaderBytes + payload.size(),
                parts.entries.size() * sizeof(EntryDisk));
    return parts;
}

// Entries: 0 data 10, 1 zero 11, 2 flush behind 11, 3 reread 12, 4 sync 13, 5 mark at 13, 6
// discard 14.
Parts write_parts() {
    FrameBuilder builder;
    builder.add(entry_of(10, EntryKind::data, 4096, 1024), sectors(2, 1));
    builder.add(entry_of(11, EntryKind::zero, 0, 512), {});
    builder.add(entry_of(11, EntryKind::flush, 0, 0), {});
    builder.add(entry_of(12, EntryKind::reread, 8192, 512), sectors(1, 2));
    builder.add(entry_of(13, EntryKind::sync, 0, 0), {});
    builder.add(entry_of(13, EntryKind::mark, 0, 0),
                pack_mark({.name = "a", .consistency = "crash"}));
    builder.add(entry_of(14, EntryKind::discard, 512, 1ULL << 40), {});
    FrameHeader header;
    header.seq = FrameSeq(5);
    header.first_lsn = Lsn(10);
    header.last_lsn = Lsn(14);
    return take_apart(*builder.seal(header));
}

Parts resync_parts() {
    FrameBuilder builder;
    builder.add(entry_of(9, EntryKind::data, 4096, 1024), sectors(2, 3));
    builder.add(entry_of(9, EntryKind::zero, 0, 512), {});
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.first_lsn = header.last_lsn = Lsn(9);
    header.sub_first = 4;
    return take_apart(*builder.seal(header));
}

struct Rule {
    std::string_view field;  // what the refusal says
    std::function<void(Parts&)> breaks;
    ErrorCode code = ErrorCode::corrupt;
};

void expect_refused(const std::function<Parts()>& make, const std::vector<Rule>& rules) {
    ASSERT_TRUE(SealedFrame::parse(make().join()).ok());
    for (std::size_t i = 0; i < rules.size(); ++i) {
        Parts parts = make();
        rules[i].breaks(parts);
        const auto parsed = SealedFrame::parse(parts.join());
        ASSERT_FALSE(parsed.ok()) << "rule " << i << ": " << rules[i].field;
        EXPECT_EQ(parsed.status().code(), rules[i].code) << parsed.status().message();
        EXPECT_NE(parsed.status().message().find(rules[i].field), std::string::npos)
            << "rule " << i << ": " << parsed.status().message();
    }
}

constexpr auto kKind = [](EntryKind kind) { return static_cast<std::uint8_t>(kind); };

TEST(FrameRules, HeaderFields) {
    expect_refused(
        write_parts,
        {
            {"magic", [](Parts& p) { p.header.magic ^= 1; }},
            {"version", [](Parts& p) { p.header.version = 2; }, ErrorCode::version},
            {"version", [](Parts& p) { p.header.version = 0; }, ErrorCode::version},
            {"kind", [](Parts& p) { p.header.kind = 3; }},
            {"kind", [](Parts& p) { p.header.kind = 0; }},
            {"compression", [](Parts& p) { p.header.compression = 1; }},
            {"flags", [](Parts& p) { p.header.flags = 4; }},
            {"reserved", [](Parts& p) { p.header.reserved[19] = 1; }},
            {"entry_count", [](Parts& p) { p.header.entry_count = 0; }},
            {"entry_count", [](Parts& p) { p.header.entry_count = kFrameEntriesMax + 1; },
             ErrorCode::too_large},
            {"payload_bytes", [](Parts& p) { p.header.payload_bytes = 0xffffffff; },
             ErrorCode::too_large},
            {"payload_bytes",
             [](Parts& p) { p.header.payload_bytes = frame_format::kPayloadBytesMax + 1; },
             ErrorCode::too_large},
            {"body_bytes", [](Parts& p) { p.header.body_bytes += 64; }},
            {"seq", [](Parts& p) { p.header.seq = 0; }},
            {"first_lsn", [](Parts& p) { p.header.first_lsn = 0; }},
            {"last_lsn", [](Parts& p) { p.header.last_lsn = 8; }},
            {"last_lsn", [](Parts& p) { p.header.last_lsn = 15; }},
            {"last_lsn", [](Parts& p) { p.header.last_lsn = ~0ULL; }},
            {"sub_first", [](Parts& p) { p.header.sub_first = 1; }},
        });
}

TEST(FrameRules, EntryFields) {
    expect_refused(write_parts,
                   {
                       {"entry kind", [](Parts& p) { p.entries[1].kind = 0; }},
                       {"entry kind", [](Parts& p) { p.entries[1].kind = 6; }},
                       {"entry kind", [](Parts& p) { p.entries[2].kind = 20; }},
                       {"entry flags", [](Parts& p) { p.entries[1].flags = 2; }},
                       {"entry flags", [](Parts& p) { p.entries[2].flags = 1; }},
                       {"entry flags", [](Parts& p) { p.entries[4].flags = 1; }},
                       {"entry reserved", [](Parts& p) { p.entries[0].reserved[0] = 1; }},
                       {"entry offset", [](Parts& p) { p.entries[0].offset += 1; }},
                       {"entry offset", [](Parts& p) { p.entries[2].offset = 512; }},
                       {"entry length", [](Parts& p) { p.entries[1].length = 0; }},
                       {"entry length", [](Parts& p) { p.entries[6].length = 513; }},
                       {"entry length", [](Parts& p) { p.entries[4].length = 512; }},
                       {"entry length", [](Parts& p) { p.entries[5].length = 512; }},
                       {"offset + length", [](Parts& p) { p.entries[6].offset = ~511ULL; }},
                       {"offset + length", [](Parts& p) { p.entries[6].length = 1ULL << 63; }},
                       {"payload_bytes", [](Parts& p) { p.entries[0].length = 512; }},
                       {"payload_bytes", [](Parts& p) { p.entries[1].payload_bytes = 512; }},
                       {"payload_bytes", [](Parts& p) { p.entries[5].payload_bytes = 0; }},
                       {"payload_bytes", [](Parts& p) { p.entries[5].payload_bytes = 1000; }},
                       {"payload_offset", [](Parts& p) { p.entries[1].payload_offset = 128; }},
                       {"payload_crc", [](Parts& p) { p.entries[1].payload_crc = 1; }},
                       {"payload_crc", [](Parts& p) { p.entries[0].payload_crc ^= 1; }},
                       {"payload_bytes",
                        [](Parts& p) {
                            p.entries[0].length = 64U << 20;
                            p.entries[0].payload_bytes = 64U << 20;
                        },
                        ErrorCode::too_large},
                   });
}

TEST(FrameRules, EntriesTogether) {
    expect_refused(
        write_parts,
        {
            {"entry lsn", [](Parts& p) { p.entries[0].lsn = 11; }},
            {"entry lsn", [](Parts& p) { p.entries[1].lsn = 12; }},
            {"entry lsn", [](Parts& p) { std::swap(p.entries[1].lsn, p.entries[3].lsn); }},
            {"mark lsn", [](Parts& p) { p.entries[2].lsn = 15; }},
            {"mark lsn", [](Parts& p) { p.entries[5].lsn = 8; }},
            {"mark lsn", [](Parts& p) { p.entries[5].lsn = 15; }},
            {"mark lsn", [](Parts& p) { p.entries[5].lsn = ~0ULL; }},
            {"payload_offset", [](Parts& p) { p.entries[0].payload_offset += 512; }},
            {"payload_offset", [](Parts& p) { p.entries[3].payload_offset -= 512; }},
            {"payload_offset", [](Parts& p) { p.entries[3].payload_offset = 0; }},
            {"payload_offset",
             [](Parts& p) { std::swap(p.entries[0].payload_offset, p.entries[3].payload_offset); }},
            {"payload end",
             [](Parts& p) {
                 p.payload.resize(p.payload.size() + 1);
                 p.header.payload_bytes += 1;
                 p.header.body_bytes += 1;
             }},
            {"mark",
             [](Parts& p) {
                 p.payload.back() = std::byte{'/'};
                 p.entries[5].payload_crc = crc32c(Bytes(p.payload).last(5));
             }},
            {"last_lsn",
             [](Parts& p) {
                 p.entries.pop_back();
                 p.header.entry_count -= 1;
                 p.header.body_bytes -= kFrameEntryBytes;
             }},
        });
}

TEST(FrameRules, ResyncFramesStandOutsideTheChain) {
    expect_refused(
        resync_parts,
        {
            {"last_lsn", [](Parts& p) { p.header.last_lsn = 10; }},
            {"sub_first", [](Parts& p) { p.header.sub_first = 0xffffffff; }},
            {"flags", [](Parts& p) { p.header.flags = frame_format::kFlagAfterGap; }},
            {"prev_hash", [](Parts& p) { p.header.prev_hash[3] = 1; }},
            {"resync entry lsn", [](Parts& p) { p.entries[1].lsn = 10; }},
            {"resync entry flags", [](Parts& p) { p.entries[0].flags = 1; }},
            {"resync entry kind", [](Parts& p) { p.entries[0].kind = kKind(EntryKind::reread); }},
            {"resync entry kind",
             [](Parts& p) {
                 p.entries[1].kind = kKind(EntryKind::sync);
                 p.entries[1].length = 0;
             }},
            {"resync entry kind",
             [](Parts& p) {
                 p.entries[1].kind = kKind(EntryKind::flush);
                 p.entries[1].length = 0;
             }},
        });
}

// A flush succeeds after its steps were sealed; the steps of other writes go on meanwhile.
TEST(FrameRules, AFlushMarkMayStandBehindAnyStepUpToTheLast) {
    for (const std::uint64_t lsn : {0U, 3U, 9U, 14U}) {
        Parts parts = write_parts();
        parts.entries[2].lsn = lsn;
        EXPECT_TRUE(SealedFrame::parse(parts.join()).ok()) << lsn;
    }
}

TEST(FrameRules, ABatchBeginsAndEndsAtTheNewestStepBeforeIt) {
    for (const EntryKind kind : {EntryKind::batch_begin, EntryKind::batch_end}) {
        Parts parts = write_parts();
        parts.entries[2].kind = kKind(kind);
        const std::uint64_t newest = parts.entries[1].lsn;
        for (const std::uint64_t lsn : {newest - 1, newest, newest + 1}) {
            parts.entries[2].lsn = lsn;
            EXPECT_EQ(SealedFrame::parse(parts.join()).ok(), lsn == newest) << lsn;
        }
    }
}

TEST(FrameRules, TheFirstFrameOfAllHasStepOneAndNoPredecessor) {
    FrameBuilder builder;
    builder.add(entry_of(0, EntryKind::flush, 0, 0), {});
    builder.add(entry_of(1, EntryKind::zero, 0, 512), {});
    FrameHeader header;
    header.seq = FrameSeq(1);
    header.first_lsn = header.last_lsn = Lsn(1);
    EXPECT_TRUE(SealedFrame::parse(test::copy_of(builder.seal(header)->bytes())).ok());
}

}  // namespace
}  // namespace everstep
