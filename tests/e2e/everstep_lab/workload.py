"""The workload: random operations over one or many NBD connections, many in flight, each with its outcome.

Every sector of every data write is different and describes itself: volume, sector, operation, seed, CRC.
Stamps are one counter: operation B was submitted after A completed exactly when A.complete < B.submit.
"""

import contextlib
import errno
import itertools
import random
import select
import struct
import threading
import time
import zlib
from dataclasses import dataclass, field

import nbd

from .base import Failed

SECTOR = 512
HEAD = struct.Struct("<8sIIQQ")  # magic, CRC of the rest, volume, sector, operation
MAGIC = b"Sector-1"
GONE = (errno.ENOTCONN, errno.ESHUTDOWN)  # the outcome of what was in flight is unknown


@dataclass
class Op:
    number: int
    kind: str  # data, zero, discard, flush
    volume: str
    offset: int = 0
    length: int = 0
    fua: bool = False
    data: bytes = b""
    submit: int = 0
    complete: int = 0
    outcome: str = ""  # ok, failed, unknown; empty: in flight
    error: int = 0
    began: float = 0.0
    seconds: float = 0.0
    step: tuple = None  # (timeline, lsn) once matched

    def key(self):
        return (self.volume, self.offset, self.length, self.kind, self.fua)

    def content(self):
        return self.data if self.kind == "data" else bytes(self.length)

    def __str__(self):
        return (f"op {self.number} {self.kind} {self.volume}+{self.offset}/{self.length}"
                f"{' fua' if self.fua else ''} [{self.submit},{self.complete or '-'}] {self.outcome or 'in flight'}")


