"""Garbage to every port. The daemon stays up, other connections go on, nothing is lost."""

import os
import random
import socket
import ssl
import struct

import nbd

from everstep_lab import tls
from everstep_lab.base import Failed, require, wait_for
from everstep_lab.nbdio import Export
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

CLIENT_FLAGS = struct.pack(">I", 3)  # fixed newstyle, no zeroes
OPTION = b"IHAVEOPT"


def unix(path):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(20)
    stream.connect(path)
    return stream


def send_quietly(stream, data):
    try:
        stream.sendall(data)
    except OSError:
        pass  # the daemon may hang up in the middle of garbage


def exactly(stream, count):
    got = b""
    while len(got) < count:
        piece = stream.recv(count - len(got))
        if not piece:
            raise Failed(f"the server hung up after {len(got)} of {count} bytes")
        got += piece
    return got


def handshake(path):
    """A connection in its transmission phase, by hand: (socket, size)."""
    stream = unix(path)
    greeting = exactly(stream, 18)
    require(greeting[:16] == b"NBDMAGICIHAVEOPT", f"the NBD greeting is {greeting!r}")
    stream.sendall(CLIENT_FLAGS + OPTION + struct.pack(">II", 1, 0))  # NBD_OPT_EXPORT_NAME, default export
    size, _ = struct.unpack(">QH", exactly(stream, 10))
    return stream, size


def request(command, offset, length, flags=0, cookie=7, payload=b""):
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length) + payload


def garbage_before_handshake(choice):
    option = lambda number, length, data=b"": CLIENT_FLAGS + OPTION + struct.pack(">II", number, length) + data
    return [
        choice.randbytes(4096), b"", b"\0" * 64, b"GET / HTTP/1.0\r\n\r\n",
        struct.pack(">I", 0xFFFFFFFF), CLIENT_FLAGS + choice.randbytes(256),
        option(7, 0xFFFFFFFF), option(7, 4, b"\xff" * 4), option(7, 12, struct.pack(">I", 0xFFFFFFF0) + b"x" * 8),
        option(6, 1 << 30), option(99, 8, b"?" * 8), option(3, 4, b"junk"), option(1, 100000, b"n" * 100000),
        option(10, 16, struct.pack(">IIII", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)), option(9, 0) + choice.randbytes(64),
        option(7, 20, struct.pack(">I", 4) + b"none" + struct.pack(">H", 60000) + choice.randbytes(10)),
    ]


def garbage_after_handshake(choice, size):
    return [
        choice.randbytes(2048), request(1, 0, 4096, payload=b"half"), request(1, 0, 0xFFFFFFFF),
        request(0, 0, 0xFFFFFFFF), request(77, 0, 512), b"\0" * 28, request(1, size, 512, payload=b"x" * 512),
        request(3, 1, 1), request(2, 0, 0) + b"more", request(0, 0, 4096, flags=0xFFFF),
        request(6, size - 512, 1 << 31), request(7, 0, 0), request(4, 3, 100),
        request(0, 0, 1 << 20) * 200,  # asks for 200 MiB and does not read it
    ]


def living_pair_checks(scene, work):
    work.stop()
    all_succeeded(work.ops())
    require(scene.alpha.running() and scene.beta.running(), "a daemon died")
    listing = scene.settle()
    require(not listing.gaps, f"garbage made a gap: {listing.gaps}")


@check("bad_input.nbd_garbage", 180)
def nbd_garbage(context):
    choice = random.Random(context.seed)
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        work = scene.workload(2, 4)
        work.start(pace=200)
        path = scene.alpha.socket()
        for round_number in range(context.count(2, 20)):
            for data in garbage_before_handshake(choice):
                with unix(path) as stream:
                    send_quietly(stream, data)
            _, size = handshake(path)
            for data in garbage_after_handshake(choice, size):
                stream, _ = handshake(path)
                with stream:
                    send_quietly(stream, data)
            require(scene.alpha.running(), f"the daemon died in round {round_number}")
        idle = [unix(path) for _ in range(40)]  # connected, never a word
        scene.alpha.status()
        for stream in idle:
            stream.close()
        living_pair_checks(scene, work)


