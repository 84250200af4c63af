// The bytes of the store's formats: they are the ones that docs/journal-format.md shows, and every
// body comes back as it went in, cut anywhere it is refused.
#include <array>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "common/base/checksum.hpp"
#include "journal/body_codec.hpp"
#include "journal/catalogue.hpp"
#include "journal/index_file.hpp"
#include "journal/merged_file.hpp"
#include "journal/record_bodies.hpp"
#include "journal/segment_header.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal {
namespace {

// Rows of 16 bytes with their offset; rows of zeroes between others are one "*".
std::string hex_rows(Bytes bytes, std::size_t base) {
    std::ostringstream out;
    bool skipped = false;
    for (std::size_t at = 0; at < bytes.size(); at += 16) {
        const Bytes row = bytes.subspan(at, std::min<std::size_t>(16, bytes.size() - at));
        if (is_zero(row)) {
            if (!skipped) out << "*\n";
            skipped = true;
            continue;
        }
        skipped = false;
        char text[8];
        std::snprintf(text, sizeof text, "%04zx ", base + at);
        out << text;
        for (const std::byte b : row) {
            std::snprintf(text, sizeof text, " %02x", static_cast<unsigned>(b));
            out << text;
        }
        out << "\n";
    }
    return out.str();
}

// The block of the document that follows the line "<!-- name -->".
std::string documented(const std::string& name) {
    std::ifstream in(std::string(EVERSTEP_ROOT) + "/docs/journal-format.md");
    std::string line;
    std::string block;
    while (std::getline(in, line) && line != "<!-- " + name + " -->") continue;
    std::getline(in, line);  // ```
    while (std::getline(in, line) && line != "```") block += line + "\n";
    return block;
}

// What hex_rows() showed, but for zeroes at the end.
BodyBytes bytes_of(const std::string& rows) {
    std::istringstream lines(rows);
    BodyBytes out;
    for (std::string line; std::getline(lines, line);) {
        if (line == "*") continue;
        std::istringstream row(line);
        std::size_t at = 0;
        row >> std::hex >> at;
        out.resize(at);
        for (unsigned byte = 0; row >> byte;) out.push_back(static_cast<std::byte>(byte));
    }
    return out;
}

FileHeader example_header() {
    FileHeader header;
    header.kind = FileKind::redo;
    header.group = lab::test_uuid(0x11);
    header.salt = lab::test_uuid(0x5a);
    header.timeline = lab::test_uuid(0x01);
    header.segment = 7;
    header.first = {Lsn(1000), 2};
    header.file_bytes = ByteCount(64 << 20);
    return header;
}

TEST(Formats, HeaderIsTheDocumentedOne) {
    std::vector<std::byte> bytes(kFileHeaderBytes);
    const std::uint32_t crc = pack_header(example_header(), bytes);
    EXPECT_EQ(hex_rows(bytes, 0), documented("header"));
    const auto back = unpack_header(bytes, FileKind::redo, "x");
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(back->header, example_header());
    EXPECT_EQ(back->crc, crc);
    EXPECT_FALSE(unpack_header(bytes, FileKind::undo, "x").ok());
    for (std::size_t at = 0; at < bytes.size(); at += at < 128 ? 1 : 331) {
        std::vector<std::byte> flipped = bytes;
        flipped[at] ^= std::byte{1};
        EXPECT_FALSE(unpack_header(flipped, FileKind::redo, "x").ok()) << at;
    }
}

TEST(Formats, RecordIsTheDocumentedOne) {
    Mark mark;
    mark.name = "before-drop";
    mark.at = {lab::test_uuid(0x01), Lsn(1041)};
    mark.pinned = true;
    mark.made = WallTime(std::chrono::seconds(1790000000));
    const BodyBytes body = pack_mark_record(mark);
    Envelope envelope;
    envelope.kind = RecordKind::mark;
    envelope.salt = envelope_salt(example_header().salt);
    envelope.sequence = 42;
    envelope.offset = ByteOffset(8192);
    envelope.synced_to = ByteOffset(4608);
    envelope.body_bytes = static_cast<std::uint32_t>(body.size());
    envelope.previous_crc = 0x01020304;
    envelope.body_crc = crc32c(body);
    std::vector<std::byte> bytes(kRecordAlign);
    pack_envelope(envelope, bytes);
    std::copy(body.begin(), body.end(), bytes.begin() + kEnvelopeBytes);
    EXPECT_EQ(hex_rows(Bytes(bytes).first(160), 0x2000), documented("record"));
    const auto back = unpack_envelope(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->envelope, envelope);
    for (std::size_t at = 0; at < kEnvelopeBytes; ++at) {
        std::vector<std::byte> flipped = bytes;
        flipped[at] ^= std::byte{0x10};
        EXPECT_FALSE(unpack_envelope(flipped)) << at;
    }
}

TEST(Formats, FrameIsTheDocumentedOne) {
    FrameBuilder builder;
    FrameEntry entry;
    entry.lsn = Lsn(1001);
    entry.kind = EntryKind::zero;
    entry.offset = ByteOffset(4096);
    entry.length = ByteCount(8192);
    entry.volume = VolumeIndex(1);
    entry.wall = entry.step_time = WallTime(std::chrono::seconds(1790000000));
    builder.add(entry, {});
    FrameHeader header;
    header.group = lab::test_uuid(0x11);
    header.timeline = lab::test_uuid(0x01);
    header.seq = FrameSeq(12);
    header.first_lsn = header.last_lsn = Lsn(1001);
    header.prev_hash.fill(0xab);
    EXPECT_EQ(hex_rows(builder.seal(header)->bytes(), 0), documented("frame"));
}

// An encoder may find other bytes for the same data: the documented ones are read.
TEST(Formats, APackedFrameIsReadAsDocumented) {
    BodyBytes rows = bytes_of(documented("packed-frame"));
    const auto length = SealedFrame::frame_bytes(rows);
    ASSERT_TRUE(length.ok()) << length.status().message();
    rows.resize(*length);
    Buffer bytes;
    bytes.append(rows);
    const auto frame = SealedFrame::parse(std::move(bytes));
    ASSERT_TRUE(frame.ok()) << frame.status().message();
    EXPECT_TRUE((*frame)->header().compressed);
    ASSERT_EQ((*frame)->entries().size(), 1U);
    const FrameEntry& entry = (*frame)->entries()[0];
    EXPECT_EQ(std::tie(entry.lsn, entry.kind, entry.offset),
              std::tuple(Lsn(1001), EntryKind::data, ByteOffset(4096)));
    EXPECT_LT(entry.payload_bytes, 512U);
    Buffer unpacked;
    const auto data = (*frame)->payload(entry, unpacked);
    ASSERT_TRUE(data.ok());
    ASSERT_EQ(data->size(), 2048U);
    for (std::size_t at = 0; at < data->size(); ++at)
        ASSERT_EQ((*data)[at], static_cast<std::byte>(at)) << at;
    FrameBuilder builder;
    builder.add(entry, *data);
    Packer packer(1);
    const FramePtr again = builder.seal((*frame)->header(), &packer);
    EXPECT_TRUE(again->header().compressed);
    EXPECT_EQ(again->entries()[0].data_crc, entry.data_crc);
}

TEST(Formats, PositionAndImagesAreTheDocumentedOnes) {
    PositionBody position;
    position.state.line = lab::test_uuid(0x01);
    position.state.low = {Lsn(1000), 0};
    position.state.high = {Lsn(1004), 0};
    EXPECT_EQ(hex_rows(pack_position(position), 0), documented("position"));
    const std::vector<ImageExtent> extents{
        {.volume = VolumeIndex(1), .block = 2, .blocks = 2, .data_at = 80, .crc = 0x11223344},
        {.volume = VolumeIndex(0), .block = 16384, .blocks = 16384, .data_at = 0, .crc = 0}};
    EXPECT_EQ(hex_rows(pack_image_table(extents), 0), documented("images"));
}

KeptTip example_tip(std::uint64_t lsn) {
    KeptTip tip;
    tip.step.point = {lab::test_uuid(0x01), Lsn(lsn)};
    tip.step.hash.fill(0xab);
    tip.step.seq = FrameSeq(12);
    tip.step.step_time = WallTime(std::chrono::seconds(1'800'000'000));
    tip.stream_hash.fill(0xcd);
    tip.stream_seq = FrameSeq(13);
    return tip;
}

TEST(Formats, WhatIsKeptAndCondensedAreTheDocumentedOnes) {
    KeptBody kept;
    kept.age = std::chrono::hours(1);
    kept.baseline = example_tip(1000);
    kept.segments = {{7, 9}, {12, 12}};
    kept.condensed = {kCondensedNumbers + 1};
    EXPECT_EQ(hex_rows(pack_kept(kept), 0), documented("kept"));
    CondensedBody condensed;
    condensed.age = std::chrono::hours(1);
    condensed.imaged_to = {Lsn(1010), 0};
    StepInfo info;
    info.wall = info.step_time = WallTime(std::chrono::seconds(1'800'000'001));
    info.volume = VolumeIndex(1);
    info.offset = ByteOffset(4096);
    info.length = ByteCount(512);
    info.fua = true;
    condensed.ends = {{example_tip(1000), std::nullopt, {}},
                      {example_tip(1010), info, {VolumeIndex(0)}}};
    EXPECT_EQ(hex_rows(pack_condensed(condensed), 0), documented("condensed"));
    const auto back = unpack_condensed(pack_condensed(condensed));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(pack_condensed(*back), pack_condensed(condensed));
}

TEST(Formats, IndexFilesAreTheDocumentedOnes) {
    const std::array<ByteCount, 1> sizes{ByteCount(1 << 20)};
    const IndexedFile of{lab::test_uuid(0x11), 7, 0x5a5a5a5a5a5a5a5a, sizes};
    RedoIndex redo;
    redo.writes.add({.lsn = Lsn(1001),
                     .offset = ByteOffset(4096),
                     .payload_at = ByteOffset(8320),
                     .length = 512,
                     .sub = 0,
                     .crc = 0x11223344},
                    {});
    FrameRef frame;
    frame.seq = FrameSeq(12);
    frame.hash.fill(0xab);
    frame.first = frame.last = Lsn(1001);
    frame.step_first = frame.step_last = WallTime(std::chrono::seconds(1'800'000'000));
    frame.segment = 7;
    frame.at = ByteOffset(8256);
    frame.bytes = 777;
    redo.frames.push_back(frame);
    redo.flushes.push_back({Lsn(1001), VolumeIndex(0)});
    EXPECT_EQ(hex_rows(pack_redo_index(of, redo), 0), documented("redo-index"));
    BeforeImageIndex undo;
    const std::vector<ImageExtent> extents{
        {.volume = VolumeIndex(0), .block = 1, .blocks = 1, .data_at = 48, .crc = 0x55667788}};
    undo.add(extents, ByteOffset(4160));
    EXPECT_EQ(hex_rows(pack_undo_index(of, undo), 0), documented("undo-index"));

    const MergedIndexPtr index =
        merged_of({{6, 0x1111111111111111, 0, {}, {}}, {7, 0x5a5a5a5a5a5a5a5a, 0, {}, {}}});
    BodyBytes merged = pack_merged_head(of.group, *index);
    MergedPages pages(index->salt);
    pages.begin();
    pages.add({.volume = VolumeIndex(0), .first = 1, .count = 2, .children = 3});
    const BodyBytes directory = pages.finish();
    for (const BodyBytes& part : {directory, pages.take_pages()})
        merged.insert(merged.end(), part.begin(), part.end());
    EXPECT_EQ(hex_rows(merged, 0), documented("merged-index"));
}

TEST(Formats, TheCatalogueIsTheDocumentedOne) {
    CatalogueState state;
    state.sequence = 4711;
    state.position.state = {
        .line = lab::test_uuid(0x01), .low = {Lsn(1000), 0}, .high = {Lsn(1004), 0}, .held_at = {}};
    const Uuid group = lab::test_uuid(0x11);
    EXPECT_EQ(hex_rows(pack_catalogue_state(group, state), 0), documented("catalogue-state"));

    CatalogueEntry entry;
    entry.number = 7;
    entry.timeline = lab::test_uuid(0x01);
    entry.first = {Lsn(1000), 2};
    entry.last = entry.imaged_to = {Lsn(1500), 0};
    entry.redo = {0x1122334455667788, {0x03f00000, 0xaabbccdd, 0x03f00000}, true};
    entry.undo = {0x99aabbccddeeff00, {0x01000000, 0x01020304, 0x01000000}, true};
    entry.summary = {.seq_last = FrameSeq(300),
                     .frames = 40,
                     .has_steps = true,
                     .step_first = WallTime(std::chrono::seconds(1'800'000'000)),
                     .flushes_newest = {{Lsn(1490), VolumeIndex(0)}},
                     .flush_first = Lsn(1001)};
    entry.begun_at = std::chrono::hours(2);
    EXPECT_EQ(hex_rows(pack_entry(entry), 0), documented("catalogue-entry"));
    const auto back = unpack_entry(pack_entry(entry));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(pack_entry(*back), pack_entry(entry));
}

template <class T>
void expect_cut_is_refused(const BodyBytes& body, std::optional<T> (*unpack)(Bytes)) {
    EXPECT_TRUE(unpack(body));
    for (std::size_t size = 0; size < body.size(); ++size)
        EXPECT_FALSE(unpack(Bytes(body).first(size))) << size;
    BodyBytes longer = body;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(unpack(longer));
}

TEST(Formats, BodiesComeBackWholeAndACutBodyIsRefused) {
    HeadBody head;
    head.baseline.point = {lab::test_uuid(1), Lsn(5)};
    head.chain.tip.point = {lab::test_uuid(2), Lsn(9)};
    head.chain.tip.seq = FrameSeq(3);
    head.chain.sub = 4;
    head.chain.may_jump = true;
    TimelineInfo timeline = lab::root_timeline(lab::test_uuid(1));
    head.timelines = {timeline, timeline};
    Mark mark;
    mark.name = "m";
    head.marks = {mark};
    GapRecord gap;
    gap.gap.from = {lab::test_uuid(1), Lsn(5)};
    gap.gap.reason = "overflow";
    gap.gap.extents = {{VolumeIndex(1), ByteOffset(512), ByteCount(1024)}};
    gap.line = lab::test_uuid(2);
    gap.given_up = true;
    head.gaps = {gap};
    head.open_gap = gap.gap;
    const BodyBytes packed = pack_head(head);
    expect_cut_is_refused(packed, unpack_head);
    const auto back = unpack_head(packed);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->chain, head.chain);
    EXPECT_EQ(back->timelines, head.timelines);
    EXPECT_EQ(back->gaps[0].gap.extents.size(), 1U);
    EXPECT_EQ(back->open_gap->reason, "overflow");
    expect_cut_is_refused(pack_timeline(timeline), unpack_timeline);
    expect_cut_is_refused(pack_mark_record(mark), unpack_mark_record);
    expect_cut_is_refused(pack_name("name"), unpack_name);
    expect_cut_is_refused(pack_gap_open(gap.gap), unpack_gap_open);
    expect_cut_is_refused(pack_gap(gap), unpack_gap);
    expect_cut_is_refused(pack_footer({{Lsn(7), 1}}), unpack_footer);
    PositionBody position;
    expect_cut_is_refused(pack_position(position), unpack_position);
    position.state.low = {Lsn(2), 0};
    EXPECT_FALSE(unpack_position(pack_position(position))) << "low above high";
}

TEST(Formats, AnImageTableWithAnImpossibleExtentIsRefused) {
    const auto table = [](ImageExtent e) {
        BodyBytes body = pack_image_table({&e, 1});
        body.resize(body.size() + 8192);
        return unpack_image_table(body).has_value();
    };
    EXPECT_TRUE(
        table({.volume = VolumeIndex(0), .block = 2, .blocks = 2, .data_at = 48, .crc = 0}));
    EXPECT_FALSE(
        table({.volume = VolumeIndex(0), .block = 1, .blocks = 2, .data_at = 48, .crc = 0}))
        << "not aligned";
    EXPECT_FALSE(
        table({.volume = VolumeIndex(0), .block = 0, .blocks = 3, .data_at = 48, .crc = 0}))
        << "no power of two";
    EXPECT_FALSE(
        table({.volume = VolumeIndex(0), .block = 0, .blocks = 4, .data_at = 48, .crc = 0}))
        << "beyond the body";
    EXPECT_FALSE(
        table({.volume = VolumeIndex(0), .block = 0, .blocks = 2, .data_at = 47, .crc = 0}))
        << "inside the table";
    EXPECT_FALSE(
        table({.volume = VolumeIndex(0), .block = 0, .blocks = 1U << 20, .data_at = 0, .crc = 0}))
        << "too long";
}

TEST(Formats, FileNames) {
    EXPECT_EQ(file_name(FileKind::redo, 0x1f), "redo-000000000000001f");
    EXPECT_EQ(parse_file_name(FileKind::undo, "undo-000000000000001f"), 0x1fU);
    EXPECT_FALSE(parse_file_name(FileKind::undo, "redo-000000000000001f"));
    EXPECT_FALSE(parse_file_name(FileKind::redo, "redo-000000000000001F"));
    EXPECT_TRUE(is_unfinished_name(unfinished_name(FileKind::undo, 3)));
    EXPECT_FALSE(is_unfinished_name("lock.new"));
}

}  // namespace
}  // namespace everstep::journal
