"""The lab itself: the workload and its oracle against nbdkit, and a checker that must catch planted faults."""

import fnmatch
import os
import random
import re

from everstep_lab.base import Child, Failed, need_tool, require, wait_for
from everstep_lab.history import Listing, Matcher, Row, check_flush_marks
from everstep_lab.model import Model, check_after_crash, same_images
from everstep_lab.nbdio import read_device
from everstep_lab.nodes import ROOT
from everstep_lab.registry import CHECKS, check
from everstep_lab.workload import SECTOR, Oplog, Profile, Workload, all_succeeded, operation_in

SIZE = 1 << 20
TIMELINE, BRANCH = "a" * 32, "b" * 32


@check("lab.workload_against_nbdkit", 60)
def against_nbdkit(context):
    """One operation at a time: the image is the model's. Many in flight: every sector is a permitted one."""
    need_tool("nbdkit")
    for connections, depth in ((1, 1), (4, 8)):
        socket = f"{context.directory}/kit{connections}.sock"
        server = Child(["nbdkit", "-f", "-U", socket, "memory", str(SIZE)], context.directory + "/nbdkit.log")
        try:
            wait_for("nbdkit serves", lambda s=socket: os.path.exists(s), 10)
            uri = f"nbd+unix:///?socket={socket}"
            oplog = Oplog({"data": SIZE}, context.seed)
            work = Workload(oplog, {"data": uri}, connections, depth)
            all_succeeded(work.run(400).ops())
            found = {"data": read_device(uri)}
        finally:
            server.stop()
        writes = [op for op in oplog.ops if op.kind != "flush"]
        check_after_crash("nbdkit's image", found, {"data": bytes(SIZE)}, writes, [])
        if depth == 1:
            wanted = bytearray(SIZE)
            for op in writes:
                wanted[op.offset:op.offset + op.length] = op.content()
            same_images("nbdkit's image", found, {"data": bytes(wanted)})


class Server:
    """A server in thought: operations in flight end in a random order, and get their numbers in it."""

    def __init__(self, seed, count=160):
        self.choice = random.Random(seed)
        self.oplog = Oplog({"data": 64 * SECTOR}, seed)
        self.rows, self.marks = [], {}
        flying, last = [], 0
        profile = Profile()
        while len(self.oplog.ops) < count or flying:
            if len(self.oplog.ops) < count and (not flying or self.choice.random() < 0.5) and len(flying) < 12:
                flying.append(self.submit(profile, last))
            else:
                last = self.complete(flying.pop(self.choice.randrange(len(flying))))

    def submit(self, profile, last):
        kind = self.choice.choices(("data", "zero", "discard", "flush"), (60, 15, 15, profile.flush))[0]
        length = 0 if kind == "flush" else self.choice.randrange(1, 5)
        offset = 0 if kind == "flush" else self.choice.randrange(12)
        op = self.oplog.make(kind, "data", offset * SECTOR, length * SECTOR, self.choice.random() < 0.1)
        op.submit = self.oplog.stamp()
        op.began = last  # a flush covers what had a number when it was submitted
        return op

    def complete(self, op):
        op.complete, op.outcome = self.oplog.stamp(), "ok"
        if op.kind == "flush":
            self.marks[int(op.began)] = True
        else:
            self.rows.append((op, len(self.rows) + 1))
        return len(self.rows)

    def listing(self):
        return Listing([Row(TIMELINE, 1, lsn, f"t{lsn}", "data", op.offset, op.length, op.kind,
                            lsn in self.marks, op.fua) for op, lsn in self.rows], [], [])

    def read_step(self, key):
        image = bytearray(64 * SECTOR)
        for op, lsn in self.rows:
            if lsn <= key[1]:
                image[op.offset:op.offset + op.length] = op.content()
        return {"data": bytes(image)}

    def absorb(self, listing=None, read_step=None):
        model = Model({"data": 64 * SECTOR}, (TIMELINE, 0))
        matcher = Matcher(model, self.oplog)
        matcher.absorb(listing or self.listing(), read_step or self.read_step)
        return model, matcher


