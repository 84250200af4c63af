"""The link's rate, its keepalives, and peers that are silent: limits hold, and the link comes back by itself."""

import time

from checks.ack_switch import switch
from checks.backlog import peer_of
from checks.standby_loss import STALL_MAX
from everstep_lab.base import Skip, need_root, need_tool, require, run, wait_for
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import Profile, all_succeeded, slowest

KEEPALIVE = '{ interval = "200ms", timeout = "1s" }'
BULK = Profile(data=1, zero=0, discard=0, flush=0, fua=0, hot=0, sectors_max=256)


def bulk(scene, total):
    """Data writes of about `total` bytes; returns how many and the seconds that they took."""
    work = scene.workload(2, 8, profile=BULK)
    began = time.monotonic()
    while sum(op.length for op in work.ops()) < total:
        more = scene.workload(2, 8, profile=BULK)
        more.run(50)
        all_succeeded(more.ops())
    ops = work.ops()
    require(slowest(ops) < STALL_MAX, f"a write took {slowest(ops):.2f} s")
    return sum(op.length for op in ops), time.monotonic() - began


@check("link.rate_limit", 180)
def rate_limit(context):
    """No more than the limit leaves, and not much less; no write waits for it; a new limit counts at once."""
    rate = 1 << 20
    with Scene(context, {"data": 16 << 20}, rate_limit="1MiB", keepalive=KEEPALIVE) as scene:
        scene.start()
        scene.settle()
        began = time.monotonic()
        sent, wrote = bulk(scene, 6 << 20)
        last = {"captured": 0}

        def caught_up():
            status = scene.alpha.status()
            last.update(status["positions"])
            require(status["peers"][0]["state"] == "connected", f"the link went: {status['peers'][0]}")
            return status["positions"]["durable"] == status["positions"]["captured"]
        wait_for("the standby has it all", caught_up, 60, every=0.1)
        took = time.monotonic() - began
        require(took > sent / rate - 1, f"{sent} bytes took {took:.1f} s at {rate} bytes a second")
        require(took < 2 * sent / rate + 2, f"{sent} bytes took {took:.1f} s at {rate} bytes a second: much less")
        context.say(f"{sent >> 10} KiB written in {wrote:.1f} s, there after {took:.1f} s")
        sent, _ = bulk(scene, 8 << 20)
        switch(scene, rate_limit="0B")
        began = time.monotonic()
        wait_for("the standby has it all", caught_up, 60, every=0.05)
        took = time.monotonic() - began
        require(took < sent / rate / 2, f"{sent} bytes took {took:.1f} s after the limit had gone")
        scene.settle()


