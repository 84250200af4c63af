"""`everstep group apply`: a volume comes while the others are served; what it held becomes steps, without a gap."""

import os
import random
import shutil

from everstep_lab.base import Child, Failed, require, wait_for
from everstep_lab.model import name_of, same_images
from everstep_lab.nbdio import Export, connect, raw_images, read_device, read_file
from everstep_lab.nodes import EVERSTEP, GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import SECTOR, Profile, Workload, all_succeeded

from .group_apply import Load, apply, joined, kinds, peer

SIZE = 1 << 20


def content(context, holes=True):
    """What lies on a device before: data, and a hole in it."""
    data = bytearray(random.Random(context.seed).randbytes(SIZE))
    if holes:
        data[256 << 10:640 << 10] = bytes(384 << 10)
    return bytes(data)


def place(node, data, name="more"):
    """A device with that content, its zeroes as holes where they are long."""
    with open(node.device(name), "wb") as file:
        file.truncate(len(data))
        for at in range(0, len(data), 4096):
            if any(data[at:at + 4096]):
                file.seek(at)
                file.write(data[at:at + 4096])


class Added:
    """The volume `more` in lab, workload and model; `held` on alpha's device, `before` in the images of standbys."""

    def __init__(self, scene, held, before=None):
        self.scene = scene
        before = before or bytes(SIZE)
        place(scene.alpha, held)
        if any(before):
            place(scene.beta, before)
        scene.lab.volumes["more"] = SIZE
        scene.lab.write_config()
        scene.model.volumes["more"] = SIZE
        for step in scene.model.steps.values():
            if step.image is not None:
                step.image["more"] = before
        scene.model.kept = {}
        scene.matcher.devices["more"] = bytearray(held)

    def written(self):
        """From now on workloads write to it, too."""
        self.scene.oplog.volumes["more"] = SIZE
        self.scene.oplog.index["more"] = len(self.scene.oplog.index)


class Others(Load):
    """Writes to the volumes that workloads know of."""

    def __init__(self, scene, pace=400):
        super().__init__(scene, pace)
        uris = {name: scene.primary.uri(name) for name in scene.oplog.volumes}
        self.work = Workload(scene.oplog, uris, 2, 4, Profile())


def volume(node, name="more"):
    for one in node.status()["volumes"]:
        if one["name"] == name:
            return one
    raise Failed(f"{node.name} has no volume {name}")


def whole(node, seconds=60):
    """The step from which on the history has all of it."""
    def is_whole():
        one = volume(node)
        if not one["whole"] or one["whole_from"] is None:
            raise Failed(f"on {node.name} it is {one}")
        return one["whole_from"]
    return wait_for(f"{node.name} calls it whole", is_whole, seconds)


def check_before(scene, key):
    """A step of before: the others as they were, the new one is left out, and refused by name."""
    with Export(scene.standby, name_of(key)) as export:
        require(export.body["left_out"] == ["more"], f"{name_of(key)} leaves out {export.body['left_out']}")
        wanted = {name: data for name, data in scene.model.image(key).items() if name != "more"}
        images = export.images()
        require(set(images) == set(wanted), f"{name_of(key)} serves {sorted(images)}")
        same_images(f"an export at {name_of(key)}", images, wanted)
    scene.standby.cli("export", f"{GROUP}/more", name_of(key)).expect(3, "more", "step")


def check_history(scene, start, count=8):
    """Steps of before, and from the one on that has all of it, whatever lies between."""
    keys = scene.model.points()
    before = [key for key in keys if key[1] < start]
    after = [key for key in keys if key[1] >= start]
    for key in scene.random.sample(before, min(count, len(before))):
        check_before(scene, key)
    for key in [after[0]] + scene.random.sample(after, min(count, len(after))):
        scene.check_export(key)


def other_sessions(node):
    return [event for event in node.events() if event["kind"] == "session"]