class Oplog:
    """Every operation of a check, over all its workloads, and the one counter of stamps."""

    def __init__(self, volumes, seed):
        self.volumes, self.seed = dict(volumes), seed
        self.index = {name: number for number, name in enumerate(self.volumes)}
        self.random = random.Random(seed)
        self.packable = False  # two of three writes repeat their filler: a compressor finds something
        self.ops = []
        self.stamps, self.numbers = itertools.count(1), itertools.count(1)

    def stamp(self):
        return next(self.stamps)

    def make(self, kind, volume, offset=0, length=0, fua=False):
        op = Op(next(self.numbers), kind, volume, offset, length, fua)
        if kind == "data":
            op.data = self.payload(op)
        self.ops.append(op)
        return op

    def payload(self, op):
        filler = random.Random(self.seed * 1000003 + op.number)
        repeats = self.packable and op.number % 3 != 0
        body = bytearray(filler.randbytes(SECTOR) * (op.length // SECTOR) if repeats else filler.randbytes(op.length))
        for at in range(0, op.length, SECTOR):
            HEAD.pack_into(body, at, MAGIC, 0, self.index[op.volume], (op.offset + at) // SECTOR, op.number)
            crc = zlib.crc32(body[at + 12:at + SECTOR])
            struct.pack_into("<I", body, at + 8, crc)
        return bytes(body)

    def completed(self):
        return sum(1 for op in self.ops if op.outcome == "ok")


def operation_in(sector):
    """The number of the operation whose data a sector is; None: not a whole sector of ours."""
    magic, crc, _, _, number = HEAD.unpack_from(sector)
    if magic != MAGIC or crc != zlib.crc32(sector[12:SECTOR]):
        return None
    return number


def describe(sector):
    if not any(sector):
        return "zeroes"
    number = operation_in(sector)
    if number is None:
        magic = HEAD.unpack_from(sector)[0]
        return f"{'a torn sector of ours' if magic == MAGIC else 'foreign bytes'} {sector[:16].hex()}"
    _, _, volume, place, _ = HEAD.unpack_from(sector)
    return f"op {number} (volume {volume}, sector {place})"


@dataclass
class Profile:
    data: int = 68  # weights of the kinds
    zero: int = 14
    discard: int = 14
    flush: int = 4
    fua: float = 0.08
    hot: float = 0.5      # share of operations in one small area, so that they overlap in flight
    hot_sectors: int = 256
    again: float = 0.06   # share that repeats the extent of an operation in flight
    sectors_max: int = 128


@dataclass
class Connection:
    volume: str
    uri: str
    handle: object = None
    ready: bool = False
    inflight: dict = field(default_factory=dict)
    retry_at: float = 0.0

    def gone(self):
        return self.handle.aio_is_dead() or self.handle.aio_is_closed()


class Workload:
    """Runs in the caller's thread with run(), or in its own with start() / stop()."""

    def __init__(self, oplog, uris, connections=1, depth=8, profile=None):
        self.oplog, self.depth = oplog, depth
        self.profile = profile or Profile()
        volumes = list(uris)
        self.connections = [Connection(volumes[n % len(volumes)], uris[volumes[n % len(volumes)]])
                            for n in range(connections)]
        self.reconnect = False
        self.pace = None       # operations a second at most
        self.drain_seconds = 60
        self.stopping = threading.Event()
        self.thread = None
        self.trouble = None
        self.issued = 0
        self.began = 0.0
        self.first = len(oplog.ops)

    # ---- running
    def run(self, count):
        """Issues `count` operations and waits for all of them."""
        self.loop(count)
        return self

    def start(self, reconnect=False, pace=None):
        self.reconnect, self.pace = reconnect, pace
        self.thread = threading.Thread(target=self.guarded, daemon=True)
        self.thread.start()
        return self

    def guarded(self):
        try:
            self.loop(None)
        except Exception as error:  # handed to stop()
            self.trouble = error

    def stop(self):
        """No new operations; what is in flight ends. Failed when it does not."""
        self.stopping.set()
        self.thread.join(self.drain_seconds + 30)
        if self.thread.is_alive():
            raise Failed(f"the workload does not end: {self.inflight()} operations in flight")
        if self.trouble is not None:
            raise self.trouble

    def inflight(self):
        return sum(len(connection.inflight) for connection in self.connections)

    def ops(self):
        return self.oplog.ops[self.first:]

    def loop(self, count):
        self.began = time.monotonic()
        deadline, turn = None, 0
        while True:
            over = self.stopping.is_set() or (count is not None and self.issued >= count)
            if over and not self.inflight():
                break
            if over:
                deadline = deadline or time.monotonic() + self.drain_seconds
                if time.monotonic() > deadline:
                    raise Failed(f"{self.inflight()} operations not answered for {self.drain_seconds} s, e.g. "
                                 f"{next(op for c in self.connections for op in c.inflight.values())}")
            turn += 1  # else a pace that the first one can keep by itself would leave the others out
            first = turn % len(self.connections)
            for connection in self.connections[first:] + self.connections[:first]:
                self.tend(connection, over)
                while not over and self.takes_more(connection) and self.may(count):
                    self.issue(connection)
            self.poll()
        for connection in self.connections:
            if connection.ready:
                with contextlib.suppress(nbd.Error):  # its server may be dead
                    connection.handle.shutdown()

    def takes_more(self, connection):
        """A connection may die in the very call that submits an operation: asked before each one."""
        return connection.ready and not connection.gone() and len(connection.inflight) < self.depth

    def may(self, count):
        if count is not None and self.issued >= count:
            return False
        return self.pace is None or self.issued < self.pace * (time.monotonic() - self.began) + 1

    # ---- connections
    def tend(self, connection, over):
        """Connects, notices a dead connection, and connects again where that is wanted."""
        if connection.handle is not None and connection.gone():
            self.lose(connection)
            if not self.reconnect:
                raise Failed(f"{connection.uri}: the connection ended")
        if connection.handle is None and not over and time.monotonic() >= connection.retry_at:
            connection.handle = nbd.NBD()
            try:
                connection.handle.aio_connect_uri(connection.uri)
            except nbd.Error as error:
                self.lose(connection)
                if not self.reconnect:
                    raise Failed(f"{connection.uri}: {error}") from error
        if connection.handle is not None and not connection.ready and connection.handle.aio_is_ready():
            connection.ready = True

    def lose(self, connection):
        for op in connection.inflight.values():
            op.outcome = "unknown"
        connection.inflight.clear()
        connection.handle, connection.ready = None, False
        connection.retry_at = time.monotonic() + 0.05

    def poll(self):
        poller, handles = select.poll(), {}
        for connection in self.connections:
            handle = connection.handle
            if handle is None or connection.gone():
                continue
            wants = handle.aio_get_direction()
            events = (select.POLLIN if wants & 1 else 0) | (select.POLLOUT if wants & 2 else 0)
            handles[handle.aio_get_fd()] = connection
            poller.register(handle.aio_get_fd(), events)
        for descriptor, events in poller.poll(5 if self.pace else 20):
            self.notify(handles[descriptor], events)

    @staticmethod
    def notify(connection, events):
        handle = connection.handle
        try:
            wants = handle.aio_get_direction()
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and wants & 1:
                handle.aio_notify_read()
            elif events & (select.POLLOUT | select.POLLHUP | select.POLLERR) and wants & 2:
                handle.aio_notify_write()
        except nbd.Error:
            if not connection.gone():
                raise

    # ---- operations
    def choose(self, connection):
        """(kind, offset, length) of the next operation."""
        choice, profile = self.oplog.random, self.profile
        kind = choice.choices(("data", "zero", "discard", "flush"),
                              (profile.data, profile.zero, profile.discard, profile.flush))[0]
        if kind == "flush":
            return kind, 0, 0
        flying = [op for op in connection.inflight.values() if op.kind != "flush"]
        if flying and choice.random() < profile.again:
            model = choice.choice(flying)
            return kind, model.offset, model.length
        sectors = self.oplog.volumes[connection.volume] // SECTOR
        area = min(profile.hot_sectors, sectors) if choice.random() < profile.hot else sectors
        length = min(area, max(1, int(profile.sectors_max ** choice.random())))
        if choice.random() < 0.3:
            length = min(area, max(8, length // 8 * 8))
        place = choice.randrange(area - length + 1)
        if choice.random() < 0.3:
            place -= place % 8
        return kind, place * SECTOR, length * SECTOR

    def issue(self, connection):
        kind, offset, length = self.choose(connection)
        fua = kind != "flush" and self.oplog.random.random() < self.profile.fua
        self.submit(connection, self.oplog.make(kind, connection.volume, offset, length, fua))

    def submit(self, connection, op):
        handle, flags = connection.handle, nbd.CMD_FLAG_FUA if op.fua else 0
        connection.inflight[op.number] = op
        self.issued += 1
        op.submit, op.began = self.oplog.stamp(), time.monotonic()

        def answered(error):
            op.complete, op.error = self.oplog.stamp(), error.value
            op.seconds = time.monotonic() - op.began
            op.outcome = "ok" if op.error == 0 else "unknown" if op.error in GONE else "failed"
            connection.inflight.pop(op.number, None)
            return 1
        try:
            if op.kind == "data":
                handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(op.data)), op.offset, answered, flags)
            elif op.kind == "zero":
                handle.aio_zero(op.length, op.offset, answered, flags)
            elif op.kind == "discard":
                handle.aio_trim(op.length, op.offset, answered, flags)
            else:
                handle.aio_flush(answered)
        except nbd.Error:
            if not connection.gone():
                raise
            op.outcome = "unknown"
            connection.inflight.pop(op.number, None)


def slowest(ops):
    return max((op.seconds for op in ops if op.outcome), default=0.0)


def all_succeeded(ops):
    bad = [op for op in ops if op.outcome != "ok"]
    if bad:
        raise Failed(f"{len(bad)} of {len(ops)} operations did not succeed, e.g. {bad[0]} (errno {bad[0].error})")
