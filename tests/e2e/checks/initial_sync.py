"""A primary that already holds data: copied while writes go on; history begins at the base."""

import os
from collections import Counter

from everstep_lab.base import need_tool, require, run, wait_for
from everstep_lab.history import Matcher, fetch
from everstep_lab.model import Model, same_images
from everstep_lab.nbdio import raw_images, read_file, read_point
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

SIZE = 24 << 20


def ext4_image(path, directory, size):
    """An ext4 with real files in it, made without mounting."""
    need_tool("mke2fs")
    tree = os.path.join(directory, "tree")
    os.makedirs(tree, exist_ok=True)
    for number in range(60):
        with open(f"{tree}/file-{number}", "wb") as file:
            file.write(os.urandom(1000 + 4001 * number))
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, path, f"{size >> 10}k"])


def fsck(path):
    need_tool("e2fsck")
    run(["e2fsck", "-f", "-n", path])


@check("initial_sync.ext4", 180)
def ext4(context):
    with Scene(context, {"data": SIZE}) as scene:
        ext4_image(scene.alpha.device(), context.directory, SIZE)
        whole = read_file(scene.alpha.device())
        scene.start({"data": whole})
        require(read_file(scene.beta.device()) == whole, "the copy is not the primary's image")
        fsck(scene.beta.device())
        scene.check_export(scene.model.root)
        all_succeeded(scene.write(60, 2, 8))
        scene.settle()
        for key in scene.sample(12):
            scene.check_export(key)
        scene.rewind(scene.model.root)
        fsck(scene.beta.device())
        scene.resume()
        scene.equal_pair()


@check("initial_sync.under_writes", 240)
def under_writes(context):
    """Writes during the copy: what came before the base is in the base, what comes after is a step."""
    size = context.count(64, 512) << 20
    with Scene(context, {"data": size}) as scene:
        ext4_image(scene.alpha.device(), context.directory, size)
        base = read_file(scene.alpha.device())
        scene.lab.start(wait=False)
        scene.lab.wait_serving()
        work = scene.workload(2, 8)
        work.start(pace=400)
        scene.lab.wait_streaming()
        done = scene.oplog.completed()
        wait_for("writes after the copy", lambda: scene.oplog.completed() > done + 60 or work.trouble, 30)
        work.stop()
        all_succeeded(work.ops())
        newest = scene.lab.wait_caught_up()
        oldest = scene.beta.status()["history"]["oldest"]
        context.say(f"history begins at step {oldest}, the head is {newest}")
        require(raw_images(scene.alpha) == raw_images(scene.beta), "the pair is not equal")
        model_from_base(scene, base, oldest)
        scene.equal_pair()
        for key in scene.sample(10) + [scene.model.root]:
            scene.check_export(key)


def model_from_base(scene, base, oldest):
    """The model's root is the base: every write of an LSN up to it, over the image of before.

    Which writes those are the log cannot say. Here: the image at the base is read, and has to be the old image with
    whole sectors of issued writes; then each later step has to follow from it.
    """
    key, images = read_point(scene.beta, f"step:{oldest}")
    allowed = {}
    for op in scene.oplog.ops:
        if op.kind != "flush":
            body = op.content()
            for at in range(0, op.length, 512):
                allowed.setdefault(op.offset + at, set()).add(body[at:at + 512])
    found = images["data"]
    for at in range(0, len(found), 512):
        sector = found[at:at + 512]
        require(sector == base[at:at + 512] or sector in allowed.get(at, ()),
                f"the base holds foreign bytes at {at}: {sector[:16].hex()}")
    scene.model = Model(scene.lab.volumes, key, images)
    scene.matcher = Matcher(scene.model, scene.oplog)
    take_after_base(scene)


def take_after_base(scene):
    """Steps behind the base matched; of equal extents the newest writes are the steps, the others lie in the base."""
    listing = fetch(scene.beta)
    steps = Counter((row.volume, row.offset, row.length, row.kind, row.fua) for row in listing.rows)
    kept = []
    for op in sorted(scene.oplog.ops, key=lambda op: op.submit, reverse=True):
        if op.kind == "flush" or steps[op.key()] > 0:
            steps[op.key()] -= 1
            kept.append(op)
    scene.oplog.ops = sorted(kept, key=lambda op: op.number)
    scene.matcher.absorb(listing, scene.read_step)


@check("initial_sync.interrupted", 240)
def interrupted(context):
    """Either daemon killed during the copy: it is done again, and the pair ends equal."""
    size = 96 << 20
    with Scene(context, {"data": size}) as scene:
        ext4_image(scene.alpha.device(), context.directory, size)
        with open(scene.alpha.device(), "r+b") as file:
            file.seek(size // 2)
            for _ in range(32):
                file.write(os.urandom(1 << 20))
        whole = {"data": read_file(scene.alpha.device())}
        scene.lab.start(wait=False)
        for victim in (scene.beta, scene.alpha, scene.beta):
            wait_for("the copy is under way or done", lambda: scene.beta.status()["state"] in (
                "initial-sync", "streaming"), 30, every=0.005)
            victim.kill9()
            victim.start()
        scene.lab.wait_serving()
        scene.lab.wait_caught_up()
        same_images("the replica after an interrupted copy", raw_images(scene.beta), whole)
        same_images("the primary's disk", raw_images(scene.alpha), whole)
