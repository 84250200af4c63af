// Numbers, tables and JSON.
#include "cli/text.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "cli/exit_status.hpp"
#include "cli/json.hpp"

namespace everstep::cli {
namespace {

TEST(Json, IntegersAreExactAtAnySize) {
    Value map = Value::map();
    map.set("beyond_double", (std::uint64_t{1} << 53) + 1);
    map.set("largest", UINT64_MAX);
    map.set("least", INT64_MIN);
    EXPECT_EQ(json_text(map), R"({"beyond_double":9007199254740993,"largest":18446744073709551615,)"
                              R"("least":-9223372036854775808})");
}

TEST(Json, EveryKindHasItsForm) {
    Value inner = Value::map();
    inner.set("z", Value()).set("a", true).set("half", 0.5);
    Value list = Value::list();
    list.push(inner).push("text \"quoted\"\n").push(Value::list()).push(Value::map());
    EXPECT_EQ(json_text(list), R"([{"z":null,"a":true,"half":0.5},"text \"quoted\"\n",[],{}])");
}

TEST(Json, BytesThatAreNoTextStayValidJson) {
    EXPECT_EQ(json_text(std::string("a\xff\xfe z")), "\"a\xEF\xBF\xBD\xEF\xBF\xBD z\"");
    EXPECT_EQ(json_text(std::numeric_limits<double>::infinity()), "null");
}

TEST(Text, SizesAndTimesAreReadable) {
    EXPECT_EQ(bytes_text(0), "0 B");
    EXPECT_EQ(bytes_text(1023), "1023 B");
    EXPECT_EQ(bytes_text(4096), "4.0 KiB");
    EXPECT_EQ(bytes_text((1ULL << 30) - 1), "1.0 GiB");
    EXPECT_EQ(bytes_text(UINT64_MAX), "16.0 EiB");
    EXPECT_EQ(seconds_text(0), "0 s");
    EXPECT_EQ(seconds_text(-3), "0 s");
    EXPECT_EQ(seconds_text(0.0123), "0.012 s");
    EXPECT_EQ(seconds_text(12.34), "12.3 s");
    EXPECT_EQ(seconds_text(125), "2 min 5 s");
    EXPECT_EQ(seconds_text(12000), "3 h 20 min");
    EXPECT_EQ(seconds_text(90000), "1 d 1 h");
    EXPECT_EQ(count_text(1, "step"), "1 step");
    EXPECT_EQ(count_text(2, "step"), "2 steps");
}

TEST(Text, ATableLinesUpOverItsParts) {
    Table table("rl");
    table.row({"STEP", "KIND"});
    table.row({"12345", "data"});
    EXPECT_EQ(table.take(), " STEP  KIND\n12345  data\n");
    table.row({"7", "zero"});
    table.line("-- a line");
    EXPECT_EQ(table.take("> "), ">     7  zero\n> -- a line\n");
}

TEST(Text, ControlCharactersNeverReachATerminal) {
    EXPECT_EQ(printable("a\033[2Jb\nc\x7f \xc3\xa9"), "a?[2Jb?c? \xc3\xa9");
}

TEST(ExitStatus, ScriptsCanTellTheClassesApart) {
    EXPECT_EQ(exit_status(ErrorCode::ok), 0);
    EXPECT_EQ(exit_status(ErrorCode::usage), 2);
    EXPECT_EQ(exit_status(ErrorCode::refused), 3);
    EXPECT_EQ(exit_status(ErrorCode::unreachable), 4);
    for (int code = static_cast<int>(ErrorCode::not_found);
         code <= static_cast<int>(ErrorCode::internal); ++code) {
        EXPECT_EQ(exit_status(static_cast<ErrorCode>(code)), 1);
    }
}

}  // namespace
}  // namespace everstep::cli
