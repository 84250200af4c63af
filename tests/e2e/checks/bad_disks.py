"""Wrong sizes, wrong state, emptied and replaced disks, damaged segments: named, refused, and nothing is lost."""

import glob
import os
import shutil

from everstep_lab.base import Failed, require, wait_for
from everstep_lab.model import name_of
from everstep_lab.nbdio import raw_images, read_point
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import SECTOR, all_succeeded


def stays_up(scene, node, what, *words):
    """The daemon stays up and has said all `words` somewhere (log, status or events)."""
    wait_for(f"{what}: {node.name} names {words}", lambda: all(
        word.lower() in node.told().lower() for word in words), 20)
    require(node.running(), f"{what}: the daemon of {node.name} ended")


@check("bad_input.standby_size", 120)
def standby_size(context):
    """A replica file of another size is refused by name; the primary serves on; the right size heals it."""
    for size in (1 << 19, (1 << 21) + 4096):
        here = os.path.join(context.directory, str(size))
        scene = Scene(type(context)(context.name, here, context.seed, context.long), {"data": 1 << 20})
        with scene:
            with open(scene.beta.device(), "wb") as file:
                file.truncate(size)
            scene.lab.start(wait=False)
            scene.lab.wait_serving()
            stays_up(scene, scene.beta, f"a replica of {size} bytes", "data.img", str(size))
            require(scene.beta.status()["state"] in ("failed", "waiting"), f"beta is {scene.beta.status()['state']}")
            require(os.path.getsize(scene.beta.device()) == size, "the refused file was changed")
            work = scene.workload(2, 4)
            all_succeeded(work.run(20).ops())
            scene.beta.term()
            os.unlink(scene.beta.device())
            scene.beta.start()
            scene.lab.wait_caught_up()
            require(raw_images(scene.alpha) == raw_images(scene.beta), "the pair is not equal after the repair")


