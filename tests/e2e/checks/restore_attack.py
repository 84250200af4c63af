"""Attacks on a restore: what is let in, what retention takes beneath it, what is killed."""

import os
import random
import shutil
import signal
import threading
import time

from everstep_lab.base import require, wait_for
from everstep_lab.model import same_images
from everstep_lab.nbdio import connect, raw_images, read_point
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from checks.restore import FULL, HALF, batches, begin_and_cut, big_scene, equal_pair, has_begun, head_of, served


class Obstacle:
    """Something in the way of a volume's socket, put there as soon as it is not listened on."""

    def __init__(self, path):
        self.path, self.over = path, threading.Event()
        self.thread = threading.Thread(target=self.put)
        self.thread.start()

    def put(self):
        while not self.over.is_set():
            try:
                os.mkdir(self.path)
                return
            except OSError:
                time.sleep(0.002)

    def placed(self):
        self.over.set()
        self.thread.join()
        return os.path.isdir(self.path)


@check("restore_attack.listening_again", 240)
def listening_again(context):
    """A socket that could not be had behind one restore is not listened on in the middle of the next."""
    scene = big_scene(context)
    with scene:
        alpha, beta = scene.alpha, scene.beta
        obstacle = Obstacle(alpha.socket())
        alpha.cli("restore", GROUP, "step:191").expect(1, "is no socket")
        require(obstacle.placed(), "nothing was in the way: nothing is tested")
        answers = []
        second = threading.Thread(target=lambda: answers.append(alpha.cli("restore", GROUP, "step:0", seconds=180)))
        second.start()
        wait_for("the restore writes", lambda: has_begun(alpha), 60, 0.005)
        beta.freeze()
        os.rmdir(alpha.socket())
        time.sleep(5)
        state, listened = alpha.status()["state"], os.path.exists(alpha.socket())
        beta.thaw()
        second.join(120)
        require(state == "restoring", f"it is {state}, not in the middle of a restore: nothing is tested")
        require(not listened, "clients are let in in the middle of a restore")
        require(answers and answers[0].code == 0, "the second restore failed")
        scene.lab.wait_serving(alpha)
        same_images("restored", equal_pair(scene, "restored"), {"data": bytes(96 << 20)})


def written_twice(chance, node):
    """What 32 MiB held after the first and after the second time that all of it was written."""
    contents = [chance.randbytes(32 << 20) for _ in range(2)]
    handle = connect(node.uri())
    for content in contents:
        for at in range(0, 32 << 20, 1 << 20):
            handle.pwrite(content[at:at + (1 << 20)], at)
    handle.flush()
    handle.shutdown()
    return contents


@check("restore_attack.little_history_here", 240)
def little_history_here(context):
    """What a restore writes does not push the step that it reads out of its own node's history."""
    lab = Lab(context.directory, {"data": 32 << 20}, standbys=(), **{"history.keep_bytes": "100MiB"})
    try:
        lab.start()
        alpha = lab.alpha
        first, _ = written_twice(random.Random(context.seed), alpha)
        alpha.one("restore", GROUP, "step:32")
        same_images("restored", served(alpha), {"data": first})
    finally:
        lab.close()


@check("restore_attack.little_history_there", 300)
def little_history_there(context):
    """A restore was cut, and the standby's history has lost its step since: --undo works all the same."""
    with Scene(context, {"data": 32 << 20}, **{"history.keep_bytes": "100MiB"}) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        _, second = written_twice(scene.random, alpha)
        scene.lab.wait_caught_up(alpha, beta)
        begin_and_cut(scene, alpha.kill9, "step:32")
        scene.lab.group["history.keep_bytes"] = "30MiB"
        scene.lab.write_config()
        beta.term()
        beta.start()
        wait_for("the step is gone", lambda: beta.status()["history"]["oldest"] > 32, 60)
        alpha.start()
        wait_for("it knows", lambda: alpha.status()["state"] == "refused", 60)
        alpha.one("restore", GROUP, "--undo")
        scene.lab.wait_serving(alpha)
        scene.lab.wait_streaming()
        same_images("undone", equal_pair(scene, "undone"), {"data": second})


@check("restore_attack.step_kept", 200)
def step_kept(context):
    """Between a cut and its end the standby's retention leaves the step of a restore whose primary is connected."""
    with Scene(context, {"data": 32 << 20}, **{"history.keep_bytes": "100MiB"}) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        first, _ = written_twice(scene.random, alpha)
        scene.lab.wait_caught_up(alpha, beta)
        begin_and_cut(scene, alpha.kill9, "step:32")
        alpha.start()
        wait_for("it knows", lambda: alpha.status()["state"] == "refused", 60)
        wait_for("it is connected", lambda: beta.status()["state"] in ("resync", "streaming"), 60)
        scene.lab.group["history.keep_bytes"] = "10MiB"
        scene.lab.write_config()
        beta.child.signal(signal.SIGHUP)
        wait_for("retention comes to the step", lambda: beta.status()["history"]["oldest"] > 30, 60)
        alpha.one("restore", GROUP, "--continue")
        scene.lab.wait_serving(alpha)
        scene.lab.wait_streaming()
        same_images("gone on with", equal_pair(scene, "gone on with"), {"data": first})


