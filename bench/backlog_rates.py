"""From a filled spool to durable and applied, and the same bytes by tls_copy, by turns."""

import json
import os
import statistics
import subprocess

from everstep_lab.base import need_tool, require, run
from everstep_lab.nodes import BIN
from setting import DRAIN_SECONDS, MIB

TLS_COPY = os.path.join(BIN, "tls_copy")


class TlsCopy:
    """One TLS connection, one file read, one file that was written before written and synced."""

    def __init__(self, pair, count):
        self.directory, self.count = pair.directory, count
        pki = pair.lab.pki
        self.words = {name: [f"{pki}/ca.crt", f"{pki}/{name}.crt", f"{pki}/{name}.key"] for name in ("alpha", "beta")}
        self.source = os.path.join(pair.directory, "tls-source")
        self.target = os.path.join(pair.directory, "tls-target")
        with open(self.source, "wb") as file:
            for _ in range(count // MIB):
                file.write(os.urandom(MIB))

    def run(self):
        """(seconds, CPU seconds of the sender, of the receiver)"""
        receiver = subprocess.Popen([TLS_COPY, "receive", *self.words["beta"], self.target, str(self.count)],
                                    stdout=subprocess.PIPE, text=True)
        try:
            port = receiver.stdout.readline().strip()
            require(port.isdigit(), f"tls_copy receive says {port!r} in place of its port")
            sent = json.loads(run([TLS_COPY, "send", *self.words["alpha"], self.source, port],
                                  seconds=DRAIN_SECONDS).stdout)
            got = json.loads(receiver.communicate(timeout=DRAIN_SECONDS)[0])
        finally:
            receiver.kill()
            receiver.wait()
        require(sent["bytes"] == got["bytes"] == self.count, f"tls_copy moved {sent} and {got}, wanted {self.count}")
        return sent["seconds"], sent["cpu_seconds"], got["cpu_seconds"]

    def check(self):
        """What arrived is what was sent."""
        run([need_tool("cmp"), "-n", self.count, self.source, self.target], seconds=DRAIN_SECONDS)


def one_round(pair, given, apply):
    if not apply:
        pair.hold()
    newest, waiting = pair.fill(given.backlog_bytes)
    require(waiting >= given.backlog_bytes, f"only {waiting} bytes wait for the standby: it was not paused")
    wanted = ("durable", "applied") if apply else ("durable",)
    seconds, alpha, beta = pair.bring(newest, *wanted)
    if not apply:
        pair.release()
    frames = max(1, round((waiting - given.backlog_bytes) / 192))  # 128 of the header, 64 of one entry
    return {"seconds": seconds, "alpha_cpu": alpha, "beta_cpu": beta, "frames": frames}


def measure_backlog(pair, given):
    count, copier = given.backlog_bytes, TlsCopy(pair, given.backlog_bytes)
    off, on, plain = [], [], []
    one_round(pair, given, True)  # its segments are the files that later rounds use again
    for _ in range(given.rounds):
        plain.append(copier.run())
        off.append(one_round(pair, given, False))
        on.append(one_round(pair, given, True))
    copier.check()
    pair.settle()

    def summary(name, rounds, key):
        seconds = [one["seconds"][key] for one in rounds]
        return {"what": name, "rounds": len(rounds), "bytes_per_second": count / statistics.median(seconds),
                "ratio": statistics.median(tls[0] / ours for tls, ours in zip(plain, seconds)),
                "sender_cpu_per_gb": statistics.median(one["alpha_cpu"] for one in rounds) * 1e9 / count,
                "receiver_cpu_per_gb": statistics.median(one["beta_cpu"] for one in rounds) * 1e9 / count}
    return {"bytes": count, "frame_bytes": count / statistics.median(one["frames"] for one in off + on),
            "rows": [summary("durable, apply off", off, "durable"), summary("durable, apply on", on, "durable"),
                     summary("applied", on, "applied")],
            "plain": {"bytes_per_second": count / statistics.median(one[0] for one in plain),
                      "sender_cpu_per_gb": statistics.median(one[1] for one in plain) * 1e9 / count,
                      "receiver_cpu_per_gb": statistics.median(one[2] for one in plain) * 1e9 / count}}
