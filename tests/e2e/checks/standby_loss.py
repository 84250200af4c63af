"""The standby dead, frozen or unreachable never hangs or fails the application, except where `ack` says so."""

import os
import time
from dataclasses import replace

from everstep_lab.base import Child, Failed, require, wait_for
from everstep_lab.nbdio import read_device
from everstep_lab.nodes import EVERSTEP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded, slowest

STALL_MAX = 2.0  # seconds; a sync on a busy machine takes 0.3


def writes_go_on(scene, what, count=150):
    work = scene.workload(2, 8)
    work.drain_seconds = 20
    began = time.monotonic()
    work.run(count)
    all_succeeded(work.ops())
    worst = slowest(work.ops())
    require(worst < STALL_MAX, f"{what}: a write took {worst:.2f} s, wanted less than {STALL_MAX} s")
    took = time.monotonic() - began
    scene.context.say(f"{what}: {count} operations in {took:.2f} s, the slowest {worst * 1e3:.0f} ms")


def loss_under_load(scene, what, lose, regain):
    """The loss comes while writes are in flight; afterwards the pair ends equal."""
    work = scene.workload(4, 8)
    work.start(pace=500)
    try:
        wanted = scene.oplog.completed() + 40
        wait_for("writes flow", lambda: scene.oplog.completed() >= wanted or work.trouble, 20, every=0.005)
        lose()
        wanted = scene.oplog.completed() + 300
        wait_for(f"{what}: writes go on", lambda: scene.oplog.completed() >= wanted or work.trouble, 15)
    finally:
        work.stop()
    all_succeeded(work.ops())
    worst = slowest(work.ops())
    require(worst < STALL_MAX, f"{what}: a write took {worst:.2f} s, wanted less than {STALL_MAX} s")
    writes_go_on(scene, what)
    regain()
    listing = scene.settle()
    require(not listing.gaps, f"{what}: a gap though the queue had room: {listing.gaps}")


@check("standby_dead_never_hangs.killed", 120)
def killed(context):
    with Scene(context, ack="local") as scene:
        scene.start()
        loss_under_load(scene, "killed", scene.beta.kill9, scene.beta.start)


@check("standby_dead_never_hangs.frozen", 120)
def frozen(context):
    with Scene(context, ack="local") as scene:
        scene.start()
        loss_under_load(scene, "SIGSTOPped", scene.beta.freeze, scene.beta.thaw)


@check("standby_dead_never_hangs.paused_link", 120)
def paused_link(context):
    with Scene(context, ack="local") as scene:
        scene.start()
        loss_under_load(scene, "paused", lambda: scene.alpha.do("pause", "db"),
                        lambda: scene.alpha.do("unpause", "db"))


@check("standby_dead_never_hangs.never_there", 120)
def never_there(context):
    """The primary starts alone, with history at the other side: serves after start_wait; the pair comes together."""
    with Scene(context, ack="local") as scene:
        scene.start()
        scene.write(30)
        scene.settle()
        scene.alpha.term()
        scene.beta.term()
        scene.alpha.start()
        scene.lab.wait_serving()
        writes_go_on(scene, "alone from the start")
        scene.beta.start()
        scene.lab.wait_streaming()
        listing = scene.settle()
        require(not listing.gaps, f"a gap after clean stops: {listing.gaps}")
        scene.check_every_export(keys=scene.sample(20))


@check("standby_dead_never_hangs.durable_continue", 120)
def durable_continue(context):
    """ack = durable, on_standby_loss = continue: goes on after standby_timeout; ack_in_force says so."""
    for lose, regain in (("kill9", "start"), ("freeze", "thaw")):
        here = replace(context, directory=os.path.join(context.directory, lose))
        with Scene(here, ack="durable", on_standby_loss="continue") as scene:
            scene.start()
            scene.write(20)
            require(scene.alpha.status()["ack_in_force"] == "durable", "ack_in_force is not durable while streaming")
            getattr(scene.beta, lose)()
            work = scene.workload(2, 4)
            work.drain_seconds = 15
            began = time.monotonic()
            work.run(30)
            all_succeeded(work.ops())
            waited = time.monotonic() - began
            require(waited < 12, f"{lose}: 30 writes took {waited:.1f} s with standby_timeout = 1s")
            shown = scene.alpha.status()["ack_in_force"]
            require(shown == "local", f"{lose}: ack_in_force is {shown}, wanted local")
            getattr(scene.beta, regain)()
            scene.settle()
            wait_for("ack_in_force is durable again",
                     lambda s=scene: s.alpha.status()["ack_in_force"] == "durable", 20)
            all_succeeded(scene.write(20))
            scene.settle()


@check("standby_dead_never_hangs.durable_stall", 120)
def durable_stall(context):
    """on_standby_loss = stall: writes wait, none is answered alone, and they go on when the standby is back."""
    with Scene(context, ack="durable", on_standby_loss="stall") as scene:
        scene.start()
        scene.write(20)
        scene.beta.kill9()
        work = scene.workload(2, 4)
        done = scene.oplog.completed()
        work.start()
        try:
            time.sleep(3)  # three times standby_timeout: nothing may be answered in it
            answered = [op for op in work.ops() if op.outcome == "ok" and op.kind != "flush"]
            require(not answered, f"{len(answered)} writes were answered without the standby, e.g. {answered[:1]}")
            scene.beta.start()
            wait_for("writes go on", lambda: scene.oplog.completed() > done + 30 or work.trouble, 30)
        finally:
            work.stop()
        all_succeeded(work.ops())
        listing = scene.settle()
        require(not listing.gaps, f"a gap though nothing was lost: {listing.gaps}")


@check("standby_dead_never_hangs.reads_in_stall", 60)
def reads_in_stall(context):
    """While writes wait for the standby the node still answers reads, status and commands."""
    with Scene(context, ack="durable", on_standby_loss="stall") as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        scene.beta.kill9()
        work = scene.workload(1, 4)
        work.start()
        try:
            wait_for("writes wait", lambda: work.inflight() >= 1, 10)
            began = time.monotonic()
            read_device(scene.alpha.uri("data"))
            scene.alpha.status()
            waited = time.monotonic() - began
            if waited > 5:
                raise Failed(f"a read and a status took {waited:.1f} s while writes waited")
            scene.beta.start()
        finally:
            work.stop()
        scene.settle()


@check("command_line.frozen_node", 60)
def frozen_node(context):
    """A command to a node that does not answer ends with 4; one that has nothing to say for long goes on."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        follower = Child([EVERSTEP, "--config", scene.lab.config, "--node", "alpha", "events", "--follow"],
                         os.path.join(context.directory, "events"))
        scene.alpha.do("pause", "db")  # a link that is lost would be an event
        scene.beta.freeze()
        scene.beta.cli("status", seconds=20).expect(4, "does not answer")
        require(follower.alive(), "events --follow ended in silence")
        scene.beta.thaw()
        scene.alpha.do("unpause", "db")
        scene.lab.wait_streaming()
        wait_for("the follower tells of the link", lambda: "goes on" in follower.tail(50), 10)
        follower.stop()
