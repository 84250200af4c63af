// Batches of records: what was copied and what was borrowed lie in the file in the order in which
// they were staged, and a batch that failed leaves no trace; by the page cache and past it.
#include <gtest/gtest.h>

#include "common/base/checksum.hpp"
#include "journal/record_scan.hpp"
#include "tests/journal/store_lab.hpp"
#include "tests/power/memory_disk.hpp"

namespace everstep::journal::lab {
namespace {

class RecordWriterTest : public testing::TestWithParam<bool> {
  protected:
    RecordWriterTest() {
        io::OpenOptions how = GetParam() ? kAppendOptions : io::OpenOptions{};
        how.mode = io::OpenMode::create;
        auto file = files_.open(path(), how);
        EXPECT_TRUE(file.ok());
        header_.header.salt = test_uuid(0x5a);
        std::vector<std::byte> bytes(kFileHeaderBytes);
        header_.crc = pack_header(header_.header, bytes);
        EXPECT_TRUE((*file)->write_at(ByteOffset(0), bytes).ok());
        writer_ = std::make_unique<RecordWriter>(
            RecordWriter::Setup{.file = std::move(*file),
                                .salt = envelope_salt(header_.header.salt),
                                .tail = {kFileHeaderBytes, header_.crc, kFileHeaderBytes},
                                .capacity = ByteCount(0),
                                .sequence = &sequence_});
    }
    [[nodiscard]] static std::string path() { return "/store/redo"; }
    // A record of so many bytes, unlike every other one.
    void stage(std::size_t count, bool borrowed) {
        bodies_.emplace_back(count);
        for (std::size_t i = 0; i < count; ++i)
            bodies_.back()[i] = static_cast<std::byte>(i * 7 + bodies_.size() * 31);
        if (borrowed)
            (void)writer_->stage_borrowed(RecordKind::frame, bodies_.back(),
                                          crc32c(bodies_.back()));
        else
            (void)writer_->stage(RecordKind::frame, bodies_.back());
    }
    void expect_file() {
        const auto file = files_.open(path(), {});
        ASSERT_TRUE(file.ok());
        std::size_t n = 0;
        const auto end = scan_records(**file, header_, [&](const ScannedRecord& record) {
            EXPECT_LT(n, bodies_.size());
            EXPECT_TRUE(n < bodies_.size() && std::equal(record.body.begin(), record.body.end(),
                                                         bodies_[n].begin(), bodies_[n].end()))
                << n;
            ++n;
            return Status();
        });
        ASSERT_TRUE(end.ok()) << end.status().message();
        EXPECT_EQ(n, bodies_.size());
        EXPECT_EQ(end->tail.end, writer_->tail().end);
        EXPECT_EQ(end->tail.crc, writer_->tail().crc);
    }

    power::MemoryDisk files_;
    CheckedHeader header_;
    std::atomic<std::uint64_t> sequence_{1};
    std::unique_ptr<RecordWriter> writer_;
    std::vector<std::vector<std::byte>> bodies_;
};

INSTANTIATE_TEST_SUITE_P(Direct, RecordWriterTest, testing::Bool());

TEST_P(RecordWriterTest, CopiedAndBorrowedBodiesKeepTheirOrder) {
    for (int batch = 0; batch < 4; ++batch) {
        for (const std::size_t count :
             {std::size_t{100}, kBorrowedBytesMin, kBorrowedBytesMin - 1, kBorrowedBytesMin + 513,
              std::size_t{4096}, 2 * kBorrowedBytesMin, std::size_t{1} << 20}) {
            stage(count, batch % 2 == 0 || count % 2 == 0);
            if (batch == 3) {
                ASSERT_TRUE(writer_->write().ok());
            }
        }
        const std::uint64_t staged = writer_->staged_bytes();
        EXPECT_EQ(staged == 0, batch == 3);
        ASSERT_TRUE(writer_->write().ok());
        ASSERT_TRUE(writer_->sync().ok());
        EXPECT_TRUE(writer_->clean());
        expect_file();
    }
}

TEST_P(RecordWriterTest, AFailedBatchLeavesTheTailWhereItStood) {
    stage(1000, false);
    ASSERT_TRUE(writer_->write().ok());
    for (std::uint64_t at = 0; at < 5; ++at) {
        const LogTail before = writer_->tail();
        files_.operations = 0;
        files_.die_at = at;
        stage(2 * kBorrowedBytesMin, true);
        stage(50, false);
        stage(kBorrowedBytesMin, true);
        const bool written = writer_->write().ok();
        EXPECT_EQ(written, files_.operations <= at) << at;
        files_.die_at = power::MemoryDisk::kNever;
        if (written) continue;
        bodies_.resize(bodies_.size() - 3);
        EXPECT_EQ(writer_->staged_bytes(), 0U);
        EXPECT_EQ(writer_->tail().end, before.end);
        stage(kBorrowedBytesMin + 1, true);
        ASSERT_TRUE(writer_->write().ok());
        expect_file();
    }
}

}  // namespace
}  // namespace everstep::journal::lab
