"""What is measured: a pair of nodes on loopback, and `nbdkit file` on the same disk."""

import datetime
import filecmp
import json
import os
import platform
import shutil

from everstep_lab.base import Child, require, run, wait_for
from everstep_lab.nodes import BIN, Lab

MIB = 1 << 20
DRAIN_SECONDS = 600


def build_type():
    """Of the build that the programs come from, where its cache lies beside them."""
    try:
        with open(os.path.join(os.path.dirname(BIN), "CMakeCache.txt"), encoding="utf-8") as cache:
            for line in cache:
                if line.startswith("CMAKE_BUILD_TYPE:"):
                    return line.split("=", 1)[1].strip() or "none"
    except OSError:
        pass
    return "unknown"


def surroundings(directory):
    return {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "kernel": platform.release(),
            "build": build_type(), "disk": directory}


def fio_job(way, **options):
    """One job of fio; what it says of its `way`, "write" or "read", and of all of it."""
    done = run(["fio", "--name=bench", "--output-format=json",
                *(f"--{key}={value}" for key, value in options.items())], seconds=DRAIN_SECONDS)
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    require(job["error"] == 0 and job[way]["total_ios"] > 0, f"fio {options}: {done.stdout}{done.stderr}")
    return {f"{way}s": job[way]["total_ios"], "seconds": job[way]["runtime"] / 1000,
            "per_second": job[way]["iops"], "bytes_per_second": job[way]["bw_bytes"],
            "job_seconds": job["job_runtime"] / 1000}


def fio(uri, workload, way="write", **limits):
    """One run of fio's nbd engine; what it says of the job. `limits`: fio's options."""
    return fio_job(way, ioengine="nbd", uri=uri, rw=workload["rw"], bs=workload["bs"], iodepth=workload["depth"],
                   **limits)


class PlainFile:
    """`nbdkit file` serving an image."""

    def __init__(self, image, directory, read_only=False):
        self.socket = os.path.join(directory, "plain.sock")
        self.uri = f"nbd+unix:///?socket={self.socket}"
        words = [shutil.which("nbdkit"), "-f", "-U", self.socket, *(["-r"] if read_only else []), "file", image]
        self.child = Child(words, os.path.join(directory, "nbdkit.log"))
        wait_for("nbdkit listens", lambda: os.path.exists(self.socket) or not self.child.alive())
        require(self.child.alive(), f"nbdkit ended by itself:\n{self.child.tail()}")

    def close(self):
        self.child.stop()


class Setting:
    def __init__(self, directory, volume_bytes, ack):
        self.directory = directory
        self.volume_bytes = volume_bytes
        self.lab = Lab(os.path.join(directory, "pair"), {"data": volume_bytes}, ack=ack,
                       segment_bytes="64MiB", standby_timeout="5s")
        self.plain = None

    @property
    def uri(self):
        return self.lab.alpha.uri()

    @property
    def plain_uri(self):
        return self.plain.uri

    def start(self):
        image = os.path.join(self.directory, "plain.img")
        with open(image, "wb") as file:
            file.truncate(self.volume_bytes)
        self.plain = PlainFile(image, self.directory)
        self.lab.start()
        # Both images are written once, so that no round pays for the file system's allocation.
        for uri in (self.uri, self.plain_uri):
            fio(uri, {"rw": "write", "bs": "1M", "depth": 4}, size=self.volume_bytes)
        self.drain()

    def drain(self):
        """Waits until the standby has everything and has applied it; the newest LSN."""
        return self.lab.wait_caught_up(seconds=DRAIN_SECONDS)

    def stop_and_compare(self):
        """A figure of a replica that is not the primary's equal is worth nothing."""
        self.drain()
        self.lab.alpha.term()
        self.lab.beta.term()
        ours, theirs = self.lab.alpha.device(), self.lab.beta.device()
        require(filecmp.cmp(ours, theirs, shallow=False), f"{theirs} differs from {ours} after a clean stop")
