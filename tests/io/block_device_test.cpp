// Block devices, as a loop device gives them. Needs root and losetup; says so and skips without.
#include <sys/mount.h>
#include <unistd.h>

#include <array>

#include "tests/io/scratch.hpp"

namespace everstep::io {
namespace {

[[nodiscard]] std::string output_of(const std::string& command) {
    std::string text;
    FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return text;
    std::array<char, 256> line{};
    while (std::fgets(line.data(), line.size(), pipe) != nullptr) text += line.data();
    ::pclose(pipe);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

class BlockDeviceTest : public Scratch {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "skipped: a loop device needs root";
    }
    void TearDown() override {
        if (!device_.empty()) static_cast<void>(output_of("losetup -d " + device_));
        if (mounted_) ::umount(path("small").c_str());
    }
    void attach(const std::string& image) {
        device_ = output_of("losetup -f --show " + image);
        if (device_.empty()) GTEST_SKIP() << "skipped: no loop device to be had";
    }

    std::string device_;
    bool mounted_ = false;
};

TEST_F(BlockDeviceTest, SizeZeroPunchAndLockWorkOnADevice) {
    constexpr std::size_t kSize = 8U << 20;
    Buffer model = filled(kSize, 21);
    ASSERT_OK(create("image")->write_at(ByteOffset(0), model.bytes()));
    attach(path("image"));
    if (IsSkipped()) return;
    const OpenOptions options{.mode = OpenMode::read_write, .exclusive_lock = true, .direct = true};
    const auto file = open(device_, options);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->size()->value(), kSize);
    EXPECT_EQ(system_files().open(device_, options).status().code(), ErrorCode::busy);

    ASSERT_OK(file->write_at(ByteOffset(4096), filled(8192, 22).bytes()));
    fill(model.bytes().subspan(4096, 8192), 22);
    ASSERT_OK(file->write_at(ByteOffset(20000), filled(999, 23).bytes()));
    fill(model.bytes().subspan(20000, 999), 23);
    ASSERT_OK(file->zero(ByteOffset(65536), ByteCount(131072)));
    std::fill_n(model.data() + 65536, 131072, std::byte{0});
    ASSERT_OK(file->zero(ByteOffset(300001), ByteCount(777)));
    std::fill_n(model.data() + 300001, 777, std::byte{0});
    ASSERT_OK(file->punch(ByteOffset(1U << 20), ByteCount(2U << 20)));
    std::fill_n(model.data() + (1U << 20), 2U << 20, std::byte{0});
    ASSERT_OK(file->allocate(ByteOffset(0), ByteCount(kSize)));
    EXPECT_EQ(file->allocate(ByteOffset(0), ByteCount(kSize + 1)).code(), ErrorCode::no_space);
    ASSERT_OK(file->resize(ByteCount(kSize)));
    EXPECT_EQ(file->resize(ByteCount(kSize / 2)).code(), ErrorCode::usage);
    ASSERT_OK(file->sync());

    Buffer back(kSize);
    back.resize(kSize);
    ASSERT_OK(file->read_at(ByteOffset(0), back.bytes()));
    EXPECT_TRUE(same(back.bytes(), model.bytes()));
    const auto extents = file->extents(ByteOffset(0), ByteCount(kSize));
    ASSERT_TRUE(extents.ok());
    std::uint64_t covered = 0;
    for (const DataExtent& extent : *extents) covered += extent.length.value();
    EXPECT_EQ(covered, kSize);
    const auto identity = identify(device_);
    ASSERT_TRUE(identity.ok());
    EXPECT_EQ(identity->size_bytes, kSize);
    EXPECT_EQ(identity->serial, path("image"));
}

// A device whose medium is full: the page cache takes the writes, the sync fails, and stays failed.
TEST_F(BlockDeviceTest, AFailedSyncIsFinal) {
    ASSERT_OK(system_files().make_directory(path("small")));
    if (::mount("tmpfs", path("small").c_str(), "tmpfs", 0, "size=1m") != 0)
        GTEST_SKIP() << "skipped: no right to mount";
    mounted_ = true;
    ASSERT_OK(create("small/image")->resize(ByteCount(64U << 20)));
    attach(path("small/image"));
    if (IsSkipped()) return;
    auto file = open(device_, {.mode = OpenMode::read_write});
    ASSERT_NE(file, nullptr);
    ASSERT_OK(file->write_at(ByteOffset(0), filled(16U << 20, 31).bytes()));
    const Status first = file->sync();
    EXPECT_FALSE(first.ok());
    EXPECT_NE(first.message().find(device_), std::string::npos) << first.message();
    EXPECT_EQ(file->sync().message(), first.message()) << "the kernel would say ok the second time";
    EXPECT_EQ(file->write_at(ByteOffset(0), filled(10, 1).bytes()).message(), first.message());
    EXPECT_EQ(file->zero(ByteOffset(0), ByteCount(512)).message(), first.message());
    file.reset();
}

}  // namespace
}  // namespace everstep::io
