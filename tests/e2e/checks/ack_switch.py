"""`ack`, `ack_standbys`, `on_standby_loss` and the times change while the group serves: nothing is lost."""

import contextlib
import signal

from checks.backlog import peer_of, told
from everstep_lab.base import Failed, require, wait_for
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded, slowest


def switch(scene, *nodes, **keys):
    """The keys in the configuration, and SIGHUP to the nodes (all that run); returns when they count."""
    changed = {key: value for key, value in keys.items() if scene.lab.group.get(key) != value}
    scene.lab.group.update(keys)
    scene.lab.write_config()
    for node in nodes or [one for one in scene.lab.nodes.values() if one.running()]:
        before = {key: len(told(node, "reload", key, ", was ")) for key in changed}
        node.child.signal(signal.SIGHUP)
        for key, count in before.items():
            wait_for(f"{node.name} takes {key} over",
                     lambda n=node, k=key, c=count: len(told(n, "reload", k, ", was ")) > c, 20)


def in_force(scene, level, seconds=30):
    wait_for(f"`ack` in force is {level}", lambda: scene.alpha.status()["ack_in_force"] == level, seconds)


def take_over_at(scene):
    """beta serves what it has; fails when an acknowledged write is missing."""
    crash = scene.oplog.stamp()
    scene.beta.one("takeover", GROUP, "--force")
    scene.primary, scene.standby = scene.beta, None
    scene.take_log(scene.beta, crash)


@check("ack.switched_under_load_loses_nothing", 240)
def switched_under_load(context):
    """Every switch while writes are in flight; what is acknowledged under `durable` is there when the primary dies."""
    with Scene(context) as scene:
        scene.start()
        work = scene.workload(4, 8)
        work.start(reconnect=True, pace=800)
        levels = ["durable", "received", "local", "received", "durable", "local", "durable"]
        for level in levels[:context.count(5, 7)]:
            switch(scene, ack=level)
            in_force(scene, level)
            done = scene.oplog.completed()
            wait_for(f"writes go on under {level}",
                     lambda d=done: scene.oplog.completed() > d + 100 or work.trouble, 20)
            require(not work.trouble, f"{work.trouble}")
        require(scene.alpha.status()["ack_in_force"] == "durable", "the last level is not in force")
        # Of what was acknowledged under `local` the standby may lack the newest, until the next answer.
        done = scene.oplog.completed()
        wait_for("writes go on", lambda: scene.oplog.completed() > done + 100 or work.trouble, 20)
        scene.alpha.kill9()
        work.stop()
        take_over_at(scene)


@check("ack.received_survives_the_primary", 120)
def received_survives(context):
    """`received` under load: what was acknowledged is there when the primary dies and the standby lives."""
    with Scene(context, ack="received") as scene:
        scene.start()
        work = scene.workload(4, 8)
        work.start(reconnect=True)
        wait_for("writes flow", lambda: scene.oplog.completed() > 300 or work.trouble, 30)
        require(scene.alpha.status()["ack_in_force"] == "received", "`received` is not in force")
        scene.alpha.kill9()
        work.stop()
        take_over_at(scene)


@check("ack.is_switched_to_an_absent_standby", 120)
def absent_standby(context):
    """To `durable` while the standby is away: behind since, durably, then on; with `stall` answers wait for it."""
    with Scene(context) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        scene.beta.kill9()
        switch(scene, scene.alpha, ack="durable")
        work = scene.workload(2, 4)
        work.drain_seconds = 20
        work.run(30)
        all_succeeded(work.ops())
        in_force(scene, "local")
        require(peer_of(scene.alpha)["behind_since"] is not None, "the loss is not recorded")
        scene.beta.start()
        scene.settle()
        in_force(scene, "durable")
        require(peer_of(scene.alpha)["behind_since"] is None, "the standby is still recorded as behind")
        switch(scene, on_standby_loss="stall")
        scene.beta.kill9()
        work = scene.workload(2, 4)
        work.start()
        try:
            wait_for("answers wait", lambda: work.inflight() == 8, 20)
            answered = [op for op in work.ops() if op.outcome == "ok" and op.kind != "flush"]
            require(not answered, f"{len(answered)} writes were answered without the standby")
            switch(scene, scene.alpha, on_standby_loss="continue")
            wait_for("writes go on", lambda: sum(op.outcome == "ok" for op in work.ops()) > 30 or work.trouble, 20)
        finally:
            work.stop()
        all_succeeded(work.ops())
        scene.beta.start()
        scene.settle()


@check("ack.counts_again_under_load", 120)
def counts_again_under_load(context):
    """A standby that comes back counts again while the writes never pause."""
    with Scene(context, {"data": 4 << 20}, ack="durable") as scene:
        scene.start()
        scene.write(20)
        work = scene.workload(4, 8)
        work.start(pace=1500)
        try:
            scene.beta.kill9()
            in_force(scene, "local")
            scene.beta.start()
            in_force(scene, "durable", 40)
            done = scene.oplog.completed()
            wait_for("writes go on", lambda: scene.oplog.completed() > done + 200 or work.trouble, 20)
            require(scene.alpha.status()["ack_in_force"] == "durable", "it does not stay in force")
        finally:
            work.stop()
        all_succeeded(work.ops())
        listing = scene.settle()
        require(not listing.gaps, f"a gap: {listing.gaps}")


