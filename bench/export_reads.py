"""Export read: fio through an export, and through `nbdkit file` on the replica itself; by turns, cold both."""

import statistics

from cold import forget_all
from everstep_lab.nbdio import Export
from setting import PlainFile, fio

SHAPES = (
    {"name": "1 MiB sequential, QD4", "rw": "read", "bs": "1M", "depth": 4},
    {"name": "4 KiB random, QD1", "rw": "randread", "bs": "4k", "depth": 1},
    {"name": "4 KiB random, QD16", "rw": "randread", "bs": "4k", "depth": 16},
)
ROUND_SECONDS = 5
SEQUENTIAL_ROUNDS = 8  # times as many: a round takes a second, and how fast memory is copied varies by 3


def measure_export_reads(past, rounds, random_bytes):
    """Figures of each shape at head and at the middle of the small writes."""
    plain = PlainFile(past.beta.device(), past.directory, read_only=True)
    try:
        with Export(past.beta, f"step:{past.head}") as head, Export(past.beta, f"step:{past.middle}") as middle:
            uris = {"plain": plain.uri, "head": head.body["uri"], "middle": middle.body["uri"]}
            return [figure for shape in SHAPES for figure in measure_shape(past, uris, shape, (rounds, random_bytes))]
    finally:
        plain.close()


def measure_shape(past, uris, shape, limits):
    rounds, random_bytes = limits
    size = past.volume_bytes if shape["rw"] == "read" else min(random_bytes * shape["depth"], past.volume_bytes)
    if shape["rw"] == "read" and rounds > 1:
        rounds *= SEQUENTIAL_ROUNDS
    rates = {name: [] for name in uris}
    for number in range(rounds):
        for name in list(uris) if number % 2 == 0 else reversed(uris):
            forget_all(past.directory)
            done = fio(uris[name], shape, "read", size=past.volume_bytes, io_size=size, runtime=ROUND_SECONDS)
            rates[name].append(done["bytes_per_second"])
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return [{"shape": shape["name"], "point": point, "rounds": rounds, "bytes_per_second": medians[point],
             "plain_bytes_per_second": medians["plain"], "ratio": medians[point] / medians["plain"]}
            for point in ("head", "middle")]
