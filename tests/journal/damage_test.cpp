// Torn tails, flips and left-over records: value, clean end or damage; never a crash, never wrong
// data. (Every flip and every truncation: tests/power/damage_bytes_test.cpp.)
#include <algorithm>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

#include "common/base/checksum.hpp"
#include "journal/record_scan.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

const TimelineId kLine = test_uuid(1);
constexpr std::uint64_t kVolumeBytes = 16 << 10;

TestWrite data(std::uint64_t sector, std::uint64_t count) {
    return {.volume = VolumeIndex(0),
            .offset = ByteOffset(sector * kSectorBytes),
            .length = ByteCount(count * kSectorBytes)};
}

// A store of one segment and a few steps, some of them applied, and what it holds.
class Damage : public testing::Test {
  protected:
    Damage()
        : lab({ByteCount(kVolumeBytes)}, ByteCount(48 << 10)),
          primary(lab.options.group, kLine, lab.options.volume_bytes) {
        lab.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        ok(lab.store->begin_history({primary.timeline()}, base));
    }
    static void ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
    void put_synced(const std::vector<TestWrite>& writes) {
        const FramePtr frame = primary.frame(writes);
        ok(lab.store->append({&frame, 1}));
        ok(lab.store->sync());
    }
    void put(const std::vector<TestWrite>& writes) {
        const FramePtr frame = primary.frame(writes);
        ok(lab.store->append({&frame, 1}));
    }
    [[nodiscard]] std::filesystem::path file(FileKind kind, std::uint64_t n = 1) const {
        return lab.directory.file("store") / file_name(kind, n);
    }
    // Opens what is there: either it is refused as damaged (naming the file), or every step that it
    // has is right.
    enum class Outcome { damaged, shorter, whole };
    Outcome outcome() {
        const Status status = lab.try_open();
        if (!status.ok()) {
            EXPECT_TRUE(status.code() == ErrorCode::corrupt || status.code() == ErrorCode::version)
                << status.message();
            EXPECT_NE(status.message().find(lab.options.directory), std::string::npos)
                << status.message();
            return Outcome::damaged;
        }
        const Lsn tip = lab.store->tip().point.lsn;
        EXPECT_LE(tip, primary.head());
        for (std::uint64_t n = 0; n <= tip.value(); ++n) {
            const std::string difference = lab.compare({kLine, Lsn(n)}, primary.image(Lsn(n)));
            // A payload that was damaged after the file was checked is an error of the read; never
            // wrong bytes.
            EXPECT_EQ(difference, "");
        }
        return tip == primary.head() ? Outcome::whole : Outcome::shorter;
    }

    StoreLab lab;
    Primary primary;
};

TEST_F(Damage, TornTailIsTheEndAndIsCutBeforeAnythingIsAppended) {
    put_synced({data(0, 8), data(3, 2)});
    const std::string before = content_of(file(FileKind::redo));
    put({data(1, 1)});
    lab.store.reset();
    std::string torn = content_of(file(FileKind::redo));
    ASSERT_NE(before, torn);
    std::size_t last = torn.size();
    while (torn[last - 1] == before[last - 1]) --last;
    torn[last - 1] = static_cast<char>(torn[last - 1] ^ 1);  // its last byte did not get there
    put_content(file(FileKind::redo), torn);
    EXPECT_EQ(outcome(), Outcome::shorter);
    ASSERT_EQ(lab.report.size(), 1U);
    EXPECT_NE(lab.report[0].find("torn tail"), std::string::npos);
    EXPECT_EQ(lab.store->tip().point.lsn, Lsn(2));
    lab.store.reset();
    EXPECT_EQ(content_of(file(FileKind::redo)), before) << "the tail is zeroes again";
}

TEST_F(Damage, ABadRecordBelowWhatWasSyncedIsDamageWithItsPlace) {
    put_synced({data(0, 8)});
    put_synced({data(3, 2)});
    put_synced({data(5, 2)});
    lab.store.reset();
    std::string bytes = content_of(file(FileKind::redo));
    const std::string magic = "EVSF";
    const auto first = std::search(bytes.begin(), bytes.end(), magic.begin(), magic.end());
    ASSERT_NE(first, bytes.end());
    *(first + 200) = static_cast<char>(*(first + 200) ^ 4);
    put_content(file(FileKind::redo), bytes);
    const Status status = lab.try_open();
    EXPECT_EQ(status.code(), ErrorCode::corrupt);
    const auto offset = first - bytes.begin() - static_cast<std::ptrdiff_t>(kEnvelopeBytes);
    EXPECT_NE(status.message().find("offset " + std::to_string(offset)), std::string::npos)
        << status.message();
}