@check("restore_attack.branch_dropped", 300)
def branch_dropped(context):
    """A restore was cut, and the branch that it read is dropped: --undo works all the same."""
    scene = big_scene(context)
    with scene:
        alpha, beta = scene.alpha, scene.beta
        full = served(alpha)
        branch = beta.one("export", GROUP, "step:0", "--writable")
        handle = connect(branch["uris"]["data"])
        handle.pwrite(b"b" * 4096, 0)
        handle.flush()
        handle.shutdown()
        told = [one for one in beta.do("exports", GROUP) if one["id"] == branch["id"]][0]
        begin_and_cut(scene, alpha.kill9, f"t:{told['timeline']}@head")
        beta.do("unexport", branch["id"], "--drop")
        alpha.start()
        wait_for("it knows", lambda: alpha.status()["state"] == "refused", 60)
        wait_for("it is connected", lambda: beta.status()["state"] in ("resync", "streaming"), 60)
        alpha.cli("restore", GROUP, "--continue").expect(3, "no such timeline")
        alpha.one("restore", GROUP, "--undo")
        scene.lab.wait_serving(alpha)
        scene.lab.wait_streaming()
        same_images("undone", equal_pair(scene, "undone"), full)


@check("restore_attack.side_line", 240)
def side_line(context):
    """The steps of a batch that a takeover left on the old line are no points, nor after a restart."""
    scene = big_scene(context)
    with scene:
        alpha, beta = scene.alpha, scene.beta
        head, line = head_of(beta), beta.status()["timeline"]
        begin_and_cut(scene, alpha.kill9, HALF, head + 3)
        wait_for("the link is down", lambda: beta.status()["state"] == "waiting", 30)
        newest = head_of(beta)
        for point in ("head^flush", "head", f"step:{head + 2}", f"step:{newest}"):
            beta.cli("export", GROUP, point).expect(3, "batch", head)
        beta.one("takeover", GROUP, "--force")
        scene.lab.wait_serving(beta)
        handle = connect(beta.uri())
        handle.pwrite(b"n" * 4096, 0)
        handle.flush()
        handle.shutdown()
        content = served(beta)
        for turn in range(2):
            found, images = read_point(beta, "head")
            require(found[1] > head, f"the promoted node wrote behind step {head}, and its newest point is {found}")
            same_images("head", images, content)
            for lsn in (head + 1, head + 2, newest - 1, newest):
                beta.cli("export", GROUP, f"t:{line}@step:{lsn}").expect(3, "batch", head)
            inner = f"t:{line}@step:{head + 2}"
            beta.cli("mark", GROUP, f"inner{turn}", "--at", inner).expect(3, "batch")
            beta.cli("restore", GROUP, inner).expect(3, "batch")
            if turn == 0:
                beta.kill9()
                beta.start()
                scene.lab.wait_serving(beta)


@check("restore_attack.no_history_left", 300)
def no_history_left(context):
    """A restore was cut and the only history is lost: `adopt --force` takes what the volume holds, and it is served."""
    with Scene(context, {"data": 32 << 20}) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        written_twice(scene.random, alpha)
        scene.lab.wait_caught_up(alpha, beta)
        begin_and_cut(scene, alpha.kill9, "step:32")
        alpha.start()
        wait_for("it knows", lambda: alpha.status()["state"] == "refused", 60)
        beta.term()
        shutil.rmtree(beta.state)
        os.unlink(beta.device())
        beta.start()
        wait_for("it copies", lambda: beta.status()["state"] == "initial-sync", 60)
        alpha.cli("restore", GROUP, "--undo").expect(3, "no history")
        alpha.one("adopt", GROUP, "--force")
        scene.lab.wait_serving(alpha)
        scene.lab.wait_streaming()
        equal_pair(scene, "the pair")


@check("restore_attack.held_standby", 200)
def held_standby(context):
    """The history that a restore reads stands at a step of its own, and moves meanwhile: no byte of either is wrong."""
    with big_scene(context) as scene:
        alpha, beta = scene.alpha, scene.beta
        full, head = served(alpha), head_of(beta)
        half = read_point(beta, HALF)[1]
        beta.one("rewind", GROUP, HALF)
        begun = threading.Thread(target=lambda: alpha.one("restore", GROUP, "step:0", seconds=180))
        begun.start()
        wait_for("the restore writes", lambda: has_begun(alpha), 60, 0.005)
        for point in (f"step:{head}", HALF):
            beta.one("rewind", GROUP, point)
        begun.join(120)
        scene.lab.wait_caught_up(held=True)
        last = head_of(beta)
        same_images("restored", served(alpha), {"data": bytes(96 << 20)})
        same_images("held meanwhile", raw_images(beta), half)
        for lsn in (head + 1, last - 1):
            beta.cli("rewind", GROUP, f"step:{lsn}").expect(3, "batch", head, last)
        same_images("held after a refusal", raw_images(beta), half)
        beta.one("rewind", GROUP, f"step:{head}")
        same_images("held before the batch", raw_images(beta), full)
        beta.one("resume", GROUP)
        same_images("both", equal_pair(scene, "resumed"), {"data": bytes(96 << 20)})