@check("group_apply.volume", 240)
def add_volume(context):
    """Under load: no client of the others notices; steps of before and behind; a rewind over it and back; restarts."""
    with Scene(context) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        all_succeeded(scene.write(60, 2, 8))
        scene.settle()
        old = scene.model.head
        junk = random.Random(context.seed + 1).randbytes(SIZE)
        more = Added(scene, content(context), junk)
        with Others(scene) as load:
            plan = apply(alpha, "--dry-run")
            require(kinds(plan) == ["volume-added more"] and not plan["refused"], f"the plan is {plan}")
            require(plan["steps"][0]["bytes"] == SIZE, f"the plan is {plan}")
            load.more(20)
            require(apply(beta, "--yes")["done"], "asked of beta, it is not done")
            load.more(60)
            start = whole(alpha)
            load.more(20)
        require(kinds(apply(alpha, "--dry-run")) == [], "something is left to do")
        require(whole(beta) == start, f"beta calls it whole from {volume(beta)['whole_from']} on, alpha from {start}")
        require(read_device(alpha.uri("more")) == content(context), "its own content has changed")
        listing = scene.settle()
        require(not listing.gaps, f"it cost a gap: {listing.gaps}")
        more.written()
        all_succeeded(scene.write(80, 3, 8))
        require(not scene.settle().gaps, "a gap behind it")
        check_history(scene, start)
        alpha.cli("restore", GROUP, name_of(old)).expect(3, "more")
        scene.rewind(old)
        scene.rewind(next(key for key in scene.model.points() if key[1] >= start))
        scene.resume()
        for node in (alpha, beta):
            node.term()
        scene.lab.start()
        require(whole(beta) == start and whole(alpha) == start, "a restart has forgotten from where on it is whole")
        all_succeeded(scene.write(40, 3, 8))
        require(not scene.settle().gaps, "the restarts cost a gap")
        check_history(scene, start, 3)
        done = alpha.do("verify", GROUP)[-1]
        require(done["standbys"][0]["differing_bytes"] == 0, f"verify says {done}")


@check("group_apply.volume_written", 240)
def written(context):
    """Its clients write to it while it is read in: every step behind the last piece is as the model has it."""
    with Scene(context, {"data": SIZE}, sync_rate="256KiB") as scene:
        scene.start()
        all_succeeded(scene.write(30, 1, 8))
        scene.settle()
        more = Added(scene, content(context))
        apply(scene.alpha, "--yes")
        more.written()
        with Others(scene, 400):
            wait_for("it is read in", lambda: (volume(scene.alpha)["read_in"] or {}).get("done_bytes", 0), 60)
            start = whole(scene.alpha)
        require(not scene.settle().gaps, "a gap")
        require(whole(scene.beta) == start, "beta calls it whole from another step on")
        kinds_of = {row.kind for row in scene.take_log().rows if row.volume == "more" and row.lsn < start}
        require({"data", "reread", "zero"} <= kinds_of, f"before it is whole, its steps are of the kinds {kinds_of}")
        check_history(scene, start)


@check("group_apply.volume_order_lost", 240)
def order_lost(context):
    """Order is lost while it is read in: the resync brings what was shipped, the reading what was not."""
    with Scene(context, {"data": 4 * SIZE}, sync_rate="1MiB", queue_bytes="1MiB", spool_bytes="0B") as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        all_succeeded(scene.write(30, 1, 8))
        scene.settle()
        more = Added(scene, content(context, False), random.Random(context.seed + 1).randbytes(SIZE))
        apply(alpha, "--yes")
        more.written()
        wait_for("it is read in", lambda: (volume(alpha)["read_in"] or {}).get("done_bytes", 0), 60)
        alpha.do("pause", GROUP)
        require(not volume(alpha)["whole"], "it is whole already")
        wait_for("order is lost", lambda: scene.write(40, 2, 8) and any(
            event["kind"] == "alarm-gap" for event in alpha.events()), 60)
        alpha.do("unpause", GROUP)
        for node in (alpha, beta):
            whole(node)
        scene.lab.wait_caught_up()
        require(raw_images(beta) == raw_images(alpha), "beta differs from alpha")
        with Export(beta, "head") as export:
            require(export.images() == raw_images(alpha), "the head differs from alpha")


@check("group_apply.volume_one_behind", 240)
def one_behind(context):
    """What was shipped while a standby was away, and dropped for it, is in its resync, written by a client or not."""
    with Scene(context, {"data": SIZE}, sync_rate="1MiB", queue_bytes="512KiB", spool_bytes="0B") as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        scene.start()
        all_succeeded(scene.write(6, 1, 2))
        scene.settle()
        Added(scene, content(context, False))
        apply(alpha, "--yes")
        wait_for("it is read in", lambda: (volume(alpha)["read_in"] or {}).get("done_bytes", 0), 60)
        beta.term()
        require(not volume(alpha)["whole"], "it is whole already")
        whole(alpha)
        require(peer(alpha, "beta")["backlog"] == "gap", f"beta is {peer(alpha, 'beta')}")
        beta.start()
        for node in (beta, gamma):
            lab.wait_caught_up(alpha, node)
            whole(node)
            require(raw_images(node) == raw_images(alpha), f"{node.name} differs from alpha")


