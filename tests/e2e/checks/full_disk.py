"""The disk of a standby's history fills up under a real PostgreSQL; retention by age and bytes, by itself."""

import os

from everstep_lab.base import need_root, need_tool, require, run, wait_for
from everstep_lab.mounts import Mounted, need_mounts
from everstep_lab.nbdio import raw_images, read_device
from everstep_lab.pg import Postgres, need_postgres
from everstep_lab.registry import check
from everstep_lab.scene import Scene

VOLUME = 256 << 20
DISK, FILLER = 700 << 20, 560 << 20


class StateDisk:
    """A small ext4 for a node's state."""

    def __init__(self, node):
        self.point = node.state
        image = node.state + ".ext4"
        os.makedirs(self.point, mode=0o700)
        with open(image, "wb") as file:
            file.truncate(DISK)
        run(["mkfs.ext4", "-q", "-m", "0", image])
        self.loop = run(["losetup", "--find", "--show", image]).stdout.strip()
        run(["mount", self.loop, self.point])

    def close(self):
        run(["umount", "-l", self.point], check=False)
        run(["losetup", "-d", self.loop], check=False)


def told(node, kind):
    return [event["text"] for event in node.events() if event["kind"] == kind]


def load(scene, postgres, filler):
    """pgbench until the disk is full, on while it is, and on when there is room again."""
    bench = postgres.bench_start(60)
    try:
        wait_for("the standby says that its disk is full", lambda: told(scene.beta, "alarm-full"), 60)
        durable = scene.beta.status()["positions"]["durable"]
        why = scene.beta.status()["why"] or ""
        require("reserve_bytes" in why, f"the standby's state does not say why: {why!r}")
        captured = scene.alpha.status()["positions"]["captured"]
        wait_for("the database goes on",
                 lambda: scene.alpha.status()["positions"]["captured"] > captured + 50, 30)
        now = scene.beta.status()["positions"]["durable"]
        require(now >= durable, f"durable went back from {durable} to {now}")
        os.unlink(filler)
        wait_for("the standby goes on", lambda: scene.beta.status()["positions"]["durable"] > captured, 60)
    finally:
        bench.stop()


@check("full_disk.under_postgres", 300)
def under_postgres(context):
    """Nothing is lost, the database goes on, and the standby goes on by itself when there is room."""
    need_mounts()
    need_postgres()
    options = {"history.reserve_bytes": "24MiB", "segment_bytes": "4MiB"}
    with Scene(context, {"data": VOLUME}, **options) as scene:
        disk = StateDisk(scene.beta)
        filler = os.path.join(scene.beta.state, "filler")
        try:
            run(["fallocate", "-l", str(FILLER), filler])
            scene.start()
            mounted = Mounted(scene.alpha.uri(), context.directory + "/disk", make=True)
            try:
                postgres = Postgres(os.path.join(mounted.point, "pg"), context.directory + "/socket")
                postgres.make()
                postgres.start()
                postgres.bench_make(2)
                load(scene, postgres, filler)
                postgres.stop()
            finally:
                mounted.close()
            scene.lab.wait_caught_up()
            require(scene.beta.status()["history"]["gaps"] == 0, "history has a gap")
            require(raw_images(scene.beta)["data"] == read_device(scene.alpha.uri()),
                    "the replica is not what the primary's disk holds")
        finally:
            scene.lab.close()
            disk.close()


@check("full_disk.retention_by_bytes", 90)
def retention_by_bytes(context):
    """History stays within keep_bytes, a pinned mark within reach, and what is dropped is refused by name."""
    need_root()
    need_tool("qemu-io")
    with Scene(context, {"data": 4 << 20}, **{"history.keep_bytes": "6MiB"}) as scene:
        scene.start()
        scene.write(200)
        scene.lab.wait_caught_up()
        scene.beta.do("mark", "db", "keep-me", "--pin")
        kept = scene.beta.status()["positions"]["durable"]
        before = raw_images(scene.beta)["data"]
        for _ in range(6):
            scene.write(400)
        scene.lab.wait_caught_up()
        # The pinned mark keeps the volume once before and once behind it, 4 MiB each, beside keep_bytes; and a segment
        # is condensed again only when as much stands behind it.
        bound = (6 + 2 * 4 + 2) << 20
        wait_for("history is within its bytes", lambda: scene.beta.status()["history"]["bytes"] < bound, 30)
        status = scene.beta.status()
        require(0 < status["history"]["oldest"] <= kept, f"the oldest step is {status['history']['oldest']}")
        scene.beta.cli("export", "db", "step:1").expect(3, f"step:{status['history']['oldest']}")
        scene.beta.do("rewind", "db", "keep-me")
        require(raw_images(scene.beta)["data"] == before, "the pinned step is not what it was")
        scene.beta.do("resume", "db")
        scene.lab.wait_caught_up()
        require(raw_images(scene.beta)["data"] == read_device(scene.alpha.uri()), "the replica differs")
