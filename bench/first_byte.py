"""First byte: a standby with a volume of 1 TiB and a long history; how soon a step is exported and listed."""

import json
import os
import random
import re
import statistics
import struct
import time

from cold import forget_files
from everstep_lab.base import require, run
from everstep_lab.nbdio import Export, connect
from everstep_lab.nodes import BIN, GROUP, Lab
from listings import measure_listings

VOLUME_BYTES = 1 << 40
PLACES = 1 << 15  # blocks that are written on, one in each of so many parts of the volume
BLOCK, SECTOR = 4096, 512
MAKE_SECONDS = 7200
WAYS = ("new", "again")


class MadeStandby:
    """A real standby without its primary, whose history was made by journal_bench while it did not run."""

    def __init__(self, directory, steps, step_bytes):
        self.lab = Lab(directory, {"data": VOLUME_BYTES}, segment_bytes="64MiB")
        self.beta = self.lab.beta
        self.steps, self.step_bytes = steps, step_bytes
        self.random = random.Random(steps)

    def start(self):
        """The pair begins the group with an empty volume; then beta's store grows. What journal_bench said."""
        self.lab.start()
        self.lab.alpha.term()
        self.beta.kill9()  # at a clean stop it would note what its image holds, and not know it again
        group = os.path.join(self.beta.state, "groups", GROUP)
        with open(os.path.join(group, "group"), encoding="ascii") as file:
            identity = re.search(r"^group ([0-9a-f]{32})$", file.read(), re.MULTILINE)
        require(identity is not None, f"{group}/group names no group")
        words = [os.path.join(group, "store"), self.beta.device(), identity[1], self.steps, self.step_bytes, PLACES]
        made = json.loads(run([os.path.join(BIN, "journal_bench"), "extend", *words], seconds=MAKE_SECONDS).stdout)
        began = time.monotonic()
        self.beta.start(seconds=MAKE_SECONDS)
        made["start_seconds"] = time.monotonic() - began
        history = self.beta.status()["history"]
        require(history["head"] == self.steps, f"beta's history is {history}, wanted {self.steps} steps")
        return made

    def read(self, step, place):
        """Seconds from the command, and from its answer, until a block of the step is here."""
        began = time.monotonic()
        with Export(self.beta, f"step:{step}") as export:
            answered = time.monotonic()
            handle = connect(export.body["uri"])
            block = handle.pread(BLOCK, place)
            ended = time.monotonic()
            handle.shutdown()
        for at in range(0, BLOCK, SECTOR):
            found = struct.unpack_from("<Q", block, at)[0] >> 20  # each sector bears its step
            require(found <= step, f"step {step}: sector {(place + at) // SECTOR} is of step {found}")
        return {"command": ended - began, "answer": ended - answered}

    def random_place(self):
        return self.random.randrange(PLACES) * (VOLUME_BYTES // PLACES)

    def sample(self):
        """A random block of a random step: nothing of it in the page cache, and at once again."""
        step = self.random.randint(1, self.steps)
        place = self.random_place()
        forget_files(self.lab.directory)
        return {way: self.read(step, place) for way in WAYS}


def measure_first_byte(directory, history, samples):
    """`history`: its steps, and the bytes of each."""
    steps, step_bytes = history
    standby = MadeStandby(directory, steps, step_bytes)
    try:
        made = standby.start()
        taken = [standby.sample() for _ in range(samples)]
        listings = measure_listings(standby, max(2, samples // 5))
    except BaseException:
        standby.lab.say_logs()
        raise
    finally:
        standby.lab.close()
    figures = {"steps": steps, "step_bytes": step_bytes, "volume_bytes": VOLUME_BYTES, "samples": samples,
               "stored": made["stored"], "make_seconds": made["seconds"], "start_seconds": made["start_seconds"],
               "listings": listings}
    for way in WAYS:
        for since in ("command", "answer"):
            seconds = [one[way][since] for one in taken]
            figures[f"{way}_{since}_median"] = statistics.median(seconds)
            figures[f"{way}_{since}_worst"] = max(seconds)
    return figures