@check("group_apply.volume_twice", 180)
def twice(context):
    """Two in one file: one is read in behind the other; with a standby that is copied meanwhile, all have both."""
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(30, 1, 8))
        scene.settle()
        for number in range(2):
            place(alpha, random.Random(context.seed + number).randbytes(SIZE), f"more{number}")
            lab.volumes[f"more{number}"] = SIZE
        lab.write_config()
        alpha.do("pause", GROUP)
        plan = apply(alpha, "--yes")
        require(kinds(plan) == ["volume-added more0", "volume-added more1"], f"the plan is {plan}")
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        gamma.start()
        apply(alpha, "--yes")
        require(not volume(alpha, "more0")["whole"], "it is whole without a standby")
        alpha.do("unpause", GROUP)
        for node in (alpha, beta, gamma):
            for name in ("more0", "more1"):
                wait_for(f"{node.name} calls {name} whole", lambda o=node, n=name: volume(o, n)["whole"], 60)
        for node in (beta, gamma):
            lab.wait_caught_up(alpha, node)
            require(raw_images(node) == raw_images(alpha), f"{node.name} differs from alpha")


@check("group_apply.volume_exports", 180)
def exports(context):
    """Of a standby: a read-only export ends, a writable one is served again with what was written on it."""
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        all_succeeded(scene.write(30, 1, 8))
        scene.settle()
        beta.one("export", GROUP, "head")
        branch = beta.one("export", GROUP, "head", "--writable")
        handle = connect(branch["uri"])
        handle.pwrite(b"\7" * 4096, 8192)
        handle.shutdown()
        before = read_device(branch["uri"])
        Added(scene, content(context))
        apply(alpha, "--yes")
        start = whole(beta)

        def listed():
            return [one for one in beta.do("exports") if one["uri"] is not None]
        wait_for("the branch is served again", lambda: [one["id"] for one in listed()] == [branch["id"]], 30)
        require(read_device(listed()[0]["uri"]) == before, "what was written on the branch is gone")
        handle = connect(listed()[0]["uri"])
        handle.pwrite(b"\6" * 4096, 0)
        handle.shutdown()
        require(read_device(listed()[0]["uri"]) == b"\6" * 4096 + before[4096:], "the branch takes no writes")
        newer = beta.one("export", GROUP, "head", "--writable")
        require(sorted(newer["uris"]) == ["data", "more"] and newer["lsn"] >= start, f"the export is {newer}")
        require(read_device(newer["uris"]["more"]) == content(context), "a branch has another content")
        scene.write(10, 1, 8)
        scene.settle()
        # Of the others alone a restore goes to any step.
        old = scene.random.choice([key for key in scene.model.points() if key[1] < start])
        file = os.path.join(context.directory, "more.raw")
        beta.cli("backup", f"{GROUP}/more", name_of(old), "-o", file).expect(3, "more")
        alpha.cli("restore", GROUP, name_of(old)).expect(3, "more")
        alpha.do("restore", f"{GROUP}/data", name_of(old))
        require(read_device(alpha.uri("data")) == scene.model.image(old)["data"], "data is not that of the step")
        require(read_device(alpha.uri("more")) == content(context), "a restore of data has changed more")


@check("group_apply.volume_killed", 400)
def killed(context):
    """Either node killed while the command runs, or while the volume is read in: it goes on after a restart."""
    with Scene(context, {"data": SIZE}, sync_rate="512KiB") as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(40, 1, 8))
        scene.settle()
        held = {}
        moments = ("asked", "recorded", "taken", "read in", "whole")
        for number, (victim, moment) in enumerate((v, m) for m in moments for v in ("alpha", "beta")):
            name = f"more{number}"
            held[name] = random.Random(context.seed + number).randbytes(SIZE)
            place(alpha, held[name], name)
            lab.volumes[name] = SIZE
            lab.write_config()
            command = Child([EVERSTEP, "--config", lab.config, "--node", "alpha", "--json", "group", "apply", GROUP,
                             "--yes"], os.path.join(context.directory, f"apply{number}.log"))
            reached = {
                "asked": lambda: True,
                "recorded": lambda n=name: n.encode() in read_file(os.path.join(alpha.state, "groups", GROUP, "group")),
                "taken": lambda n=name: os.path.exists(beta.device(n)),
                "read in": lambda n=name: (volume(alpha, n)["read_in"] or {}).get("done_bytes", 0),
                "whole": lambda n=name: volume(alpha, n)["whole"],
            }[moment]
            wait_for(f"{name}: {moment}", reached, 60, every=0.001)
            node = lab.nodes[victim]
            node.kill9()
            command.wait(60)
            node.start()
            lab.wait_serving()
            apply(alpha, "--yes")
            lab.wait_streaming()
            for one in (alpha, beta):
                wait_for(f"{one.name} calls {name} whole", lambda o=one, n=name: volume(o, n)["whole"], 60)
            lab.wait_caught_up()
            require(raw_images(beta) == raw_images(alpha), f"{victim} killed at {moment}: beta differs")
            for volume_name, data in held.items():
                require(read_file(alpha.device(volume_name)) == data, f"{volume_name} has changed on alpha")
            with Export(beta, "head") as export:
                require(export.images() == raw_images(alpha), f"{victim} killed at {moment}: the head differs")
            context.say(f"{victim} killed at {moment}")