@check("restore_attack.unsaved_end", 240)
def unsaved_end(context):
    """The batch has ended and the record cannot say so: what --undo writes then is a batch of its own."""
    with big_scene(context) as scene:
        alpha, beta = scene.alpha, scene.beta
        full, half = served(alpha), read_point(beta, HALF)[1]
        obstacle = os.path.join(alpha.state, "groups", GROUP, "group.new")

        def cannot_be_saved(point):
            answers, known = [], len(batches(beta))

            def newest_end():  # one look: between its last write and its end being durable it is in no list
                found = batches(beta)
                return found[0]["to"] if len(found) > known else None

            begun = threading.Thread(target=lambda: answers.append(alpha.cli("restore", GROUP, point, seconds=180)))
            begun.start()
            wait_for("the restore writes", lambda: has_begun(alpha), 60, 0.005)
            beta.freeze()
            os.makedirs(os.path.join(obstacle, "in"))
            beta.thaw()
            begun.join(120)
            require(answers and "group.new" in answers[0].err, f"the end could be saved, nothing is tested: {answers}")
            answers[0].expect(1, "--continue", "--undo")
            require(alpha.status()["state"] == "refused", "it is served although its record says restore")
            alpha.cli("restore", GROUP, "--continue").expect(1, "group.new")
            shutil.rmtree(obstacle)
            wait_for("the standby has the end", newest_end, 60)
            return batches(beta)[0]

        head = head_of(beta)
        ended = cannot_be_saved(HALF)
        require(ended["from"] == head and ended["to"] == head_of(beta), f"the batch is {ended}, head was {head}")
        same_images("its end", read_point(beta, f"step:{ended['to']}")[1], half)
        body = alpha.one("restore", GROUP, "--continue")
        require(body["lsn"] == ended["to"] and body["bytes"] == 0, f"all was written, and --continue says {body}")
        same_images("restored", equal_pair(scene, "restored"), half)
        require(len(batches(beta)) == 1, f"nothing was written, and the batches are {batches(beta)}")

        first = cannot_be_saved(FULL)
        body = alpha.one("restore", GROUP, "--undo")
        same_images("undone", equal_pair(scene, "undone"), half)
        require([(one["from"], one["to"]) for one in batches(beta)[:2]] ==
                [(first["to"], body["lsn"]), (first["from"], first["to"])], f"the batches are {batches(beta)}")
        beta.cli("export", GROUP, f"step:{first['to'] + 1}").expect(3, "batch")
        same_images("the end that was undone", read_point(beta, f"step:{first['to']}")[1], full)


def memory_peak(node):
    """Bytes, since forget_peak()."""
    with open(f"/proc/{node.child.pid}/status", encoding="ascii") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def forget_peak(node):
    with open(f"/proc/{node.child.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


@check("restore_attack.scattered", 120)
def scattered(context):
    """Very many small differences: it ends, in little memory, bit-identical."""
    count, stride = context.count(10_000, 100_000), 12 << 10
    with Scene(context, {"data": count * stride}) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        handle = connect(alpha.uri())
        wanted = bytearray(count * stride)
        for number in range(count):
            at, block = number * stride + 4096 * (number % 2), scene.random.randbytes(4096)
            handle.pwrite(block, at)
            wanted[at:at + 4096] = block
        handle.flush()
        handle.shutdown()
        newest = scene.lab.wait_caught_up()
        for point, content in (("step:0", bytes(count * stride)), (f"step:{newest}", bytes(wanted))):
            for node in (alpha, beta):
                forget_peak(node)
            before = {node.name: memory_peak(node) for node in (alpha, beta)}
            start = time.monotonic()
            body = alpha.one("restore", GROUP, point, seconds=600)
            context.say(f"{count} extents restored in {time.monotonic() - start:.1f} s")
            require(body["extents"] >= count and body["bytes"] == 4096 * count, f"it says {body}")
            for node in (alpha, beta):
                grown = memory_peak(node) - before[node.name]
                context.say(f"{node.name} took {grown >> 20} MiB more")
                require(grown < (64 << 20) + 1024 * count, f"{node.name} took {grown} bytes more")
            same_images(point, equal_pair(scene, point), {"data": content})
