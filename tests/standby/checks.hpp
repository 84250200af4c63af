// What a test compares: a step as read through the store, and the raw image files.
#pragma once

#include "history_maker.hpp"

namespace everstep::standby::testing {

// The whole content of a step through the reading function; empty on an error (which fails the
// test).
[[nodiscard]] Image read_step(const Standby& standby, Point at);
[[nodiscard]] Image read_step(const HistorySource& source, std::span<const ByteCount> sizes,
                              Point at);
// The files as they lie on disk.
[[nodiscard]] Image read_files(const std::vector<VolumeFile>& volumes);
// "" or where the first difference lies.
[[nodiscard]] std::string difference(const Image& found, const Image& wanted);

}  // namespace everstep::standby::testing

#define EXPECT_IMAGE(found, wanted) \
    EXPECT_EQ(::everstep::standby::testing::difference((found), (wanted)), "")
#define ASSERT_OK(expression)                            \
    do {                                                 \
        const ::everstep::Status status_ = (expression); \
        ASSERT_TRUE(status_.ok()) << status_.message();  \
    } while (false)
