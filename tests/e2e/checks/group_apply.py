"""`everstep group apply`: standbys come and go while the others and the application go on."""

import os
import shutil

from everstep_lab.base import Child, Failed, require, run, wait_for
from everstep_lab.nbdio import connect, raw_images, read_file, read_point
from everstep_lab.nodes import EVERSTEP, GROUP, free_port
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import Profile, all_succeeded, slowest

SLOW_MAX = 3.0  # seconds that a write may take beside a change of members


def peer(node, name):
    return next((one for one in node.status()["peers"] if one["node"] == name), None)


def apply(node, *words, code=0, say=()):
    answer = node.cli("group", "apply", GROUP, *words).expect(code, *say)
    return answer.json()[0] if code == 0 else answer


def kinds(plan):
    return sorted(f"{step['kind']} {step['object']}" for step in plan["steps"])


def sessions(node):
    return sum(1 for event in node.events() if event["kind"] == "session")


def joined(alpha, name):
    """It has caught up for the first time and counts."""
    def whole():
        one = peer(alpha, name)
        if one is None or one["joining"] or one["replica"] != "streaming":
            raise Failed(f"{name} is {one}")
        return True
    wait_for(f"{name} has joined", whole, 60)


def equal_at_head(scene, node):
    """All of the model is there, in the raw files and as a point."""
    scene.lab.wait_caught_up(scene.alpha, node)
    scene.model.check(scene.model.head, raw_images(node), f"the raw files of {node.name}")
    scene.check_export(scene.model.head, node)


class Load:
    """Writes that go on, and all of which succeed, in time."""

    def __init__(self, scene, pace=400):
        self.scene, self.work = scene, scene.workload(2, 4)
        self.pace = pace

    def __enter__(self):
        self.work.start(pace=self.pace)
        self.more(40)
        return self

    def more(self, count):
        wanted = self.scene.oplog.completed() + count
        wait_for("writes go on", lambda: self.scene.oplog.completed() >= wanted or self.work.trouble, 30, every=0.005)

    def __exit__(self, kind, value, trace):
        self.work.stop()
        if kind is not None:
            return
        all_succeeded(self.work.ops())
        worst = slowest(self.work.ops())
        require(worst < SLOW_MAX, f"a write took {worst:.2f} s beside a change of members")


@check("group_apply.add_and_remove", 240)
def add_and_remove(context):
    """Under load: gamma is added, beta removed and added again; nobody is disconnected, no gap on who stays."""
    with Scene(context) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(60, 2, 8))
        scene.settle()
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        gamma.start()
        before = sessions(beta)
        with Load(scene) as load:
            plan = apply(alpha, "--dry-run")
            require(kinds(plan) == ["standby-added gamma"] and not plan["done"], f"the plan is {plan}")
            require(plan["steps"][0]["bytes"] == 3 << 20, f"the plan is {plan}")
            require(peer(alpha, "gamma") is None, "a dry run has added gamma")
            load.more(20)
            require(apply(beta, "--yes")["done"], "asked of beta, it is not done")
            load.more(100)
            joined(alpha, "gamma")
            load.more(50)
        require(sessions(beta) == before, "beta began another session")
        require(kinds(apply(alpha, "--dry-run")) == [], "something is left to do")
        listing = scene.settle()
        require(not listing.gaps, f"beta has a gap: {listing.gaps}")
        equal_at_head(scene, gamma)
        oldest = gamma.status()["history"]["oldest"]
        for key in [key for key in scene.sample(30) if key[1] >= oldest][:10]:
            scene.check_export(key, gamma)

        lab.set_members("gamma")
        with Load(scene) as load:
            apply(gamma, "--yes")
            load.more(100)
            require(peer(alpha, "beta") is None, "beta is still a peer of alpha")
        left = beta.status()
        require(left["state"] == "failed" and "no member" in left["why"], f"beta says {left['state']}: {left['why']}")
        head = (left["timeline"], left["history"]["head"])
        scene.standby = gamma
        scene.take_log(gamma)
        for restart in (False, True):
            if restart:
                beta.term()
                beta.start()
            for key in [head] + [key for key in scene.sample(30) if key[1] <= head[1]][:3]:
                scene.check_export(key, beta)
            beta.cli("takeover", GROUP, "--force").expect(3, "no member")
            beta.cli("adopt", GROUP, "--from", "alpha").expect(3, "no member")
        equal_at_head(scene, gamma)

        lab.set_members("gamma", "beta")
        with Load(scene):
            apply(alpha, "--yes")
            joined(alpha, "beta")
        for node in (gamma, beta):
            lab.wait_caught_up(alpha, node)
            require(raw_images(node) == raw_images(alpha), f"{node.name} differs from alpha")
            require(read_point(node, "head")[1] == raw_images(alpha), f"the head of {node.name} differs from alpha")
        scene.check_export(head, beta)


