"""What a peer may do wrong on the wire and with its disk: the points of docs/testing.md, "Points of the link"."""

import contextlib
import os
import struct
import threading

from checks.intent import crc32c
from everstep_lab.base import Failed, Skip, need_root, need_tool, require, run, wait_for
from everstep_lab.interceptor import FRAME, HEADER, Interceptor
from everstep_lab.nbdio import connect, read_file
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.tls_records import RecordClient, hello
from everstep_lab.workload import all_succeeded

FRAME_HEADER, ENTRY = 128, 64  # docs/journal-format.md
PAYLOAD_CRC = 48               # of an entry


def said(node, kind, *words):
    return [one["text"] for one in node.events() if one["kind"] == kind and all(word in one["text"] for word in words)]


class Once:
    """Edits one frame of the stream: the first behind arm()."""

    def __init__(self, edit):
        self.edit, self.lock = edit, threading.Lock()
        self.passes = edit is not swapped
        self.armed, self.kept, self.done, self.frames = False, None, 0, 0

    def arm(self):
        with self.lock:
            self.armed = True

    def __call__(self, name, message):
        with self.lock:
            if name != ">Frame":
                return [message]
            self.frames += 1
            if not self.armed:
                return [message]
            edited = self.edit(self, message)
            if edited is None:  # it wants another one first
                return [message] if self.passes else []
            self.armed, self.done = False, self.done + 1
            return edited


def other_content(message):
    """The same frame, sealed anew, with one byte of a payload changed; None: it has no payload."""
    frame = bytearray(message[HEADER.size:])
    entries, payload = struct.unpack_from("<I", frame, 12)[0], struct.unpack_from("<I", frame, 92)[0]
    if payload == 0:
        return None
    frame[FRAME_HEADER] ^= 1
    at = FRAME_HEADER + payload
    for number in range(entries):
        entry = at + number * ENTRY
        offset, length = struct.unpack_from("<II", frame, entry + 40)
        if length:
            struct.pack_into("<I", frame, entry + PAYLOAD_CRC, crc32c(frame[offset:offset + length]))
    struct.pack_into("<I", frame, 100, crc32c(frame[at:at + entries * ENTRY]))
    struct.pack_into("<I", frame, 124, crc32c(frame[:124]))
    return HEADER.pack(len(frame), FRAME, 0) + bytes(frame)


def put(scene, count=1):
    """Writes of 4 KiB, each answered before the next."""
    client = connect(scene.alpha.uri())
    for number in range(count):
        client.pwrite(os.urandom(4096), number * 4096)
    client.shutdown()


def edited_stream(context, edit, alarm):
    """One frame on the wire is edited. `alarm`: a word of the standby's.

    Whatever it was, the pair ends equal and without a gap.
    """
    with contextlib.closing(Lab(context.directory, {"data": 1 << 20})) as lab:
        editor = Once(edit)
        between = Interceptor(lab, lab.beta, lab.alpha)
        between.editor = editor
        scene = type("Pair", (), {"alpha": lab.alpha, "beta": lab.beta})
        lab.start()
        put(scene, 4)
        lab.wait_caught_up()
        editor.arm()
        while not editor.done:
            frames = editor.frames
            put(scene)
            wait_for("the next frame", lambda before=frames: editor.frames > before, 20)
        if alarm == "wanted":
            put(scene)  # what is missing is missed behind it
        for node in (lab.beta, lab.alpha):
            wait_for(f"an alarm of {node.name} says '{alarm}'", lambda n=node: said(n, "alarm-link", alarm), 20)
        put(scene, 4)
        lab.wait_caught_up()
        require(read_file(lab.alpha.device()) == read_file(lab.beta.device()), "the pair is not equal")
        require(lab.beta.status()["history"]["gaps"] == 0, "a wrong frame made a gap")
        between.close()


def swapped(editor, message):
    """Two frames in each other's place."""
    if editor.kept is None:
        editor.kept = message
        return None
    return [message, editor.kept]


def again(change):
    """In a frame's place the one before it, which has arrived."""
    def edit(editor, message):
        if editor.kept is None:
            editor.kept = message
            return None
        return [change(editor.kept)]
    return edit


def flipped(_, message):
    changed = bytearray(message)
    changed[HEADER.size + FRAME_HEADER + 7] ^= 0x10
    return [bytes(changed)]


EDITS = {
    "p10_a_damaged_frame_is_never_taken": (flipped, "frame"),
    "p11_a_frame_again_is_dropped_and_the_next_one_missed": (again(lambda kept: kept), "wanted"),
    "p11_a_frame_again_with_other_content_is_an_alarm": (again(other_content), "two contents"),
    "p12_a_missing_frame_is_never_passed_over": (lambda _, message: [], "wanted"),
    "p12_frames_that_changed_places_are_not_taken": (swapped, "wanted"),
}
for name, (one, word) in EDITS.items():
    check(f"peers.{name}", 90)(lambda context, edit=one, alarm=word: edited_stream(context, edit, alarm))


@check("peers.p13_nothing_is_dropped_that_one_standby_lacks", 120)
def dropped_by_the_last(context):
    """What one standby has durable stays for the other, which then needs no resync."""
    with contextlib.closing(Lab(context.directory, {"data": 1 << 20}, standbys=("beta", "gamma"))) as lab:
        lab.start()
        gamma = lab.nodes["gamma"]
        put(lab, 4)
        for name in lab.standbys:
            lab.wait_caught_up(standby=lab.nodes[name])
        gamma.kill9()
        put(lab, 20)
        newest = lab.wait_caught_up()
        peers = {one["node"]: one for one in lab.alpha.status()["peers"]}
        require(peers["beta"]["durable"] == newest and peers["gamma"]["durable"] == newest - 20, f"peers: {peers}")
        require(peers["gamma"]["lag_steps"] == 20 and peers["gamma"]["lag_bytes"] >= 20 * 4096, f"peers: {peers}")
        gamma.start()
        lab.wait_caught_up(standby=gamma)
        require(gamma.status()["history"]["gaps"] == 0, "a standby that was away for 20 steps has a gap")
        require(not said(lab.alpha, "resync", "gamma"), "a standby that was away for 20 steps was compared")


