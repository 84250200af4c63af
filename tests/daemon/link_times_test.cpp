#include "daemon/link_times.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using namespace std::chrono_literals;

TEST(LinkTimes, WhoIsToldFirstEndsNoLinkOfTheOther) {
    GroupConfig slow;
    slow.keepalive = {20s, 60s};
    GroupConfig quick;
    quick.keepalive = {500ms, 2s};
    const KeepaliveConfig both{500ms, 60s};
    EXPECT_EQ(link_times(slow.keepalive, quick.canonical()), both);
    EXPECT_EQ(link_times(quick.keepalive, slow.canonical()), both);
    EXPECT_EQ(link_times(quick.keepalive, quick.canonical()), quick.keepalive);
    EXPECT_EQ(link_times(quick.keepalive, {}), quick.keepalive);
}

TEST(LinkTimes, WhatIsFalseInTheOthersSectionIsNotTaken) {
    const KeepaliveConfig own{1s, 10s};
    EXPECT_EQ(link_times(own, {{"keepalive.interval", "soon"}, {"keepalive.timeout", ""}}), own);
    EXPECT_EQ(link_times(own, {{"keepalive.interval", "0ms"}}), (KeepaliveConfig{100ms, 10s}));
}

}  // namespace
}  // namespace everstep::daemon
