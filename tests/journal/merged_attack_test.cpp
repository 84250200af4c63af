// Merged indexes beside what goes on: retention in the middle of a look-up, disks that fail, few
// files that may be open, and threads.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "common/io/transfer_faults.hpp"
#include "journal/finding.hpp"
#include "journal/merged_file.hpp"
#include "journal/scrub.hpp"
#include "journal/segment_header.hpp"
#include "tests/journal/hooked_files.hpp"
#include "tests/journal/keep_lab.hpp"

namespace everstep::journal::lab {
namespace {

using std::filesystem::path;

bool is_merged(const std::string& name) {
    return name.find("merged-index-") != std::string::npos;
}

void tend(StoreLab& lab) {
    while (lab.store->wants_tending()) {
        const auto more = lab.store->tend();
        ASSERT_TRUE(more.ok()) << more.status().message();
    }
}

std::vector<path> merged_files(const StoreLab& lab) {
    std::vector<path> out;
    for (const auto& entry : std::filesystem::directory_iterator(lab.options.directory))
        if (is_merged(entry.path())) out.push_back(entry.path());
    std::sort(out.begin(), out.end());
    return out;
}
MergedBody body_of(const StoreLab& lab, const path& file) {
    const auto salt = parse_file_name(FileKind::merged_index, file.filename().string());
    const auto head = read_index_head(io::system_files(), file);
    const auto body = unpack_merged_head(head->bytes(), {lab.options.group, 0, *salt, {}}, file);
    EXPECT_TRUE(body.ok());
    return *body;
}
void flip_last(const path& file) {
    std::fstream at(file, std::ios::in | std::ios::out | std::ios::binary);
    at.seekg(-1, std::ios::end);
    const char last = static_cast<char>(at.get());
    at.seekp(-1, std::ios::end);
    at.put(static_cast<char>(last ^ 1));
}

// A window whose blocks were each written in another segment.
TEST(MergedAttack, ALookUpHoldsFewFilesOpen) {
    StoreLab lab({ByteCount(1 << 20)}, ByteCount(8 << 10));
    lab.options.whole_index_bytes = ByteCount(0);
    lab.open();
    Primary primary(lab.options.group, kKeepLine, lab.options.volume_bytes);
    Tip base;
    base.point = {kKeepLine, Lsn(0)};
    ASSERT_TRUE(lab.store->begin_history({root_timeline(kKeepLine)}, base).ok());
    for (std::uint64_t n = 0; n < 256; ++n) {
        const FramePtr frame = primary.frame({KeepLab::write(n * 37 % 256)});
        ASSERT_TRUE(lab.store->append({&frame, 1}).ok());
    }
    ASSERT_TRUE(lab.store->sync().ok());
    ASSERT_TRUE(lab.apply_all(lab.store->durable().point).ok());
    tend(lab);
    EXPECT_GT(lab.store->scrub_segments().size(), 100U);
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    rlimit few = before;
    few.rlim_cur = 56;  // each of the two caches keeps three open
    setrlimit(RLIMIT_NOFILE, &few);
    lab.reopen();
    const std::string old = lab.compare({kKeepLine, Lsn(1)}, primary.image(Lsn(1)));
    const std::string now = lab.compare({kKeepLine, Lsn(200)}, primary.image(Lsn(200)));
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(old, "");
    EXPECT_EQ(now, "");
}

// It can be written and not read.
TEST(MergedAttack, ADiskThatCannotReadItDoesNotKeepTheHousekeepingBusy) {
    HookedFiles files;
    KeepLab lab(&files);
    lab.options.whole_index_bytes = ByteCount(0);
    lab.begin();
    lab.take_some(100);
    files.at_open = [](const std::string& name, const io::OpenOptions& options) {
        return is_merged(name) && options.mode != io::OpenMode::create
                   ? Status(ErrorCode::io, "the disk does not read it")
                   : Status();
    };
    std::size_t steps = 0;
    for (; lab.store->wants_tending() && steps < 5000; ++steps)
        if (!lab.store->tend().ok()) break;
    EXPECT_LT(steps, 5000U);
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
    files.at_open = nullptr;
    for (int n = 0; n < 3; ++n)
        while (lab.store->wants_tending()) ASSERT_TRUE(lab.store->tend().ok());
    EXPECT_TRUE(lab.store->check_derived().empty());
}

// A segment's index is lost, and the segment is damaged so that it cannot be made again: what
// covers it is left as it is, and the others are mended.
TEST(MergedAttack, OneThatCannotBeMendedKeepsNoOtherFromIt) {
    KeepLab lab;
    lab.options.whole_index_bytes = ByteCount(0);
    lab.begin();
    lab.take_some(100);
    tend(lab);
    std::vector<path> lowest;
    for (const path& file : merged_files(lab))
        if (body_of(lab, file).level == 1) lowest.push_back(file);
    ASSERT_GT(lowest.size(), 4U);
    const std::uint64_t segment = body_of(lab, lowest[0]).covered[1].number;
    const path store = lab.options.directory;
    const path redo = store / file_name(FileKind::redo, segment);
    {
        std::fstream at(redo, std::ios::in | std::ios::out | std::ios::binary);
        at.seekp(9000);
        at.put(static_cast<char>(0x5a));
        at.put(static_cast<char>(0xa5));
    }
    std::filesystem::remove(store / file_name(FileKind::redo_index, segment));
    for (const path& file : lowest) flip_last(file);
    EXPECT_GE(lab.store->check_derived().size(), lowest.size());
    tend(lab);
    std::size_t left = 0;
    for (const Finding& finding : lab.store->check_derived())
        left += finding.file == lowest[0] ? 1 : 0;
    EXPECT_EQ(left, 1U);
    for (std::size_t n = 1; n < lowest.size(); ++n)
        for (const Finding& finding : lab.store->check_derived())
            EXPECT_NE(finding.file, lowest[n]) << finding.what;
    tend(lab);
}

// Each write of the housekeeping in turn finds the disk full; then there is room again, or the
// process is another one.
TEST(MergedAttack, AFullDiskAtEachPieceLeavesNothingHalf) {
    std::uint64_t failed = 0;
    for (std::uint64_t full_at = 0; full_at < 400 && !testing::Test::HasFailure(); full_at += 47) {
        KeepLab lab;
        lab.options.whole_index_bytes = ByteCount(0);
        lab.begin();
        lab.take_some(24);
        std::uint64_t writes = 0;
        io::TransferFaults faults;
        faults.write = [&](std::uint64_t, std::size_t size) {
            return writes++ < full_at ? static_cast<std::int64_t>(size) : std::int64_t{-ENOSPC};
        };
        io::transfer_faults() = &faults;
        Status status;
        for (int n = 0; n < 2000 && status.ok() && lab.store->wants_tending(); ++n)
            status = lab.store->tend().status();
        for (int n = 0; n < 3; ++n) (void)lab.store->tend();  // goes on trying
        io::transfer_faults() = nullptr;
        if (!status.ok()) {
            ++failed;
            EXPECT_EQ(status.code(), ErrorCode::no_space) << status.message();
        }
        EXPECT_TRUE(lab.store->wants_tending() || status.ok());
        EXPECT_EQ(lab.compare({kKeepLine, Lsn(9)}, lab.primary.image(Lsn(9))), "");
        EXPECT_TRUE(lab.store->check_derived().empty()) << full_at;
        if (full_at % 2 == 0) lab.reopen();
        tend(lab);
        EXPECT_TRUE(lab.store->check_derived().empty()) << full_at;
        EXPECT_FALSE(merged_files(lab).empty());
        for (const auto& entry : std::filesystem::directory_iterator(lab.options.directory))
            EXPECT_NE(entry.path().extension(), ".new") << entry.path();
        EXPECT_EQ(lab.compare({kKeepLine, Lsn(30)}, lab.primary.image(Lsn(30))), "");
        if (status.ok()) break;
    }
    EXPECT_GT(failed, 0U);
}

// Retention took segments from under two levels; the lower one was damaged and is made again. The
// upper one is right.
TEST(MergedAttack, OneMadeAgainFitsTheOneAboveIt) {
    KeepLab lab;
    lab.options.whole_index_bytes = ByteCount(0);
    lab.begin();
    lab.take_some(100);
    tend(lab);
    KeepLimits limits;
    std::size_t tried = 0;
    for (std::uint64_t bytes = 2400; bytes > 1000; bytes -= 60) {
        limits.keep_bytes = ByteCount(bytes << 10);
        lab.keep(limits);
        tend(lab);
        ASSERT_TRUE(lab.store->check_derived().empty());
        for (const path& file : merged_files(lab)) {
            if (!std::filesystem::exists(file)) continue;  // given up with another one
            const MergedBody body = body_of(lab, file);
            if (body.level != 1) continue;
            std::size_t there = 0;
            for (const Covered& one : body.covered)
                there += std::filesystem::exists(lab.options.directory + "/" +
                                                 file_name(FileKind::redo, one.number));
            if (there == body.covered.size()) continue;
            ++tried;
            flip_last(file);
            lab.reopen();
            EXPECT_FALSE(lab.store->check_derived().empty());
            tend(lab);
            for (const Finding& finding : lab.store->check_derived())
                ADD_FAILURE() << finding.file << ": " << finding.what;
        }
        lab.check_all();
    }
    EXPECT_GT(tried, 2U);
}

// Brought back by a backup that has the segments and left the merged indexes where they were.
TEST(MergedAttack, OneMadeAgainWithoutSomeOfItsSegmentsDoesNotHideThem) {
    KeepLab lab;
    lab.options.whole_index_bytes = ByteCount(0);
    lab.begin();
    lab.take_some(100);
    tend(lab);
    const ScratchDirectory backup;
    const auto opts = std::filesystem::copy_options::recursive |
                      std::filesystem::copy_options::overwrite_existing;
    const path store = lab.options.directory;
    std::filesystem::copy(store, backup.path(), opts);
    const std::vector<std::byte> replica = lab.replica.volumes[0];
    KeepLimits limits;
    limits.keep_bytes = ByteCount(1900 << 10);
    ASSERT_GT(lab.keep(limits), 0U);
    for (const path& file : merged_files(lab)) flip_last(file);
    lab.reopen();
    EXPECT_FALSE(lab.store->check_derived().empty());
    tend(lab);
    lab.store.reset();
    for (const auto& entry : std::filesystem::directory_iterator(store))
        if (!is_merged(entry.path())) std::filesystem::remove(entry.path());
    for (const auto& entry : std::filesystem::directory_iterator(backup.path()))
        if (!is_merged(entry.path()))
            std::filesystem::copy(entry.path(), store / entry.path().filename());
    lab.open();
    EXPECT_EQ(lab.check_all(), lab.primary.head().value() + 1);
}

}  // namespace
}  // namespace everstep::journal::lab
