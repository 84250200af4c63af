// Branches: writes over a step in a store of their own, over restarts, beside retention, cut short.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "on_a_step.hpp"

namespace everstep::standby::testing {
namespace {

TEST_F(OnAStep, ItsStepsAndThoseOfTheGroupAreWhatWasWritten) {
    begin();
    push(40);
    const Point base = maker_->point(Lsn(maker_->head().value() / 2));
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", base, branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 30);
    push(40);
    expect_all(*branch, writer);
    EXPECT_IMAGE(read_step(*branch, sizes_, base), maker_->image(base));
    for (const Point at : maker_->points())
        EXPECT_IMAGE(read_step(scene_->standby(), at), maker_->image(at));
}

TEST_F(OnAStep, ACleanStopGoesOnOnTheSameTimelineAnotherDoesNot) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    const TimelineId first = writer.timeline().id;
    branch.reset();
    scene_->close();
    ASSERT_OK(scene_->open());
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_EQ(branch->store().tip().point, writer.head_point());
    write(*branch, writer, 5);
    expect_all(*branch, writer);
    // As after a kill -9: the record does not say that the stop was clean.
    branch.reset();
    scene_->close();
    BranchRecord record = load_branch(io::system_files(), path_of("1")).value();
    EXPECT_TRUE(record.clean);
    record.clean = false;
    ASSERT_OK(save_branch(io::system_files(), path_of("1"), record));
    ASSERT_OK(scene_->open());
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_NE(branch->store().tip().point.timeline, first);
    EXPECT_EQ(branch->store().tip().point.lsn, writer.head());
    expect_all(*branch, writer);
    writer.follow(branch->store().timelines().back());
    write(*branch, writer, 5);
    expect_all(*branch, writer);
}

TEST_F(OnAStep, ItBelongsToItsDirectoryUntilThatIsForgotten) {
    begin();
    push(10);
    BranchRecord record;
    record.id = "1";
    record.base = maker_->head_point();
    record.volumes = {"data"};
    record.mount = "/mnt/then";
    scene_->thread().on([&] {
        Branches& branches = scene_->standby().branches();
        ASSERT_OK(branches.make(record, {record.base, branches.group()}).status());
    });
    const auto again = [&] {
        scene_->close();
        ASSERT_OK(scene_->open());
        ASSERT_NE(find("1"), nullptr);
    };
    again();
    EXPECT_EQ(find("1")->record().mount, "/mnt/then");
    scene_->thread().on([&] { ASSERT_OK(scene_->standby().branches().find("1")->forget_mount()); });
    EXPECT_EQ(find("1")->record().mount, "");
    again();
    EXPECT_EQ(find("1")->record().mount, "");
    EXPECT_EQ(find("1")->record().base, record.base);
}

TEST_F(OnAStep, RetentionLeavesWhatLiesBelowAlsoBehindAStart) {
    journal::KeepLimits keep;
    keep.keep_bytes = ByteCount(256U << 10);
    begin(keep);
    push(10);
    const Point base = maker_->head_point();
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", base, branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    branch.reset();
    for (int turn = 0; turn < 3; ++turn) {
        push(60);
        scene_->close();
        ASSERT_OK(scene_->open());
        expect_all(*find("1"), writer);
    }
    EXPECT_LE(scene_->store().baseline().lsn, base.lsn);
    // Dropped, it holds nothing any more.
    ASSERT_OK(drop("1"));
    push(60);
    EXPECT_TRUE(eventually([&] { return base.lsn < scene_->store().baseline().lsn; }));
}

TEST_F(OnAStep, BranchesOverBranchesGoFromTheTop) {
    begin();
    push(20);
    std::shared_ptr<Branch> lower;
    ASSERT_OK(make("9", maker_->head_point(), lower));
    HistoryMaker low = writer_on(*lower, *maker_);
    write(*lower, low, 6);
    std::shared_ptr<Branch> upper;
    ASSERT_OK(make("10", low.point(low.head() - 2), upper));
    HistoryMaker high = writer_on(*upper, low);
    write(*upper, high, 6);
    lower.reset();
    upper.reset();
    scene_->close();
    ASSERT_OK(scene_->open());
    expect_all(*find("9"), low);
    expect_all(*find("10"), high);
    EXPECT_EQ(drop("9").code(), ErrorCode::refused);
    ASSERT_OK(drop("10"));
    ASSERT_OK(drop("9"));
    EXPECT_EQ(find("9"), nullptr);
    EXPECT_TRUE(branch_ids(io::system_files(), directory_.path() + "/branches")->empty());
}

// What the files below a directory take of the disk.
std::uint64_t bytes_on_disk(const std::string& directory) {
    std::uint64_t bytes = 0;
    for (const auto& one : std::filesystem::recursive_directory_iterator(directory)) {
        struct stat facts {};
        EXPECT_EQ(::stat(one.path().c_str(), &facts), 0) << one.path();
        bytes += static_cast<std::uint64_t>(facts.st_blocks) * 512;
    }
    return bytes;
}

TEST_F(OnAStep, OneThatIsNotWrittenTakesLittleRoom) {
    constexpr std::uint64_t kUnwrittenBytesMax = 10ULL << 20;
    begin({}, ByteCount(1));
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    // Its keeper has found several times that nothing comes.
    const int looks = files_.looks();
    ASSERT_TRUE(eventually([&] { return files_.looks() >= looks + 8; }));
    EXPECT_LT(bytes_on_disk(path_of("1")), kUnwrittenBytesMax);
}

TEST_F(OnAStep, WhatWasCutShortIsRemovedAndWhatIsDamagedStays) {
    begin();
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    ASSERT_OK(make("2", maker_->head_point(), branch));
    branch.reset();
    scene_->close();
    // A making or dropping that a crash cut short has a store and no record; or nothing at all.
    std::filesystem::remove(path_of("1") + "/branch");
    std::filesystem::create_directories(path_of("3"));
    std::ofstream(path_of("2") + "/branch", std::ios::app) << "x";
    ASSERT_OK(scene_->open());
    EXPECT_FALSE(std::filesystem::exists(path_of("1")));
    EXPECT_FALSE(std::filesystem::exists(path_of("3")));
    EXPECT_TRUE(std::filesystem::exists(path_of("2") + "/store"));
    EXPECT_EQ(find("2"), nullptr);
    EXPECT_TRUE(eventually([&] {
        const auto events = scene_->events();
        return std::any_of(events.begin(), events.end(), [](const std::string& event) {
            return event.find("alarm-export") != std::string::npos &&
                   event.find("branches/2/branch") != std::string::npos;
        });
    }));
    ASSERT_OK(drop("2"));
    EXPECT_FALSE(std::filesystem::exists(path_of("2")));
}

TEST_F(OnAStep, ADirectoryThatWasCopiedOrRenamedIsRefused) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    const auto close = [&] {
        branch.reset();
        scene_->close();
    };
    const auto told = [&](const std::string& directory) {
        return eventually([&] {
            const auto events = scene_->events();
            return std::any_of(events.begin(), events.end(), [&](const std::string& event) {
                return event.find("alarm-export") != std::string::npos &&
                       event.find(directory + ": ") != std::string::npos &&
                       event.find("the branch of export 1") != std::string::npos;
            });
        });
    };
    close();
    std::filesystem::copy(path_of("1"), path_of("2"), std::filesystem::copy_options::recursive);
    ASSERT_OK(scene_->open());
    EXPECT_EQ(find("2"), nullptr);
    EXPECT_TRUE(told(path_of("2")));
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    write(*branch, writer, 3);
    expect_all(*branch, writer);
    ASSERT_OK(drop("2"));
    EXPECT_FALSE(std::filesystem::exists(path_of("2")));
    close();
    std::filesystem::rename(path_of("1"), path_of("7"));
    ASSERT_OK(scene_->open());
    EXPECT_EQ(find("1"), nullptr);
    EXPECT_EQ(find("7"), nullptr);
    EXPECT_TRUE(told(path_of("7")));
    close();
    std::filesystem::rename(path_of("7"), path_of("1"));
    ASSERT_OK(scene_->open());
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_EQ(branch->store().tip().point, writer.head_point());
    expect_all(*branch, writer);
}

TEST(BranchRecord, IsReadAsItWasWrittenAndNothingElseIs) {
    BranchRecord record;
    record.id = "12";
    record.base = {Uuid::random(), Lsn(345)};
    record.volumes = {"data", "logs"};
    record.socket = "/run/a = b.sock";
    record.clean = true;
    const std::string text = pack_branch(record);
    ASSERT_TRUE(unpack_branch(text).ok());
    EXPECT_EQ(unpack_branch(text).value(), record);
    record.socket.clear();
    record.tcp = "[::1]:10809";
    record.mount = "/mnt/a = b";
    ASSERT_TRUE(unpack_branch(pack_branch(record)).ok());
    EXPECT_EQ(unpack_branch(pack_branch(record)).value(), record);
    for (const char* bad : {"", "id = 1\n", "base = x 1\n", "id = 1\nbase = zz 1\n", "clean = 2\n",
                            "id 1\n", "unknown = 1\n"})
        EXPECT_EQ(unpack_branch(bad).status().code(), ErrorCode::corrupt) << bad;
}

}  // namespace
}  // namespace everstep::standby::testing
