"""Ten exports at once, read at random while writes are applied, steps are gone to, and a restore runs."""

import os
import random
import threading

import nbd

from everstep_lab.base import require, wait_for
from everstep_lab.model import name_of, same_images
from everstep_lab.nbdio import connect, read_device
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

SECTOR = 512


class Reader(threading.Thread):
    """Reads random ranges of one export until told to stop; keeps what it saw. A writable one is written on, too,
    and compared with itself at once."""

    def __init__(self, node, point, seed, writable):
        super().__init__()
        self.node, self.random, self.writable = node, random.Random(seed), writable
        self.body = node.one("export", GROUP, point, *(["--writable"] if writable else []))
        self.key = (self.body.get("base_timeline") or self.body["timeline"],
                    self.body["base_lsn"] if writable else self.body["lsn"])
        self.seen = []      # (volume, offset, content)
        self.own = {}       # volume -> {sector: content} written here
        self.failure = None
        self.over = threading.Event()

    def run(self):
        try:
            handles = {volume: connect(uri) for volume, uri in self.body["uris"].items()}
            while not self.over.is_set():
                volume = self.random.choice(sorted(handles))
                size = handles[volume].get_size()
                length = SECTOR * self.random.choice((1, 3, 8, 8, 16, 100))
                at = self.random.randrange(0, size - length, SECTOR)
                if self.writable and self.random.random() < 0.3:
                    self.write(handles[volume], volume, at, length)
                else:
                    self.read(handles[volume], volume, at, length)
            for handle in handles.values():
                handle.shutdown()
        except Exception as error:  # told by the thread that waits
            self.failure = error

    def write(self, handle, volume, at, length):
        content = self.random.randbytes(length)
        handle.pwrite(content, at)
        own = self.own.setdefault(volume, {})
        for piece in range(0, length, SECTOR):
            own[at + piece] = content[piece:piece + SECTOR]

    def read(self, handle, volume, at, length):
        content = bytearray(handle.pread(length, at))
        own = self.own.get(volume, {})
        for piece in range(0, length, SECTOR):
            sector = bytes(content[piece:piece + SECTOR])
            if at + piece in own:
                require(sector == own[at + piece], f"export {self.body['id']}: {volume} at {at + piece} is not what "
                                                   f"was written there")
            else:
                self.seen.append((volume, at + piece, sector))

    def end(self):
        self.over.set()
        self.join(60)
        require(not self.is_alive(), f"export {self.body['id']}: a read hangs")
        if self.failure is not None:
            raise self.failure

    def check(self, images):
        for volume, at, sector in self.seen:
            require(sector == images[volume][at:at + SECTOR],
                    f"export {self.body['id']} of {name_of(self.key)}: {volume} at {at} is not the model's")


@check("exports.ten_at_random", 300, 1200)
def ten_at_random(context):
    with Scene(context) as scene:
        scene.start()
        all_succeeded(scene.write(200, 4, 8))
        scene.settle()
        readers, seen, turns = [], [], context.count(2, 20)
        work = scene.workload(4, 8)
        work.start()  # as fast as they are taken
        try:
            for turn in range(turns):
                newest = scene.standby.status()["positions"]["durable"]
                readers = [Reader(scene.standby, f"step:{scene.random.randrange(newest + 1)}" if n else "head",
                                  scene.random.getrandbits(32), n % 5 == 4) for n in range(10)]
                for reader in readers:
                    reader.start()
                scene.standby.one("rewind", GROUP, f"step:{scene.random.randrange(newest + 1)}")
                scene.standby.one("resume", GROUP)
                wait_for("everybody has read", lambda: all(len(one.seen) > 500 or one.failure for one in readers), 60)
                for reader in readers:
                    reader.end()
                    scene.standby.do("unexport", reader.body["id"], "--drop")
                seen += readers
        finally:
            for reader in readers:
                reader.over.set()
            work.stop()
        all_succeeded(work.ops())
        scene.settle()
        by_key = {}
        for reader in seen:
            by_key.setdefault(reader.key, []).append(reader)
        for key, images in scene.model.walk():
            frozen = None
            for reader in by_key.pop(key, []):
                frozen = frozen or {volume: bytes(content) for volume, content in images.items()}
                reader.check(frozen)
        require(not by_key, f"exports of {[name_of(key) for key in by_key]}, which the model does not know")
        context.say(f"{sum(len(one.seen) for one in seen)} sectors of {len(seen)} exports compared, "
                    f"{scene.model.head[1]} steps")


