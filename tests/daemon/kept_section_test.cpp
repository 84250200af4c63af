// The section of a group that a node was a member of, kept beside its state.
#include "daemon/kept_section.hpp"

#include <gtest/gtest.h>

#include "tests/base/config_text.hpp"
#include "tests/daemon/scratch.hpp"

namespace everstep::daemon {
namespace {

GroupConfig group_of(std::string_view text) {
    const auto config = parse_config(text, "/etc/everstep/everstep.toml");
    EXPECT_TRUE(config.ok()) << config.status().message();
    return *config->group("db");
}

TEST(KeptSection, HoldsWhatAHistoryIsOpenedWith) {
    const GroupConfig group = group_of(test::kGoodConfig);
    const auto back = unpack_section(pack_section(group));
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(back->name, "db");
    EXPECT_EQ(back->primary, "alpha");
    EXPECT_EQ(back->standbys, group.standbys);
    EXPECT_EQ(back->segment_bytes, group.segment_bytes);
    ASSERT_EQ(back->volumes.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(back->volumes[i].name, group.volumes[i].name);
        EXPECT_EQ(back->volumes[i].size, group.volumes[i].size);
        for (const char* node : {"alpha", "beta"}) {
            EXPECT_EQ(back->volumes[i].on(node)->device, group.volumes[i].on(node)->device);
            EXPECT_EQ(back->volumes[i].on(node)->listen, group.volumes[i].on(node)->listen);
        }
    }
    EXPECT_EQ(back->keep_time.count(), 0) << "what was left would go by its age";
    EXPECT_EQ(back->keep_bytes, ByteCount(0));
}

TEST(KeptSection, NamesWithDotsAndPathsWithBlanksComeBack) {
    std::string text(test::kGoodConfig);
    const auto change = [&](const std::string& from, const std::string& to) {
        for (std::size_t at = text.find(from); at != text.npos;
             at = text.find(from, at + to.size()))
            text.replace(at, from.size(), to);
    };
    change("\"wal\"", "\"wal.1\"");
    change("wal.img", "a b/wal.img");
    const auto back = unpack_section(pack_section(group_of(text)));
    ASSERT_TRUE(back.ok()) << back.status().message();
    ASSERT_EQ(back->volumes.size(), 2U);
    EXPECT_EQ(back->volumes[1].name, "wal.1");
    EXPECT_EQ(back->volumes[1].on("beta")->device, "/etc/everstep/a b/wal.img");
}

TEST(KeptSection, DamageIsNamedAndNeverTaken) {
    for (const char* text : {"", "name db\n", "volume.data.index x\nname db\n",
                             "name db\nvolume.\n", "segment_bytes 3 apples\n"})
        EXPECT_EQ(unpack_section(text).status().code(), ErrorCode::corrupt) << text;
}

TEST(KeptSection, IsThereAfterItWasKept) {
    const test::Scratch scratch;
    io::FileSystem& files = io::system_files();
    EXPECT_EQ(kept_section(files, scratch.path()).status().code(), ErrorCode::not_found);
    const GroupConfig group = group_of(test::kGoodConfig);
    ASSERT_TRUE(keep_section(files, scratch.path(), group).ok());
    ASSERT_TRUE(keep_section(files, scratch.path(), group).ok());
    const auto back = kept_section(files, scratch.path());
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(back->volumes.size(), 2U);
}

}  // namespace
}  // namespace everstep::daemon