@check("group_apply.volume_durable", 300)
def durable(context):
    """`stall`: nothing waits for the new one; killed meanwhile, its content is taken from nobody; a takeover."""
    with Scene(context, {"data": SIZE}, ack="durable", on_standby_loss="stall", sync_rate="64KiB") as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(40, 1, 8))
        scene.settle()
        held = content(context, False)
        Added(scene, held)
        with Others(scene, 200) as load:
            apply(alpha, "--yes")
            for _ in range(10):
                load.more(5)
                require(alpha.status()["ack_in_force"] == "durable", "durable is not in force while it is read in")
            require(not volume(alpha)["whole"], "it is whole already: the check is worth nothing")
        alpha.kill9()
        alpha.start()
        lab.wait_serving()
        require(read_device(alpha.uri("more")) == held, "its content was taken from the standby")
        lab.wait_streaming()
        lab.wait_caught_up()
        require(not scene.take_log().gaps, "a gap, though everything was durable")
        require(read_file(alpha.device()) == scene.model.image(scene.model.head)["data"], "data has changed on alpha")
        alpha.cli("verify", GROUP).expect(1, "more")
        beta.cli("export", f"{GROUP}/more", "head").expect(3, "more")
        # Half of it has arrived when alpha dies.
        require(not volume(alpha)["whole"] and not volume(beta)["whole"], "it is whole already")
        alpha.kill9()
        done = wait_for("beta takes over", lambda: beta.one("takeover", GROUP, "--force"), 30)
        require(done["not_served"] == ["more"] and done["uris"]["more"] is None, f"the takeover says {done}")
        require(read_device(done["uris"]["data"]) == scene.model.image(scene.model.head)["data"], "data is another")
        alpha.start()
        wait_for("alpha steps down", lambda: alpha.status()["role"] == "standby", 30)
        alpha.cli("adopt", GROUP, "--from", "beta").expect(3, "more", "alone")
        require(read_file(alpha.device("more")) == held, "its content has changed")
        # The operator's word, once it was copied away: what the history has of it is the volume.
        beta.do("adopt", GROUP, "--force")
        require(volume(beta)["whole"], f"behind the word it is {volume(beta)}")
        beta.term()
        beta.start()
        lab.wait_serving(beta)
        part = read_device(beta.uri("more"))
        require(all(part[at:at + SECTOR] in (held[at:at + SECTOR], bytes(SECTOR)) for at in range(0, SIZE, SECTOR)),
                "beta serves what was never there")
        with Export(beta, "head") as export:
            require(export.images()["more"] == part, "the head has another content")


@check("group_apply.volume_members", 300)
def members(context):
    """Two standbys, one away meanwhile: it comes with the new file, or with the old section until it is told."""
    with Scene(context, {"data": SIZE}) as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        scene.start()
        all_succeeded(scene.write(40, 1, 8))
        scene.settle()
        gamma.term()
        old = lab.config_text()
        more = Added(scene, content(context))
        with Others(scene) as load:
            plan = apply(alpha, "--yes")
            require(kinds(plan) == ["absent gamma", "volume-added more"], f"the plan is {plan}")
            load.more(40)
            start = whole(beta)
        more.written()
        # With the old section it is refused by the first key that differs, until it is told.
        gamma.config = os.path.join(context.directory, "gamma.toml")
        with open(gamma.config, "w", encoding="utf-8") as config:
            config.write(old)
        gamma.start()
        wait_for("gamma is refused", lambda: "volume.more" in str(peer(alpha, "gamma")["why"]), 30)
        os.replace(lab.config, gamma.config)
        lab.write_config()
        require("takes gamma" in kinds(apply(alpha, "--yes")), "gamma is not told")
        lab.wait_streaming(gamma)
        require(whole(gamma) == start, f"gamma calls it whole from {volume(gamma)['whole_from']} on, wanted {start}")
        all_succeeded(scene.write(40, 2, 8))
        listing = scene.settle()
        require(not listing.gaps, f"a gap: {listing.gaps}")
        lab.wait_caught_up(alpha, gamma)
        for node in (beta, gamma):
            scene.standby = node
            check_history(scene, start, 3)
        scene.standby = beta
        # A standby that joins later has it from its first copy on.
        delta = lab.add_node("delta")
        lab.set_members("beta", "gamma", "delta")
        shutil.copy(lab.config, gamma.config)
        delta.start()
        apply(alpha, "--yes")
        joined(alpha, "delta")
        all_succeeded(scene.write(20, 2, 8))
        scene.settle()
        lab.wait_caught_up(alpha, delta)
        scene.check_export(scene.model.head, delta)


