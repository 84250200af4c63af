"""A node's status over one connection to its admin socket, hundreds of times a second (docs/wire-protocol.md)."""

import os
import socket
import struct
import threading
import time

from everstep_lab.base import Failed, require
from everstep_lab.nodes import GROUP

HEADER = struct.Struct("<IHH")  # length, type, zero
CONTROL = 1
REQUEST, REPLY = 10, 11         # of a ControlMessage


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def field(number, content):
    """A field of bytes shorter than 128."""
    return bytes([number << 3 | 2, len(content)]) + content


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        else:
            length = 8
            if tag & 7 == 2:
                length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        yield tag >> 3, value


def value_of(data):
    """A Value as Python's own."""
    for number, content in fields(data):
        if number == 1:
            return content != 0
        if number == 2:
            return content >> 1 ^ -(content & 1)
        if number == 3:
            return content
        if number == 4:
            return struct.unpack("<d", content)[0]
        if number == 5:
            return content.decode()
        if number == 6:
            return [value_of(item) for _, item in fields(content)]
        entries = [dict(fields(entry)) for _, entry in fields(content)]
        return {entry[1].decode(): value_of(entry[2]) for entry in entries}
    return None


class Positions:
    """The status of the group on one node, as `everstep status` has it."""

    def __init__(self, node):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(os.path.join(node.state, "admin.sock"))
        argument = field(2, field(1, b"group") + field(2, GROUP.encode()))
        body = field(REQUEST, field(1, b"status") + argument)
        self.request = HEADER.pack(len(body), CONTROL, 0) + body

    def close(self):
        self.socket.close()

    def exactly(self, count):
        got = bytearray()
        while len(got) < count:
            piece = self.socket.recv(count - len(got))
            if not piece:
                raise Failed("the admin socket was closed")
            got += piece
        return bytes(got)

    def read(self):
        self.socket.sendall(self.request)
        length, _, _ = HEADER.unpack(self.exactly(HEADER.size))
        reply = dict(fields(dict(fields(self.exactly(length)))[REPLY]))
        require(reply.get(1, 0) == 0, f"status: {reply.get(2)}")
        return next(group for group in value_of(reply[3])["groups"] if group["name"] == GROUP)

    def wait(self, what, condition, seconds=600.0, every=0.002):
        """Until condition(status) holds; the status."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.read()
            if condition(status):
                return status
            require(time.monotonic() < deadline, f"{what}: not within {seconds:g} s; last seen {status}")
            time.sleep(every)


class LagSampler:
    """The age of what the standby lacks, read while its `with` block runs."""

    EVERY_SECONDS = 0.003

    def __init__(self, node):
        self.positions, self.seconds, self.answers, self.error = Positions(node), [], [], None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        try:
            while not self.over.wait(self.EVERY_SECONDS):
                asked = time.monotonic()
                self.seconds.append(self.positions.read()["peers"][0]["lag_seconds"])
                self.answers.append(time.monotonic() - asked)
        except (Failed, OSError, KeyError, IndexError) as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.positions.close()
