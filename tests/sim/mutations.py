"""Laws that are broken on purpose, one at a time, to see that the simulator finds each.

A mutation is an edit of production code: (file, text that stands there exactly once, what stands there instead). It is
made in a copy of the file, compiled, and linked before the libraries: nothing of it is in the tree or in a program.
"""

MUTATIONS = [
    ("acknowledge-before-durable", "1: what is called durable survives", [
        ("journal/append.cpp", "    EVERSTEP_TRY(redo->sync());\n", "")]),
    ("before-image-after", "4: before-image first", [
        ("standby/move.cpp",
         "    EVERSTEP_TRY(store_.begin_batch(batch, replica_));\n    EVERSTEP_TRY(writer_.write(batch.units));\n"
         "    EVERSTEP_TRY(replica_.sync());\n    EVERSTEP_TRY(store_.end_batch(batch));",
         "    EVERSTEP_TRY(writer_.write(batch.units));\n    EVERSTEP_TRY(replica_.sync());\n"
         "    EVERSTEP_TRY(store_.begin_batch(batch, replica_));\n    EVERSTEP_TRY(store_.end_batch(batch));")]),
    ("intent-cleared-before-flush", "5 (design): a mark goes only behind the device's flush", [
        ("daemon/direct_volume.cpp",
         "    syncs_.request(\n        [this, serving = serving_, durable, lsn = capture_.newest()](const Status& done)"
         " {\n            if (!*serving || !done.ok() || sync_failed_) return;\n            flushed_up_to(lsn);\n"
         "            intent_->clear(durable, flushed_);\n        });",
         "    flushed_up_to(capture_.newest());\n    intent_->clear(durable, flushed_);")]),
    ("dropped-frame", "2, 6: every frame, in order", [
        ("daemon/send.cpp", "    ++next_;\n    actions_.send_frame(*frame);",
         "    ++next_;\n    if (next_.value() % 29 == 0) return true;\n    actions_.send_frame(*frame);")]),
    ("double-apply", "2: each write is applied once, in order", [
        ("standby/move.cpp",
         "    EVERSTEP_TRY(store_.begin_batch(batch, replica_));\n    EVERSTEP_TRY(writer_.write(batch.units));\n",
         "    EVERSTEP_TRY(store_.begin_batch(batch, replica_));\n"
         "    static std::vector<journal::ApplyUnit> before;\n    EVERSTEP_TRY(writer_.write(batch.units));\n"
         "    EVERSTEP_TRY(writer_.write(std::exchange(before, batch.units)));\n"),
        ("standby/move.cpp", "#include \"standby/move.hpp\"\n",
         "#include \"standby/move.hpp\"\n#include <utility>\n#include <vector>\n")]),
    ("resync-over-newer-stream", "2: an extent never over what is newer", [
        ("daemon/copy.cpp", "ready_.front().after >= next)", "ready_.front().after + 3 >= next)"),
        ("standby/receive_order.cpp", "    if (header.last_lsn != line->point.lsn && !jumps) {",
         "    if (header.last_lsn > line->point.lsn && !jumps) {"),
        ("standby/receive_order.cpp",
         "    expected_.tip.point = {header.timeline, header.last_lsn};\n    expected_.anything = false;",
         "    if (jumps) expected_.tip.point = {header.timeline, header.last_lsn};\n"
         "    expected_.anything = false;")]),
    ("lsn-reused-after-crash", "6: a (timeline, step) has one content", [
        ("daemon/start.cpp",
         "    return {Kind::branch,\n            \"the primary stopped uncleanly\",\n            {},\n"
         "            ahead ? branch_tip(state) : input.step,",
         "    return {Kind::go_on,\n            \"the primary stopped uncleanly\",\n            {},\n"
         "            ahead ? branch_tip(state) : input.step,")]),
    ("branch-fixed-while-acknowledging", "1, 6: no acknowledgement behind the branch point", [
        ("daemon/takeover.cpp",
         "    standby_->seal_off(Status(ErrorCode::refused, context_.node + \" took over\"));\n"
         "    GroupRecord& record", "    GroupRecord& record")]),
    ("answer-at-the-first-standby", "1: as many standbys as `ack` asks for", [
        ("daemon/ack_policy.cpp", "positions[count - 1], captured", "positions[0], captured")]),
    ("flush-without-sync", "1: a flush reaches the device", [
        ("daemon/direct_volume.cpp", "const Status synced = file_->sync();", "const Status synced;")]),
    ("standbys-trusted-that-lack-writes", "1: only who kept all may be taken from", [
        ("daemon/ack_policy.cpp", "    return level_ == AckLevel::durable && counted() > 0 &&\n",
         "    return level_ == AckLevel::durable || counted() > 0 ||\n")]),
    ("gap-given-up", "5: order that was lost is a gap", [
        ("standby/receive_start.cpp", "const bool wanted = i == 0 || !store.gap_open();",
         "const bool wanted = i == 0;")]),
    ("timeline-before-its-record", "6: a promotion is durable first", [
        ("daemon/primary_start.cpp", "    const Status saved = context_.save();\n    if (!saved.ok()) {\n"
         "        not_served(saved);", "    const Status saved;\n    if (!saved.ok()) {\n        not_served(saved);")]),
    ("lost-order-in-a-resync", "7, 5: back by itself", [
        ("daemon/primary_backlog.cpp", "    context_.record.peers[name].compare = reason;\n",
         "    const bool again = !context_.record.peers[name].compare.empty();\n"
         "    context_.record.peers[name].compare = reason;\n"),
        ("daemon/primary_backlog.cpp", "    if (standing.session) send_actions(standing, Point()).fail(",
         "    if (standing.session && !again) send_actions(standing, Point()).fail(")]),
]