@check("ack.standbys_are_switched", 120)
def standbys_are_switched(context):
    """`ack_standbys` from one to all and back, with one standby frozen: `all` waits for it, then goes on without."""
    names = ("beta", "gamma")
    with Scene(context, ack="durable", ack_standbys=1, standbys=names) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        gamma = scene.lab.nodes["gamma"]
        switch(scene, standby_timeout="60s")
        gamma.freeze()
        all_succeeded(scene.write(30, 2, 4))
        switch(scene, scene.alpha, ack_standbys="all")
        work = scene.workload(2, 4)
        work.drain_seconds = 40
        work.start()
        try:
            wait_for("answers wait for gamma", lambda: work.inflight() == 8, 20)
            switch(scene, scene.alpha, ack_standbys=1)
            wait_for("writes go on", lambda: sum(op.outcome == "ok" for op in work.ops()) > 30 or work.trouble, 20)
            switch(scene, scene.alpha, ack_standbys="all")
            wait_for("answers wait again", lambda: work.inflight() == 8, 20)
            switch(scene, scene.alpha, standby_timeout="1s")
            in_force(scene, "local")
            wait_for("gamma is recorded", lambda: peer_of(scene.alpha, "gamma")["behind_since"] is not None, 20)
            require(peer_of(scene.alpha)["behind_since"] is None, "beta is recorded as behind, too")
        finally:
            work.stop()
        all_succeeded(work.ops())
        gamma.thaw()
        switch(scene, scene.beta, gamma)  # they have not been told yet
        scene.settle()
        in_force(scene, "durable")


@check("ack.other_times_on_one_node_end_no_session", 120)
def other_times(context):
    """`keepalive` is read on one node: what it sends is not rarer than what the other one still waits for."""
    with Scene(context, {"data": 1 << 20}, keepalive='{ interval = "500ms", timeout = "2s" }') as scene:
        scene.start()
        sessions = len(told(scene.alpha, "session"))
        scene.lab.group["keepalive"] = '{ interval = "30s", timeout = "60s" }'
        scene.lab.write_config()
        scene.alpha.child.signal(signal.SIGHUP)
        wait_for("alpha has read it", lambda: told(scene.alpha, "reload", "keepalive.interval"))
        with contextlib.suppress(Failed):
            wait_for("an end of the session", lambda: peer_of(scene.alpha)["state"] != "connected", 5)
        require(len(told(scene.alpha, "session")) == sessions and peer_of(scene.alpha)["state"] == "connected",
                f"the session ended: {told(scene.alpha, 'link')}")
        scene.beta.child.signal(signal.SIGHUP)
        wait_for("they are the same", lambda: peer_of(scene.alpha)["why"] is None)


@check("ack.a_switch_waits_for_no_long_way", 120)
def long_way(context):
    """To `durable` with a standby that gets on and needs minutes: behind after `standby_timeout`, and writes go on."""
    with Scene(context, {"data": 8 << 20}, rate_limit="256KiB", standby_timeout="5s") as scene:
        scene.start()
        work = scene.workload(2, 4)
        work.start()
        try:
            wait_for("much waits for it", lambda: peer_of(scene.alpha)["lag_bytes"] > 10 << 20 or work.trouble, 30)
        finally:
            work.stop()
        all_succeeded(work.ops())
        switch(scene, scene.alpha, ack="durable")
        work = scene.workload(2, 4)
        work.run(20)
        all_succeeded(work.ops())
        worst = slowest(work.ops())
        require(worst < 15, f"a write waited {worst:.1f} s for a standby 40 s behind; the timeout is 5 s")
        require(peer_of(scene.alpha)["behind_since"] is not None, "the loss is not recorded")
        switch(scene, scene.alpha, rate_limit="0B")
        switch(scene, scene.beta)
        scene.settle()
        in_force(scene, "durable")


@check("ack.a_change_on_one_node_ends_no_session", 120)
def one_node_first(context):
    """The session goes on; a link that comes anew is refused with the key; when both are told it streams by itself."""
    with Scene(context) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        sessions = len(told(scene.alpha, "session"))
        switch(scene, scene.alpha, ack="durable")
        in_force(scene, "durable")
        all_succeeded(scene.write(50, 2, 4))
        require(len(told(scene.alpha, "session")) == sessions, "the session ended")
        for node, key in ((scene.alpha, "ack: 'durable' here"), (scene.beta, "ack: 'local' here")):
            wait_for(f"{node.name} says what differs", lambda n=node, k=key: k in (n.status()["peers"][0]["why"] or ""))
            require(node.status()["peers"][0]["state"] == "connected", f"{node.name}: the session ended")
        scene.settle()
        switch(scene, scene.beta)
        for node in (scene.alpha, scene.beta):
            wait_for(f"{node.name} says that they are the same", lambda n=node: n.status()["peers"][0]["why"] is None)
        require(len(told(scene.alpha, "session")) == sessions, "the session ended")
        scene.beta.term()
        scene.lab.group["ack"] = "local"  # as beta would start if it had not been told
        scene.lab.write_config()
        scene.beta.start()
        scene.lab.group["ack"] = "durable"
        scene.lab.write_config()
        wait_for("the link says what differs",
                 lambda: peer_of(scene.alpha)["state"] == "refused" and "ack:" in peer_of(scene.alpha)["why"], 30)
        wait_for("beta says it too", lambda: told(scene.beta, "alarm-link", "ack:"))
        with contextlib.suppress(Failed):
            wait_for("beta says it again", lambda: len(told(scene.beta, "alarm-link", "ack:")) > 1, 5)
        count = len(told(scene.beta, "alarm-link", "ack:"))
        require(count == 1, f"beta says it {count} times: for each link that is tried")
        scene.beta.child.signal(signal.SIGHUP)
        scene.settle()
        in_force(scene, "durable")