// Flips one byte of `what`'s first occurrence in a file of a store that is open.
void flip_under(const std::filesystem::path& path, Bytes what, std::size_t at) {
    std::string bytes = content_of(path);
    const auto* first = reinterpret_cast<const char*>(what.data());
    const auto found = std::search(bytes.begin(), bytes.end(), first, first + what.size());
    ASSERT_NE(found, bytes.end());
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(found - bytes.begin() + static_cast<std::ptrdiff_t>(at));
    const char flipped = static_cast<char>(*(found + static_cast<std::ptrdiff_t>(at)) ^ 1);
    file.write(&flipped, 1);
}

TEST_F(Damage, WhatIsDamagedUnderAnOpenStoreIsNeverGivenOut) {
    lab.replica.volumes[0] = content(data(0, 32), Lsn(77), 9);
    const Image base = lab.replica.volumes[0];
    lab.options.recent_frame_bytes = ByteCount(0);  // it is the disk that is read
    lab.reopen();
    put_synced({data(0, 8), data(16, 1)});
    ok(lab.apply_all({kLine, Lsn(2)}));
    std::vector<std::byte> sector(kSectorBytes);
    const auto read = [&](std::uint64_t lsn, std::uint64_t at) {
        return lab.store->read(*lab.store->view({kLine, Lsn(lsn)}), lab.replica, VolumeIndex(0),
                               ByteOffset(at * kSectorBytes), sector);
    };
    ok(read(0, 1));
    flip_under(file(FileKind::undo), Bytes(base).subspan(512, 512), 20);
    EXPECT_EQ(read(0, 5).code(), ErrorCode::corrupt);
    EXPECT_NE(read(0, 5).message().find("undo-0000000000000001: offset"), std::string::npos);
    ok(lab.move({kLine, Lsn(1)}));
    ok(read(2, 16));
    flip_under(file(FileKind::redo), content(data(16, 1), Lsn(2), 1), 511);
    EXPECT_EQ(read(2, 16).code(), ErrorCode::corrupt);
    EXPECT_NE(read(2, 16).message().find("redo-0000000000000001: offset"), std::string::npos);
    EXPECT_EQ(lab.apply_batch({kLine, Lsn(2)}).code(), ErrorCode::corrupt);
}

// As a move reads: many ranges at once, out of one file.
TEST_F(Damage, OfManyPiecesReadAtOnceTheBadOneIsNamed) {
    lab.replica.volumes[0] = content(data(0, 32), Lsn(77), 9);
    lab.options.recent_frame_bytes = ByteCount(0);
    lab.reopen();
    const std::vector<TestWrite> writes = {data(0, 3),  data(4, 8),  data(13, 1),
                                           data(17, 6), data(24, 1), data(26, 2)};
    put_synced(writes);
    ok(lab.apply_all({kLine, Lsn(6)}));
    const View view = *lab.store->view({kLine, Lsn(6)});
    ok(lab.move({kLine, Lsn(0)}));
    std::vector<Image> found(8, Image(4 * kSectorBytes));
    std::vector<io::ReadOp> ops;
    for (std::size_t n = 0; n < found.size(); ++n)
        ops.push_back({ByteOffset(n * 4 * kSectorBytes), found[n]});
    const auto read = [&] { return lab.store->read(view, lab.replica, VolumeIndex(0), ops); };
    ok(read());
    for (std::size_t n = 0; n < writes.size(); ++n) {
        const std::string whole = content_of(file(FileKind::redo));
        const auto payload = content(writes[n], Lsn(n + 1), 1);
        const auto* first = reinterpret_cast<const char*>(payload.data());
        const auto at = std::search(whole.begin(), whole.end(), first, first + payload.size());
        flip_under(file(FileKind::redo), payload, payload.size() - 1);
        const Status status = read();
        EXPECT_EQ(status.code(), ErrorCode::corrupt);
        const std::string place = "redo-0000000000000001: offset " +
                                  std::to_string(at - whole.begin()) + ": " +
                                  std::to_string(payload.size()) + " bytes";
        EXPECT_NE(status.message().find(place), std::string::npos) << status.message();
        put_content(file(FileKind::redo), whole);
        ok(read());
    }
}

TEST_F(Damage, ASmallReadOfALargeWriteIsCheckedToo) {
    StoreLab wide({ByteCount(1 << 20)});
    wide.open();
    Primary writer(wide.options.group, kLine, wide.options.volume_bytes);
    Tip base;
    base.point = {kLine, Lsn(0)};
    ok(wide.store->begin_history({writer.timeline()}, base));
    const FramePtr frame = writer.frame({data(0, 1000)});
    ok(wide.store->append({&frame, 1}));
    const View view = *wide.store->view({kLine, Lsn(1)});
    std::vector<std::byte> sector(kSectorBytes);
    const auto read = [&](std::uint64_t at) {
        return wide.store->read(view, wide.replica, VolumeIndex(0), ByteOffset(at * kSectorBytes),
                                sector);
    };
    const auto payload = content(data(0, 1000), Lsn(1), 1);
    flip_under(wide.directory.file("store") / file_name(FileKind::redo, 2),
               Bytes(payload).subspan(300 * kSectorBytes, kSectorBytes), 7);
    EXPECT_EQ(read(300).code(), ErrorCode::corrupt);
    EXPECT_EQ(read(301).code(), ErrorCode::corrupt) << "the same 64 KiB, checked as one";
    ok(read(10));
    ok(read(999));
}