@check("bad_input.primary_size", 120)
def primary_size(context):
    """The primary's device shrunk or grown behind the group's back: refused by name, the standby keeps all."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(40, 2, 8)
        scene.settle()
        scene.alpha.term()
        for size in (1 << 19, 1 << 21):
            whole = open(scene.alpha.device(), "rb").read()
            with open(scene.alpha.device(), "r+b") as file:
                file.truncate(size)
            scene.alpha.spawn()
            stays_up(scene, scene.alpha, f"a primary's disk of {size} bytes", "data.img")
            require(scene.alpha.status()["state"] in ("failed", "refused"), f"{scene.alpha.status()['state']}")
            scene.check_raw(scene.beta, scene.model.head)
            scene.alpha.term()
            with open(scene.alpha.device(), "r+b") as file:
                file.truncate(0)
                file.write(whole)
        scene.beta.status()
        scene.check_every_export(keys=scene.sample(10))


@check("bad_input.foreign_state", 180)
def foreign_state(context):
    """A node with the state directory of another group: refused, nothing of either group is harmed."""
    first = type(context)(context.name, context.directory + "/one", context.seed, context.long)
    second = type(context)(context.name, context.directory + "/two", context.seed + 1, context.long)
    with Scene(first, {"data": 1 << 20}) as one, Scene(second, {"data": 1 << 20}) as two:
        for scene in (one, two):
            scene.start()
            scene.write(40, 2, 4)
            scene.settle()
        foreign_standby(one, two)
        foreign_primary(one, two)


def swap_directories(first, second):
    os.rename(first, first + ".away")
    os.rename(second, first)
    os.rename(first + ".away", second)


def foreign_standby(one, two):
    one.beta.term()
    two.beta.term()
    swap_directories(one.beta.state, two.beta.state)
    swap_directories(one.beta.device(), two.beta.device())
    one.beta.spawn()
    stays_up(one, one.beta, "the state of another group", "group")
    require(one.alpha.status()["peers"][0]["state"] != "connected", "a standby of another group was let in")
    all_succeeded(one.write(20))
    one.beta.term()
    swap_directories(one.beta.state, two.beta.state)
    swap_directories(one.beta.device(), two.beta.device())
    for scene in (one, two):
        scene.beta.start()
        scene.settle()
        scene.check_every_export(keys=scene.sample(10))


def foreign_primary(one, two):
    for scene in (one, two):
        scene.alpha.term()
    swap_directories(one.alpha.state, two.alpha.state)
    swap_directories(one.alpha.device(), two.alpha.device())
    before = raw_images(one.beta)
    one.alpha.spawn()
    stays_up(one, one.alpha, "a primary with the state of another group", "group")
    require(raw_images(one.beta) == before, "a primary of another group changed the standby's replica")
    one.check_every_export(keys=one.sample(10))
    one.alpha.term()
    swap_directories(one.alpha.state, two.alpha.state)
    swap_directories(one.alpha.device(), two.alpha.device())
    for scene in (one, two):
        scene.alpha.start()
        scene.lab.wait_serving()
        scene.settle()


# ---- the primary's disk: ways to lose it
def emptied_in_place(node):
    with open(node.device(), "r+b") as file:
        file.write(bytes(os.path.getsize(node.device())))


def replaced_by_an_empty_one(node):
    size = os.path.getsize(node.device())
    os.rename(node.device(), node.device() + ".away")
    with open(node.device(), "wb") as file:
        file.truncate(size)


def replaced_by_another(node):
    size = os.path.getsize(node.device())
    os.rename(node.device(), node.device() + ".away")
    with open(node.device(), "wb") as file:
        file.write(os.urandom(size))


def gone(node):
    os.unlink(node.device())


def disk_and_state_gone(node):
    os.unlink(node.device())
    shutil.rmtree(node.state)


WAYS = (emptied_in_place, replaced_by_an_empty_one, replaced_by_another, gone, disk_and_state_gone)


def primary_disk_lost(context, lose):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        scene.alpha.term()
        lose(scene.alpha)
        before = raw_images(scene.beta)
        scene.alpha.start()
        refused = wait_for("the primary is refused",
                           lambda: scene.alpha.status()["state"] == "refused" and scene.alpha.status(), 30)
        require(refused["role"] in ("primary", "none"), f"its role is {refused['role']}")
        stays_up(scene, scene.alpha, lose.__name__, "adopt")
        require(raw_images(scene.beta) == before, "the standby's data was overwritten by itself")
        scene.check_every_export(keys=scene.sample(10))
        scene.alpha.cli("adopt", GROUP, "--from", "beta").expect(0)
        scene.lab.wait_serving()
        scene.settle()
        all_succeeded(scene.write(30, 2, 8))
        listing = scene.settle()
        require(not listing.gaps, f"taking the standby's data made a gap: {listing.gaps}")
        scene.check_every_export()


def register_lost_disks():
    for lose in WAYS:
        check(f"bad_input.primary_disk.{lose.__name__}", 150)(
            lambda context, lose=lose: primary_disk_lost(context, lose))


register_lost_disks()


@check("bad_input.primary_disk.forced", 150)
def forced(context):
    """`adopt --force`: this disk is the truth; the old history stays, with a gap before the new content."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(40, 2, 8)
        scene.settle()
        old = scene.model.points()
        scene.alpha.term()
        replaced_by_another(scene.alpha)
        truth = raw_images(scene.alpha)
        scene.alpha.start()
        wait_for("the primary is refused", lambda: scene.alpha.status()["state"] == "refused", 30)
        scene.alpha.cli("adopt", GROUP, "--force").expect(0)
        scene.lab.wait_serving()
        scene.lab.wait_caught_up()
        require(raw_images(scene.alpha) == truth, "adopt --force changed the disk that it was told to keep")
        require(raw_images(scene.beta) == truth, "the standby does not hold the forced content")
        scene.check_every_export(keys=scene.random.sample(old, 10))


# ---- damaged segments
def find_payload(state, needle):
    """(file, offset) of some bytes in the files of a store."""
    for file in sorted(glob.glob(f"{state}/**/*", recursive=True)):
        if os.path.isfile(file):
            with open(file, "rb") as stream:
                place = stream.read().find(needle)
            if place >= 0:
                return file, place
    raise Failed(f"no file under {state} holds the payload of an acknowledged write")


