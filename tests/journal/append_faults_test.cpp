// Appends past the page cache on a disk that fails, moves less and refuses: what was taken is
// there, in its order, read by whatever way, and what was not taken is never in the way of it.
#include <gtest/gtest.h>

#include <thread>

#include "common/base/checksum.hpp"
#include "common/io/transfer_faults.hpp"
#include "journal/record_scan.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

// In a thread of its own, whose ring is made under the faults.
template <class Act>
void with(io::TransferFaults& faults, const Act& act) {
    std::thread([&] {
        io::transfer_faults() = &faults;
        act();
        io::transfer_faults() = nullptr;
    }).join();
}

// One request in `one_in` fails or is cut short, where it is on.
class BadDisk {
  public:
    explicit BadDisk(std::mt19937_64& rnd) : rnd_(rnd) {
        faults.write = [this](std::uint64_t, std::size_t size) { return answer(size); };
    }
    io::TransferFaults faults;
    bool on = false;
    std::uint64_t one_in = 6;

  private:
    std::int64_t answer(std::size_t size) {
        if (!on || rnd_() % one_in != 0) return static_cast<std::int64_t>(size);
        constexpr std::array kErrors{EIO, ENOSPC, EAGAIN, EINVAL};
        const std::uint64_t kind = rnd_() % 8;
        if (kind < kErrors.size()) return -kErrors[kind];
        const std::uint64_t count = 1 + rnd_() % size;
        return static_cast<std::int64_t>(kind % 2 == 0 ? count : (count + 511) / 512 * 512);
    }
    std::mt19937_64& rnd_;
};

// A redo file, appended to, read beside by the page cache, opened again and used again.
class FaultyRedo {
  public:
    FaultyRedo(std::uint64_t seed, BadDisk& disk, std::mt19937_64& rnd)
        : rnd_(rnd), disk_(disk), salt_(static_cast<std::uint8_t>(seed)) {
        auto file = io::system_files().open(path(), {.mode = io::OpenMode::create});
        EXPECT_TRUE(file.ok());
        EXPECT_TRUE((*file)->resize(kFile).ok());
        EXPECT_TRUE((*file)->allocate(ByteOffset(0), kFile).ok());
        use_again();
    }
    void round() {
        const std::size_t before = bodies_.size();
        for (std::uint64_t n = 1 + rnd_() % 6; n > 0; --n) {
            const std::size_t bytes = rnd_() % (rnd_() % 3 == 0 ? 700U << 10 : 20U << 10);
            if (writer_->fits(bytes)) stage(bytes);
        }
        disk_.on = true;
        const Status written = writer_->write();
        disk_.on = false;
        if (!written.ok()) {
            ++failed;
            failed_.emplace_back(bodies_.begin() + static_cast<std::ptrdiff_t>(before),
                                 bodies_.end());
            bodies_.resize(before);
        }
        if (written.ok() && bodies_.size() > before) failed_.clear();
        if (rnd_() % 3 == 0) {
            ASSERT_TRUE(writer_->sync().ok());
        }
        if (rnd_() % 4 == 0) read_beside();
        if (rnd_() % 7 == 0) open_again();
        if (!writer_->fits(800U << 10)) {
            read_beside();
            use_again();
        }
    }
    std::uint64_t failed = 0;