TEST_F(Damage, AMissingFileIsNamed) {
    for (int n = 0; n < 12; ++n) put_synced({data(0, 8), data(8, 8)});
    ok(lab.apply_all({kLine, primary.head()}));
    lab.store.reset();
    ASSERT_TRUE(std::filesystem::exists(file(FileKind::redo, 3)));
    for (const FileKind kind : {FileKind::redo, FileKind::undo})
        for (const std::uint64_t n : {1U, 2U}) {
            const auto aside = lab.directory.file("aside");
            std::filesystem::rename(file(kind, n), aside);
            const Status status = lab.try_open();
            EXPECT_EQ(status.code(), ErrorCode::corrupt);
            EXPECT_NE(status.message().find(file_name(kind, n)), std::string::npos);
            std::filesystem::rename(aside, file(kind, n));
        }
    ok(lab.try_open());
}

TEST_F(Damage, AnUndoFileEmptiedBelowTheStoredPositionIsDamage) {
    put_synced({data(0, 8), data(8, 8)});
    ok(lab.apply_all({kLine, Lsn(2)}));
    ok(lab.store->set_held(true, {kLine, Lsn(2)}));
    lab.store.reset();
    std::string undo = content_of(file(FileKind::undo));
    undo.resize(kFileHeaderBytes);
    put_content(file(FileKind::undo), undo);
    EXPECT_EQ(lab.try_open().code(), ErrorCode::corrupt);
}

TEST_F(Damage, ANewerFormatIsRefusedAsSuch) {
    put_synced({data(0, 8)});
    lab.store.reset();
    std::string bytes = content_of(file(FileKind::redo));
    bytes[4] = static_cast<char>(kFormatVersion + 1);
    const std::uint32_t crc = crc32c(std::as_bytes(std::span(bytes)).first(kFileHeaderBytes - 4));
    std::memcpy(bytes.data() + kFileHeaderBytes - 4, &crc, 4);
    put_content(file(FileKind::redo), bytes);
    EXPECT_EQ(lab.try_open().code(), ErrorCode::version);
}

TEST_F(Damage, AnotherGroupsStoreIsRefused) {
    put_synced({data(0, 8)});
    lab.store.reset();
    lab.options.group = test_uuid(0x22);
    EXPECT_EQ(lab.try_open().code(), ErrorCode::refused);
}

TEST_F(Damage, AHalfMadeSegmentIsRemoved) {
    put_synced({data(0, 8)});
    lab.store.reset();
    put_content(file(FileKind::undo, 2), content_of(file(FileKind::undo)));
    put_content(file(FileKind::redo, 2).string() + ".new", {1, 2, 3});
    ok(lab.try_open());
    EXPECT_FALSE(std::filesystem::exists(file(FileKind::undo, 2)));
    EXPECT_FALSE(std::filesystem::exists(file(FileKind::redo, 2).string() + ".new"));
    EXPECT_EQ(lab.compare({kLine, Lsn(1)}, primary.image(Lsn(1))), "");
}

TEST_F(Damage, ValidRecordsOfAnEarlierUseOfTheFileAreNotTaken) {
    put_synced({data(0, 8)});
    put_synced({data(8, 8)});
    lab.store.reset();
    // A file that was used before: the old records, good in themselves and with large claims,
    // behind a new header.
    const std::string old = content_of(file(FileKind::redo));
    StoreLab fresh({ByteCount(kVolumeBytes)}, ByteCount(48 << 10));
    fresh.open();
    Tip base;
    base.point = {kLine, Lsn(0)};
    ok(fresh.store->begin_history({primary.timeline()}, base));
    fresh.store.reset();
    const auto path = fresh.directory.file("store") / file_name(FileKind::redo, 1);
    std::string bytes = content_of(path);
    ASSERT_EQ(bytes.size(), old.size());
    std::copy(old.begin() + 8192, old.end(), bytes.begin() + 8192);
    put_content(path, bytes);
    ok(fresh.try_open());
    EXPECT_EQ(fresh.store->tip().point.lsn, Lsn(0));
    const FramePtr frame =
        Primary(fresh.options.group, kLine, fresh.options.volume_bytes).frame({data(4, 4)});
    ok(fresh.store->append({&frame, 1}));
    ok(fresh.store->sync());
    fresh.reopen();
    EXPECT_EQ(fresh.store->tip().point.lsn, Lsn(1));
}

}  // namespace
}  // namespace everstep::journal::lab
