// What a store opens when it is opened, so that no read has to, and how much of it under few
// descriptors.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include "common/base/descriptors.hpp"
#include "journal/scrub.hpp"
#include "tests/journal/hooked_files.hpp"
#include "tests/journal/keep_lab.hpp"

namespace everstep::journal::lab {
namespace {

class OpenAhead : public ::testing::Test {
  protected:
    OpenAhead() : lab_(&files_) {
        lab_.options.whole_index_bytes = ByteCount(0);
        lab_.begin();
        lab_.take_some(100);
        while (lab_.store->wants_tending()) EXPECT_TRUE(lab_.store->tend().ok());
    }
    // Opens the store again, and reads every step; gives how many files that opened.
    std::size_t opened_by_reads() {
        lab_.reopen();
        std::size_t opened = 0;
        files_.at_open = [&](const std::string&, const io::OpenOptions&) {
            ++opened;
            return Status();
        };
        EXPECT_EQ(lab_.check_all(), lab_.primary.head().value() + 1);
        files_.at_open = nullptr;
        return opened;
    }

    HookedFiles files_;
    KeepLab lab_;
};

TEST_F(OpenAhead, NoReadOpensAFile) {
    ASSERT_GT(lab_.store->scrub_segments().size(), 10U);
    EXPECT_EQ(opened_by_reads(), 0U);
}

// What cannot be opened ahead is no error, and its reads say what is wrong with it.
TEST_F(OpenAhead, AFileThatCannotBeOpenedIsFoundByTheReadThatNeedsIt) {
    files_.at_open = [&](const std::string& name, const io::OpenOptions& options) {
        const bool is_undo = name.find("/undo-0") != std::string::npos;
        return is_undo && options.mode == io::OpenMode::read_only
                   ? Status(ErrorCode::io, name + ": lost")
                   : Status();
    };
    lab_.reopen();
    EXPECT_EQ(
        lab_.compare({kKeepLine, lab_.primary.head()}, lab_.primary.image(lab_.primary.head())),
        "");
    const Lsn middle(lab_.primary.head().value() / 2);  // behind the first touches of empty blocks
    const auto view = lab_.store->view({kKeepLine, middle});
    ASSERT_TRUE(view.ok());
    Image image(lab_.options.volume_bytes[0].value());
    const Status read = lab_.store->read(*view, lab_.replica, VolumeIndex(0), ByteOffset(0), image);
    EXPECT_EQ(read.code(), ErrorCode::io) << read.message();
}

TEST_F(OpenAhead, FewDescriptorsAreNotUsedUp) {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit few = before;
    few.rlim_cur = 64;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    EXPECT_EQ(files_for_cache(256), 4U);
    EXPECT_EQ(files_for_cache(3), 3U);
    EXPECT_GT(opened_by_reads(), 0U);
    allow_many_files();
    rlimit now{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
    EXPECT_EQ(now.rlim_cur, before.rlim_max);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace everstep::journal::lab
