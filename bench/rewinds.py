"""Rewind: bytes a second of what differs; and fio, which copies the same extents between two other files."""

import os
import statistics
import time

from cold import forget_all
from everstep_lab.base import require
from everstep_lab.nodes import GROUP
from setting import DRAIN_SECONDS, fio_job

PIECE = 1 << 20  # a longer extent goes in pieces


class Copier:
    """The same extents by fio: O_DIRECT, 32 in flight, and one sync at the end."""

    def __init__(self, past, extents):
        self.source, self.target = past.copy("source.img"), past.copy("target.img")
        self.log = os.path.join(past.directory, "extents.log")
        with open(self.log, "w", encoding="utf-8") as file:
            file.write("fio version 2 iolog\n")
            for word in ("add", "open"):
                file.write(f"{self.source} {word}\n{self.target} {word}\n")
            for offset, length in extents:
                for at in range(offset, offset + length, PIECE):
                    piece = min(PIECE, offset + length - at)
                    file.write(f"{self.source} read {at} {piece}\n{self.target} write {at} {piece}\n")
            file.write(f"{self.source} close\n{self.target} close\n")

    def run(self):
        """Seconds, its sync included, and not its start."""
        return fio_job("write", ioengine="io_uring", direct=1, iodepth=32, read_iolog=self.log, replay_no_stall=1,
                       end_fsync=1)["job_seconds"]

    def close(self):
        for path in (self.source, self.target, self.log):
            os.unlink(path)


def measure_rewinds(past, rounds):
    """Between head and the step before the small writes: back, and forward again."""
    extents = past.differing(past.begin, past.head)
    total = sum(length for _, length in extents)
    copier = Copier(past, extents)
    seconds = {"back": [], "forward": [], "copy": []}
    try:
        for _ in range(rounds):
            for way, step in (("back", past.begin), ("forward", past.head)):
                forget_all(past.directory)
                seconds[way].append(rewind(past, step, total))
                forget_all(past.directory)
                seconds["copy"].append(copier.run())
    finally:
        copier.close()
    past.beta.one("resume", GROUP, seconds=DRAIN_SECONDS)
    medians = {way: statistics.median(found) for way, found in seconds.items()}
    return [{"way": way, "rounds": rounds, "extents": len(extents), "bytes": total, "seconds": medians[way],
             "bytes_per_second": total / medians[way], "copy_bytes_per_second": total / medians["copy"],
             "ratio": medians["copy"] / medians[way]} for way in ("back", "forward")]


def rewind(past, step, total):
    """The command's whole time."""
    began = time.monotonic()
    answer = past.beta.one("rewind", GROUP, f"step:{step}", seconds=DRAIN_SECONDS)
    seconds = time.monotonic() - began
    require(answer["lsn"] == step, f"rewind to step {step} gave step {answer['lsn']}")
    require(answer["bytes"] >= total, f"rewind over {total} differing bytes says that it changed {answer['bytes']}")
    return seconds
