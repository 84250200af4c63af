"""Writes through a pair against writes through qemu-storage-daemon with a blockdev-mirror to another one over TLS."""

import json
import os
import socket
import statistics
import time

from everstep_lab.base import Child, Failed, need_tool, require, wait_for
from everstep_lab.nodes import free_port
from everstep_lab.tls import issue
from positions import LagSampler
from setting import DRAIN_SECONDS, fio

WORKLOAD = {"rw": "write", "bs": "128k", "depth": 8}
JOB = "mirror"


class Monitor:
    """QMP on a unix socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        require("QMP" in json.loads(self.lines.readline()), "no QMP greeting")
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        words = json.dumps({"execute": command, "arguments": arguments})
        self.socket.sendall(words.encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise Failed(f"QMP {command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.lines.close()
        self.socket.close()


def certificates(directory, ca):
    """A directory as GnuTLS programs want it, for `localhost`; serves for both ends."""
    certificate, key = issue(directory, ca, "localhost")
    for name, source in (("ca-cert", ca[0]), ("server-cert", certificate), ("server-key", key),
                         ("client-cert", certificate), ("client-key", key)):
        os.link(source, f"{directory}/{name}.pem")
    return directory


def daemon(directory, name, *words):
    monitor = os.path.join(directory, f"{name}.qmp")
    child = Child([need_tool("qemu-storage-daemon"), *words,
                   "--chardev", f"socket,path={monitor},server=on,wait=off,id=q", "--monitor", "chardev=q"],
                  os.path.join(directory, f"{name}.log"))
    wait_for(f"qemu-storage-daemon {name} listens", lambda: os.path.exists(monitor) or not child.alive())
    require(child.alive(), f"qemu-storage-daemon {name} ended by itself:\n{child.tail()}")
    return child, Monitor(monitor)


def image(path, size):
    """A node of qemu-storage-daemon over a file of its own that has been written."""
    with open(path, "wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(b"\1" * min(1 << 20, size - at))
        os.fsync(file.fileno())
    return ["--blockdev", f"driver=file,node-name=f,filename={path}", "--blockdev", "driver=raw,node-name=n,file=f"]


class Mirror:
    """Two qemu-storage-daemons; what is written to the first is mirrored to the second."""

    def __init__(self, pair):
        directory = os.path.join(pair.directory, "mirror")
        os.makedirs(directory)
        certs = certificates(os.path.join(directory, "tls"), (f"{pair.lab.pki}/ca.crt", f"{pair.lab.pki}/ca.key"))
        port = free_port()
        credentials = lambda end: ["--object", f"tls-creds-x509,id=t,dir={certs},endpoint={end},verify-peer=on"]
        self.target, self.target_monitor = daemon(
            directory, "target", *credentials("server"), *image(f"{directory}/target.img", pair.volume_bytes),
            "--nbd-server", f"addr.type=inet,addr.host=127.0.0.1,addr.port={port},tls-creds=t",
            "--export", "type=nbd,id=e,node-name=n,name=t,writable=on")
        self.uri = f"nbd+unix:///s?socket={directory}/source.sock"
        self.source, self.monitor = daemon(
            directory, "source", *credentials("client"), *image(f"{directory}/source.img", pair.volume_bytes),
            "--blockdev", f"driver=nbd,node-name=rt,server.type=inet,server.host=localhost,server.port={port},"
                          "export=t,tls-creds=t",
            "--nbd-server", f"addr.type=unix,addr.path={directory}/source.sock",
            "--export", "type=nbd,id=e,node-name=n,name=s,writable=on")

    def begin(self, mode):
        self.monitor.do("blockdev-mirror", **{"job-id": JOB, "device": "n", "target": "rt", "sync": "full",
                                              "copy-mode": mode})
        self.wait_ready()

    def job(self):
        jobs = self.monitor.do("query-block-jobs")
        require(len(jobs) == 1, f"jobs of the mirror: {jobs}")
        return jobs[0]

    def wait_ready(self):
        def ready():
            job = self.job()
            return job["ready"] and job["offset"] == job["len"]
        wait_for("the mirror has everything", ready, DRAIN_SECONDS, 0.005)

    def end(self):
        self.monitor.do("block-job-cancel", device=JOB, force=True)
        wait_for("the mirror has ended", lambda: not self.monitor.do("query-block-jobs"), 60)

    def close(self):
        self.monitor.close()
        self.target_monitor.close()
        self.source.stop()
        self.target.stop()


def timed(write, drain):
    """(seconds of the writes, seconds until the other side had them)"""
    began = time.monotonic()
    write()
    wrote = time.monotonic()
    drain()
    return wrote - began, time.monotonic() - began


def measure_mirror(pair, given):
    """Rounds of the same writes through both, by turns; then the lag of the pair at half of what it can go on with."""
    limits = {"size": pair.volume_bytes, "io_size": given.round_bytes}
    rounds = {"everstep": [], "background": [], "write-blocking": []}
    mirror = Mirror(pair)
    try:
        for _ in range(given.rounds):
            rounds["everstep"].append(timed(lambda: fio(pair.alpha.uri(), WORKLOAD, **limits), pair.settle))
            for mode in ("background", "write-blocking"):
                mirror.begin(mode)
                rounds[mode].append(timed(lambda: fio(mirror.uri, WORKLOAD, **limits), mirror.wait_ready))
                mirror.end()
    finally:
        mirror.close()
    ours = statistics.median(one[1] for one in rounds["everstep"])
    return [{"what": name, "rounds": len(found),
             "bytes_per_second": given.round_bytes / statistics.median(one[0] for one in found),
             "drained_bytes_per_second": given.round_bytes / statistics.median(one[1] for one in found),
             "ratio": statistics.median(one[1] for one in found) / ours} for name, found in rounds.items()]


def measure_lag(pair, given):
    """At half of the rate at which the standby still gets everything."""
    limits = {"size": pair.volume_bytes, "io_size": given.round_bytes}
    full = [timed(lambda: fio(pair.alpha.uri(), WORKLOAD, **limits), pair.settle)[1] for _ in range(given.rounds)]
    half = int(given.round_bytes / statistics.median(full) / 2)
    with LagSampler(pair.alpha) as sampler:
        fio(pair.alpha.uri(), WORKLOAD, size=pair.volume_bytes, rate=half, time_based=1, runtime=given.lag_seconds)
    if sampler.error is not None:
        raise Failed(f"status during the load: {sampler.error}")
    pair.settle()
    seconds, answers = sorted(sampler.seconds), sorted(sampler.answers)
    at = lambda found, share: found[min(len(found) - 1, int(share * len(found)))]
    return {"bytes_per_second": half, "samples": len(seconds), "p50_seconds": at(seconds, 0.5),
            "p99_seconds": at(seconds, 0.99), "worst_seconds": seconds[-1], "answer_p99_seconds": at(answers, 0.99)}
