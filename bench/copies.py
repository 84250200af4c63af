"""The first copy of a volume that half differs, against nbdcopy over TLS; and the compare behind a cut link."""

import os
import re
import shutil
import statistics
import time

from cold import forget_all
from everstep_lab.base import Child, need_tool, require, run, wait_for
from everstep_lab.nodes import GROUP, Lab, free_port
from mirror import certificates
from positions import Positions
from processes import CpuMeter, bytes_read
from setting import DRAIN_SECONDS, MIB, fio


def half_different(path, other, size):
    """`path` gets random bytes, `other` the same but for every second MiB."""
    with open(path, "wb") as one, open(other, "wb") as two:
        for number in range(size // MIB):
            content = os.urandom(MIB)
            one.write(content)
            two.write(os.urandom(MIB) if number % 2 else content)
        for file in (one, two):
            file.flush()
            os.fsync(file.fileno())


class NbdCopy:
    """`nbdkit file` with TLS serves a copy of the primary's image; nbdcopy brings it into the standby's old one."""

    def __init__(self, directory, lab):
        self.directory = directory
        os.makedirs(directory)
        self.certs = certificates(os.path.join(directory, "tls"), (f"{lab.pki}/ca.crt", f"{lab.pki}/ca.key"))
        self.source, self.target = os.path.join(directory, "source.img"), os.path.join(directory, "target.img")

    def run(self, image, old):
        """Seconds, the last sync included."""
        shutil.copyfile(image, self.source)
        shutil.copyfile(old, self.target)
        port = free_port()
        server = Child([need_tool("nbdkit"), "-f", "-r", "-i", "127.0.0.1", "-p", port, "--tls=require",
                        f"--tls-certificates={self.certs}", "--tls-verify-peer", "file", self.source],
                       os.path.join(self.directory, "nbdkit.log"))
        try:
            uri = f"nbds://localhost:{port}/?tls-certificates={self.certs}"
            probe = ["nbdinfo", "--size", uri]
            wait_for("nbdkit answers", lambda: run(probe, check=False).returncode == 0 or not server.alive(), 30)
            require(server.alive(), f"nbdkit ended by itself:\n{server.tail()}")
            forget_all(self.directory)
            began = time.monotonic()
            run([need_tool("nbdcopy"), "--flush", uri, self.target], seconds=DRAIN_SECONDS)
            seconds = time.monotonic() - began
            run([need_tool("cmp"), self.source, self.target], seconds=DRAIN_SECONDS)
            return seconds
        finally:
            server.stop()


def connected(node):
    """Its positions; None: it does not answer yet."""
    try:
        return Positions(node)
    except OSError:
        return None


def first_copy(directory, given, number):
    """(seconds of the first copy, CPU seconds of primary and standby, seconds of nbdcopy)"""
    lab = Lab(os.path.join(directory, f"first-{number}"), {"data": given.volume_bytes}, segment_bytes="64MiB")
    alpha, beta, old = lab.alpha, lab.beta, os.path.join(directory, "old.img")
    try:
        half_different(alpha.device(), old, given.volume_bytes)
        shutil.copyfile(old, beta.device())
        copier = NbdCopy(os.path.join(directory, f"nbdcopy-{number}"), lab)
        plain = copier.run(alpha.device(), old)
        beta.start()
        forget_all(directory)
        alpha.spawn()
        positions = wait_for("alpha answers", lambda: connected(alpha), 60, 0.005)
        replica = lambda status: status["peers"][0]["replica"] if status["peers"] else "waiting"
        first = positions.wait("the first copy begins", lambda status: replica(status) != "waiting", every=0.001)
        began, meter = time.monotonic(), CpuMeter(alpha, beta)
        require(replica(first) == "initial-sync", f"the first copy is over before it is seen: {replica(first)}")
        positions.wait("the first copy ends", lambda status: replica(status) == "streaming", every=0.005)
        seconds = time.monotonic() - began
        cpu = meter.used(alpha), meter.used(beta)
        positions.close()
        lab.wait_caught_up(seconds=DRAIN_SECONDS)
        for node in (beta, alpha):
            node.term()
        run([need_tool("cmp"), alpha.device(), beta.device()], seconds=DRAIN_SECONDS)
        return seconds, cpu, plain
    except BaseException:
        lab.say_logs()
        raise
    finally:
        lab.close()
        for name in (f"first-{number}", f"nbdcopy-{number}"):
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


def measure_first_copy(directory, given):
    rounds = [first_copy(directory, given, number) for number in range(given.rounds)]
    median = lambda pick: statistics.median(pick(one) for one in rounds)
    size = given.volume_bytes
    return {"bytes": size, "rounds": len(rounds), "bytes_per_second": size / median(lambda one: one[0]),
            "plain_bytes_per_second": size / median(lambda one: one[2]),
            "ratio": statistics.median(one[2] / one[0] for one in rounds),
            "sender_cpu_per_gb": median(lambda one: one[1][0]) * 1e9 / size,
            "receiver_cpu_per_gb": median(lambda one: one[1][1]) * 1e9 / size}


def compared(node):
    """The bytes that the newest resync compares, as the node says."""
    for event in reversed(node.events()):
        found = re.search(r"(\d+) of \d+ bytes may differ", event["text"])
        if event["kind"] == "resync" and found:
            return int(found[1])
    return None


def measure_resync(pair, given):
    """A link that is cut while 4 KiB writes go on, then a primary that is killed: order is lost, regions are marked."""
    alpha, beta = pair.alpha, pair.beta
    alpha.do("pause", GROUP)
    fio(alpha.uri(), {"rw": "randwrite", "bs": "4k", "depth": 4}, size=given.changed_bytes, time_based=1,
        runtime=given.cut_seconds, rate_iops=given.cut_writes // given.cut_seconds)
    written = alpha.status()["positions"]["captured"]
    received = beta.status()["positions"]["durable"]
    pair.positions.close()
    alpha.kill9()
    forget_all(pair.directory)
    alpha.start()
    began = time.monotonic()
    pair.lab.wait_serving()
    served = time.monotonic()
    pair.settle()
    ended = time.monotonic()
    marked, read = compared(alpha), bytes_read(alpha.child.pid)
    require(marked, "the resync says of no region that it may differ")
    pair.positions = Positions(alpha)
    return {"writes": written - received, "marked_bytes": marked, "read_bytes": read, "read_ratio": read / marked,
            "seconds": ended - served, "serving_seconds": served - began,
            "bytes_per_second": marked / (ended - served)}