  private:
    using Content = std::vector<std::byte>;
    using Batch = std::vector<std::shared_ptr<const Content>>;
    static constexpr ByteCount kFile{6U << 20};
    [[nodiscard]] std::string path() const { return directory_.path() + "/redo"; }
    void stage(std::size_t count) {
        Content body(count);
        for (std::size_t i = 0; i < count; ++i)
            body[i] = static_cast<std::byte>((i ^ number_) * 0x9E3779B97F4A7C15U >> 56);
        ++number_;
        bodies_.push_back(std::make_shared<const Content>(std::move(body)));
        if (rnd_() % 2 == 0)
            (void)writer_->stage_borrowed(RecordKind::frame, *bodies_.back(),
                                          crc32c(*bodies_.back()));
        else
            (void)writer_->stage(RecordKind::frame, Bytes(*bodies_.back()));
    }
    void use(const LogTail& tail) {
        auto file = io::system_files().open(path(), kAppendOptions);
        ASSERT_TRUE(file.ok());
        writer_ = std::make_unique<RecordWriter>(
            RecordWriter::Setup{.file = std::move(*file),
                                .salt = envelope_salt(header_.header.salt),
                                .tail = tail,
                                .capacity = kFile,
                                .sequence = &sequence_});
    }
    void use_again() {
        header_.header.salt = test_uuid(++salt_);
        header_.header.file_bytes = kFile;
        std::vector<std::byte> bytes(kFileHeaderBytes);
        header_.crc = pack_header(header_.header, bytes);
        auto file = io::system_files().open(path(), kAppendOptions);
        ASSERT_TRUE(file.ok() && (*file)->write_at(ByteOffset(0), bytes).ok());
        bodies_.clear();
        failed_.clear();
        use({kFileHeaderBytes, header_.crc, kFileHeaderBytes});
    }
    // By the page cache, as a scrub and the tool read. Behind what was taken may lie the begin of
    // one of the batches that failed since.
    Result<ScanEnd> scan(Batch& found) {
        const auto file = io::system_files().open(path(), {});
        EXPECT_TRUE(file.ok());
        auto end = scan_records(**file, header_, [&](const ScannedRecord& record) {
            found.push_back(
                std::make_shared<const Content>(record.body.begin(), record.body.end()));
            return Status();
        });
        EXPECT_GE(found.size(), bodies_.size());
        const auto begins = [&](std::size_t from, const Batch& wanted) {
            for (std::size_t n = from; n < found.size(); ++n)
                if (n - from >= wanted.size() || *found[n] != *wanted[n - from]) return false;
            return true;
        };
        bool known = found.size() == bodies_.size();
        for (const Batch& one : failed_) known = known || begins(bodies_.size(), one);
        EXPECT_TRUE(known) << found.size() << " records, taken were " << bodies_.size();
        found.resize(std::max(found.size(), bodies_.size()));
        for (std::size_t n = 0; n < bodies_.size(); ++n) {
            EXPECT_TRUE(found[n] != nullptr && *found[n] == *bodies_[n]) << n;
        }
        return end;
    }
    void read_beside() {
        Batch found;
        const auto end = scan(found);
        ASSERT_TRUE(end.ok()) << end.status().message();
    }
    void open_again() {
        writer_.reset();
        Batch found;
        const auto end = scan(found);
        ASSERT_TRUE(end.ok()) << end.status().message();
        // What failed and is whole after all counts from now on.
        bodies_ = std::move(found);
        failed_.clear();
        const auto file = io::system_files().open(path(), {.mode = io::OpenMode::read_write});
        ASSERT_TRUE(file.ok());
        if (end->tail_dirty) {
            ASSERT_TRUE((*file)->zero(ByteOffset(end->tail.end), kFile - end->tail.end).ok());
        }
        ASSERT_TRUE((*file)->sync().ok());
        sequence_ = end->sequence_max + 1;
        LogTail tail = end->tail;
        tail.synced_to = tail.end;
        use(tail);
    }

    std::mt19937_64& rnd_;
    BadDisk& disk_;
    ScratchDirectory directory_;
    CheckedHeader header_;
    std::atomic<std::uint64_t> sequence_{1};
    std::uint8_t salt_;
    std::uint64_t number_ = 1;
    Batch bodies_;               // taken
    std::vector<Batch> failed_;  // since the newest batch that was taken
    std::unique_ptr<RecordWriter> writer_;
};

TEST(AppendFaults, WhatWasTakenIsThereAndWhatFailedIsNotInItsWay) {
    const std::uint64_t seed = seed_of("AppendFaults", 1);
    std::uint64_t failed = 0;
    for (std::uint64_t n = 0; n < 5 && !testing::Test::HasFailure(); ++n) {
        std::mt19937_64 rnd(seed + n);
        BadDisk disk(rnd);
        disk.faults.no_ring = n == 1;
        disk.faults.no_registration = n == 2;
        disk.faults.no_direct = n == 3;
        if (n == 4) disk.faults.submissions = 40;
        with(disk.faults, [&] {
            FaultyRedo redo(n, disk, rnd);
            for (int round = 0; round < 40 && !testing::Test::HasFailure(); ++round) redo.round();
            failed += redo.failed;
        });
    }
    EXPECT_GT(failed, 10U);
}