def must_fail(what, call, word):
    try:
        call()
    except Failed as error:
        require(word in str(error), f"{what}: caught, but for another reason: {error}")
        return
    raise Failed(f"{what} was not caught")


@check("lab.checker_accepts_what_is_right", 60)
def accepts(context):
    for seed in range(context.seed, context.seed + 20):
        server = Server(seed)
        model, _ = server.absorb()
        for key, images in model.walk():
            same_images("the model", {"data": bytes(images["data"])}, server.read_step(key))
        check_flush_marks(server.listing().rows, server.oplog.ops)
    accept_a_lost_step_of_equal_extent()
    accept_a_line_left_behind()
    accept_a_session_that_broke()


class Crash:
    """A primary that was killed: its steps before that on one timeline, the end of the gap on another."""

    def __init__(self):
        self.oplog = Oplog({"data": 64 * SECTOR}, 1)
        self.model = Model({"data": 64 * SECTOR}, (TIMELINE, 0))
        self.matcher = Matcher(self.model, self.oplog)

    def write(self):
        """An answered write of the first two sectors."""
        op = self.oplog.make("data", "data", 0, 2 * SECTOR)
        op.submit, op.complete, op.outcome = self.oplog.stamp(), self.oplog.stamp(), "ok"
        return op

    def die(self, time):
        self.matcher.deaths.append((self.oplog.stamp(), time))
        return self.matcher.deaths[-1][0]

    @staticmethod
    def row(timeline, lsn, time, op=None):
        if op is None:
            return Row(timeline, 2, lsn, time, "", 0, 0, "sync", False, False)
        return Row(timeline, 1, lsn, time, op.volume, op.offset, op.length, op.kind, False, op.fua)

    def absorb(self, rows, shown, gaps=(), crash=0):
        """`shown`: by LSN, the write that a read of that step shows."""
        self.matcher.absorb(Listing(rows, list(gaps), []),
                            lambda key: {"data": shown[key[1]].content() + bytes(62 * SECTOR)}, crash, bool(gaps))


def accept_a_lost_step_of_equal_extent():
    """The step inside the gap is of the write behind the crash, whatever else was as long at that place."""
    crash = Crash()
    kept, _lost = crash.write(), crash.write()
    stamp, behind = crash.die("t2"), crash.write()
    rows = [crash.row(TIMELINE, 1, "t1", kept), crash.row(BRANCH, 2, "t3", behind), crash.row(BRANCH, 3, "t3")]
    crash.absorb(rows, {1: kept, 3: behind}, [(1, 3, "the primary stopped uncleanly")], stamp)
    require(behind.step == (BRANCH, 2), f"the step inside the gap is of another write than {behind}")


def accept_a_session_that_broke():
    """Its sync step stays inside the gap, which the next session's ends. Outside of gaps there is none."""
    crash = Crash()
    kept = crash.write()
    stamp = crash.die("t2")
    rows = [crash.row(TIMELINE, 1, "t1", kept), crash.row(BRANCH, 2, "t3"), crash.row(BRANCH, 3, "t4")]
    crash.absorb(rows, {1: kept, 3: kept}, [(1, 3, "the primary stopped uncleanly")], stamp)
    require(crash.model.points() == [crash.model.root, (TIMELINE, 1), (BRANCH, 3)], f"points {crash.model.points()}")
    rows.append(crash.row(BRANCH, 4, "t5"))
    try:
        crash.absorb(rows, {4: kept}, [(1, 3, "the primary stopped uncleanly")])
    except Failed:
        return
    raise Failed("a sync step outside of gaps was taken")


def accept_a_line_left_behind():
    """A primary that nobody told how far its line had come branches before its own steps; its disk has them."""
    crash = Crash()
    ops = [crash.write() for _ in range(3)]
    rows = [crash.row(TIMELINE, lsn, f"t{lsn}", op) for lsn, op in enumerate(ops, 1)]
    crash.absorb(rows, dict(enumerate(ops, 1)))
    stamp = crash.die("t4")
    rows = [rows[0], crash.row(BRANCH, 2, "t5")]
    crash.absorb(rows, {2: ops[2]}, [(1, 2, "the primary stopped uncleanly")], stamp)
    require(crash.model.head == (BRANCH, 2), f"the head is {crash.model.head}")


