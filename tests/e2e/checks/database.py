"""PostgreSQL under pgbench: it recovers at any step and any time, whole, and without losing an earlier commit."""

import datetime
import os

from everstep_lab.base import Failed, mounts_under, need_tool, require, run, wait_for
from everstep_lab.mounts import MAKE, FuseFile, need_mounts
from everstep_lab.nodes import GROUP
from everstep_lab.pg import Postgres, need_postgres
from everstep_lab.registry import check
from everstep_lab.scene import Scene

CHECK = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}


class Disks:
    """File systems over the NBD servers of a group's volumes, each at the same mount point every time."""

    def __init__(self, directory, uris, kind):
        self.kind, self.fuses, self.loops = kind, [], {}
        self.points = {volume: os.path.join(directory, f"{volume}.mnt") for volume in uris}
        try:
            for volume, uri in uris.items():
                fuse = FuseFile(uri, os.path.join(directory, f"{volume}.fuse"))
                self.fuses.append(fuse)
                self.loops[volume] = run(["losetup", "--find", "--show", fuse.path]).stdout.strip()
        except BaseException:
            self.close()
            raise

    def make(self):
        for loop in self.loops.values():
            run(MAKE[self.kind] + [loop])

    def mount(self):
        for volume, loop in self.loops.items():
            os.makedirs(self.points[volume], exist_ok=True)
            run(["mount", "-t", self.kind, loop, self.points[volume]])

    def unmount(self):
        for point in self.points.values():
            if point not in mounts_under(point):
                continue
            try:  # a process that is about to end may still be in it
                wait_for(f"{point} is unmounted", lambda: run(["umount", point], check=False).returncode == 0, 20, 0.2)
            except Failed:
                run(["umount", "-l", point], check=False)

    def check(self, what):
        """As they are behind the replay of their journals: nothing to mend."""
        for volume, loop in self.loops.items():
            done = run([*CHECK[self.kind], loop], seconds=120, check=False)
            require(done.returncode == 0, f"{what}: the {self.kind} of {volume}: {done.stdout}{done.stderr}")

    def close(self):
        self.unmount()
        for loop in self.loops.values():
            run(["losetup", "-d", loop], check=False)
        for fuse in self.fuses:
            fuse.close()


class Database:
    """A PostgreSQL whose data lies on the volume `data`, its write-ahead log on `wal` where there is one."""

    def __init__(self, scene, kind):
        self.scene, self.kind = scene, kind
        self.directory = scene.context.directory
        self.has_wal = "wal" in scene.lab.volumes

    def disks(self, uris):
        return Disks(self.directory, uris, self.kind)

    def postgres(self, disks):
        wal = os.path.join(disks.points["wal"], "wal") if self.has_wal else None
        return Postgres(os.path.join(disks.points["data"], "pg"), os.path.join(self.directory, "socket"), wal)

    def run(self, steps):
        """pgbench until there are so many steps; the steps (first, last] in which its tables are there."""
        disks = self.disks(self.scene.alpha.uris())
        try:
            disks.make()
            disks.mount()
            postgres = self.postgres(disks)
            postgres.make()
            postgres.start()
            try:
                postgres.bench_make(1)
                first = self.scene.lab.wait_caught_up()
                bench = postgres.bench_start(3600)
                try:
                    wait_for(f"{steps} steps", lambda: self.captured() - first >= steps, 1200, 0.2)
                    require(bench.alive(), f"pgbench ended: {bench.tail()}")
                    last = self.captured()
                finally:
                    bench.stop()
            finally:
                postgres.stop("immediate")
        finally:
            disks.close()
        self.scene.lab.wait_caught_up()
        return first, last

    def captured(self):
        return self.scene.alpha.status()["positions"]["captured"]

    def commits_at(self, point):
        """(LSN, transactions in the history table) of the database that the point holds."""
        node = self.scene.beta
        body = node.one("export", GROUP, point, "--writable")
        try:
            disks = self.disks(body["uris"])
            try:
                disks.mount()
                disks.unmount()
                disks.check(point)
                disks.mount()
                return body["lsn"], self.recovered(disks, point)
            finally:
                disks.close()
        finally:
            node.do("unexport", body["id"], "--drop")

    def recovered(self, disks, point):
        postgres = self.postgres(disks)
        postgres.forget_other_host()
        try:
            postgres.start()
        except Failed as error:
            raise Failed(f"{point}: the database does not recover: {error}") from error
        try:
            sums = postgres.bench_sums()
            require(len(set(sums)) == 1, f"{point}: accounts, tellers, branches and history differ: {sums}")
            return int(postgres.sql("select count(*) from pgbench_history"))
        finally:
            postgres.stop()


def random_times(scene, first, last, count):
    """Times between two steps, as point expressions."""
    ends = [scene.beta.do("log", GROUP, "--from", f"step:{lsn}", "--to", f"step:{lsn}")[0]["time"]
            for lsn in (first + 1, last)]
    begin, end = (datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) for time in ends)
    for _ in range(count):
        at = begin + (end - begin) * scene.random.random()
        yield at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def any_point_recovers(context, volumes, kind, counts):
    need_mounts()
    need_postgres()
    need_tool(CHECK[kind][0])
    need_tool(MAKE[kind][0])
    steps, at_steps, at_times = counts
    with Scene(context, volumes, segment_bytes="16MiB") as scene:
        scene.lab.start()
        database = Database(scene, kind)
        first, last = database.run(steps)
        require(scene.beta.status()["history"]["gaps"] == 0, "history has a gap")
        points = [f"step:{lsn}" for lsn in scene.random.sample(range(first + 1, last + 1), at_steps)]
        points += random_times(scene, first, last, at_times)
        found = sorted(database.commits_at(point) for point in points)
        for (before, fewer), (after, more) in zip(found, found[1:]):
            require(fewer <= more, f"{fewer} transactions at step {before}, {more} at the later step {after}")
        require(found[0][1] < found[-1][1], f"all points hold {found[0][1]} transactions")
        context.say(f"{len(found)} points of {last - first} steps: {found[0][1]} to {found[-1][1]} transactions")


@check("database.any_point_recovers", 400, 7200)
def one_volume(context):
    """ext4: the file system check is clean behind the replay, the sums agree, commits never become fewer."""
    counts = context.count((2000, 16, 4), (30_000, 200, 50))
    any_point_recovers(context, {"data": 256 << 20}, "ext4", counts)


@check("database.any_point_recovers_xfs", 300, 3600)
def one_volume_xfs(context):
    """The same on XFS."""
    counts = context.count((1000, 4, 1), (30_000, 40, 10))
    any_point_recovers(context, {"data": 320 << 20}, "xfs", counts)


@check("database.any_point_recovers_two_volumes", 400, 7200)
def two_volumes(context):
    """The same with the write-ahead log on a volume of its own: both are at one step."""
    counts = context.count((2000, 8, 2), (30_000, 200, 50))
    any_point_recovers(context, {"data": 192 << 20, "wal": 256 << 20}, "ext4", counts)
