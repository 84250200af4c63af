"""A pair whose link is measured: its spool filled while the link is paused, and how fast it is brought over."""

import os
import time

from everstep_lab.nodes import GROUP, Lab
from positions import Positions
from processes import CpuMeter
from setting import DRAIN_SECONDS, fio

WRITE_BYTES = 128 << 10
FILL_PER_SECOND = 800  # slow enough that each write is sealed in a frame of its own


class LinkPair:
    def __init__(self, directory, volume_bytes, **group):
        self.directory, self.volume_bytes = directory, volume_bytes
        settings = {"segment_bytes": "64MiB", "queue_bytes": "1MiB", "standby_timeout": "5s", **group}
        self.lab = Lab(os.path.join(directory, "pair"), {"data": volume_bytes}, **settings)
        self.alpha, self.beta = self.lab.alpha, self.lab.beta
        self.positions = None

    def start(self):
        self.lab.start()
        self.positions = Positions(self.alpha)
        # Written once, so that no round pays for the file system's allocation.
        fio(self.alpha.uri(), {"rw": "write", "bs": "1M", "depth": 4}, size=self.volume_bytes)
        self.settle()

    def close(self):
        if self.positions:
            self.positions.close()
        self.lab.close()

    def settle(self):
        return self.lab.wait_caught_up(seconds=DRAIN_SECONDS)

    def hold(self):
        """The standby receives, and applies nothing."""
        self.beta.one("rewind", GROUP, "head")

    def release(self):
        self.beta.one("resume", GROUP, seconds=DRAIN_SECONDS)
        self.settle()

    def fill(self, count):
        """So many bytes wait in the spool, and nothing of them has been sent."""
        self.alpha.do("pause", GROUP)
        fio(self.alpha.uri(), {"rw": "write", "bs": str(WRITE_BYTES), "depth": 1}, size=self.volume_bytes,
            io_size=count, rate_iops=FILL_PER_SECOND)
        status = self.alpha.status()
        return status["positions"]["captured"], status["peers"][0]["lag_bytes"]

    def bring(self, newest, *positions):
        """Seconds from `unpause` until each of these positions of the standby is the newest; and CPU seconds."""
        meter, found = CpuMeter(self.alpha, self.beta), {}
        began = time.monotonic()
        self.alpha.do("unpause", GROUP)
        for name in positions:
            self.positions.wait(f"the standby has it {name}",
                                lambda status, key=name: status["peers"][0][key] == newest, DRAIN_SECONDS)
            found[name] = time.monotonic() - began
        return found, meter.used(self.alpha), meter.used(self.beta)