def wrong_requests(size):
    """(what, call) that have to be answered with an error while the connection stays."""
    buffer = bytearray(512)
    return [
        ("a write behind the end", lambda h: h.pwrite(buffer, size)),
        ("a write across the end", lambda h: h.pwrite(bytearray(1024), size - 512)),
        ("a read behind the end", lambda h: h.pread(512, size)),
        ("a trim behind the end", lambda h: h.trim(4096, size - 512)),
        ("a zero behind the end", lambda h: h.zero(4096, size)),
        ("a write at the end of 64 bits", lambda h: h.pwrite(buffer, (1 << 63) - 512)),
        ("a write of 100 bytes", lambda h: h.pwrite(bytearray(100), 512)),
        ("a write at byte 100", lambda h: h.pwrite(buffer, 100)),
        ("a trim of 100 bytes", lambda h: h.trim(100, 0)),
    ]


@check("bad_input.nbd_requests", 90)
def nbd_requests(context):
    """A wrong request gets an error, takes no step, and the connection goes on."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(10)
        before = scene.alpha.status()["positions"]["captured"]
        handle = nbd.NBD()
        handle.connect_uri(scene.alpha.uri())
        handle.set_strict_mode(0)
        for what, call in wrong_requests(1 << 20):
            try:
                call(handle)
            except nbd.Error:
                require(not (handle.aio_is_dead() or handle.aio_is_closed()), f"{what}: the connection ended")
                continue
            raise Failed(f"{what} was answered as done")
        handle.pread(512, 0)
        handle.shutdown()
        after = scene.alpha.status()["positions"]["captured"]
        require(after == before, f"refused requests took steps: {before} became {after}")
        scene.settle()


@check("bad_input.read_only_export", 90)
def read_only_export(context):
    """An export refuses writes, trims and zeroes, and is not changed by trying."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        with Export(scene.beta, "head") as export:
            handle = nbd.NBD()
            handle.connect_uri(export.body["uri"])
            handle.set_strict_mode(0)
            require(handle.is_read_only(), "an export does not say that it is read-only")
            for what, call in (("write", lambda h: h.pwrite(bytearray(512), 0)),
                               ("trim", lambda h: h.trim(512, 0)), ("zero", lambda h: h.zero(512, 0))):
                try:
                    call(handle)
                except nbd.Error:
                    continue
                raise Failed(f"a {what} on an export was answered as done")
            handle.shutdown()
            scene.model.check(scene.model.head, export.images(), "the export after refused writes")


def tls_garbage_pieces(choice):
    head = lambda length, kind: struct.pack("<IHH", length, kind, 0)
    return [
        choice.randbytes(10000), head(0xFFFFFFFF, 1), head(1 << 20, 1) + choice.randbytes(1 << 20), head(0, 1),
        head(64, 2) + choice.randbytes(64), head(0xFFFFFFFF, 2), head(16, 3) + b"x" * 16, head(8, 999) + b"y" * 8,
        head(100, 1) + b"\x0a\xff\xff\xff\xff\x0f" + bytes(94), b"",
    ]


@check("bad_input.tls_garbage", 180)
def tls_garbage(context):
    """Garbage to the node's port, before and inside TLS with a valid certificate."""
    choice = random.Random(context.seed)
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        work = scene.workload(2, 4)
        work.start(pace=200)
        pki = scene.lab.pki
        for node, other in ((scene.alpha, "beta"), (scene.beta, "alpha")):
            for data in (choice.randbytes(5000), b"", b"\x16\x03\x01\x02\x00\x01" + choice.randbytes(500),
                         b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"z" * 70000):
                with tls.connect_plain(node) as stream:
                    send_quietly(stream, data)
            for data in tls_garbage_pieces(choice):
                with tls.connect_tls(node, f"{pki}/{other}.crt", f"{pki}/{other}.key") as stream:
                    send_quietly(stream, data)
            idle = [tls.connect_plain(node) for _ in range(20)]
            require(node.running(), f"{node.name} died of garbage")
            node.status()
            for stream in idle:
                stream.close()
        wait_for("the link is there", lambda: scene.alpha.status()["peers"][0]["state"] == "connected", 30)
        living_pair_checks(scene, work)


@check("bad_input.no_hello", 60)
def no_hello(context):
    """With a good certificate: no Hello is not waited for, and what may not come before it is not taken in."""
    keepalive = struct.pack("<IHH", 2, 1, 0) + b"\x32\x00"
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        pki = scene.lab.pki
        mute = [tls.connect_tls(scene.beta, f"{pki}/alpha.crt", f"{pki}/alpha.key") for _ in range(40)]
        send_quietly(mute[-1], keepalive)
        for what, header, word in (("a frame", struct.pack("<IHH", 34 << 20, 2, 0), b"out of turn"),
                                   ("a long message", struct.pack("<IHH", 4 << 20, 1, 0), b"at most")):
            with tls.connect_tls(scene.beta, f"{pki}/alpha.crt", f"{pki}/alpha.key") as stream:
                send_quietly(stream, header)  # and not one byte of its body
                said = tls.bytes_until_end(stream)
                require(word in said, f"{what} before the Hello: beta said {said!r}")
        said = tls.bytes_until_end(mute[-1])
        require(b"no Hello" in said, f"a link of Keepalives: beta said {said!r}")
        for stream in mute:
            tls.bytes_until_end(stream)
            stream.close()
        scene.write(10)
        scene.settle()


