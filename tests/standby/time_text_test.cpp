#include "standby/time_text.hpp"

#include <gtest/gtest.h>

#include <random>

namespace everstep::standby {
namespace {

TEST(TimeText, PrintedTimesAreReadBack) {
    std::mt19937_64 random(7);
    for (int i = 0; i < 1000; ++i) {
        const WallTime time(std::chrono::microseconds(random() % 4'000'000'000'000'000ULL));
        EXPECT_EQ(parse_time(format_time(time)), time);
    }
    EXPECT_EQ(format_time(WallTime()), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(format_time(WallTime(std::chrono::nanoseconds(-1))), "1969-12-31T23:59:59.999999Z");
}

TEST(TimeText, OffsetsFractionsAndLeapSeconds) {
    const auto base = parse_time("2026-11-20T20:45:00Z");
    ASSERT_TRUE(base.has_value());
    EXPECT_EQ(parse_time("2026-11-20t20:45:00z"), base);
    EXPECT_EQ(parse_time("2026-11-20T18:15:00-02:30"), base);
    EXPECT_EQ(parse_time("2026-11-20T20:45:00.123456789Z"),
              *base + std::chrono::nanoseconds(123456789));
    EXPECT_EQ(parse_time("2026-11-20T20:45:00.1234567899Z"),
              *base + std::chrono::nanoseconds(123456789));
    EXPECT_EQ(parse_time("2026-11-20T20:44:60Z"), base);
    EXPECT_FALSE(parse_time("2026-11-20T20:44:61Z"));
    EXPECT_FALSE(parse_time("2026-13-20T20:44:00Z"));
    EXPECT_FALSE(parse_time("2026-11-20T20:44:00+24:00"));
    EXPECT_FALSE(parse_time("0001-01-01T00:00:00Z"));
    EXPECT_TRUE(parse_time("2024-02-29T00:00:00Z"));
    EXPECT_FALSE(parse_time("2026-02-29T00:00:00Z"));
}

TEST(TimeText, Durations) {
    EXPECT_EQ(parse_duration("250ms"), std::chrono::milliseconds(250));
    EXPECT_EQ(parse_duration("2d"), std::chrono::hours(48));
    EXPECT_EQ(parse_duration("1w"), std::chrono::hours(168));
    EXPECT_EQ(parse_duration("1h1m1s1ms"), std::chrono::milliseconds(3661001));
    for (const char* bad :
         {"", "s", "5", "5x", "5 s", "1.5s", "18446744073709551616s", "9223372036854775807w"}) {
        EXPECT_FALSE(parse_duration(bad)) << bad;
    }
}

}  // namespace
}  // namespace everstep::standby
