"""The measurements. Rounds alternate, because the machine's speed wanders: only ratios of one run mean something."""

import statistics
import threading
import time

import nbd
from everstep_lab.base import Failed, require
from everstep_lab.nbdio import Export
from everstep_lab.nodes import GROUP
from setting import MIB, fio

WORKLOADS = (
    {"name": "4 KiB random, QD16", "rw": "randwrite", "bs": "4k", "depth": 16},
    {"name": "128 KiB sequential, QD8", "rw": "write", "bs": "128k", "depth": 8},
)


class LagSampler:
    """Reads `everstep status --json` of the primary ten times a second while its `with` block runs."""

    EVERY_SECONDS = 0.1

    def __init__(self, node):
        self.node = node
        self.samples = []
        self.error = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        try:
            while not self.over.is_set():
                status = self.node.status()
                peer = status["peers"][0]
                self.samples.append({"seconds": peer["lag_seconds"], "steps": peer["lag_steps"],
                                     "unapplied_steps": status["positions"]["captured"] - peer["applied"]})
                self.over.wait(self.EVERY_SECONDS)
        except (Failed, KeyError, IndexError) as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def quantile(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-int(share * 100) * len(ordered) // 100) - 1))]


def our_round(setting, workload, limits, lag):
    with LagSampler(setting.lab.alpha) as sampler:
        result = fio(setting.uri, workload, **limits)
    if sampler.error is not None:
        raise Failed(f"status during the load: {sampler.error}")
    lag += sampler.samples
    began = time.monotonic()
    setting.drain()
    result["drain_seconds"] = time.monotonic() - began
    return result


def measure_writes(setting, given):
    """Rounds of each workload through capture and replication, and on plain nbdkit; and the lag meanwhile."""
    limits = {"size": setting.volume_bytes, "io_size": given.round_bytes, "runtime": given.seconds}
    writes, lags = [], []
    for workload in WORKLOADS:
        ours, plain, lag = [], [], []
        for number in range(given.rounds):
            def run_plain():
                plain.append(fio(setting.plain_uri, workload, **limits))
            if number % 2 == 1:
                run_plain()
            ours.append(our_round(setting, workload, limits, lag))
            if number % 2 == 0:
                run_plain()
        require(len(lag) > 0, "no sample of the lag")
        writes.append(summary(workload, ours, plain))
        lags.append({"workload": workload["name"], "samples": len(lag),
                     **{f"{key}_p{share}": quantile([one[key] for one in lag], share / 100)
                        for key in ("seconds", "steps", "unapplied_steps") for share in (50, 99)}})
    return writes, lags


def summary(workload, ours, plain):
    def median(rounds, key):
        return statistics.median(one[key] for one in rounds)
    # Sustained: with the time that the standby needs to have everything counted in.
    sustained = statistics.median(one["writes"] / (one["seconds"] + one["drain_seconds"]) for one in ours)
    return {"workload": workload["name"], "rounds": len(ours),
            "writes_per_second": median(ours, "per_second"), "bytes_per_second": median(ours, "bytes_per_second"),
            "plain_writes_per_second": median(plain, "per_second"),
            "plain_bytes_per_second": median(plain, "bytes_per_second"),
            "ratio": median(ours, "per_second") / median(plain, "per_second"),
            "drain_seconds": median(ours, "drain_seconds"),
            "sustained_per_second": sustained, "sustained_ratio": sustained / median(plain, "per_second")}


def measure_memory(setting):
    figures = {}
    for node in setting.lab.nodes.values():
        with open(f"/proc/{node.child.pid}/status", encoding="utf-8") as status:
            fields = dict(line.split(":", 1) for line in status)
        figures[node.name] = {"resident_bytes": int(fields["VmRSS"].split()[0]) * 1024,
                              "peak_bytes": int(fields["VmHWM"].split()[0]) * 1024}
    return figures


def measure_exports(setting, points):
    """From the start of `everstep export` until the first 4 KiB of the step have been read through NBD."""
    beta = setting.lab.beta
    history = beta.status()["history"]
    span = history["head"] - history["oldest"]
    seconds = []
    for number in range(1, points + 1):
        step = history["oldest"] + span * number // (points + 1)
        began = time.monotonic()
        with Export(beta, f"step:{step}") as export:
            handle = nbd.NBD()
            handle.connect_uri(export.body["uri"])
            require(len(handle.pread(4096, 0)) == 4096, f"export of step {step}: a short read")
            seconds.append(time.monotonic() - began)
            handle.shutdown()
    return {"points": points, "history_bytes": history["bytes"], "history_steps": span,
            "median_seconds": statistics.median(seconds), "worst_seconds": max(seconds)}


def measure_rewinds(setting, sizes):
    """Back over `size` bytes of 4 KiB random writes to different blocks, and forward to head again."""
    beta, figures = setting.lab.beta, []
    for size in sizes:
        before = setting.drain()
        fio(setting.uri, WORKLOADS[0], size=setting.volume_bytes, io_size=size)
        setting.drain()
        began = time.monotonic()
        back = beta.one("rewind", GROUP, f"step:{before}", seconds=600)
        middle = time.monotonic()
        beta.one("resume", GROUP, seconds=600)
        ended = time.monotonic()
        require(back["lsn"] == before, f"rewind to step {before} gave step {back['lsn']}")
        require(back["bytes"] >= size, f"rewind over {size} bytes of writes says that it changed {back['bytes']}")
        figures.append({"written_bytes": size, "changed_bytes": back["bytes"], "seconds": middle - began,
                        "daemon_seconds": back["seconds"], "resume_seconds": ended - middle,
                        "mib_per_second": back["bytes"] / MIB / (middle - began)})
    return figures
