// What lies below an image, by qemu-img and by the records beside it: what was cut, changed places
// or is damaged is not relied on.
#include "cli/backup_chain.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "cli/image_tools.hpp"
#include "fake_node.hpp"

namespace everstep::cli::test {
namespace {

constexpr std::uint64_t kSize = 1 << 20;
constexpr std::uint64_t kRefcounts = 0x20000;  // where qemu-img puts them in an image of that size

Point point(std::uint64_t lsn) {
    Point out;
    EXPECT_TRUE(Uuid::parse("4f2a91c0000000000000000000000001", out.timeline));
    out.lsn = Lsn(lsn);
    return out;
}

class Chains : public testing::Test {
  protected:
    void SetUp() override {
        if (!find_tool(kQemuImg).ok())
            GTEST_SKIP() << "skipped: " << find_tool(kQemuImg).status().message();
        std::mt19937 random(11);
        std::string bytes(kSize, '\0');
        for (char& one : bytes) one = static_cast<char>(random());
        std::ofstream(at("raw"), std::ios::binary) << bytes;
        tool({"convert", "-f", "raw", "-O", "qcow2", at("raw"), at("full")});
        over("upper", "full", ImageFormat::qcow2);
        over("over-raw", "raw", ImageFormat::raw);
        put("raw", 7, {}, ImageFormat::raw);
        put("full", 7, {});
        put("upper", 9, "full");
        put("over-raw", 9, "raw");
    }
    static void tool(const std::vector<std::string>& words) {
        const auto done = tool_output(kQemuImg, words);
        EXPECT_TRUE(done.ok()) << done.status().message();
    }
    void over(const std::string& name, const std::string& base, ImageFormat format) const {
        ImageSpec spec{at(name), ImageFormat::qcow2, ByteCount(kSize), base, format};
        EXPECT_TRUE(make_image(spec).ok());
    }
    // Its record; with a base it is one since step 7.
    void put(const std::string& name, std::uint64_t lsn, const std::string& base,
             ImageFormat format = ImageFormat::qcow2) const {
        BackupRecord record;
        record.group = "db";
        record.volume = "data";
        record.size = ByteCount(kSize);
        record.point = point(lsn);
        record.made = "2026-11-21T00:00:00.000000Z";
        record.image_format = format;
        record.bytes = ByteCount(std::filesystem::file_size(at(name)));
        if (!base.empty()) record.since = point(7);
        record.base = base;
        std::ofstream(at(name) + ".everstep") << backup_record_text(record);
    }
    void cut(const std::string& name, std::uint64_t by) const {
        std::filesystem::resize_file(at(name), std::filesystem::file_size(at(name)) - by);
    }
    void write(const std::string& name, std::uint64_t offset, const std::string& bytes) const {
        std::fstream file(at(name), std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(static_cast<std::streamoff>(offset));
        file << bytes;
    }
    [[nodiscard]] std::vector<ChainImage> chain(const std::string& name) const {
        const ImageFormat format = name == "raw" ? ImageFormat::raw : ImageFormat::qcow2;
        const auto found = image_chain(at(name), format);
        EXPECT_TRUE(found.ok()) << found.status().message();
        return found.ok() ? *found : std::vector<ChainImage>();
    }
    void expect_records(const std::string& name, const std::string& says) const {
        expect_refused(check_records(chain(name)), says);
        const auto backup = read_backup(at(name));
        ASSERT_TRUE(backup.ok());
        expect_refused(check_below(*backup, at("new")).status(), says);
    }
    static void expect_refused(const Status& status, const std::string& says) {
        EXPECT_EQ(status.code(), ErrorCode::refused) << status.message();
        EXPECT_NE(status.message().find(says), std::string::npos) << status.message();
    }
    [[nodiscard]] std::string at(const std::string& name) const {
        return directory_.path() + "/" + name;
    }
    const TemporaryDirectory directory_;
};

TEST_F(Chains, AreListedDownToTheLast) {
    const auto found = chain("over-raw");
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].file, at("over-raw"));
    EXPECT_EQ(found[0].format, "qcow2");
    EXPECT_EQ(found[1].file, at("raw"));
    EXPECT_EQ(found[1].format, "raw");
    EXPECT_EQ(found[1].size, ByteCount(kSize));
    for (const char* name : {"raw", "full", "upper", "over-raw"}) {
        EXPECT_TRUE(check_records(chain(name)).ok()) << check_records(chain(name)).message();
        EXPECT_TRUE(check_tables(chain(name)).ok()) << check_tables(chain(name)).message();
    }
    EXPECT_TRUE(check_below(*read_backup(at("upper")), at("new")).ok());
    expect_refused(check_below(*read_backup(at("upper")), at("full")).status(), "would lie over");
    std::filesystem::create_hard_link(at("full"), at("again"));
    expect_refused(check_below(*read_backup(at("upper")), at("again")).status(), "would lie over");
}

TEST_F(Chains, ThatEndNowhereAreErrors) {
    const auto upper = read_backup(at("upper"));
    ASSERT_TRUE(upper.ok());
    std::filesystem::rename(at("full"), at("away"));
    const Status missing = image_chain(at("upper"), ImageFormat::qcow2).status();
    EXPECT_EQ(missing.code(), ErrorCode::io);
    EXPECT_NE(missing.message().find(at("full")), std::string::npos) << missing.message();
    EXPECT_NE(check_below(*upper, at("new")).status().message().find("over " + at("upper")),
              std::string::npos);
    std::filesystem::rename(at("away"), at("full"));
    tool({"rebase", "-u", "-f", "qcow2", "-b", "upper", "-F", "qcow2", at("full")});
    const Status ring = image_chain(at("upper"), ImageFormat::qcow2).status();
    EXPECT_EQ(ring.code(), ErrorCode::io);
    EXPECT_NE(ring.message().find("infinite loop"), std::string::npos) << ring.message();
    EXPECT_EQ(image_chain(at("raw"), ImageFormat::qcow2).status().code(), ErrorCode::io);
}

TEST_F(Chains, WhatWasCutIsRefused) {
    cut("raw", 100);  // QEMU sees the same size, and zeroes
    EXPECT_EQ(chain("over-raw")[1].size, ByteCount(kSize));
    expect_records("over-raw", at("raw") + " is cut: it has 1048476 bytes, and had 1048576");
    cut("raw", kSize / 2);
    expect_records("over-raw", at("raw") + " holds a disk of 524288 bytes");
    std::filesystem::remove(at("raw.everstep"));
    expect_records("over-raw", at("raw") + " holds a disk of 524288 bytes, and " + at("over-raw"));

    cut("full", 100);
    EXPECT_TRUE(check_tables(chain("full")).ok()) << "then `bytes` were not needed";
    expect_records("upper", at("full") + " is cut");
    expect_records("full", at("full") + " is cut");
    cut("full", 300000);
    expect_refused(check_tables(chain("upper")), at("full") + " is damaged");
}

TEST_F(Chains, ABaseThatHoldsAnotherStepIsRefused) {
    put("full", 8, {});
    expect_records("upper", at("upper") + " was made over step 7 of timeline 4f2a91c0 of " +
                                at("full") + ", which holds step 8 of timeline 4f2a91c0 now");
    put("full", 9, {});  // qemu-img commit, and the record after it
    EXPECT_TRUE(check_records(chain("upper")).ok());
    std::filesystem::remove(at("full.everstep"));
    EXPECT_TRUE(check_records(chain("upper")).ok());
    // Moved to another base by QEMU's tools: its record does not speak of that.
    over("other", "raw", ImageFormat::raw);
    put("other", 8, {});
    tool({"rebase", "-u", "-f", "qcow2", "-b", "other", "-F", "qcow2", at("upper")});
    EXPECT_TRUE(check_records(chain("upper")).ok());
}

TEST_F(Chains, DamagedTablesAreRefusedAndLeaksAreNot) {
    std::filesystem::resize_file(at("full"), 10 << 20);
    write("full", kRefcounts + 2 * 100, {'\0', '\1'});  // a cluster that nothing refers to
    EXPECT_TRUE(check_tables(chain("upper")).ok()) << check_tables(chain("upper")).message();
    write("full", kRefcounts, std::string(20, '\0'));  // clusters in use that count as free
    expect_refused(check_tables(chain("upper")), at("full") + " is damaged");
}

}  // namespace
}  // namespace everstep::cli::test