@check("group_apply.durable", 240)
def durable(context):
    """`durable` stays in force while one joins; the last holder goes by force alone; the new one holds it all."""
    with Scene(context, ack="durable") as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(40, 2, 8))
        gamma = lab.add_node("gamma")
        lab.set_members("gamma")
        gamma.start()
        apply(alpha, "--yes", code=3, say=("standbys", "--force"))
        require(peer(alpha, "gamma") is None and peer(alpha, "beta") is not None, "a refused plan was done")
        lab.set_members("beta", "gamma")
        with Load(scene, 200) as load:
            apply(alpha, "--yes")
            for _ in range(20):
                load.more(5)
                shown = alpha.status()["ack_in_force"]
                require(shown == "durable", f"ack_in_force is {shown} while gamma joins")
            joined(alpha, "gamma")
            load.more(20)
        scene.settle()
        lab.set_members("gamma")
        with Load(scene, 200):
            apply(alpha, "--yes")
        require(alpha.status()["ack_in_force"] == "durable", "durable is not in force with gamma alone")
        scene.standby = gamma
        work = scene.workload(2, 4)
        work.start(reconnect=True, pace=300)
        wanted = scene.oplog.completed() + 60
        wait_for("writes flow", lambda: scene.oplog.completed() >= wanted or work.trouble, 20, every=0.005)
        alpha.kill9()
        crash = scene.oplog.stamp()
        alpha.start()
        lab.wait_serving()
        work.stop()
        listing = scene.settle(crash=crash)
        require(not listing.gaps, f"what was acknowledged is behind a gap: {listing.gaps}")
        require(not beta.status()["state"] == "streaming", "beta streams although it has left")


@check("group_apply.another_order", 120)
def another_order(context):
    """The same standbys in another order are nothing to apply, and no reason to refuse one."""
    with Scene(context, {"data": 1 << 20}, standbys=("beta", "gamma")) as scene:
        scene.start()
        lab, alpha, gamma = scene.lab, scene.alpha, scene.lab.nodes["gamma"]
        lab.set_members("gamma", "beta")
        require(apply(alpha, "--yes")["steps"] == [], "an order is a step")
        gamma.term()
        gamma.start()
        lab.wait_caught_up(alpha, gamma)


