// The other texts for people: golden texts.
#include <gtest/gtest.h>

#include "cli/render.hpp"

namespace everstep::cli {
namespace {

constexpr const char* kLine = "4f2a91c0aabbccddeeff001122334455";

Value step(std::uint64_t lsn, std::uint64_t length, const char* kind, bool flush) {
    Value out = Value::map();
    out.set("timeline", kLine).set("timeline_number", 2).set("lsn", lsn);
    out.set("time", "2026-11-20T20:45:00.250000Z").set("volume", "data");
    out.set("offset", lsn * 512).set("length", length).set("kind", kind);
    out.set("flush", flush).set("fua", lsn % 2 == 1);
    return out;
}

Value mark(const char* name, std::uint64_t lsn, bool pinned) {
    Value out = Value::map();
    out.set("kind", "mark").set("name", name).set("lsn", lsn).set("timeline", kLine);
    out.set("timeline_number", 2);
    out.set("pinned", pinned).set("consistency", "crash");
    return out;
}

TEST(LogText, StepsMarksAndGapsStandInPlaceAndLineUp) {
    Value gap = Value::map();
    gap.set("kind", "gap")
        .set("from", 40)
        .set("to", 99)
        .set("reason", "overflow")
        .set("bytes", 2048);
    Value page = Value::list();
    page.push(mark("before-drop", 101, true)).push(step(101, 4096, "data", true));
    page.push(step(100, 1048576, "discard", false)).push(gap);
    LogText log;
    EXPECT_EQ(log.page(page),
              R"(STEP  TIME                         VOLUME  OFFSET   LENGTH  KIND     FLAGS
-- timeline 2 (4f2a91c0)
-- mark before-drop at step 101 (crash, pinned)
 101  2026-11-20T20:45:00.250000Z  data     51712     4096  data     fua flush
 100  2026-11-20T20:45:00.250000Z  data     51200  1048576  discard
== gap: after step 40 up to step 99, overflow, 2.0 KiB differ
)");
    Value second = Value::list();
    second.push(step(7, 512, "zero", false));
    EXPECT_EQ(log.page(second),
              "   7  2026-11-20T20:45:00.250000Z  data      3584      512  zero     fua\n");
    EXPECT_EQ(log.page(Value()), "");
}

TEST(Lists, MarksAndExportsAreTables) {
    Value marks = Value::list();
    marks.push(mark("a", 5, false)).push(mark("before-drop", 12345, true));
    EXPECT_EQ(marks_text(marks), R"(NAME          STEP  TIMELINE  CONSISTENCY  PINNED
a                5  4f2a91c0  crash        no
before-drop  12345  4f2a91c0  crash        yes
)");
    Value uris = Value::map();
    uris.set("data", "nbd://d").set("wal", "nbd://w");
    Value one = Value::map();
    one.set("id", 3).set("group", "db").set("lsn", 99).set("timeline", kLine);
    one.set("writable", false).set("uri", "nbd://d").set("uris", uris);
    Value exports = Value::list();
    exports.push(one);
    EXPECT_EQ(exports_text(exports), R"(ID  GROUP  STEP  TIMELINE  WRITABLE  VOLUME  URI
3   db       99  4f2a91c0  no        data    nbd://d
3   db       99  4f2a91c0  no        wal     nbd://w
)");
    EXPECT_EQ(exports_text(Value::list()), "no export\n");
    Value mounted = one;
    mounted.set("mount", "/mnt/then");
    EXPECT_NE(exports_text(Value::list().push(mounted)).find("nbd://d, mounted on /mnt/then\n"),
              std::string::npos);
    EXPECT_EQ(export_text(one, false),
              "export 3 serves step 99 of timeline 4f2a91c0, read-only:\n"
              "  data  nbd://d\n  wal   nbd://w\n");
    EXPECT_EQ(export_text(one, true), "nbd://d\n");
}

TEST(Lists, EqualPointsSaySo) {
    EXPECT_EQ(diff_text(Value::list()), "the two points are equal\n");
}

Invocation command(const char* name, std::map<std::string, std::string> arguments) {
    Invocation out;
    out.command = find_command(name);
    out.request = {name, std::move(arguments)};
    return out;
}

TEST(Changes, ARewindThatCrossesAGapSaysSo) {
    Value gap = Value::map();
    gap.set("from", 40).set("to", Value()).set("reason", "link lost").set("bytes", 0);
    Value gaps = Value::list();
    gaps.push(gap);
    Value body = Value::map();
    body.set("lsn", 30).set("from", 120).set("blocks", 1).set("bytes", 4096).set("seconds", 0.0);
    body.set("gaps", gaps);
    EXPECT_EQ(change_text(command("rewind", {{"group", "db"}, {"dry_run", "1"}}), body),
              "the replica of db would go from step 120 to step 30: 1 block, 4.0 KiB to write\n"
              "  crosses a gap: after step 40, still open, link lost, 0 B differ\n");
}

TEST(Changes, ATakeoverSaysWhatWasLostAndWhatServes) {
    Value uris = Value::map();
    uris.set("data", "nbd+unix:///data?socket=/run/x.sock");
    Value body = Value::map();
    body.set("lsn", 1200).set("timeline", kLine).set("timeline_number", 2);
    body.set("lost_steps", 3).set("lost_seconds", 0.12).set("uris", uris);
    EXPECT_EQ(change_text(command("takeover", {{"group", "db"}}), body),
              "this node is the primary of db at step 1200, timeline 2 (4f2a91c0); lost: 3 steps, "
              "0.120 s\n  data  nbd+unix:///data?socket=/run/x.sock\n");
}

TEST(Changes, SmallChangesAreOneSentence) {
    const std::map<std::string, std::string> db = {{"group", "db"}, {"name", "m"}, {"id", "3"}};
    EXPECT_EQ(change_text(command("mark", db), mark("m", 7, true)),
              "mark m stands at step 7 (crash, pinned)\n");
    EXPECT_EQ(change_text(command("unmark", db), Value::map()), "mark m is removed\n");
    EXPECT_EQ(change_text(command("unexport", db), Value::map()), "export 3 is ended\n");
    EXPECT_EQ(change_text(command("pause", db), Value::map()), "the link of db is paused\n");
    EXPECT_EQ(change_text(command("unpause", db), Value::map()),
              "the link of db may come up again\n");
    Value role = Value::map();
    role.set("role", "standby").set("timeline", kLine).set("lsn", 9);
    EXPECT_EQ(change_text(command("adopt", db), role),
              "group db: this node is standby, timeline 4f2a91c0, step 9\n");
    EXPECT_EQ(change_text(command("adopt", {{"group", "db"}, {"from", "beta"}}), role),
              "this node is a standby of db now; beta copies its data here, `everstep status db` "
              "shows how far it is\n");
}

}  // namespace
}  // namespace everstep::cli
