// Sizes, durations, times and mark bodies as text and bytes.
#include <gtest/gtest.h>

#include "common/base/config.hpp"
#include "tests/base/random_frame.hpp"

namespace everstep {
namespace {

using std::chrono::nanoseconds;

TEST(Units, ByteCountsRoundTrip) {
    for (const auto& [text, bytes] :
         std::vector<std::pair<std::string, std::uint64_t>>{{"0B", 0},
                                                            {"1B", 1},
                                                            {"512B", 512},
                                                            {"1KiB", 1024},
                                                            {"1025B", 1025},
                                                            {"10GiB", 10ULL << 30},
                                                            {"100TiB", 100ULL << 40},
                                                            {"1536MiB", 1536ULL << 20}}) {
        const auto parsed = parse_byte_count(text);
        ASSERT_TRUE(parsed.ok()) << text;
        EXPECT_EQ(parsed->value(), bytes);
        EXPECT_EQ(format_byte_count(ByteCount(bytes)), text);
    }
    std::mt19937_64 random(test::test_seed());
    for (int i = 0; i < 1000; ++i) {
        const ByteCount count((random() >> 1) >> random() % 63);
        const auto parsed = parse_byte_count(format_byte_count(count));
        ASSERT_TRUE(parsed.ok());
        EXPECT_EQ(*parsed, count);
    }
}

TEST(Units, BadByteCountsAreRefused) {
    for (const std::string_view bad :
         {"", "10", "GiB", "10GB", "10 GiB", "10gib", "-1B", "+1B", "1.5GiB", "10GiBx", " 10GiB",
          "0x10B", "8388608TiB", "99999999999999999999B", "1e3B"}) {
        const auto parsed = parse_byte_count(bad);
        ASSERT_FALSE(parsed.ok()) << bad;
        EXPECT_EQ(parsed.status().code(), ErrorCode::usage);
    }
}

TEST(Units, DurationsAreWhatTheySay) {
    for (const auto& [text, time] :
         std::vector<std::pair<std::string, nanoseconds>>{{"250ms", std::chrono::milliseconds(250)},
                                                          {"0s", nanoseconds(0)},
                                                          {"5s", std::chrono::seconds(5)},
                                                          {"2m", std::chrono::minutes(2)},
                                                          {"3h", std::chrono::hours(3)},
                                                          {"7d", std::chrono::days(7)}}) {
        const auto parsed = parse_duration(text);
        ASSERT_TRUE(parsed.ok()) << text;
        EXPECT_EQ(*parsed, time);
    }
    for (const std::string_view bad :
         {"", "5", "s", "5 s", "5S", "-5s", "1.5h", "5sec", "1w", "106752d", "9999999999999s"}) {
        EXPECT_FALSE(parse_duration(bad).ok()) << bad;
    }
}

TEST(Time, FormatIsUtcWithMicroseconds) {
    const auto parsed = parse_time("2026-11-20T20:45:00.250Z");
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(format_time(*parsed), "2026-11-20T20:45:00.250000Z");
    EXPECT_EQ(format_time(WallTime()), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(format_time(WallTime(nanoseconds(-1))), "1969-12-31T23:59:59.999999Z");
    EXPECT_EQ(format_time(WallTime(nanoseconds(1999))), "1970-01-01T00:00:00.000001Z");
}

TEST(Time, OffsetsAndFractionsAreRead) {
    const auto utc = parse_time("2026-11-20T20:45:00Z");
    ASSERT_TRUE(utc.ok());
    for (const std::string_view same :
         {"2026-11-20T21:45:00+01:00", "2026-11-20T15:15:00-05:30", "2026-11-21T02:45:00+06:00",
          "2026-11-20t20:45:00z", "2026-11-20T20:45:00.000000000Z", "2026-11-20T20:45:00-00:00"}) {
        const auto parsed = parse_time(same);
        ASSERT_TRUE(parsed.ok()) << same;
        EXPECT_EQ(*parsed, *utc) << same;
    }
    EXPECT_EQ(*parse_time("2026-11-20T20:45:00.000000001Z") - *utc, nanoseconds(1));
    EXPECT_EQ(*parse_time("2026-11-20T20:45:00.1Z") - *utc, std::chrono::milliseconds(100));
    EXPECT_TRUE(parse_time("2024-02-29T00:00:00Z").ok());
}

TEST(Time, BadTimesAreRefused) {
    for (const std::string_view bad : {"",
                                       "2026-11-20",
                                       "2026-11-20T20:45:00",
                                       "2026-11-20 20:45:00Z",
                                       "2026-11-20T20:45Z",
                                       "2026-13-20T20:45:00Z",
                                       "2026-02-29T20:45:00Z",
                                       "2026-11-31T20:45:00Z",
                                       "2026-11-00T20:45:00Z",
                                       "2026-11-20T24:00:00Z",
                                       "2026-11-20T20:60:00Z",
                                       "2026-11-20T20:45:60Z",
                                       "2026-11-20T20:45:00.Z",
                                       "2026-11-20T20:45:00.1234567890Z",
                                       "2026-11-20T20:45:00+0100",
                                       "2026-11-20T20:45:00+24:00",
                                       "2026-11-20T20:45:00+01:60",
                                       "2026-11-20T20:45:00ZZ",
                                       "0001-01-01T00:00:00Z",
                                       "9999-01-01T00:00:00Z",
                                       "26-11-20T20:45:00Z",
                                       "+026-11-20T20:45:00Z"}) {
        const auto parsed = parse_time(bad);
        ASSERT_FALSE(parsed.ok()) << bad;
        EXPECT_EQ(parsed.status().code(), ErrorCode::usage);
    }
}

TEST(Time, RandomTimesRoundTripToTheMicrosecond) {
    std::mt19937_64 random(test::test_seed());
    for (int i = 0; i < 10000; ++i) {
        const auto ns =
            nanoseconds(static_cast<std::int64_t>(random() % 9'000'000'000'000'000'000));
        const WallTime time(random() % 2 == 0 ? ns : -ns);
        const auto parsed = parse_time(format_time(time));
        ASSERT_TRUE(parsed.ok()) << format_time(time);
        EXPECT_EQ(*parsed, std::chrono::floor<std::chrono::microseconds>(time));
    }
}

TEST(Mark, NamesThatReadAsAnotherPointAreRefused) {
    for (const std::string_view good :
         {"a", "before-upgrade", "v1.2", "clock-2026-11-20T20:45:00.250000Z", "1234", "Head",
          "heads", "2026-11", "x:y_z", "_"}) {
        EXPECT_TRUE(check_mark_name(good).ok()) << good;
    }
    for (const std::string& bad :
         {std::string(), std::string("-x"), std::string("head"), std::string("step:4"),
          std::string("ago:5s"), std::string("t:0011"), std::string("2026-11-20T20:45:00Z"),
          std::string("2026-11-20"), std::string("a b"), std::string("a~2"), std::string("a^flush"),
          std::string("a@b"), std::string("a+2"), std::string("a/b"), std::string("\xc3\xa4"),
          std::string("a\0b", 3), std::string(129, 'a')}) {
        EXPECT_FALSE(check_mark_name(bad).ok()) << bad;
    }
    EXPECT_TRUE(check_mark_name(std::string(128, 'a')).ok());
}

TEST(Mark, BodiesRoundTripAndDamageIsRefused) {
    for (const std::string_view consistency : {"crash", "filesystem", "application"}) {
        for (const bool pinned : {false, true}) {
            const auto bytes = pack_mark(
                {.name = "m-1", .consistency = std::string(consistency), .pinned = pinned});
            const auto mark = unpack_mark(bytes);
            ASSERT_TRUE(mark.ok());
            EXPECT_EQ(mark->name, "m-1");
            EXPECT_EQ(mark->consistency, consistency);
            EXPECT_EQ(mark->pinned, pinned);
            for (std::size_t size = 0; size < bytes.size(); ++size) {
                EXPECT_FALSE(unpack_mark(Bytes(bytes).first(size)).ok());
            }
        }
    }
    const auto good = pack_mark({.name = "m", .consistency = "crash"});
    for (const auto& [at, value] : std::vector<std::pair<std::size_t, unsigned>>{
             {0, 2}, {1, 0}, {1, 4}, {2, 2}, {3, 0}, {3, 2}, {4, '~'}, {4, 0}}) {
        auto bad = good;
        bad[at] = static_cast<std::byte>(value);
        EXPECT_FALSE(unpack_mark(bad).ok()) << at;
    }
}

}  // namespace
}  // namespace everstep