@check("group_apply.paused", 120)
def paused(context):
    """One that is added to a group whose link is paused is not spoken with before it goes on."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        lab, alpha = scene.lab, scene.alpha
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        gamma.start()
        alpha.do("pause", GROUP)
        apply(alpha, "--yes")
        for name in ("beta", "gamma"):
            require(peer(alpha, name)["state"] == "paused", f"{name} is {peer(alpha, name)['state']}")
        alpha.do("unpause", GROUP)
        joined(alpha, "gamma")


@check("group_apply.stall", 180)
def stall(context):
    """`stall`, the only standby replaced by force: no write is answered that nobody keeps, until the new one does."""
    with Scene(context, {"data": 1 << 20}, ack="durable", on_standby_loss="stall") as scene:
        scene.start()
        lab, alpha = scene.lab, scene.alpha
        all_succeeded(scene.write(30, 1, 4))
        scene.settle()
        gamma = lab.add_node("gamma")
        lab.set_members("gamma")
        apply(alpha, "--yes", "--force")
        wanted, newest = scene.oplog.completed(), alpha.status()["positions"]["captured"]
        work = scene.workload(1, 4, profile=Profile(flush=0))
        work.start()
        wait_for("writes are on their way", lambda: alpha.status()["positions"]["captured"] > newest, 20)
        found = scene.oplog.completed() - wanted
        require(found == 0, f"{found} writes were answered that no standby keeps")
        shown = alpha.status()["positions"]
        require(shown["durable"] < shown["captured"], f"nobody has it, and alpha says {shown}")
        gamma.spawn()
        gamma.wait_answer()
        joined(alpha, "gamma")
        wait_for("writes go on", lambda: scene.oplog.completed() >= wanted + 40 or work.trouble, 60, every=0.005)
        work.stop()
        all_succeeded(work.ops())
        lab.wait_caught_up(alpha, gamma)
        require(raw_images(gamma) == raw_images(alpha), "gamma differs from alpha")


@check("group_apply.away", 180)
def away(context):
    """Who was away when it was removed, or added, takes it up at its start."""
    with Scene(context) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(60, 2, 8))
        scene.settle()
        key = scene.model.head
        gamma = lab.add_node("gamma")
        beta.kill9()
        lab.set_members("gamma")
        plan = apply(alpha, "--yes")
        require(kinds(plan) == ["absent beta", "absent gamma", "standby-added gamma", "standby-removed beta"],
                f"the plan is {plan}")
        all_succeeded(scene.write(30, 2, 8))
        gamma.start()
        joined(alpha, "gamma")
        lab.wait_caught_up(alpha, gamma)
        require(raw_images(gamma) == raw_images(alpha), "gamma differs from alpha")
        beta.start()
        status = beta.status()
        require("no member" in status["why"], f"beta says {status['state']}: {status['why']}")
        for one in (key, *[one for one in scene.sample(30) if one[1] > 0][:5]):
            scene.check_export(one, beta)
        # The operator deletes it, and adds the node again: it is a new one.
        beta.term()
        shutil.rmtree(beta.directory)
        os.makedirs(beta.directory)
        lab.set_members("gamma", "beta")
        beta.start()
        apply(alpha, "--yes")
        joined(alpha, "beta")
        lab.wait_caught_up(alpha, beta)
        require(raw_images(beta) == raw_images(alpha), "beta differs from alpha")


@check("group_apply.marks", 240)
def marks(context):
    """The write-intent map of one that was added: after a crash it is compared where it may differ, and only there."""
    with Scene(context, {"data": 16 << 20}) as scene:
        scene.start()
        lab, alpha = scene.lab, scene.alpha
        all_succeeded(scene.write(40, 1, 4))
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        gamma.start()
        apply(alpha, "--yes")
        joined(alpha, "gamma")
        wait_for("the marks of gamma go", lambda: peer(alpha, "gamma")["may_differ_bytes"] == 0, 90, every=0.5)
        gamma.kill9()
        alpha_nbd = connect(alpha.uri())
        alpha_nbd.pwrite(os.urandom(1 << 16), 5 << 20)
        alpha_nbd.shutdown()
        alpha.kill9()
        alpha.start()
        gamma.start()
        lab.wait_serving()
        for node in (scene.beta, gamma):
            lab.wait_caught_up(alpha, node)
            require(raw_images(node) == raw_images(alpha), f"{node.name} differs from alpha")
        told = [event["text"] for event in alpha.events() if event["text"].startswith("gamma: ")
                and "may differ and are compared" in event["text"]]
        require(told and int(told[-1].split()[1]) < 16 << 20, f"gamma was compared as a whole: {told}")


@check("group_apply.promoted", 180)
def promoted(context):
    """After a takeover the dead old primary is taken out, and another node comes in its place."""
    with Scene(context) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(60, 2, 8))
        scene.settle()
        alpha.kill9()
        beta.one("takeover", GROUP, "--force")
        lab.wait_serving(beta)
        shutil.rmtree(alpha.state)  # it is put up again, has the role by the file, and serves nothing
        alpha.start()
        wait_for("alpha serves nothing", lambda: alpha.status()["state"] == "refused", 30)
        gamma = lab.add_node("gamma")
        lab.set_members("gamma", primary="beta")
        gamma.start()
        plan = apply(beta, "--yes")
        require(kinds(plan) == ["primary beta", "standby-added gamma", "standby-removed alpha"], f"the plan is {plan}")
        require("no member" in str(alpha.status()["why"]), f"alpha says {alpha.status()['why']}")
        alpha.term()
        joined(beta, "gamma")
        scene.primary, scene.standby = beta, gamma
        all_succeeded(scene.write(60, 2, 8))
        lab.wait_caught_up(beta, gamma)
        served = read_point(beta, "head")[1]  # the image behind follows at its leisure
        require(raw_images(gamma) == served, "gamma differs from beta")
        require(read_point(gamma, "head")[1] == served, "the head of gamma differs from beta")
        alpha.start()  # it is no member of the file
        require("no member" in str(alpha.status()["why"]), f"alpha says {alpha.status()['why']}")
        beta.term()
        beta.start()
        lab.wait_serving(beta)
        all_succeeded(scene.write(20, 2, 8))
        lab.wait_caught_up(beta, gamma)


@check("group_apply.killed", 300)
def killed(context):
    """kill -9 of each node in the middle; run again it is done, and all end equal."""
    with Scene(context, {"data": 48 << 20, "logs": 1 << 20}) as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        with open(alpha.device(), "wb") as image:
            image.write(os.urandom(48 << 20))
        base = {"data": read_file(alpha.device()), "logs": bytes(1 << 20)}
        scene.start(base)
        all_succeeded(scene.write(30, 2, 4))
        scene.settle()
        gamma = lab.add_node("gamma")
        words = [EVERSTEP, "--config", lab.config, "--node", "alpha", "group", "apply", GROUP, "--yes"]
        for victim, when in (("alpha", "asked"), ("alpha", "copying"), ("gamma", "copying"), ("beta", "asked")):
            lab.set_members("beta", "gamma")
            if not gamma.running():
                gamma.start()
            command = Child(words, os.path.join(context.directory, "apply.log"))
            if when == "copying":
                wait_for("gamma is being copied", lambda: gamma.running() and GROUP in gamma.cli("status").out
                         and gamma.status()["state"] in ("initial-sync", "resync", "streaming"), 30)
            lab.nodes[victim].kill9()
            command.wait(60)
            lab.nodes[victim].start()
            lab.wait_serving()
            wait_for("it is done", lambda: alpha.cli("group", "apply", GROUP, "--yes").code == 0, 30)
            joined(alpha, "gamma")
            all_succeeded(scene.write(20, 2, 4))
            lab.wait_caught_up()
            for node in (beta, gamma):
                lab.wait_caught_up(alpha, node)
                require(raw_images(node) == raw_images(alpha), f"{victim} {when}: {node.name} differs from alpha")
            # Away again, with an empty disk.
            lab.set_members("beta")
            apply(alpha, "--yes")
            gamma.term()
            shutil.rmtree(gamma.directory)
            os.makedirs(gamma.directory)
            context.say(f"{victim} killed when {when}")


@check("group_apply.refused", 120)
def refused(context):
    """What cannot be done is in the plan, with its key, and changes nothing; wrong and differing files, too."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        good = lab.config_text()
        gamma = lab.add_node("gamma")

        def file(text):
            with open(lab.config, "w", encoding="utf-8") as config:
                config.write(text)

        lab.set_members("beta", "gamma")
        wanted = lab.config_text()
        alpha.cli("group", "apply", GROUP).expect(2, "--yes")
        file(wanted.replace('ack = "local"', 'ack = "local"\nkeep_forever = 1'))
        answer = Answering(alpha, context)
        answer.expect(("everstep.toml:", "keep_forever"))
        for old, new, words in (
                ('primary = "alpha"\nstandbys = ["beta", "gamma"]', 'primary = "gamma"\nstandbys = ["beta", "alpha"]',
                 ("primary", "failback")),
                (f'size = "{1 << 20}B"', 'size = "2MiB"', ("volume.data.size", "found 2MiB")),
                ('name = "data"', 'name = "other"', ("volume.data", "volume.other"))):
            require(old in wanted, f"the file has no {old}")
            file(wanted.replace(old, new))
            apply(alpha, "--yes", code=3, say=words)
        require([one["node"] for one in alpha.status()["peers"]] == ["beta"], "a refused plan was done")

        beta_file = os.path.join(context.directory, "beta.toml")
        with open(beta_file, "w", encoding="utf-8") as config:
            config.write(good)
        beta.term()
        beta.config = beta_file
        beta.start()
        lab.wait_streaming()
        file(wanted)
        apply(alpha, "--yes", code=3, say=("standbys", "in the file on alpha", "in that on beta"))
        # A restart takes the new file on one node alone: both say what differs, by the first key.
        alpha.term()
        alpha.start()
        lab.wait_serving()
        for node in (alpha, beta):
            wait_for(f"{node.name} says what differs", lambda n=node: "standbys: 'beta,gamma' on alpha, "
                     "'beta' on beta" in n.told(), 30)
        with open(beta_file, "w", encoding="utf-8") as config:
            config.write(wanted)
        plan = apply(alpha, "--yes")
        require("takes beta" in kinds(plan) and "absent gamma" in kinds(plan), f"the plan is {plan}")
        lab.wait_streaming()
        gamma.start()
        joined(alpha, "gamma")
        scene.write(20)
        scene.settle()
        equal_at_head(scene, gamma)


