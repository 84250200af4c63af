// Volumes that are made where they are missing.
#include "daemon/volume_files.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

// The machine's files; knows which directories were synced.
class WatchedFiles final : public io::FileSystem {
  public:
    Result<std::unique_ptr<io::File>> open(const std::string& path,
                                           const io::OpenOptions& options) override {
        return files_.open(path, options);
    }
    Status make_directory(const std::string& path) override { return files_.make_directory(path); }
    Status rename(const std::string& from, const std::string& to) override {
        return files_.rename(from, to);
    }
    Status remove(const std::string& path) override { return files_.remove(path); }
    Status sync_directory(const std::string& path) override {
        synced.insert(path);
        return files_.sync_directory(path);
    }
    Result<std::vector<std::string>> list(const std::string& path) const override {
        return files_.list(path);
    }
    Result<bool> exists(const std::string& path) const override { return files_.exists(path); }
    std::set<std::string> synced;

  private:
    io::FileSystem& files_ = io::system_files();
};

class VolumeFiles : public testing::Test {
  protected:
    VolumeFiles() {
        group.name = "db";
        VolumeConfig volume;
        volume.name = "data";
        volume.size = ByteCount(1U << 20);
        volume.nodes.push_back({"alpha", scratch.path() + "/data.img", "nbd", ""});
        group.volumes.push_back(volume);
        context.files = &files;
        context.group = &group;
        context.node = "alpha";
        context.events = &events;
    }
    void fill(std::byte with) {
        const auto file =
            files.open(scratch.path() + "/data.img", {io::OpenMode::read_write, false, false});
        ASSERT_TRUE(file.ok()) << file.status().message();
        const std::vector<std::byte> block(kBlockBytes, with);
        const Status written = (*file)->write_at(ByteOffset(0), block);
        ASSERT_TRUE(written.ok()) << written.message();
    }
    std::string problem() {
        const Result<std::string> found = volume_problem(context);
        return found.ok() ? *found : found.status().message();
    }

    const test::Scratch scratch;
    WatchedFiles files;
    Events events{"alpha", system_clock()};
    GroupConfig group;
    GroupContext context;
};

TEST_F(VolumeFiles, TheNameOfAnImageThatWasMadeIsDurable) {
    bool made = false;
    const Status prepared = prepare_volumes(context, made);
    ASSERT_TRUE(prepared.ok()) << prepared.message();
    EXPECT_TRUE(made);
    EXPECT_TRUE(files.synced.contains(scratch.path()));
}

// What was never flushed may be gone after an outage: that is the known volume.
TEST_F(VolumeFiles, OnlyWhatWasFlushedMakesAnEmptyVolumeAnotherOne) {
    bool made = false;
    ASSERT_TRUE(prepare_volumes(context, made).ok());
    fill(std::byte{1});
    const auto counts = sample_served(context);
    ASSERT_TRUE(counts.ok());
    fill(std::byte{0});
    EXPECT_EQ(problem(), "");
    EXPECT_TRUE(count_samples(context, *counts));
    EXPECT_FALSE(count_samples(context, *counts));
    EXPECT_NE(problem().find("is empty now"), std::string::npos);
    // It was seen to be empty.
    ASSERT_TRUE(sample_served(context).ok());
    EXPECT_EQ(problem(), "");
}

// A crash came between the making of the image and its sizing.
TEST_F(VolumeFiles, AnEmptyImageIsMadeToItsEnd) {
    const std::string image = scratch.path() + "/data.img";
    ASSERT_TRUE(files.open(image, {io::OpenMode::create, false, false}).ok());
    bool made = false;
    const Status prepared = prepare_volumes(context, made);
    ASSERT_TRUE(prepared.ok()) << prepared.message();
    EXPECT_TRUE(made);
    EXPECT_EQ(io::identify(image)->size_bytes, 1U << 20);
    EXPECT_TRUE(files.synced.contains(scratch.path()));
}

// Frames name a volume by its place: one that is new goes behind the others, and history has it
// later.
TEST_F(VolumeFiles, AVolumeIsAddedBehindTheOthersAndIsNotWholeYet) {
    bool made = false;
    ASSERT_TRUE(prepare_volumes(context, made).ok());
    EXPECT_EQ(context.record.volumes[0].whole_from, std::nullopt);
    context.record.role = wire::Role::primary;
    context.record.timelines.emplace_back();
    VolumeConfig more = group.volumes[0];
    more.name = "more";
    more.nodes[0].device = scratch.path() + "/more.img";
    group.volumes.insert(group.volumes.begin(), more);
    EXPECT_NE(volumes_moved(context).find("keep their order"), std::string::npos);
    std::swap(group.volumes[0], group.volumes[1]);
    EXPECT_EQ(volumes_moved(context), "");
    ASSERT_TRUE(prepare_volumes(context, made).ok());
    EXPECT_FALSE(made);
    ASSERT_EQ(context.record.volumes.size(), 2U);
    EXPECT_EQ(context.record.volumes[1].whole_from, Point());
    EXPECT_EQ(context.record.volumes[0].whole_from, std::nullopt);
    context.record.serves_store = true;
    context.record.volumes.pop_back();
    EXPECT_NE(volumes_moved(context).find("through its store"), std::string::npos);
}

// It was started with a file that the primary never took over, and that was put back.
TEST_F(VolumeFiles, AStandbyForgetsAVolumeThatNoSessionKnew) {
    bool made = false;
    ASSERT_TRUE(prepare_volumes(context, made).ok());
    context.record.role = wire::Role::standby;
    context.record.group = Uuid::random();
    VolumeConfig more = group.volumes[0];
    more.name = "more";
    more.nodes[0].device = scratch.path() + "/more.img";
    group.volumes.push_back(more);
    ASSERT_TRUE(prepare_volumes(context, made).ok());
    group.volumes.pop_back();
    const GroupRecord with = context.record;
    EXPECT_EQ(volumes_moved(context), "");
    EXPECT_EQ(context.record.volumes.size(), 1U);
    context.record = with;
    context.record.volumes[1].id = Uuid::random();
    EXPECT_NE(volumes_moved(context).find("cannot be removed"), std::string::npos);
}

}  // namespace
}  // namespace everstep::daemon
