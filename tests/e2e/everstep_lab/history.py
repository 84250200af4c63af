"""What `everstep log` says, matched to the operations that were issued.

Checked here: LSNs have no holes along the path; a row never changes once it was seen; one step a write; a write
that completed before another was submitted has the smaller LSN; a failed write has none; flush marks lie where
they may; nothing acknowledged is missing.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from .base import Failed, require
from .model import Model, Step, check_after_crash, name_of
from .nodes import GROUP
from .workload import SECTOR, Op, operation_in

ALL = 10_000_000
UNKNOWN = "0"  # a time that is before every other


@dataclass(frozen=True)
class Row:
    timeline: str
    number: int
    lsn: int
    time: str
    volume: str
    offset: int
    length: int
    kind: str
    flush: bool
    fua: bool

    @property
    def key(self):
        return (self.timeline, self.lsn)

    def content(self):
        """What may never change."""
        return (self.volume, self.offset, self.length, self.kind, self.fua, self.time)


@dataclass
class Listing:
    rows: list   # oldest first
    gaps: list   # (from lsn, to lsn or None, reason), oldest first
    marks: list

    def gap_around(self, lsn):
        return next((gap for gap in self.gaps if gap[0] < lsn and (gap[1] is None or lsn < gap[1])), None)

    def gap_ends(self):
        return {gap[1] for gap in self.gaps}


def lsn_in(point):
    """The LSN in a gap's end, given as a number, an object or a point expression; None: still open."""
    if isinstance(point, dict):
        point = point.get("lsn")
    if point is None or point == "":
        return None
    if isinstance(point, int):
        return point
    found = re.search(r"step:(\d+)", point) or re.search(r"(\d+)$", point)
    require(found is not None, f"a gap's end is {point!r}")
    return int(found.group(1))


def fetch(node, *words):
    """The log of the group's line (or of what `words` select), oldest first."""
    rows, gaps, marks = [], [], []
    for item in node.do("log", GROUP, "--limit", ALL, *words):
        if item["kind"] == "gap":
            gaps.append((lsn_in(item["from"]), lsn_in(item["to"]), item["reason"]))
        elif item["kind"] == "mark":
            marks.append(item)
        elif item["kind"] != "thinned":
            rows.append(Row(item["timeline"], item["timeline_number"], item["lsn"], item["time"],
                            item["volume"] or "", item["offset"], item["length"], item["kind"],
                            bool(item["flush"]), bool(item["fua"])))
    rows.reverse()
    for older, newer in zip(rows, rows[1:]):
        # Of the steps in a gap those are listed that arrived: what ran over, or could not be read, did not.
        dropped = any(start <= older.lsn < newer.lsn <= (end or newer.lsn) for start, end, _ in gaps)
        require(newer.lsn == older.lsn + 1 or (dropped and newer.lsn > older.lsn),
                f"log of {node.name}: a hole: step {older.lsn} is followed by {newer.lsn} (newest first in the log)")
    return Listing(rows, sorted(gaps, key=lambda gap: gap[0]), marks)


