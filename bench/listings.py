"""Listings: how long `everstep log` takes with each of its filters, on a long history."""

import statistics
import time

from cold import forget_files
from everstep_lab.nodes import GROUP

SPAN_STEPS = 1000
NEWEST = 10


def seconds_of(standby, *words):
    """The command's whole time, its program's start included, and the steps that it listed."""
    began = time.monotonic()
    listed = standby.beta.do("log", GROUP, *words)
    return time.monotonic() - began, sum("lsn" in one for one in listed)


def time_of(standby, step):
    return standby.beta.do("log", GROUP, "--from", f"step:{step}", "--to", f"step:{step}")[0]["time"]


def span_of_time(standby):
    first = standby.random.randint(1, standby.steps - SPAN_STEPS)
    return ["--from", time_of(standby, first), "--to", time_of(standby, first + SPAN_STEPS - 1)]


def one_block(standby):
    return ["--range", f"{standby.random_place()}+4KiB"]


FILTERS = {
    f"the newest {NEWEST}": lambda standby: ["--limit", NEWEST],
    f"a time span of {SPAN_STEPS} steps": span_of_time,
    "a block": one_block,
    f"a volume, {NEWEST}": lambda standby: ["--volume", "data", "--limit", NEWEST],
    "flush marks": lambda standby: ["--flushes"],
}


def measure_listings(standby, samples):
    """With nothing of the history in the page cache, each with its own times or places."""
    figures = []
    for name, words_of in FILTERS.items():
        taken = []
        for _ in range(samples):
            words = words_of(standby)
            forget_files(standby.lab.directory)
            taken.append(seconds_of(standby, *words))
        figures.append({"filter": name, "samples": samples, "steps": statistics.median(steps for _, steps in taken),
                        "median_seconds": statistics.median(seconds for seconds, _ in taken),
                        "worst_seconds": max(seconds for seconds, _ in taken)})
    return figures
