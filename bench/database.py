"""A database on a volume: how soon a step of it is mounted, and its speed on the volume of the promoted standby."""

import os
import random
import re
import shutil
import statistics
import time

from everstep_lab.base import require
from everstep_lab.mounts import Mounted
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.pg import Postgres
from setting import DRAIN_SECONDS, PlainFile

CLIENTS = 8
TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def on(mounted, directory, name):
    """A PostgreSQL on a mounted file system; its socket beside it on the host's disk."""
    return Postgres(os.path.join(mounted.point, "pg"), os.path.join(directory, name))


def transactions(postgres, seconds):
    """pgbench's transactions a second, from a checkpoint on."""
    postgres.sql("checkpoint")
    done = postgres.as_postgres("pgbench", "-h", postgres.sockets, "-n", "-c", str(CLIENTS), "-j", "2", "-T",
                                str(seconds), "postgres", seconds=seconds + 60)
    found = TPS.search(done.stdout)
    require(found is not None, f"pgbench prints no tps: {done.stdout}{done.stderr}")
    return float(found[1])


class DatabasePair:
    """A pair with PostgreSQL on ext4 on its volume; its steps, then its promoted standby."""

    def __init__(self, directory, volume_bytes):
        self.directory = directory
        self.lab = Lab(os.path.join(directory, "pair"), {"data": volume_bytes}, segment_bytes="64MiB")
        self.beta = self.lab.beta
        self.first = self.last = None
        os.chmod(directory, 0o711)  # PostgreSQL runs as another user

    def start(self, scale, seconds):
        """The database is made, and written on for a while; the steps of that are first .. last."""
        self.lab.start()
        mounted = Mounted(self.lab.alpha.uri(), os.path.join(self.directory, "origin"), make=True)
        try:
            postgres = on(mounted, self.directory, "made")
            postgres.make()
            postgres.start()
            try:
                postgres.bench_make(scale)
                self.first = self.lab.wait_caught_up(seconds=DRAIN_SECONDS)
                transactions(postgres, seconds)
            finally:
                postgres.stop()
        finally:
            mounted.close()
        self.last = self.lab.wait_caught_up(seconds=DRAIN_SECONDS)

    def measure_mounts(self, samples):
        """From the command until a file of a random step has been read."""
        point = os.path.join(self.directory, "then")
        os.makedirs(point)
        chosen = random.Random(self.last)
        seconds, replies = [], []
        for _ in range(samples):
            step = chosen.randint(self.first, self.last)
            began = time.monotonic()
            body = self.beta.one("mount", GROUP, f"step:{step}", point)
            with open(os.path.join(point, "pg", "PG_VERSION"), encoding="ascii") as file:
                require(file.read().strip().isdigit(), f"step {step}: PG_VERSION is not what it was")
            seconds.append(time.monotonic() - began)
            replies.append(body["seconds"])
            self.beta.do("umount", point)
        return {"samples": samples, "steps": self.last - self.first, "median_seconds": statistics.median(seconds),
                "worst_seconds": max(seconds), "reply_seconds": statistics.median(replies)}

    def measure_promoted(self, rounds, seconds):
        """pgbench on what the standby serves after a takeover, and on a copy of its image served by nbdkit."""
        image = os.path.join(self.directory, "plain.img")
        shutil.copyfile(self.beta.device(), image)
        self.lab.alpha.kill9()
        self.beta.one("takeover", GROUP, "--force", seconds=DRAIN_SECONDS)
        self.lab.wait_serving(self.beta)
        plain = PlainFile(image, self.directory)
        stacks, found = {}, {"everstep": [], "plain": []}
        try:
            for name, uri in (("everstep", self.beta.uri()), ("plain", plain.uri)):
                stacks[name] = Stack(uri, self.directory, name)
            for number in range(rounds):
                for name in list(stacks) if number % 2 == 0 else reversed(stacks):
                    found[name].append(transactions(stacks[name].postgres, seconds))
        finally:
            for stack in stacks.values():
                stack.close()
            plain.close()
        medians = {name: statistics.median(each) for name, each in found.items()}
        return {"rounds": rounds, "seconds": seconds, "clients": CLIENTS, "tps": medians["everstep"],
                "plain_tps": medians["plain"], "ratio": medians["everstep"] / medians["plain"]}


class Stack:
    """nbdfuse, loop device, ext4 and a running PostgreSQL over an NBD server."""

    def __init__(self, uri, directory, name):
        self.mounted = Mounted(uri, os.path.join(directory, name))
        self.postgres = on(self.mounted, directory, f"{name}.socket")
        try:
            self.postgres.start()
        except BaseException:
            self.mounted.close()
            raise

    def close(self):
        self.postgres.stop()
        self.mounted.close()


def measure_database(directory, given):
    pair = DatabasePair(directory, given.database_bytes)
    try:
        pair.start(given.scale, given.bench_seconds)
        return {"mount": pair.measure_mounts(given.mounts),
                "promoted": pair.measure_promoted(given.bench_rounds, given.bench_seconds)}
    except BaseException:
        pair.lab.say_logs()
        raise
    finally:
        pair.lab.close()
