#include "standby/point_text.hpp"

#include <gtest/gtest.h>

namespace everstep::standby {
namespace {

using Base = PointText::Base;

PointText parsed(std::string_view text) {
    const Result<PointText> point = parse_point(text);
    EXPECT_TRUE(point.ok()) << text << ": " << point.status().message();
    return point.ok() ? *point : PointText();
}

TEST(PointText, HeadAndStepsBack) {
    EXPECT_EQ(parsed("head").base, Base::head);
    EXPECT_EQ(parsed("head").shift, 0U);
    EXPECT_EQ(parsed("head~5").shift, 5U);
    EXPECT_FALSE(parsed("head~5").forward);
    EXPECT_TRUE(parsed("head~0^flush").flush);
}

TEST(PointText, StepsOnTimelines) {
    EXPECT_EQ(parsed("step:1234").lsn, Lsn(1234));
    EXPECT_EQ(parsed("step:0").lsn, Lsn(0));
    EXPECT_EQ(parsed("3@step:1234").timeline_number, 3U);
    EXPECT_EQ(parsed("t:0123ABCD@step:7").timeline_hex, "0123abcd");
    EXPECT_EQ(parsed("t:0123ABCD@head~2").base, Base::head);
    EXPECT_EQ(parsed("t:0123ABCD@head~2").timeline_hex, "0123abcd");
    EXPECT_EQ(parsed("3@head").timeline_number, 3U);
    EXPECT_EQ(parsed("t:0123456789abcdef0123456789abcdef@step:7").timeline_hex.size(), 32U);
    EXPECT_EQ(parsed("step:9~2").shift, 2U);
}

TEST(PointText, Marks) {
    EXPECT_EQ(parsed("before-upgrade").mark, "before-upgrade");
    EXPECT_EQ(parsed("header").mark, "header");
    EXPECT_EQ(parsed("clock-2026-11-20T20:45:00Z").mark, "clock-2026-11-20T20:45:00Z");
    EXPECT_EQ(parsed("a~2").shift, 2U);
    EXPECT_TRUE(parsed("a+2").forward);
    EXPECT_EQ(parsed("v1.2+2^flush:data").flush_volume, "data");
    EXPECT_EQ(parsed("v1.2+2^flush:data").mark, "v1.2");
}

TEST(PointText, TimesAndAges) {
    EXPECT_EQ(parsed("2026-11-20T20:45:00.250Z").base, Base::time);
    EXPECT_EQ(parsed("2026-11-20T21:45:00.25+01:00").time, parsed("2026-11-20T20:45:00.250Z").time);
    EXPECT_EQ(parsed("ago:90s").ago, std::chrono::seconds(90));
    EXPECT_EQ(parsed("ago:2h").ago, std::chrono::hours(2));
    EXPECT_EQ(parsed("ago:1h30m^flush").ago, std::chrono::minutes(90));
    EXPECT_TRUE(parsed("ago:1h30m^flush").flush);
    EXPECT_FALSE(parsed("ago:1h30m^flush").flush_volume.has_value());
}

TEST(PointText, EverythingElseIsUsageAndSaysTheForms) {
    const char* kBad[] = {"",
                          "head~",
                          "head~x",
                          "head~-1",
                          "head~1~2",
                          "head~99999999999999999999",
                          "step:",
                          "step:x",
                          "step:-1",
                          "step:1.5",
                          "step: 1",
                          "@step:1",
                          "x@step:1",
                          "3@tail",
                          "3@mark",
                          "t:1234567@step:1",
                          "t:1234567g@step:1",
                          "t:0123456789abcdef0123456789abcdef0@step:1",
                          "t:01234567@7",
                          "ago:",
                          "ago:5",
                          "ago:5y",
                          "ago:-5s",
                          "ago:99999999999w",
                          "2026-11-20",
                          "2026-11-20T25:00:00Z",
                          "2026-02-30T00:00:00Z",
                          "2026-11-20T20:45:00",
                          "2026-11-20T20:45:00Z~2",
                          "2026-11-20T20:45:00.Z",
                          "head^",
                          "head^flu",
                          "head^flush:",
                          "head^flushdata",
                          "^flush",
                          "-mark",
                          "two words",
                          "a/b",
                          "mark\n"};
    for (const char* bad : kBad) {
        const Result<PointText> point = parse_point(bad);
        ASSERT_FALSE(point.ok()) << bad;
        EXPECT_EQ(point.status().code(), ErrorCode::usage) << bad;
        EXPECT_NE(point.status().message().find("ago:90s"), std::string::npos) << bad;
        EXPECT_NE(point.status().message().find(bad), std::string::npos);
    }
}

}  // namespace
}  // namespace everstep::standby
