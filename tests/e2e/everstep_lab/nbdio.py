"""Whole devices through libnbd, and raw image files."""

import nbd

from .base import Failed, require
from .nodes import GROUP

PIECE = 1 << 20


def connect(uri):
    handle = nbd.NBD()
    try:
        handle.connect_uri(uri)
    except nbd.Error as error:
        raise Failed(f"{uri}: {error}") from error
    return handle


def read_device(uri):
    handle = connect(uri)
    try:
        size = handle.get_size()
        pieces = [bytes(handle.pread(min(PIECE, size - at), at)) for at in range(0, size, PIECE)]
        return b"".join(pieces)
    except nbd.Error as error:
        raise Failed(f"{uri}: read: {error}") from error
    finally:
        handle.shutdown()


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


class Export:
    """A step served as NBD; `with` takes it back."""

    def __init__(self, node, point, *words):
        self.node, self.point = node, str(point)
        self.body = node.one("export", GROUP, self.point, *words)
        self.lsn, self.timeline = self.body["lsn"], self.body["timeline"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        answer = self.node.cli("unexport", self.body["id"])
        if kind is None:
            answer.expect(0)

    def images(self):
        return {volume: read_device(uri) for volume, uri in self.body["uris"].items()}


def read_point(node, point, *words):
    """((timeline, lsn), images by volume) of a point, read through an export."""
    with Export(node, point, *words) as export:
        images = export.images()
        wanted = set(node.lab.volumes) - set(export.body["left_out"])
        require(set(images) == wanted, f"export {point}: uris for {sorted(images)}, wanted {sorted(wanted)}")
        return (export.timeline, export.lsn), images


def raw_images(node):
    return {volume: read_file(node.device(volume)) for volume in node.lab.volumes}