@check("group_apply.volume_refused", 180)
def refused(context):
    """What a node cannot have, a wrong place, a removal, a served history: named by its key; nothing changes."""
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(20, 1, 8))
        scene.settle()
        good, before = lab.config_text(), (len(other_sessions(alpha)), len(other_sessions(beta)))
        lab.volumes["more"] = SIZE
        wanted = lab.config_text()

        def refuse(text, *words):
            with open(lab.config, "w", encoding="utf-8") as config:
                config.write(text)
            apply(alpha, "--yes", code=3, say=words)

        blocks = wanted.split("[[group.volume]]")
        refuse("[[group.volume]]".join([blocks[0], blocks[2] + "\n", blocks[1]]), "volume.data.index")
        refuse(wanted.replace('"beta/more.img"', '"nowhere/more.img"'), "volume.more.beta", "nowhere")
        place(beta, bytes(SIZE // 2) + b"\1" * 512)
        refuse(wanted, "volume.more.beta", "found")
        os.remove(beta.device("more"))
        place(alpha, b"\1" * 512)
        refuse(wanted, "volume.more.alpha", "found")
        os.remove(alpha.device("more"))
        os.link(alpha.device(), alpha.device("more"))  # in use already
        with open(lab.config, "w", encoding="utf-8") as config:
            config.write(wanted)
        used = alpha.cli("group", "apply", GROUP, "--yes")
        require(used.code != 0 and "more" in used.err, f"the device is in use, and it says {used.code}: {used.err}")
        os.remove(alpha.device("more"))
        gamma = lab.add_node("gamma")
        lab.set_members("beta", "gamma")
        refuse(lab.config_text(), "volume.more", "one after the other")
        require(gamma.child is None, "gamma was started")
        lab.set_members("beta")
        with open(alpha.socket("more"), "w", encoding="utf-8") as file:
            file.write("taken")
        lab.write_config()
        taken = alpha.cli("group", "apply", GROUP, "--yes")
        require(taken.code != 0 and "more" in taken.err, f"the socket is taken, and it says {taken.code}: {taken.err}")
        os.remove(alpha.socket("more"))
        require([one["name"] for one in alpha.status()["volumes"]] == ["data"], "a refused volume is there")
        del lab.volumes["more"]
        with open(lab.config, "w", encoding="utf-8") as config:
            config.write(good)
        lab.wait_streaming()
        require(len(other_sessions(beta)) <= before[1] + 1, "refused plans have ended sessions")
        all_succeeded(scene.write(20, 1, 8))
        require(not scene.settle().gaps, "a gap")
        for name in ("more.img", "more.sock"):
            require(not os.path.exists(os.path.join(beta.directory, name)), f"beta has a {name}")

        # It is there: it does not go, and a start without it serves nothing.
        if os.path.exists(alpha.device("more")):
            os.remove(alpha.device("more"))
        Added(scene, content(context))
        apply(alpha, "--yes")
        whole(beta)
        handle = connect(alpha.uri("more"))
        refuse(good, "volume.more", "cannot be removed")
        handle.shutdown()
        alpha.term()
        alpha.start()
        wait_for("alpha refuses to serve", lambda: alpha.status()["state"] == "failed", 30)
        require("more" in alpha.status()["why"], f"alpha says {alpha.status()['why']}")
        lab.write_config()
        alpha.term()
        alpha.start()
        lab.wait_serving()
        lab.wait_streaming()
        scene.write(10, 1, 8)
        scene.settle()
        # A node that serves through its history takes none yet.
        alpha.term()
        beta.one("takeover", GROUP, "--force")
        lab.volumes["third"] = SIZE
        lab.write_config()
        apply(beta, "--yes", code=3, say=("volume.third", "store"))
        require(peer(beta, "alpha") is not None, "alpha is no peer")
