#include <sys/stat.h>

#include "tests/io/scratch.hpp"

namespace everstep::io {
namespace {

using DirectoryTest = Scratch;

TEST_F(DirectoryTest, MakeDirectoryMakesParentsPrivateAndIsRepeatable) {
    ASSERT_OK(system_files().make_directory(path("a/b//c/")));
    ASSERT_OK(system_files().make_directory(path("a/b/c")));
    for (const char* name : {"a", "a/b", "a/b/c"}) {
        struct stat facts {};
        ASSERT_EQ(::stat(path(name).c_str(), &facts), 0);
        EXPECT_TRUE(S_ISDIR(facts.st_mode));
        EXPECT_EQ(facts.st_mode & 0777, 0700U);
    }
    ASSERT_NE(create("file"), nullptr);
    EXPECT_EQ(system_files().make_directory(path("file")).code(), ErrorCode::exists);
    EXPECT_EQ(system_files().make_directory(path("file/x")).code(), ErrorCode::exists);
}

TEST_F(DirectoryTest, ListIsSortedAndWithoutDots) {
    ASSERT_NE(create("b"), nullptr);
    ASSERT_NE(create("a"), nullptr);
    ASSERT_OK(system_files().make_directory(path("c")));
    const auto names = system_files().list(directory_);
    ASSERT_TRUE(names.ok());
    EXPECT_EQ(*names, (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(system_files().list(path("none")).status().code(), ErrorCode::not_found);
}

TEST_F(DirectoryTest, RenameReplacesAndRemoveSaysWhatIsMissing) {
    ASSERT_OK(create("a")->write_at(ByteOffset(0), filled(10, 1).bytes()));
    ASSERT_NE(create("b"), nullptr);
    ASSERT_OK(system_files().rename(path("a"), path("b")));
    ASSERT_OK(system_files().sync_directory(directory_));
    EXPECT_FALSE(*system_files().exists(path("a")));
    EXPECT_EQ(open(path("b"), {})->size()->value(), 10U);
    ASSERT_OK(system_files().remove(path("b")));
    EXPECT_EQ(system_files().remove(path("b")).code(), ErrorCode::not_found);
    EXPECT_EQ(system_files().rename(path("a"), path("b")).code(), ErrorCode::not_found);
    EXPECT_EQ(system_files().sync_directory(path("x")).code(), ErrorCode::not_found);
    EXPECT_FALSE(*system_files().exists(path("x/y")));
}

}  // namespace
}  // namespace everstep::io
