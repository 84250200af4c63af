#include "daemon/rate_limit.hpp"

#include <gtest/gtest.h>

namespace everstep::daemon {
namespace {

using namespace std::chrono_literals;

// Sends frames as soon as it may, looking every 50 ms, and counts the bytes.
std::uint64_t sent_in(RateLimit& limit, std::chrono::nanoseconds from,
                      std::chrono::nanoseconds duration, std::uint64_t frame_bytes) {
    std::uint64_t bytes = 0;
    for (auto now = from; now < from + duration; now += 50ms) {
        while (limit.may_send(now)) {
            limit.sent(frame_bytes, now);
            bytes += frame_bytes;
        }
    }
    return bytes;
}

TEST(RateLimit, WithoutOneEverythingMayLeave) {
    RateLimit limit;
    for (int i = 0; i < 1000; ++i) {
        EXPECT_TRUE(limit.may_send(1s));
        limit.sent(1U << 20, 1s);
    }
    EXPECT_FALSE(limit.limits());
}

TEST(RateLimit, NoMoreThanTheRateLeavesAndNotMuchLess) {
    for (const std::uint64_t frame_bytes : {4096ULL, 65536ULL, 262144ULL}) {
        RateLimit limit;
        limit.set(ByteCount(1U << 20));
        const std::uint64_t bytes = sent_in(limit, 5s, 20s, frame_bytes);
        EXPECT_LE(bytes, (20U << 20) + (1U << 20) / 10 + frame_bytes) << frame_bytes;
        EXPECT_GE(bytes, (20U << 20) - (1U << 20) / 10 - frame_bytes) << frame_bytes;
    }
}

TEST(RateLimit, AFrameLargerThanASecondsWorthIsPaidForBeforeTheNext) {
    RateLimit limit;
    limit.set(ByteCount(64U << 10));
    limit.sent(256U << 10, 1s);
    EXPECT_FALSE(limit.may_send(4s));
    EXPECT_TRUE(limit.may_send(5s));
}

TEST(RateLimit, WhatWasNotUsedIsNotSaved) {
    RateLimit limit;
    limit.set(ByteCount(1U << 20));
    limit.sent(4096, 1s);
    EXPECT_LE(sent_in(limit, 1000s, 1s, 4096), (1U << 20) * 12 / 10);
}

TEST(RateLimit, AnotherRateCountsAtOnce) {
    RateLimit limit;
    limit.set(ByteCount(512));
    limit.sent(256U << 10, 1s);
    EXPECT_FALSE(limit.may_send(100s));
    limit.set(ByteCount(1U << 20));
    EXPECT_TRUE(limit.may_send(1s));
    limit.sent(256U << 10, 1s);
    EXPECT_FALSE(limit.may_send(1s));
    limit.set(ByteCount(0));
    EXPECT_TRUE(limit.may_send(1s));
}

}  // namespace
}  // namespace everstep::daemon