std::vector<FramePtr> some_frames(Primary& primary, std::mt19937_64& rnd) {
    std::vector<FramePtr> frames;
    for (std::uint64_t f = 1 + rnd() % 4; f > 0; --f) {
        std::vector<TestWrite> writes;
        for (std::uint64_t w = 1 + rnd() % 3; w > 0; --w) {
            TestWrite one;
            const std::uint64_t first = rnd() % 500;
            one.offset = ByteOffset(first * kSectorBytes);
            one.length =
                ByteCount((1 + rnd() % std::min<std::uint64_t>(512 - first, 80)) * kSectorBytes);
            writes.push_back(one);
        }
        frames.push_back(primary.frame(writes));
    }
    return frames;
}

// A store: frames, marks and new segments over such a disk, each tried again until it is
// taken, and opened again between.
TEST(AppendFaults, AStoreTakesEachStepOnceHoweverOftenItFails) {
    const std::uint64_t seed = seed_of("AppendFaultsStore", 1);
    std::uint64_t failures = 0;
    for (std::uint64_t n = 0; n < 2 && !testing::Test::HasFailure(); ++n) {
        std::mt19937_64 rnd(seed + n);
        BadDisk disk(rnd);
        disk.one_in = 8;
        disk.faults.no_direct = n == 1;
        with(disk.faults, [&] {
            StoreLab lab({ByteCount(256 << 10)}, ByteCount(256 << 10));
            lab.options.recent_frame_bytes = ByteCount(256 << 10);
            lab.open();
            Primary primary(lab.options.group, test_uuid(1), lab.options.volume_bytes);
            Tip base;
            base.point = {test_uuid(1), Lsn(0)};
            ASSERT_TRUE(lab.store->begin_history({primary.timeline()}, base).ok());
            const auto until = [&](const auto& act) {
                for (int tries = 0; tries < 200; ++tries) {
                    disk.on = true;
                    const Status status = act();
                    disk.on = false;
                    if (status.ok()) return;
                    ++failures;
                }
                ADD_FAILURE() << "never taken";
            };
            for (int round = 0; round < 20 && !testing::Test::HasFailure(); ++round) {
                const std::vector<FramePtr> frames = some_frames(primary, rnd);
                until([&] { return lab.store->append(frames); });
                if (rnd() % 3 == 0) {
                    Mark mark;
                    mark.name = "m" + std::to_string(round);
                    mark.at = {test_uuid(1), primary.head()};
                    until([&] {
                        const Status put = lab.store->put_mark(mark);
                        return put.code() == ErrorCode::exists ? Status() : put;
                    });
                }
                until([&] { return lab.store->sync(); });
                if (rnd() % 2 == 0) {
                    ASSERT_TRUE(lab.apply_all(lab.store->durable().point).ok());
                }
                const Lsn at(rnd() % (primary.head().value() + 1));
                EXPECT_EQ(lab.compare({test_uuid(1), at}, primary.image(at)), "") << round;
                if (rnd() % 5 == 0) {
                    lab.store.reset();
                    const Status opened = lab.try_open();
                    ASSERT_TRUE(opened.ok()) << opened.message();
                    ASSERT_EQ(lab.store->tip().point.lsn, primary.head());
                    if (lab.store->replica().low != lab.store->replica().high) {
                        ASSERT_TRUE(lab.redo().ok());
                    }
                }
            }
            for (Lsn lsn(0); lsn <= primary.head(); lsn = lsn + 1)
                ASSERT_EQ(lab.compare({test_uuid(1), lsn}, primary.image(lsn)), "") << lsn.value();
        });
    }
    EXPECT_GT(failures, 1U);
}

}  // namespace
}  // namespace everstep::journal::lab
