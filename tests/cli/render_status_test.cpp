// `everstep status` for people: golden texts.
#include <gtest/gtest.h>

#include "cli/render.hpp"

namespace everstep::cli {
namespace {

Value positions(std::uint64_t captured, std::uint64_t applied) {
    Value out = Value::map();
    for (const char* const stage : {"captured", "queued", "sealed", "sent"}) {
        out.set(stage, captured);
    }
    out.set("received", captured).set("durable", captured - 1).set("applied", applied);
    return out;
}

Value primary_group() {
    Value peer = Value::map();
    peer.set("node", "beta").set("state", "refused").set("why", "key ack differs");
    peer.set("received", 1204).set("durable", 1203).set("applied", 1200);
    peer.set("lag_steps", 1).set("lag_bytes", 16384).set("lag_seconds", 0.0123);
    peer.set("behind_since", 1100).set("copied", Value());
    Value copy = Value::map();
    copy.set("done_bytes", std::uint64_t{3} << 20).set("total_bytes", std::uint64_t{12} << 20);
    copy.set("differing_bytes", 4096).set("seconds_left", 42.0);
    peer.set("copy", copy);
    peer.set("may_differ_bytes", std::uint64_t{12} << 20);
    peer.set("backlog", "gap").set("compare", "the backlog is full");
    Value volume = Value::map();
    volume.set("name", "data").set("size", std::uint64_t{10} << 30).set("device", "/dev/vg0/db");
    volume.set("capture", "nbd").set("uri", "nbd+unix:///data?socket=/run/db.sock");
    Value group = Value::map();
    group.set("name", "db").set("role", "primary").set("state", "serving").set("why", Value());
    group.set("timeline", "4f2a91c0aabbccddeeff001122334455").set("timeline_number", 2);
    group.set("ack_in_force", "local").set("positions", positions(1204, 1200));
    Value peers = Value::list();
    peers.push(peer);
    Value volumes = Value::list();
    volumes.push(volume);
    group.set("peers", peers).set("history", Value()).set("volumes", volumes);
    Value backlog = Value::map();
    backlog.set("queue_bytes", 16384).set("queue_limit", std::uint64_t{256} << 20);
    backlog.set("spool_bytes", 0).set("spool_limit", std::uint64_t{8} << 30);
    group.set("backlog", backlog);
    return group;
}

Value body_of(Value group) {
    Value groups = Value::list();
    groups.push(std::move(group));
    Value body = Value::map();
    body.set("node", "alpha").set("groups", groups);
    return body;
}

TEST(StatusText, APrimaryShowsItsChainItsPeersAndItsVolumes) {
    EXPECT_EQ(status_text(body_of(primary_group())), R"(node alpha

db: primary, serving
  timeline     2 (4f2a91c0)
  ack          local in force
  positions    captured  queued  sealed  sent  received  durable  applied
                   1204    1204    1204  1204      1204     1203     1200
  lag          1 step, 16.0 KiB, 0.012 s
  backlog      16.0 KiB of 256.0 MiB in the queue, 0 B of 8.0 GiB in the spool
  peer beta    refused
               key ack differs
               3.0 MiB of 12.0 MiB compared, 4.0 KiB differ, about 42.0 s left
               received 1204, durable 1203, applied 1200; behind by 1 step, 16.0 KiB, 0.012 s
               not counted by ack since step 1100
               order was lost: the backlog is full
               after a crash up to 12.0 MiB are compared
  volume data  10.0 GiB, /dev/vg0/db, nbd, nbd+unix:///data?socket=/run/db.sock
)");
}

TEST(StatusText, OneThatJoinsHasLostNothingAndIsNoLag) {
    Value group = primary_group();
    Value peers = *group.at("peers").as_list();
    Value joins = peers.as_list()->front();
    joins.set("node", "gamma").set("joining", true).set("lag_steps", 9999);
    peers.push(joins);
    group.set("peers", peers);
    const std::string text = status_text(body_of(group));
    EXPECT_NE(text.find("  lag          1 step, 16.0 KiB"), std::string::npos) << text;
    const std::string its = text.substr(text.find("peer gamma"));
    EXPECT_NE(its.find("joins: counted by ack when"), std::string::npos) << its;
    EXPECT_EQ(its.find("order was lost"), std::string::npos) << its;
}

TEST(StatusText, APeersNewestVerifyIsShown) {
    const auto text = [](std::uint64_t differing, bool repaired) {
        Value verified = Value::map();
        verified.set("time", "2026-11-28T11:00:00.000000Z").set("lsn", 1200);
        verified.set("differing_bytes", differing).set("repaired", repaired);
        Value running = Value::map();
        running.set("done_bytes", 1U << 20).set("total_bytes", 3U << 20);
        Value peer = Value::map();
        peer.set("node", "beta").set("state", "connected");
        peer.set("verified", verified).set("verifying", running);
        Value group = primary_group();
        group.set("peers", Value::list().push(peer));
        return status_text(body_of(group));
    };
    const std::string at = "verified at 2026-11-28T11:00:00.000000Z, step 1200: ";
    EXPECT_NE(text(0, false).find(at + "equal\n"), std::string::npos) << text(0, false);
    EXPECT_NE(text(8192, false).find(at + "8.0 KiB differed\n"), std::string::npos);
    EXPECT_NE(text(8192, true).find(at + "8.0 KiB differed; repaired\n"), std::string::npos);
    EXPECT_NE(text(0, false).find("1.0 MiB of 3.0 MiB verified\n"), std::string::npos);
}

TEST(StatusText, CompressionIsShownWhereItIsOn) {
    const auto text = [](const char* setting, bool working, const Value& ratio) {
        Value compression = Value::map();
        compression.set("setting", setting).set("working", working).set("ratio", ratio);
        Value group = primary_group();
        group.set("compression", compression);
        return status_text(body_of(group));
    };
    EXPECT_EQ(text("off", false, Value(1.0)), status_text(body_of(primary_group())));
    EXPECT_NE(text("9", true, Value()).find("\n  compression  9\n"), std::string::npos);
    EXPECT_NE(text("auto", true, Value(2.94)).find("\n  compression  auto, 2.9 : 1\n"),
              std::string::npos);
    EXPECT_NE(text("auto", false, Value(1.0)).find("\n  compression  auto, not now, 1.0 : 1\n"),
              std::string::npos);
}

TEST(StatusText, AStandbyShowsItsHistoryAndWhatIsNotApplied) {
    Value gap = Value::map();
    gap.set("from", 100).set("to", 151).set("reason", "unclean stop of alpha");
    gap.set("bytes", 1 << 20);
    Value gaps = Value::list();
    gaps.push(gap);
    Value history = Value::map();
    history.set("oldest", 0).set("head", 1204).set("bytes", std::uint64_t{3} << 29);
    history.set("oldest_time", "2026-11-20T20:00:00.000000Z");
    history.set("head_time", "2026-11-20T20:45:00.250000Z").set("gaps", gaps);
    Value group = Value::map();
    group.set("name", "db").set("role", "standby").set("state", "held");
    group.set("timeline", "4f2a91c0aabbccddeeff001122334455").set("timeline_number", 2);
    group.set("held_at", 1000);
    group.set("positions", positions(1204, 1000)).set("history", history);
    EXPECT_EQ(status_text(body_of(group)), R"(node alpha

db: standby, held
  timeline     2 (4f2a91c0)
  held         at step 1000, head is 1204; everstep resume applies again
  positions    captured  queued  sealed  sent  received  durable  applied
                   1204    1204    1204  1204      1204     1203     1000
  lag          204 steps not applied yet
  history      steps 0 .. 1204, 1.5 GiB, 1 gap
               2026-11-20T20:00:00.000000Z .. 2026-11-20T20:45:00.250000Z
               gap: after step 100 up to step 151, unclean stop of alpha, 1.0 MiB differ
)");
}

TEST(StatusText, TimelinesAreATree) {
    const auto timeline = [](const char* id, const char* parent, int number) {
        Value value = Value::map();
        value.set("timeline", id).set("timeline_number", number).set("node", "beta");
        value.set("parent", *parent == 0 ? Value() : Value(parent));
        value.set("from", *parent == 0 ? Value() : Value(100 * number));
        value.set("current", number == 3);
        return value;
    };
    Value group = Value::map();
    group.set("name", "db").set("role", "standby").set("state", "streaming");
    group.set("timeline", "cccccccc01").set("timeline_number", 3);
    Value list = Value::list();
    for (const auto& [id, parent, number] :
         {std::tuple("aaaaaaaa01", "", 1), std::tuple("bbbbbbbb01", "aaaaaaaa01", 2),
          std::tuple("dddddddd01", "aaaaaaaa01", 2), std::tuple("cccccccc01", "bbbbbbbb01", 3)})
        list.push(timeline(id, parent, number));
    group.set("timelines", list);
    EXPECT_EQ(status_text(body_of(group)), R"(node alpha

db: standby, streaming
  timeline     3 (cccccccc)
  timelines    1 (aaaaaaaa), by beta
                 2 (bbbbbbbb), from step 200, by beta
                   3 (cccccccc), from step 300, by beta; the group's line
                 2 (dddddddd), from step 200, by beta
)");
    Value many = Value::list();
    for (int n = 1; n <= 40; ++n) many.push(timeline(std::to_string(10000000 + n).c_str(), "", n));
    group.set("timelines", many);
    const std::string text = status_text(body_of(group));
    EXPECT_NE(text.find("timelines    24 older ones; all of them: --json\n"), std::string::npos)
        << text;
    EXPECT_EQ(text.find("(10000024)"), std::string::npos);
    EXPECT_NE(text.find("(10000025)"), std::string::npos);
}

TEST(StatusText, ExportsStandBelow) {
    const auto uris = [](const char* uri) {
        Value value = Value::map();
        value.set("data", uri);
        return value;
    };
    Value plain = Value::map();
    plain.set("id", "3").set("lsn", 10).set("writable", false);
    plain.set("uris", uris("nbd://127.0.0.1:10809"));
    Value branch = Value::map();
    branch.set("id", "4").set("lsn", 25).set("writable", true).set("base_lsn", 20);
    branch.set("mount", "/mnt").set("uris", uris("nbd+unix:///?socket=/run/4-data.sock"));
    Value broken = Value::map();
    broken.set("id", "5").set("lsn", 20).set("writable", true).set("base_lsn", 20);
    broken.set("failed", "its store is damaged").set("uris", Value::map());
    Value list = Value::list();
    for (const Value& one : {plain, branch, broken}) list.push(one);
    Value group = Value::map();
    group.set("name", "db").set("role", "standby").set("state", "streaming");
    group.set("timeline", "aaaaaaaa01").set("timeline_number", 1).set("exports", list);
    EXPECT_EQ(status_text(body_of(group)), R"(node alpha

db: standby, streaming
  timeline     1 (aaaaaaaa)
  export 3     step 10, read-only
               data nbd://127.0.0.1:10809
  export 4     step 25, a branch from step 20, mounted on /mnt
               data nbd+unix:///?socket=/run/4-data.sock
  export 5     step 20, a branch from step 20, not served: its store is damaged
)");
}

TEST(StatusText, AGroupThatHasNothingYetIsStillReadable) {
    Value group = Value::map();
    group.set("name", "db").set("role", "standby").set("state", "failed").set("why", "no disk");
    EXPECT_EQ(
        status_text(body_of(group)),
        "node alpha\n\ndb: standby, failed\n               no disk\n  timeline     none yet\n");
    EXPECT_EQ(status_text(Value()), "node -\nno group\n");
}

}  // namespace
}  // namespace everstep::cli