def flip(file, place):
    with open(file, "r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)
        stream.seek(place)
        stream.write(bytes([byte[0] ^ 0x40]))


def truncate(file, place):
    os.truncate(file, place)


def damaged(context, damage):
    with Scene(context, {"data": 1 << 20}, segment_bytes="1MiB") as scene:
        scene.start()
        scene.write(context.count(160, 400), 2, 8)
        scene.settle()
        op = next(op for op in scene.oplog.ops if op.kind == "data" and op.step and op.step[1] > 20)
        scene.beta.term()
        whole = scene.lab.directory + "/whole"
        shutil.copytree(scene.beta.directory, whole, ignore=shutil.ignore_patterns("*.sock"))
        file, place = find_payload(scene.beta.state, op.data[:SECTOR])
        damage(file, place + 100)
        scene.beta.spawn()
        # The start names what it reads; of a segment that the catalogue tells it reads nothing, a scrub does.
        wait_for("beta answers", lambda: scene.beta.cli("status").code == 0, 20)
        scene.beta.cli("scrub", GROUP)
        stays_up(scene, scene.beta, damage.__name__, os.path.basename(file))
        never_a_wrong_byte(scene)
        all_succeeded(scene.write(20))
        took_part = scene.beta.status()["state"] == "streaming"
        scene.beta.term()
        if not took_part:  # else its good state of before would be a lie about what it acknowledged
            # In place: another file in the replica's place would be refused, and rightly so.
            shutil.copytree(whole, scene.beta.directory, copy_function=shutil.copyfile, dirs_exist_ok=True)
        scene.beta.start()
        scene.lab.wait_streaming()
        scene.settle()
        never_a_wrong_byte(scene) if took_part else scene.check_every_export()


def never_a_wrong_byte(scene):
    """Exports over the damage are refused, fail, or are right."""
    for key in scene.sample(20):
        try:
            found, images = read_point(scene.beta, name_of(key))
        except Failed:
            continue
        require(found == key, f"export of {name_of(key)} serves {name_of(found)}")
        scene.model.check(key, images, "an export over a damaged segment")


@check("bad_input.flipped_segment", 120)
def flipped_segment(context):
    damaged(context, flip)


@check("bad_input.truncated_segment", 120)
def truncated_segment(context):
    damaged(context, truncate)


@check("bad_input.other_configuration", 90)
def other_configuration(context):
    """Nodes whose group section differs: the first key that differs is named, and they do not stream."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        scene.beta.term()
        good = scene.lab.config
        scene.lab.config = scene.lab.directory + "/other.toml"
        scene.lab.group["standby_timeout"] = "7s"
        scene.lab.write_config()
        scene.beta.spawn()
        scene.lab.config = good
        words = "standby_timeout: '1000ms' on alpha, '7000ms' on beta"
        for node in (scene.alpha, scene.beta):
            wait_for(f"{node.name} names the key that differs", lambda n=node: words in n.log_text(), 20)
        require(scene.alpha.status()["peers"][0]["state"] != "connected", "different configurations stream")
        all_succeeded(scene.write(10))
        scene.beta.term()
        scene.beta.start()
        scene.settle()


@check("bad_input.replica_changed_while_stopped", 60)
def replica_changed_while_stopped(context):
    """Emptied in place between a clean stop and a start, as a standby and after a takeover: named, nothing is read."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        all_succeeded(scene.write(20, 2, 8))
        scene.settle()
        node = scene.beta
        for promoted in (False, True):
            if promoted:
                scene.alpha.kill9()
                node.one("takeover", GROUP, "--force")
            node.term()
            whole = raw_images(node)
            with open(node.device(), "r+b") as file:
                file.write(bytes(1 << 20))
            node.spawn()
            stays_up(scene, node, "an emptied replica", "data.img", "adopt")
            require(node.cli("export", GROUP, "head").code != 0, "an emptied replica is read")
            node.term()
            with open(node.device(), "r+b") as file:
                file.write(whole["data"])
            node.start()
            if promoted:
                scene.lab.wait_serving(node)
            else:
                scene.lab.wait_caught_up()
                node.kill9()  # nothing was kept to compare with
                node.start()
                scene.lab.wait_caught_up()


@check("bad_input.volumes_keep_their_places", 120)
def volumes_keep_their_places(context):
    """A start with a volume before others, without one, or with another order serves nothing of what has begun."""
    with Scene(context) as scene:
        scene.start()
        scene.write(40)
        scene.settle()
        lab, volumes = scene.lab, dict(scene.lab.volumes)
        for changed, word in (({"more": 1 << 20, **volumes}, "keep their order"),
                              ({"data": volumes["data"]}, "volume logs is in the state but not configured"),
                              (dict(reversed(list(volumes.items()))), "keep their order")):
            for node in (scene.alpha, scene.beta):
                node.term()
            lab.volumes = changed
            lab.write_config()
            for node in (scene.beta, scene.alpha):
                node.start()
                wait_for(f"{node.name} says {word}", lambda n=node, w=word: w in str(n.status()["why"]), 20)
                require(node.status()["state"] == "failed", f"{node.name} is {node.status()['state']}")
        for node in (scene.alpha, scene.beta):
            node.term()
        lab.volumes = volumes
        lab.write_config()
        lab.start()
        scene.write(20)
        scene.settle()
        scene.check_every_export(keys=scene.sample(10))
