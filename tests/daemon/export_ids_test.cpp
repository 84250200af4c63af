#include "daemon/export_ids.hpp"

#include <gtest/gtest.h>

#include "common/io/state_file.hpp"
#include "tests/power/memory_disk.hpp"

namespace everstep::daemon {
namespace {

const std::string kPath = "/state/exports/last";

std::uint64_t lasting(ExportIds& ids) {
    const auto id = ids.next_lasting();
    EXPECT_TRUE(id.ok()) << id.status().message();
    return id.ok() ? std::stoull(*id) : 0;
}

TEST(ExportIds, ANumberOfABranchIsNotGivenAgain) {
    power::MemoryDisk disk;
    {
        ExportIds ids(disk, kPath);
        ASSERT_TRUE(ids.load().ok());
        EXPECT_EQ(ids.next(), "1");
        EXPECT_EQ(lasting(ids), 2U);
        EXPECT_EQ(ids.next(), "3");
    }
    ExportIds ids(disk, kPath);
    ASSERT_TRUE(ids.load().ok());
    EXPECT_EQ(lasting(ids), 3U) << "behind the last branch's";
    ids.know(9);
    ids.know(5);
    EXPECT_EQ(ids.next(), "10");
}

// Whichever operation on the disk is the last of its process: what was given stays taken.
TEST(ExportIds, ANumberIsDurableBeforeItIsGiven) {
    for (std::uint64_t last = 1; last < 40; ++last) {
        power::MemoryDisk disk;
        std::uint64_t given = 0;
        {
            ExportIds ids(disk, kPath);
            ASSERT_TRUE(ids.load().ok());
            disk.die_at = last;
            for (int n = 0; n < 5; ++n) {
                const auto id = ids.next_lasting();
                if (!id.ok()) break;
                given = std::stoull(*id);
            }
        }
        disk.die_at = power::MemoryDisk::kNever;
        ExportIds ids(disk, kPath);
        ASSERT_TRUE(ids.load().ok());
        EXPECT_GT(lasting(ids), given) << "operation " << last;
    }
}

TEST(ExportIds, AFileThatIsNoneOfItsOwnIsNamed) {
    for (const std::string text : {"last", "last \n", "last x\n", "last 3", "last 3\n4\n", ""}) {
        power::MemoryDisk disk;
        ASSERT_TRUE(disk.make_directory("/state/exports").ok());
        ASSERT_TRUE(io::save_state(disk, kPath, text).ok());
        ExportIds ids(disk, kPath);
        const Status status = ids.load();
        EXPECT_EQ(status.code(), ErrorCode::corrupt) << text;
        EXPECT_NE(status.message().find(kPath), std::string::npos) << status.message();
        ids.know(4);
        EXPECT_EQ(lasting(ids), 5U);
    }
}

}  // namespace
}  // namespace everstep::daemon