@check("exports.over_a_restore", 240)
def over_a_restore(context):
    """Steps stay what they are while the primary goes back, and every byte of it is the step's."""
    with Scene(context) as scene:
        scene.start()
        all_succeeded(scene.write(300, 4, 8))
        scene.settle()
        points = scene.model.points()
        keys = [points[scene.random.randrange(len(points))] for _ in range(10)]
        readers = [Reader(scene.standby, name_of(key), scene.random.getrandbits(32), False) for key in keys]
        for reader in readers:
            reader.start()
        target, before = keys[0], scene.model.head
        body = None
        for _ in range(3):
            body = scene.primary.one("restore", GROUP, name_of(target))
            served = {volume: read_device(uri) for volume, uri in scene.primary.uris().items()}
            same_images("restored", served, scene.model.image(target))
            wait_for("the reader's client is gone", lambda: scene.primary.cli(
                "restore", GROUP, name_of(before)).code == 0, 30)
        served = {volume: read_device(uri) for volume, uri in scene.primary.uris().items()}
        same_images("restored to before", served, scene.model.image(before))
        require(body["bytes"] > 0, "nothing differed")
        wait_for("everybody has read", lambda: all(len(one.seen) > 500 or one.failure for one in readers), 60)
        for reader in readers:
            reader.end()
            reader.check(scene.model.image(reader.key))


def descriptor_name(pid, descriptor):
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except FileNotFoundError:
        return "closed meanwhile"


@check("exports.clients_come_and_go", 240)
def clients_come_and_go(context):
    """Half of many clients leave in the middle of their reads, while the replica moves; nothing stays of them."""
    with Scene(context) as scene:
        scene.start()
        all_succeeded(scene.write(300, 4, 8))
        scene.settle()
        beta, head = scene.standby, scene.model.head[1]
        body = beta.one("export", GROUP, f"step:{head // 2}")
        uri = body["uris"]["data"]
        wanted, over = read_device(uri), threading.Event()

        def visit(leave):
            handle = connect(uri)
            buffers = [nbd.Buffer(len(wanted)) for _ in range(4)]
            for buffer in buffers:
                handle.aio_pread(buffer, 0)
            if leave:
                handle.poll(0)
                return
            while handle.aio_in_flight() > 0:
                require(handle.poll(30000) > 0, "a read hangs")
            require(all(bytes(buffer.to_bytearray()) == wanted for buffer in buffers), "a read is not the step's")
            handle.shutdown()

        def held():
            """Descriptors and threads. Files of the history stay open; each thread has a ring from its first batch."""
            names = [descriptor_name(beta.child.pid, one) for one in os.listdir(f"/proc/{beta.child.pid}/fd")]
            threads = len(os.listdir(f"/proc/{beta.child.pid}/task"))
            require(names.count("anon_inode:[io_uring]") <= threads, f"{threads} threads, {names}")
            return len([one for one in names if one != "anon_inode:[io_uring]" and "/store/" not in one]), threads

        def move():
            while not over.is_set():
                beta.one("rewind", GROUP, f"step:{scene.random.randrange(head)}")
                beta.one("resume", GROUP)

        for _ in range(20):  # each reader has what it keeps
            visit(False)
        before = held()
        mover = threading.Thread(target=move)
        mover.start()
        try:
            for number in range(300):
                visit(number % 2 == 0)
        finally:
            over.set()
            mover.join(60)

        def nothing_left():
            now = held()
            require(all(one <= was + 2 for one, was in zip(now, before)), f"descriptors, threads {now}, were {before}")
            return True

        wait_for("nothing is left of them", nothing_left, 30)
        beta.do("unexport", body["id"])
        scene.settle()
