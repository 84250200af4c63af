"""What waits for a standby: in the queue, in the spool, given up; told, bounded, its own, and back by itself."""

import glob
import os
import shutil
import signal
from contextlib import closing

from checks.intent import equal, newest_gap, put
from checks.standby_loss import STALL_MAX
from everstep_lab.base import Skip, need_root, require, run, wait_for
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded, slowest

KIB, MIB = 1 << 10, 1 << 20
TINY = {"queue_bytes": "512KiB", "spool_bytes": "4MiB"}


def peer_of(node, name="beta"):
    return next(one for one in node.status()["peers"] if one["node"] == name)


def told(node, kind, *words):
    """The texts of its events of that kind that hold all the words."""
    return [event["text"] for event in node.events()
            if event["kind"] == kind and all(word in event["text"] for word in words)]


def spool_of(node):
    return os.path.join(node.state, "groups", GROUP, "spool")


def spooled(node):
    return sum(os.path.getsize(path) for path in glob.glob(spool_of(node) + "/*"))


def write_until(scene, what, condition, seconds=60, pace=400):
    """Writes until the condition holds; none fails, none waits."""
    work = scene.workload(2, 4)
    work.start(pace=pace)
    try:
        wait_for(what, condition, seconds)
    finally:
        work.stop()
    all_succeeded(work.ops())
    worst = slowest(work.ops())
    require(worst < STALL_MAX, f"{what}: a write took {worst:.2f} s, wanted less than {STALL_MAX} s")


def in_state(scene, state, name="beta"):
    return lambda: peer_of(scene.alpha, name)["backlog"] == state


def settle_behind_gap(scene):
    """The link goes on; what was written until now lies in the gap, or before it."""
    lost = scene.oplog.stamp()
    scene.alpha.do("unpause", GROUP)
    scene.settle(lost, gap_allowed=True)


def gap_of(scene, *words):
    """The only gap that the standby's history has; its reason holds the words."""
    gaps = [row for row in scene.beta.do("log", GROUP) if row["kind"] == "gap"]
    require(len(gaps) == 1, f"{len(gaps)} gaps, wanted one: {gaps}")
    for word in words:
        require(word in gaps[0]["reason"], f"the gap's reason does not name {word!r}: {gaps[0]}")
    return gaps[0]


def streams_on(scene):
    """Writes arrive without another gap, and the pair ends equal."""
    all_succeeded(scene.write(60, 2, 4))
    scene.settle()
    require(peer_of(scene.alpha)["backlog"] == "queue", "the backlog's state is not `queue` again")
    require(spooled(scene.alpha) == 0, f"{spooled(scene.alpha)} bytes are left in the spool")


@check("backlog.queue_spool_gap_and_back", 180)
def queue_spool_gap_and_back(context):
    """Each change of state is told and in the status; the gap has ends, reason, extents, bytes; back by itself."""
    with Scene(context, {"data": 8 << 20}, **TINY) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        before = peer_of(scene.alpha)
        require(before["backlog"] == "queue", f"it begins in {before['backlog']}")
        scene.alpha.do("pause", GROUP)
        write_until(scene, "what waits goes to the spool", in_state(scene, "spool"))
        require(len(told(scene.alpha, "backlog", "beta", "queue_bytes = 512KiB", "spool")) == 1,
                f"queue to spool is not told: {told(scene.alpha, 'backlog')}")
        limits = scene.alpha.status()["backlog"]
        require(limits["queue_limit"] == 512 * KIB and limits["spool_limit"] == 4 * MIB, f"limits: {limits}")
        require(0 < limits["spool_bytes"] == spooled(scene.alpha), f"{limits}, on disk {spooled(scene.alpha)}")
        write_until(scene, "order is lost when the spool is full", in_state(scene, "gap"))
        alarm = told(scene.alpha, "alarm-gap", "beta", "the backlog is full", "spool_bytes = 4MiB")
        require(len(alarm) == 1, f"the gap is not told once: {told(scene.alpha, 'alarm-gap')}")
        require(spooled(scene.alpha) == 0, "the spool is kept for nobody")
        count = scene.oplog.completed()
        write_until(scene, "writes go on in gap mode", lambda: scene.oplog.completed() > count + 300)
        require(spooled(scene.alpha) == 0 and scene.alpha.status()["backlog"]["queue_bytes"] == 0,
                "something is kept for a standby that needs a resync")
        require("the backlog is full" in (peer_of(scene.alpha)["compare"] or ""), "the status does not say why")
        settle_behind_gap(scene)
        gap = gap_of(scene, "the backlog is full")
        require(gap["from"] < gap["to"] and gap["bytes"] > 0, f"the gap's ends and bytes: {gap}")
        shown = gap["extents"]
        require(len(shown) == min(100, gap["extent_count"]) > 0 and shown[0]["volume"] == "data",
                f"{len(shown)} extents of {gap['extent_count']}, the first {shown[:1]}")
        wait_for("back to streaming is told", lambda: told(scene.alpha, "backlog", "beta", "in order again"), 10)
        streams_on(scene)
        scene.beta.term()
        extents, _ = newest_gap(scene.beta)
        require(len(extents) == gap["extent_count"], f"{len(extents)} extents in the record, {gap}")