class Matcher:
    """Grows a model by what the log shows."""

    def __init__(self, model: Model, oplog):
        self.model, self.oplog = model, oplog
        self.rows = {}          # key -> Row.content(), everything ever seen
        self.done = 0           # operations of oplog.ops before this index have a place
        self.pending = []       # operations without one
        self.absorbed = set()   # numbers of operations that a gap took in
        self.last_gap_end = 0
        self.devices = {}       # of volumes that were added: what the primary's device holds
        self.deaths = []        # of a primary by kill -9: (stamp, time as in the log)

    # ---- growing
    def absorb(self, listing, read_step, crash=0, gap_allowed=False):
        """Takes in a listing of the group's line whose writes have all ended.

        read_step(key) -> images, where content has to decide. `crash`: the stamp of the newest death of a primary
        since the last call (0: none). gap_allowed: a gap may have come since then.
        """
        self.remember(listing.rows)
        self.collect()
        if crash and crash not in [stamp for stamp, _ in self.deaths]:
            self.deaths.append((crash, UNKNOWN))
        fresh = [row for row in listing.rows if row.key not in self.model.steps]
        self.check_gaps(listing, fresh, gap_allowed)
        ghosts = self.pending_by_key()
        parent = self.parent_of_first(listing, fresh)
        inside = []
        for row in fresh:
            if row.kind == "sync" and listing.gap_around(row.lsn) is not None:
                # Of a session that broke: the step stays, the session behind it ends the gap by one of its own.
                self.model.add(Step(row.key, parent, None, row.content(), None, True))
            elif row.kind == "sync":
                require(row.lsn in listing.gap_ends(), f"step {row.lsn} is a sync step but ends no gap")
                self.end_gap(row, parent, inside, (read_step, crash))
                inside = []
            else:
                in_gap = listing.gap_around(row.lsn) is not None
                op = (self.read_in(row, ghosts)
                      or self.match(row, ghosts, (None if in_gap else read_step, crash, gap_allowed)))
                self.note_device(op)
                step = Step(row.key, parent, op, row.content(), None, in_gap)
                self.model.add(step)
                if step.inside:
                    inside.append(step)
            parent = row.key
        if listing.rows:
            self.model.head = listing.rows[-1].key
        require(not inside, f"steps {[s.key[1] for s in inside][:5]} lie inside a gap that has no end yet")
        self.nothing_missing()

    def remember(self, rows):
        for row in rows:
            known = self.rows.setdefault(row.key, row.content())
            require(known == row.content(), f"{name_of(row.key)} had {known} and now has {row.content()}")

    def collect(self):
        for op in self.oplog.ops[self.done:]:
            require(op.outcome, f"{op}: absorb() is for ended operations")
            if op.kind != "flush":
                self.pending.append(op)
        self.done = len(self.oplog.ops)
        self.pending.sort(key=lambda op: op.submit)

    def pending_by_key(self):
        table = defaultdict(list)
        for op in self.pending:
            table[op.key()].append(op)
        return table

    def parent_of_first(self, listing, fresh):
        if not fresh:
            return None
        place = listing.rows.index(fresh[0])
        if place > 0:
            return listing.rows[place - 1].key
        require(fresh[0].lsn == self.model.root[1] + 1,
                f"the log begins at step {fresh[0].lsn}, history at {self.model.root[1]}")
        return self.model.root

    def check_gaps(self, listing, fresh, gap_allowed):
        new = [gap for gap in listing.gaps if gap[1] is None or gap[1] > self.last_gap_end]
        new = [gap for gap in new if gap[1] is None or any(row.lsn == gap[1] for row in fresh)]
        require(gap_allowed or not new, f"a gap that nothing explains: {new}")
        for gap in new:
            require(gap[1] is not None, f"gap {gap} is still open though the pair is together")
            require(gap[0] < gap[1], f"gap {gap}: its first end is not before its second")
            self.last_gap_end = gap[1]

    # ---- volumes that were added
    def read_in(self, row, ghosts):
        """A step that ships what the device of an added volume held before; None: it is none."""
        if row.volume not in self.devices or row.kind not in ("reread", "zero"):
            return None
        if ghosts.get((row.volume, row.offset, row.length, row.kind, row.fua)):
            return None
        held = bytes(self.devices[row.volume][row.offset:row.offset + row.length])
        require(row.kind == "reread" or not any(held), f"step {row.lsn} zeroes what {row.volume} holds")
        return Op(0, "data", row.volume, row.offset, row.length, data=held, outcome="ok")

    def note_device(self, op):
        if op is not None and op.volume in self.devices:
            self.devices[op.volume][op.offset:op.offset + op.length] = op.content()

    # ---- matching
    def match(self, row, ghosts, context):
        read_step, crash, gap_allowed = context
        equal = ghosts.get((row.volume, row.offset, row.length, row.kind, row.fua), [])
        candidates = [op for op in self.of_its_run(row, equal)
                      if op.number not in self.absorbed]  # a gap before this row took the others
        require(candidates, f"step {row.lsn} ({row.kind} {row.volume}+{row.offset}/{row.length}"
                f"{' fua' if row.fua else ''}) is no operation that was issued and has no place yet")
        op = candidates[0] if len(candidates) == 1 else self.decide(row, candidates, context)
        require(op.outcome != "failed", f"step {row.lsn} is {op}, which failed: a failed write takes no number")
        other = self.overtaken(op, crash if gap_allowed else 0)
        require(other is None, f"order: {other} completed before {op} was submitted, but that is step {row.lsn} "
                f"and the former has no smaller number")
        ghosts[op.key()].remove(op)
        self.pending.remove(op)
        op.step = row.key
        return op

    def of_its_run(self, row, ops):
        """Without those that were submitted before the primary died: the next run gives them no number."""
        began = max((stamp for stamp, time in self.deaths if UNKNOWN < time <= row.time), default=0)
        return [op for op in ops if op.submit >= began]

    def overtaken(self, op, crash):
        """A write without a number yet that completed before `op` was submitted. `crash`: writes from before it may
        have lost theirs (end_gap() looks for their content); 0: none may."""
        for other in self.pending:  # by submit stamp
            if other.submit > op.submit:
                return None
            if other is not op and other.outcome == "ok" and other.complete < op.submit:
                deaths = [stamp for stamp, _ in self.deaths if stamp <= crash]
                if not any(other.submit < death <= op.submit for death in deaths):
                    return other
        return None

    def decide(self, row, candidates, context):
        """Equal extents: the content read at that step, for data; zeroes are zeroes, whichever write it was."""
        read_step, crash, gap_allowed = context
        able = [op for op in candidates if op.outcome != "failed"]
        require(able, f"step {row.lsn}: all of {[str(op) for op in candidates]} failed")
        # No step inside a gap can be read, and none shows a volume that is not whole there.
        images = read_step(row.key) if row.kind == "data" and read_step is not None else {}
        if row.volume not in images:
            able.sort(key=lambda op: op.complete or 1 << 62)
            fitting = [op for op in able if self.overtaken(op, crash if gap_allowed else 0) is None]
            return (fitting or able)[0]
        number = operation_in(images[row.volume][row.offset:row.offset + SECTOR])
        for op in able:
            if op.number == number:
                return op
        raise Failed(f"step {row.lsn}: its content is of operation {number}, none of {[str(o) for o in able]}")

    # ---- the end of a gap
    def end_gap(self, row, parent, inside, context):
        read_step, newest = context
        # The death that made this gap: the newest one before its end.
        crash = max((stamp for stamp, time in self.deaths if time <= row.time and stamp <= newest), default=newest)
        start_key = parent
        while self.model.steps[start_key].inside:
            start_key = self.model.steps[start_key].parent
        loose = [op for op in self.pending if op.submit < crash]
        loose += [step.op for step in inside if step.key[0] != row.timeline]
        sure = [step.op for step in inside if step.key[0] == row.timeline]
        images = read_step(row.key)
        check_after_crash(f"the end of the gap, step {row.lsn}", images, self.on_disk(start_key), loose, sure)
        self.model.add(Step(row.key, parent, None, row.content(), images))
        self.absorbed.update(op.number for op in loose)
        self.pending = [op for op in self.pending if op.submit >= crash]

    def on_disk(self, key):
        """What the primary's disk held at least when it began a line that goes through `key`. That need not hold the
        newest steps of before: with nobody there to say how far they had come, it branches at what it knows for sure.
        """
        left = set(self.model.path(self.model.head))
        if self.model.head in self.model.path(key):
            return self.model.image(key)
        images = {name: bytearray(body) for name, body in self.model.image(self.model.head).items()}
        for at in self.model.path(key):
            if at not in left and self.model.steps[at].op is not None:
                self.model.write(images, self.model.steps[at].op)
        return {name: bytes(body) for name, body in images.items()}

    def nothing_missing(self):
        """What is left over must be writes that nobody was promised."""
        lost = [op for op in self.pending if op.outcome == "ok"]
        require(not lost, f"{len(lost)} acknowledged writes are not in the log, e.g. {lost[0] if lost else ''}")
        self.pending = []


def check_flush_marks(rows, ops):
    """Every flush mark has a reason, and every successful flush has its mark where it may lie."""
    flushes = [op for op in ops if op.kind == "flush" and op.outcome == "ok"]
    placed = sorted((op for op in ops if op.step is not None), key=lambda op: op.step[1])
    marked = {row.lsn for row in rows if row.flush or row.fua}
    spans = []
    for flush in flushes:
        low = max((op.step[1] for op in placed if op.outcome == "ok" and op.complete < flush.submit), default=0)
        high = max((op.step[1] for op in placed if op.submit < flush.complete), default=0)
        spans.append((low, high))
        require(low == 0 or any(low <= lsn <= high for lsn in marked),
                f"{flush}: no flush mark between steps {low} and {high}")
    unsure = any(op.kind == "flush" and op.outcome != "ok" for op in ops)
    for row in rows:
        if row.flush and not row.fua and not unsure:
            require(any(low <= row.lsn <= high for low, high in spans),
                    f"step {row.lsn} has a flush mark, but no flush was submitted there")