class Wire:
    """Two network namespaces and a cable between them, each direction of which can be cut without a sign."""

    NOBODY = "02:00:00:00:00:99"

    def __init__(self, seed):
        need_root()
        need_tool("ip")
        self.names = {"alpha": f"ev{seed % 10000}a", "beta": f"ev{seed % 10000}b"}
        self.hosts = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
        self.macs = {"alpha": "02:00:00:00:00:01", "beta": "02:00:00:00:00:02"}
        for name in self.names.values():
            done = run(["ip", "netns", "add", name], check=False)
            if done.returncode != 0:
                self.close()
                raise Skip(f"no network namespace can be made: {done.stderr.strip()}")
        one, other = self.names["alpha"], self.names["beta"]
        done = run(["ip", "-n", one, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", other],
                   check=False)
        if done.returncode != 0:
            self.close()
            raise Skip(f"no veth can be made: {done.stderr.strip()}")
        for node, name in self.names.items():
            run(["ip", "-n", name, "link", "set", "wire", "address", self.macs[node]])
            run(["ip", "-n", name, "addr", "add", f"{self.hosts[node]}/24", "dev", "wire"])
            run(["ip", "-n", name, "link", "set", "wire", "up"])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        for node in self.names:
            self.lead(node, True)

    def lead(self, node, there):
        """What the node sends arrives, or is lost."""
        other = "beta" if node == "alpha" else "alpha"
        mac = self.macs[other] if there else self.NOBODY
        run(["ip", "-n", self.names[node], "neigh", "replace", self.hosts[other], "lladdr", mac, "dev", "wire",
             "nud", "permanent"])

    def wrap(self, node):
        node.address = f"{self.hosts[node.name]}:7801"
        node.prefix = [need_tool("ip"), "netns", "exec", self.names[node.name]]

    def close(self):
        for name in self.names.values():
            run(["ip", "netns", "del", name], check=False)


def silence(scene, what, cut, heal):
    """Found by both ends in time, while writes go on; afterwards the link comes back and nothing is missing."""
    work = scene.workload(2, 4)
    work.start(pace=300)
    try:
        wait_for("writes flow", lambda: work.trouble or scene.oplog.completed() > 100, 20)
        cut()
        began = time.monotonic()
        wait_for(f"{what}: alpha finds it", lambda: peer_of(scene.alpha)["state"] == "connecting", 10)
        found = time.monotonic() - began
        count = scene.oplog.completed()
        wait_for(f"{what}: writes go on", lambda: work.trouble or scene.oplog.completed() > count + 100, 20)
        heal()
        wait_for(f"{what}: the link comes back", lambda: peer_of(scene.alpha)["state"] == "connected", 20)
        back = time.monotonic() - began - found
    finally:
        work.stop()
    all_succeeded(work.ops())
    require(slowest(work.ops()) < STALL_MAX, f"{what}: a write took {slowest(work.ops()):.2f} s")
    listing = scene.settle()
    require(not listing.gaps, f"{what}: a gap though the queue had room: {listing.gaps}")
    scene.context.say(f"{what}: found in {found:.1f} s, back after {back:.1f} s")


@check("link.a_black_hole_is_found_and_left", 180)
def black_hole(context):
    """Packets that vanish, both ways and each way alone: found within `keepalive.timeout`, back by itself."""
    wire = Wire(context.seed)
    try:
        with Scene(context, keepalive=KEEPALIVE) as scene:
            for node in (scene.alpha, scene.beta):
                wire.wrap(node)
            scene.lab.write_config()
            scene.start()
            for what, nodes in (("nothing arrives", ("alpha", "beta")), ("beta hears nothing", ("alpha",)),
                                ("alpha hears nothing", ("beta",))):

                def lead(there, whose=nodes):
                    for node in whose:
                        wire.lead(node, there)

                def cut(nodes=nodes):
                    lead(False, nodes)
                    if nodes != ("alpha",):
                        return
                    wait_for("beta finds it, too", lambda: scene.beta.status()["state"] == "waiting", 10)
                silence(scene, what, cut, lambda nodes=nodes: lead(True, nodes))
    finally:
        wire.close()


@check("link.a_frozen_peer_is_found_and_comes_back", 120)
def frozen_peer(context):
    """SIGSTOP of the standby, then of the primary: found in time by the other, and they stream again by themselves."""
    with Scene(context, keepalive=KEEPALIVE) as scene:
        scene.start()
        silence(scene, "the standby is frozen", scene.beta.freeze, scene.beta.thaw)
        scene.alpha.freeze()
        wait_for("beta finds that the primary is frozen", lambda: scene.beta.status()["state"] == "waiting", 10)
        scene.alpha.thaw()
        scene.lab.wait_streaming()
        all_succeeded(scene.write(50, 2, 4))
        listing = scene.settle()
        require(not listing.gaps, f"a gap: {listing.gaps}")


@check("link.keepalive_is_switched", 120)
def keepalive_is_switched(context):
    """A longer time counts for the session that runs: a pause that was a loss before is none."""
    with Scene(context, keepalive=KEEPALIVE) as scene:
        scene.start()
        scene.write(20)
        switch(scene, keepalive='{ interval = "200ms", timeout = "1m" }')
        ends = len([event for event in scene.alpha.events() if event["kind"] == "link"])
        scene.beta.freeze()
        time.sleep(3)  # three times what was a loss before
        scene.beta.thaw()
        all_succeeded(scene.write(50, 2, 4))
        scene.settle()
        now = len([event for event in scene.alpha.events() if event["kind"] == "link"])
        require(now == ends, f"the link ended {now - ends} times")
