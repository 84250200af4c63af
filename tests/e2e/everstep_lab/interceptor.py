"""A man in the middle of a link, with the certificates of both nodes: sees each message, and cuts the connection there.

`where` of a cut: "middle" (half of the message's bytes have passed) or "after" (all of them, and nothing more).
"""

import contextlib
import random
import select
import socket
import ssl
import struct
import threading

from .nodes import free_port
from .tls import client

HEADER = struct.Struct("<IHH")  # of a message: length, type, zero
CONTROL, FRAME = 1, 2
NAMES = {1: "Hello", 2: "Start", 3: "Started", 4: "InitialEnd", 5: "Ack", 6: "Keepalive", 7: "ReadRequest",
         8: "ReadReply", 9: "Goodbye", 10: "AdminRequest", 11: "AdminReply", 12: "ResyncEnd"}
KEEPALIVE = HEADER.pack(2, CONTROL, 0) + b"\x32\x00"
FRAME_KIND_AT = 6  # in a frame's header; docs/journal-format.md
RESYNC = 2


def name_of(kind, body):
    if kind == CONTROL:
        number = body[0] >> 3 if body[0] < 0x80 else (body[0] & 0x7F | (body[1] & 0x7F) << 7) >> 3
        return NAMES.get(number, f"Control{number}")
    if kind == FRAME:
        return "Extents" if body[FRAME_KIND_AT] == RESYNC else "Frame"
    return "Data"


class EachOnce:
    """Cuts at every kind of message, each way, in turn: the first of a session, and the second where it comes soon."""

    def __init__(self):
        self.done = []

    def where(self, seen):
        name = seen[-1]
        count = seen.count(name)
        if count > (1 if name[1:] == "Keepalive" else 2):
            return None
        for where in ("middle", "after"):
            cut = (name, count, where)
            if cut not in self.done:
                self.done.append(cut)
                return where
        return None

    def names(self):
        return {name for name, _, _ in self.done}


class AtRandom:
    """Cuts each session behind, or in the middle of, one of its first `most` messages; `count` sessions."""

    def __init__(self, seed, count, most):
        self.random, self.left, self.most, self.at = random.Random(seed), count, most, 0

    def where(self, seen):
        if len(seen) == 1:
            self.at = self.random.randint(1, self.most)
        if self.left == 0 or len(seen) < self.at:
            return None
        self.left -= 1
        return self.random.choice(("middle", "after"))


class Interceptor:
    """Stands before `target`; `dialler` has to be told `address` in place of the target's."""

    def __init__(self, lab, target, dialler, cutter=None):
        host, port = target.address.rsplit(":", 1)
        self.target, self.cutter = (host, int(port)), cutter
        self.address = f"127.0.0.1:{free_port()}"
        self.far = client(f"{lab.pki}/{dialler.name}.crt", f"{lab.pki}/{dialler.name}.key")
        self.near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.near.load_cert_chain(f"{lab.pki}/{target.name}.crt", f"{lab.pki}/{target.name}.key")
        self.editor = None  # (way and name, message) -> the messages that go on in its place
        self.cuts = self.sessions = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", int(self.address.rsplit(":", 1)[1])))
        dialler.config = f"{lab.config}.{dialler.name}"
        with open(dialler.config, "w", encoding="utf-8") as file:
            file.write(lab.config_text().replace(target.address, self.address))
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.session, args=(stream,), daemon=True).start()

    def session(self, near):
        raw = [near]
        try:
            far = socket.create_connection(self.target, 5)
            raw.append(far)
            for one in raw:
                one.settimeout(20)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far = self.far.wrap_socket(far, server_hostname="node")
            near = self.near.wrap_socket(near, server_side=True)
            raw = [near, far]
            near.sendall(KEEPALIVE)  # who dialled waits for a first word
            self.sessions += 1
            self.pump(near, far)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            pass
        finally:
            for one in raw:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for one in raw:
                one.close()

    def pump(self, near, far):
        """Until an end, or a cut. One thread for both ways: a TLS connection takes no two at once."""
        sides = {near: (far, ">", bytearray()), far: (near, "<", bytearray())}
        seen = []
        while True:
            ready = [one for one in sides if one.pending()] or select.select(list(sides), [], [], 1)[0]
            for source in ready:
                sink, way, waiting = sides[source]
                source.settimeout(0)  # what has come may be no data: a key update
                try:
                    got = source.recv(1 << 16)
                except ssl.SSLWantReadError:
                    continue
                finally:
                    source.settimeout(20)
                if not got:
                    return
                waiting += got
                if not self.pass_on(sink, way, waiting, seen):
                    return

    def pass_on(self, sink, way, waiting, seen):
        """False: that was the last."""
        while len(waiting) >= HEADER.size:
            length, kind, _ = HEADER.unpack_from(waiting)
            if len(waiting) < HEADER.size + length:
                return True
            message = bytes(waiting[:HEADER.size + length])
            del waiting[:HEADER.size + length]
            seen.append(way + name_of(kind, message[HEADER.size:]))
            with self.lock:
                where = self.cutter.where(seen) if self.cutter else None
            edited = self.editor(seen[-1], message) if self.editor else [message]
            sink.sendall(message[:len(message) // 2] if where == "middle" else b"".join(edited))
            if where:
                self.cuts += 1
                return False
        return True