@check("backlog.a_primary_that_ends_in_gap_mode", 180)
def ends_in_gap_mode(context):
    """Killed, or stopped cleanly, while order is lost or much is spooled: the next start brings the standby back."""
    with Scene(context, {"data": 8 << 20}, **TINY) as scene:
        scene.start()
        for state, end in (("gap", scene.alpha.term), ("gap", scene.alpha.kill9), ("spool", scene.alpha.kill9)):
            all_succeeded(scene.write(20))
            scene.settle()
            scene.alpha.do("pause", GROUP)
            write_until(scene, f"what waits is in the state {state}", in_state(scene, state))
            lost = scene.oplog.stamp()
            end()
            scene.alpha.start()
            scene.lab.wait_serving()
            scene.settle(lost, gap_allowed=True)
            require(spooled(scene.alpha) == 0, f"{spooled(scene.alpha)} bytes are left in the spool")


@check("backlog.the_spool_is_enough", 120)
def the_spool_is_enough(context):
    """What goes through the spool costs no order: streamed from it, told when it is empty again; limits by SIGHUP."""
    with Scene(context, {"data": 8 << 20}, **TINY) as scene:
        scene.start()
        scene.lab.group["spool_bytes"] = "1GiB"
        scene.lab.write_config()
        for node in (scene.alpha, scene.beta):
            node.child.signal(signal.SIGHUP)
            wait_for("the limit is taken over", lambda n=node: told(n, "reload", "spool_bytes: 1GiB, was 4MiB"))
        scene.write(20)
        scene.beta.kill9()
        write_until(scene, "more waits than the old spool holds", lambda: spooled(scene.alpha) > 5 << 20, 90)
        require(scene.alpha.status()["backlog"]["spool_limit"] == 1 << 30, "the new limit is not in the status")
        scene.beta.start()
        listing = scene.settle()
        require(not listing.gaps, f"a gap though the spool had room: {listing.gaps}")
        wait_for("the empty spool is told", lambda: told(scene.alpha, "backlog", "nothing for it any more"), 10)
        streams_on(scene)


@check("backlog.a_clean_stop_keeps_what_is_spooled", 120)
def a_clean_stop_keeps_what_is_spooled(context):
    """Queue and spool outlive a clean stop; a smaller limit afterwards takes none of it by itself."""
    with Scene(context, {"data": 8 << 20}, **{**TINY, "spool_bytes": "64MiB"}) as scene:
        scene.start()
        scene.write(20)
        scene.beta.kill9()
        write_until(scene, "much waits", lambda: spooled(scene.alpha) > 1 << 20, 90)
        scene.alpha.term()
        scene.beta.start()
        scene.alpha.start()
        scene.lab.wait_serving()
        listing = scene.settle()
        require(not listing.gaps, f"a gap over a clean stop: {listing.gaps}")
        streams_on(scene)