def versions_in(way, first, last):
    """An editor: the Hellos of one way claim other protocol versions."""
    wanted = bytes([8, 1, 16, 1])

    def edit(name, message):
        if name != way + "Hello":
            return [message]
        at = message.index(wanted, HEADER.size, HEADER.size + 16)
        return [message[:at] + bytes([8, first, 16, last]) + message[at + 4:]]
    return edit


@check("peers.p19_versions_and_features", 120)
def versions(context):
    """No version in common is refused and named; a wider range and unknown features are taken; then the pair heals."""
    with Scene(context, {"data": 1 << 20}) as scene:
        between = Interceptor(scene.lab, scene.beta, scene.alpha)
        between.editor = versions_in(">", 1, 9)  # a newer node that still speaks the old version
        scene.start()
        all_succeeded(scene.write(10))
        peer = lambda: scene.alpha.status()["peers"][0]
        for way in "><":
            scene.alpha.do("pause", GROUP)
            between.editor = versions_in(way, 2, 9)
            scene.alpha.do("unpause", GROUP)
            wait_for("no version in common", lambda: "no protocol version" in str(peer()["why"]), 20)
            require(peer()["state"] == "refused", f"the peer without a version in common is {peer()}")
            all_succeeded(scene.write(10))
        between.editor = None
        scene.settle()
        for features in (1 << 63, (1 << 64) - 1):
            with RecordClient(scene.beta, f"{scene.lab.pki}/alpha.crt", f"{scene.lab.pki}/alpha.key") as client:
                client.send(hello("alpha", features=features))
                client.answer(1)
        between.close()


@check("peers.p21_a_frozen_standby_holds_up_no_other", 180)
def frozen(context):
    """One of two standbys reads nothing any more: the other has everything; later it comes back without a gap."""
    with contextlib.closing(Lab(context.directory, {"data": 4 << 20}, standbys=("beta", "gamma"))) as lab:
        lab.start()
        gamma = lab.nodes["gamma"]
        gamma.freeze()
        client = connect(lab.alpha.uri())
        for number in range(400):
            client.pwrite(os.urandom(65536), number % 64 * 65536)
        client.shutdown()
        newest = lab.wait_caught_up(seconds=20)
        behind = next(one for one in lab.alpha.status()["peers"] if one["node"] == "gamma")
        require(behind["durable"] < newest, f"a frozen standby has everything: {behind}")
        gamma.thaw()
        lab.wait_caught_up(standby=gamma)
        require(gamma.status()["history"]["gaps"] == 0, "a frozen standby has a gap")
        require(read_file(gamma.device()) == read_file(lab.alpha.device()), "gamma differs from the primary")


def loop_of_4k(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return run([need_tool("losetup"), "--find", "--show", "--sector-size", "4096", path]).stdout.strip()


@check("peers.p28_sectors_of_4096_under_writes_of_512", 150)
def sectors(context):
    """A replica, then a primary's device, of 4096-byte sectors: every 512-byte write is right on both sides."""
    need_root()
    for where in ("beta", "alpha"):
        here = type(context)(context.name, os.path.join(context.directory, where), context.seed, context.long)
        with Scene(here, {"data": 4 << 20}) as scene:
            node = scene.lab.nodes[where]
            try:
                loop = loop_of_4k(os.path.join(here.directory, "disk"), 4 << 20)
            except Failed as error:
                raise Skip(f"no loop device with sectors of 4096 bytes: {error}") from error
            try:
                os.symlink(loop, node.device())
                scene.start()
                all_succeeded(scene.write(150, 2, 8))
                scene.settle()
                scene.check_every_export(keys=scene.sample(20))
                key = scene.sample(1)[0]
                scene.rewind(key)
                scene.resume()
                scene.settle()
            finally:
                scene.lab.close()
                run(["losetup", "-d", loop], check=False)


@check("peers.p29_another_size_in_the_configuration_is_refused", 120)
def resized(context):
    """Grown and shrunk: named with both sizes, nothing is touched, and with the old size it goes on."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        all_succeeded(scene.write(40, 2, 8))
        scene.settle()
        for size in (2 << 20, 1 << 19):
            for node in (scene.alpha, scene.beta):
                node.term()
            before = {node.name: read_file(node.device()) for node in (scene.alpha, scene.beta)}
            scene.lab.volumes["data"] = size
            scene.lab.write_config()
            for node in (scene.beta, scene.alpha):
                node.spawn()
                node.wait_answer()
                wait_for(f"{node.name} names both sizes", lambda n=node: all(
                    word in n.told() for word in ("data", str(size), str(1 << 20))), 20)
                require(node.status()["state"] in ("failed", "refused"), f"{node.name} is {node.status()['state']}")
            for node in (scene.alpha, scene.beta):
                require(node.running(), f"{node.name} ended")
                require(read_file(node.device()) == before[node.name], f"the disk of {node.name} was changed")
                node.term()
            scene.lab.volumes["data"] = 1 << 20
            scene.lab.write_config()
            for node in (scene.beta, scene.alpha):
                node.start()
            scene.lab.wait_serving()
            require(not scene.settle().gaps, "a refused size made a gap")