@check("lab.checker_catches_planted_faults", 60)
def catches(context):
    for seed in range(context.seed, context.seed + 5):
        plant_lost_write(Server(seed))
        plant_swapped_order(Server(seed))
        plant_double_step(Server(seed))
        plant_changed_row(Server(seed))
        plant_failed_write(Server(seed))
        plant_gap(Server(seed))
        plant_wrong_sector(Server(seed))
        plant_lost_content_in_crash(Server(seed))


def plant_lost_write(server):
    server.rows.pop()
    must_fail("an acknowledged write without a step", server.absorb, "acknowledged")


def plant_swapped_order(server):
    for place in range(len(server.rows) - 1):
        first, second = server.rows[place][0], server.rows[place + 1][0]
        if first.complete < second.submit and first.key() != second.key():
            server.rows[place], server.rows[place + 1] = (second, place + 1), (first, place + 2)
            return must_fail("two writes in the wrong order", server.absorb, "order")
    raise Failed("no two writes one after the other to swap")


def plant_double_step(server):
    op, lsn = server.rows[-1]
    server.rows.append((op, lsn + 1))
    must_fail("a write with two steps", server.absorb, "no operation")


def plant_changed_row(server):
    _, matcher = server.absorb()
    op = server.rows[3][0]
    op.length += SECTOR
    must_fail("a step that changed", lambda: matcher.absorb(server.listing(), server.read_step), "now has")


def plant_failed_write(server):
    keys = [op.key() for op, _ in server.rows]
    next(op for op, _ in server.rows if keys.count(op.key()) == 1).outcome = "failed"
    must_fail("a failed write with a step", server.absorb, "fail")


def plant_gap(server):
    listing = server.listing()
    listing.gaps.append((3, 7, "order was lost"))
    must_fail("a gap without a reason", lambda: server.absorb(listing), "gap")


def plant_wrong_sector(server):
    model, _ = server.absorb()
    key = (TIMELINE, len(server.rows))
    images = server.read_step(key)
    body = bytearray(images["data"])
    body[100] ^= 1
    must_fail("a flipped bit in an image", lambda: model.check(key, {"data": bytes(body)}, "x"), "differ")
    require(operation_in(bytes(SECTOR)) is None, "zeroes describe an operation")


def plant_lost_content_in_crash(server):
    """After a crash each sector may be of an unanswered write, never older than an answered one."""
    ops = [op for op, _ in server.rows]
    final = server.read_step((TIMELINE, len(ops)))
    start = {"data": bytes(64 * SECTOR)}
    check_after_crash("right", final, start, ops, [])
    answered = next(op for op in reversed(ops) if op.kind == "data")
    body = bytearray(final["data"])
    body[answered.offset:answered.offset + SECTOR] = os.urandom(SECTOR)
    must_fail("a foreign sector after a crash",
              lambda: check_after_crash("x", {"data": bytes(body)}, start, ops, []), "may only be")


@check("lab.documented_tests_exist", 30)
def documented_tests_exist(_):
    """Every test that a table of docs/testing.md names is there."""
    with open(os.path.join(ROOT, "docs", "testing.md"), encoding="utf-8") as file:
        rows = [line for line in file if line.startswith("|")]
    named = set()
    for row in rows:
        found = re.findall(r"`([A-Za-z_]\w*(?:::|\.)[\w*.]+)`", row.strip().strip("|").rpartition("|")[2])
        named.update(found)
    there = set(CHECKS)
    for directory, _, files in os.walk(os.path.join(ROOT, "tests")):
        for name in files:
            if name.endswith(".cpp"):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    found = re.findall(r"^TEST\w*\((\w+),\s*(\w+)\)", file.read(), re.M)
                there.update("::".join(pair) for pair in found)
    missing = sorted(name for name in named if not fnmatch.filter(there, name))
    require(len(named) > 40 and not missing, f"{len(named)} tests are named in docs/testing.md, not there: {missing}")