@check("backlog.a_spool_that_is_lost_costs_who_lacks_it", 180)
def lost_spool(context):
    """The spool is damaged over a clean stop: who lacks what was in it has a gap with the reason, the other none."""
    names = ("beta", "gamma")
    with Scene(context, {"data": 8 << 20}, standbys=names, **{**TINY, "spool_bytes": "64MiB"}) as scene:
        scene.start()
        scene.write(20)
        scene.beta.kill9()
        write_until(scene, "much waits", lambda: spooled(scene.alpha) > 1 << 20, 90)
        gamma = scene.lab.nodes["gamma"]
        scene.lab.wait_caught_up(scene.alpha, gamma)
        scene.alpha.term()
        path = sorted(glob.glob(spool_of(scene.alpha) + "/*"))[0]
        os.truncate(path, os.path.getsize(path) // 2)
        scene.alpha.start()
        scene.lab.wait_serving()
        scene.beta.start()
        for node in (scene.beta, gamma):
            scene.lab.wait_caught_up(scene.alpha, node)
        gap_of(scene, "spool")
        gaps = gamma.status()["history"]["gaps"]
        require(gaps == 0, f"gamma lacked nothing, and has {gaps} gaps")


class SmallSpool:
    """A tmpfs of its own for a node's spool."""

    def __init__(self, node, size):
        need_root()
        self.point = spool_of(node)
        os.makedirs(self.point, mode=0o700)
        done = run(["mount", "-t", "tmpfs", "-o", f"size={size}", "everstep-spool", self.point], check=False)
        if done.returncode != 0:
            raise Skip(f"no tmpfs can be mounted: {done.stderr.strip()}")

    def read_only(self, only):
        run(["mount", "-o", f"remount,{'ro' if only else 'rw'}", self.point])

    def close(self):
        run(["umount", "-l", self.point], check=False)


@check("backlog.spool_disk_full", 180)
def spool_disk_full(context):
    """ENOSPC below `spool_bytes` is a full spool: a gap for the standby, nothing for the application."""
    with Scene(context, {"data": 8 << 20}, queue_bytes="512KiB", spool_bytes="1GiB") as scene:
        disk = SmallSpool(scene.alpha, "4m")
        try:
            scene.start()
            scene.write(20)
            scene.alpha.do("pause", GROUP)
            write_until(scene, "order is lost when the disk is full", in_state(scene, "gap"))
            require(told(scene.alpha, "alarm-gap", "beta", "the spool", "No space left"),
                    f"the alarm does not say why: {told(scene.alpha, 'alarm-gap')}")
            settle_behind_gap(scene)
            gap_of(scene, "No space left")
            streams_on(scene)
            scene.alpha.term()
        finally:
            scene.lab.close()
            disk.close()


@check("backlog.spool_cannot_be_written", 180)
def spool_cannot_be_written(context):
    """A spool's disk that fails is a full spool; when it works again it is used again."""
    with Scene(context, {"data": 8 << 20}, queue_bytes="128KiB", spool_bytes="1GiB") as scene:
        disk = SmallSpool(scene.alpha, "64m")
        try:
            scene.start()
            scene.write(20)
            scene.alpha.do("pause", GROUP)
            write_until(scene, "what waits goes to the spool", in_state(scene, "spool"))
            scene.alpha.do("unpause", GROUP)
            scene.settle()
            disk.read_only(True)
            scene.alpha.do("pause", GROUP)
            write_until(scene, "order is lost when the disk fails", in_state(scene, "gap"))
            require(told(scene.alpha, "alarm-gap", "the spool"), f"{told(scene.alpha, 'alarm-gap')}")
            disk.read_only(False)
            settle_behind_gap(scene)
            scene.alpha.do("pause", GROUP)
            write_until(scene, "the spool is used again", in_state(scene, "spool"))
            scene.alpha.do("unpause", GROUP)
            streams_on(scene)
        finally:
            scene.lab.close()
            disk.close()


@check("backlog.spool_cannot_be_read", 120)
def spool_cannot_be_read(context):
    """A frame that cannot be read from the spool costs the standby its order, and no session loops over it."""
    with Scene(context, {"data": 8 << 20}, queue_bytes="128KiB", spool_bytes="1GiB") as scene:
        scene.start()
        scene.write(20)
        scene.alpha.do("pause", GROUP)
        write_until(scene, "much waits", lambda: spooled(scene.alpha) > 1 << 20, 90)
        for path in glob.glob(spool_of(scene.alpha) + "/*"):
            os.truncate(path, os.path.getsize(path) // 2)
        settle_behind_gap(scene)
        require(told(scene.alpha, "alarm-gap", "beta", "the spool cannot be read"),
                f"the alarm does not say why: {told(scene.alpha, 'alarm-gap')}")
        gap_of(scene, "the spool cannot be read")
        streams_on(scene)


@check("backlog.one_slow_standby_costs_the_other_nothing", 180)
def one_slow_standby_costs_the_other_nothing(context):
    """Own position, backlog and limit each: a frozen one loses its order alone; the other streams, ack_standbys = 1."""
    names = ("beta", "gamma")
    with Scene(context, {"data": 8 << 20}, ack="durable", ack_standbys=1, standbys=names, **TINY) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        gamma = scene.lab.nodes["gamma"]
        gamma.freeze()
        write_until(scene, "gamma's backlog goes to the spool", in_state(scene, "spool", "gamma"))
        beta = peer_of(scene.alpha)
        require(beta["backlog"] == "queue" and beta["replica"] == "streaming", f"beta is {beta}")
        write_until(scene, "gamma loses its order", in_state(scene, "gap", "gamma"))
        write_until(scene, "writes go on", lambda n=scene.oplog.completed(): scene.oplog.completed() > n + 500)
        beta = peer_of(scene.alpha)
        require(beta["backlog"] == "queue" and not beta["compare"], f"beta pays for gamma: {beta}")
        require(scene.alpha.status()["ack_in_force"] == "durable", "`ack` is not in force with one of two")
        listing = scene.settle()
        require(not listing.gaps, f"beta has a gap for gamma: {listing.gaps}")
        gamma.thaw()
        equal(scene.lab, "beta", "gamma")
        wait_for("gamma is in order", in_state(scene, "queue", "gamma"), 30)
        require(gamma.status()["history"]["gaps"] == 1, f"gamma's history: {gamma.status()['history']}")
        require(scene.beta.status()["history"]["gaps"] == 0, "beta's history has a gap")
        all_succeeded(scene.write(60, 2, 4))
        equal(scene.lab, "beta", "gamma")


@check("backlog.one_that_has_lost_all_costs_the_other_nothing", 120)
def has_lost_all(context):
    """A standby that is gone for long gives up its backlog alone, and is copied anew when it comes back empty."""
    names = ("beta", "gamma")
    with Scene(context, {"data": 8 << 20}, standbys=names, **TINY) as scene:
        scene.start()
        gamma = scene.lab.nodes["gamma"]
        gamma.kill9()
        shutil.rmtree(gamma.directory)
        os.makedirs(gamma.directory)
        write_until(scene, "gamma's backlog is given up", in_state(scene, "gap", "gamma"))
        all_succeeded(scene.write(200, 2, 4))
        listing = scene.settle()
        require(not listing.gaps, f"beta has a gap for gamma: {listing.gaps}")
        gamma.start()
        equal(scene.lab, "beta", "gamma")
        wait_for("gamma is in order", in_state(scene, "queue", "gamma"), 30)
        all_succeeded(scene.write(60, 2, 4))
        equal(scene.lab, "beta", "gamma")


class TwoPrimaries(Lab):
    """Groups db (alpha) and logs (gamma), each with the standby beta."""

    def config_text(self):
        text = super().config_text().replace('standbys = ["beta", "gamma"]', 'standbys = ["beta"]')
        lines = [line for line in text.splitlines() if not line.startswith("gamma = {")]
        lines += ["", "[[group]]", 'name = "logs"', 'primary = "gamma"', 'standbys = ["beta"]', 'start_wait = "2s"',
                  "", "[[group.volume]]", 'name = "logs"', f'size = "{4 * MIB}B"']
        lines += [f'{node} = {{ device = "{node}/logs.img", capture = "nbd", listen = "unix:{node}/logs.sock" }}'
                  for node in ("gamma", "beta")]
        return "\n".join(lines) + "\n"


def group_of(node, name):
    return next(one for one in node.do("status")[0]["groups"] if one["name"] == name)


@check("backlog.two_primaries_one_standby", 120)
def two_primaries_one_standby(context):
    """A node is standby of two primaries: each its own stream; the loss of one primary is nothing to the other."""
    with closing(TwoPrimaries(context.directory, {"data": 4 * MIB}, standbys=("beta", "gamma"))) as lab:
        lab.start(wait=False)
        gamma = lab.nodes["gamma"]
        both = ((lab.alpha, GROUP), (gamma, "logs"))
        for node, group in both:
            wait_for(f"{node.name} serves", lambda n=node, g=group: group_of(n, g)["state"] == "serving", 30)
            wait_for(f"beta streams {group}", lambda g=group: group_of(lab.beta, g)["state"] == "streaming", 30)

        def same(group, volume, node):
            newest = group_of(node, group)["positions"]["captured"]
            wait_for(f"beta has applied {group}",
                     lambda: group_of(lab.beta, group)["positions"]["applied"] == newest, 30)
            with open(node.device(volume), "rb") as one, open(lab.beta.device(volume), "rb") as other:
                require(one.read() == other.read(), f"{group}: beta's replica differs")
        put(lab.alpha, *range(0, MIB, 8192))
        put(gamma, *range(0, MIB, 4096), volume="logs")
        same(GROUP, "data", lab.alpha)
        same("logs", "logs", gamma)
        gamma.kill9()
        put(lab.alpha, *range(4096, MIB, 8192))
        same(GROUP, "data", lab.alpha)
        gamma.start()
        wait_for("gamma serves again", lambda: group_of(gamma, "logs")["state"] == "serving", 30)
        put(gamma, *range(MIB, 2 * MIB, 4096), volume="logs")
        wait_for("beta streams logs", lambda: group_of(lab.beta, "logs")["state"] == "streaming", 30)
        same("logs", "logs", gamma)
        require(group_of(lab.beta, GROUP)["history"]["gaps"] == 0, "db has a gap for the loss of gamma")