@check("bad_input.admin_garbage", 120)
def admin_garbage(context):
    choice = random.Random(context.seed)
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        for node in (scene.alpha, scene.beta):
            path = os.path.join(node.state, "admin.sock")
            require(os.stat(path).st_mode & 0o777 == 0o600, f"{path} has mode {os.stat(path).st_mode & 0o777:o}")
            require(os.stat(node.state).st_mode & 0o777 == 0o700, f"{node.state} is not 0700")
            for data in tls_garbage_pieces(choice) + [b"status\n", b"{\"verb\":\"status\"}"]:
                with unix(path) as stream:
                    send_quietly(stream, data)
            idle = [unix(path) for _ in range(30)]
            require(node.running(), f"{node.name} died of garbage on its admin socket")
            node.status()
            for stream in idle:
                stream.close()
        scene.write(20)
        scene.settle()


def refused_certificates(scene):
    """(what, certificate, key) that no node may accept from a peer."""
    directory = os.path.join(scene.lab.directory, "bad-pki")
    ours = (f"{scene.lab.pki}/ca.crt", f"{scene.lab.pki}/ca.key")
    foreign = tls.own_ca(directory + "/foreign")
    return [
        ("no certificate", None, None),
        ("another CA", *tls.issue(directory + "/a", foreign, "beta")),
        ("an expired one", *tls.issue(directory + "/b", ours, "beta", "20200101000000Z", "20210101000000Z")),
        ("one not valid yet", *tls.issue(directory + "/c", ours, "beta", "20480101000000Z", "20490101000000Z")),
        ("another name", *tls.issue(directory + "/d", ours, "gamma")),
        ("its own name", f"{scene.lab.pki}/alpha.crt", f"{scene.lab.pki}/alpha.key"),
    ]


@check("bad_input.peer_certificates", 240)
def peer_certificates(context):
    """A raw TLS client with a bad certificate is turned away; so is a whole node, and both sides say why."""
    with Scene(context, {"data": 1 << 20}, ack="local") as scene:
        scene.start()
        refused = lambda: sum(one["kind"] == "alarm-peer" for one in scene.alpha.events())
        for what, certificate, key in refused_certificates(scene):
            before = refused()
            for data in (b"", struct.pack("<IHH", 64, 2, 0) + b"f" * 64):
                try:
                    with tls.connect_tls(scene.alpha, certificate, key) as stream:
                        send_quietly(stream, data)
                        tls.bytes_until_end(stream)
                except (ssl.SSLError, ConnectionError):
                    pass  # turned away in the handshake
            require(scene.alpha.running(), f"{what}: the daemon died")
            wait_for(f"{what}: both are refused", lambda b=before: refused() == b + 2, 10)
        scene.write(10)
        scene.settle()
        whole_node_turned_away(scene)


def whole_node_turned_away(scene):
    lab = scene.lab
    good = [open(f"{lab.pki}/beta.{end}", "rb").read() for end in ("crt", "key")]
    for what, certificate, key in refused_certificates(scene)[1:]:
        scene.beta.term()
        for end, source in (("crt", certificate), ("key", key)):
            with open(source, "rb") as file, open(f"{lab.pki}/beta.{end}", "wb") as target:
                target.write(file.read())
        before = len(scene.alpha.log_text()), len(scene.beta.log_text())
        scene.beta.spawn()
        said = lambda b=before: (scene.alpha.log_text()[b[0]:] + scene.beta.log_text()[b[1]:]).lower()
        wait_for(f"{what}: a message about the certificate", lambda: "certificate" in said() or "name" in said(), 20)
        require(scene.alpha.status()["peers"][0]["state"] != "connected", f"{what}: the peer was let in")
        all_succeeded(scene.write(10))  # under ack = local the application does not notice
        if scene.beta.running():
            scene.beta.term()
        scene.beta.child = None
        for end, content in zip(("crt", "key"), good):
            with open(f"{lab.pki}/beta.{end}", "wb") as target:
                target.write(content)
        scene.beta.start()
        listing = scene.settle()
        require(not listing.gaps, f"{what}: a gap: {listing.gaps}")
