"""A pair whose standby has a past: a volume that was filled, then written on in small pieces; what differs is known."""

import os
import shutil

from everstep_lab.base import require
from everstep_lab.nodes import GROUP, Lab
from setting import DRAIN_SECONDS, fio


class Past:
    """`begin`: the step behind the filling; `head`: the newest; `middle`: half of the small writes lie behind it."""

    def __init__(self, directory, volume_bytes, written_bytes):
        self.directory, self.volume_bytes, self.written_bytes = directory, volume_bytes, written_bytes
        self.lab = Lab(os.path.join(directory, "pair"), {"data": volume_bytes}, segment_bytes="64MiB")
        self.beta = self.lab.beta
        self.begin = self.middle = self.head = None

    def start(self):
        self.lab.start()
        uri = self.lab.alpha.uri()
        fio(uri, {"rw": "write", "bs": "1M", "depth": 4}, size=self.volume_bytes)
        self.begin = self.lab.wait_caught_up(seconds=DRAIN_SECONDS)
        fio(uri, {"rw": "randwrite", "bs": "4k", "depth": 16}, size=self.volume_bytes, io_size=self.written_bytes)
        self.head = self.lab.wait_caught_up(seconds=DRAIN_SECONDS)
        self.middle = (self.begin + self.head) // 2
        require(self.begin < self.middle < self.head, f"the steps are {self.begin}, {self.middle}, {self.head}")

    def differing(self, first, second):
        """The extents that differ between two steps, as (offset, length)."""
        found = self.beta.do("diff", GROUP, f"step:{first}", f"step:{second}", seconds=DRAIN_SECONDS)
        extents = [(one["offset"], one["length"]) for one in found]
        require(extents, f"steps {first} and {second} do not differ")
        return extents

    def copy(self, name):
        """The replica, which stands at head, as a file of its own on the same disk."""
        path = os.path.join(self.directory, name)
        shutil.copyfile(self.beta.device(), path)
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        return path
