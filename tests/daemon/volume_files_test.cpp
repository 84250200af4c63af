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

TEST(VolumeFiles, TheNameOfAnImageThatWasMadeIsDurable) {
    const test::Scratch scratch;
    WatchedFiles files;
    Events events("alpha", system_clock());
    GroupConfig group;
    group.name = "db";
    VolumeConfig volume;
    volume.name = "data";
    volume.size = ByteCount(1U << 20);
    volume.nodes.push_back({"alpha", scratch.path() + "/data.img", "nbd", ""});
    group.volumes.push_back(volume);
    GroupContext context;
    context.files = &files;
    context.group = &group;
    context.node = "alpha";
    context.events = &events;
    bool made = false;
    const Status prepared = prepare_volumes(context, made);
    ASSERT_TRUE(prepared.ok()) << prepared.message();
    EXPECT_TRUE(made);
    EXPECT_TRUE(files.synced.contains(scratch.path()));
}

}  // namespace
}  // namespace everstep::daemon