class Answering:
    """The refusal of a broken file: the command line reads it too, so another's is asked over a good one."""

    def __init__(self, node, context):
        self.node, self.file = node, os.path.join(context.directory, "client.toml")
        with open(self.file, "w", encoding="utf-8") as config:
            config.write(node.lab.config_text())

    def expect(self, words):
        done = run([EVERSTEP, "--config", self.file, "--node", self.node.name, "group", "apply", GROUP, "--yes"],
                   check=False)
        require(done.returncode == 2, f"exit {done.returncode}: {done.stderr}")
        for word in words:
            require(word in done.stderr, f"the refusal does not name {word}: {done.stderr}")


@check("group_apply.replaced", 120)
def replaced(context):
    """The same name with an empty state directory: the plan says so, all is copied, nothing old is believed."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(40)
        scene.settle()
        beta = scene.beta
        beta.kill9()
        shutil.rmtree(beta.state)
        os.remove(beta.device())
        scene.write(20)
        scene.alpha.do("pause", GROUP)
        beta.start()
        plan = apply(scene.alpha, "--dry-run")
        require(kinds(plan) == ["standby-replaced beta"] and not plan["refused"], f"the plan is {plan}")
        scene.alpha.do("unpause", GROUP)
        scene.lab.wait_streaming()
        scene.write(20)
        scene.lab.wait_caught_up()
        require(raw_images(beta) == raw_images(scene.alpha), "beta differs from alpha")
        key, images = read_point(beta, "head")
        require(images == raw_images(scene.alpha), f"{key} differs from alpha")


@check("group_apply.moved", 120)
def moved(context):
    """A standby at another address: its links follow without a restart of the primary, and without a gap."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        lab, beta = scene.lab, scene.beta
        scene.write(40)
        scene.settle()
        beta.term()
        beta.address = f"127.0.0.1:{free_port()}"
        lab.write_config()
        scene.write(20)
        beta.start()
        plan = apply(scene.alpha, "--yes")
        require(kinds(plan) == ["address beta"], f"the plan is {plan}")
        lab.wait_streaming()
        scene.write(20)
        listing = scene.settle()
        require(not listing.gaps, f"beta has a gap: {listing.gaps}")
