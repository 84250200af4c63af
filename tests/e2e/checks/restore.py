"""The primary's volumes go back to a step, as one batch; cut by kill -9; over a takeover; undone."""

import os
import threading
import time

from everstep_lab.base import need_tool, require, wait_for
from everstep_lab.model import same_images
from everstep_lab.nbdio import connect, raw_images, read_device, read_point
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene


FULL, HALF = "step:192", "step:96"  # of big_scene


def served(node):
    return {volume: read_device(uri) for volume, uri in node.uris().items()}


def head_of(node):
    return node.status()["history"]["head"]


def batches(node):
    return [one for one in node.do("log", GROUP) if one.get("kind") == "batch"]


def steps(scene, lsns):
    """What each of these steps holds."""
    return {lsn: read_point(scene.beta, f"step:{lsn}")[1] for lsn in lsns}


def equal_pair(scene, what):
    """Both nodes hold the same, raw and served; gives it. Behind a promoted node's store its images follow."""
    scene.lab.wait_caught_up(scene.primary, scene.standby)
    images = served(scene.primary)
    wait_for(f"{what}: the raw files of {scene.primary.name}", lambda: raw_images(scene.primary) == images, 30)
    same_images(f"{what}: {scene.standby.name}, raw", raw_images(scene.standby), images)
    return images


@check("restore.there_and_back", 240)
def there_and_back(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(200, 2, 8)
        scene.settle()
        alpha, beta = scene.alpha, scene.beta
        before = served(alpha)
        head = head_of(beta)
        wanted = steps(scene, (head // 2, head - 1, head))

        dry = alpha.one("restore", GROUP, f"step:{head // 2}", "--dry-run")
        require(dry["to"] == head // 2 and dry["bytes"] > 0, f"a dry run says {dry}")
        require(served(alpha) == before and head_of(beta) == head, "a dry run changes something")

        # In use: refused, unless forced; a client that is there is disconnected then.
        handle = connect(alpha.uri("data"))
        alpha.cli("restore", GROUP, f"step:{head // 2}").expect(3, "1 client is connected", "--force")
        same_images("after a refusal", served(alpha), before)
        wait_for("the other clients are gone", lambda: "1 client is" in alpha.cli(
            "restore", GROUP, "step:1").err, 20)
        body = alpha.one("restore", GROUP, f"step:{head // 2}", "--force")
        require(body["before"] == head and body["lsn"] > head, f"restore says {body}")
        try:
            handle.pread(512, 0)
            require(False, "the client is still served")
        except Exception as error:  # libnbd's own kind
            require("nbd" in str(type(error)).lower() or "nbd" in str(error).lower(), repr(error))
        same_images("restored", equal_pair(scene, "restored"), wanted[head // 2])

        # Its steps are listed, and no points; those around it are.
        last = body["lsn"]
        listed = batches(beta)
        require([(one["from"], one["to"]) for one in listed] == [(head, last)], f"the log says {listed}")
        require(last - head > 1, "a restore of one step tests nothing")
        for lsn in (head + 1, last - 1):
            beta.cli("export", GROUP, f"step:{lsn}").expect(3, "batch", head, last)
        require(beta.one("export", GROUP, f"head~{last - head}")["lsn"] == head, "a way over a batch")
        beta.do("unexport", beta.do("exports", GROUP)[0]["id"])
        for lsn, images in {**wanted, last: wanted[head // 2]}.items():
            same_images(f"step {lsn}", read_point(beta, f"step:{lsn}")[1], images)
        require(beta.status()["history"]["gaps"] == 0, "a batch counts as a gap")

        # Back: bit-identical to what was before both.
        alpha.one("restore", GROUP, f"step:{head}")
        same_images("restored to before", equal_pair(scene, "back"), before)
        require(len(batches(beta)) == 2, "two batches")
        same = alpha.one("restore", GROUP, "head")
        require(same["bytes"] == 0 and same["lsn"] == same["before"], f"nothing differs, it says {same}")

        # One volume alone, named in both ways, from the standby's command line.
        now = served(alpha)
        for words in ((f"{GROUP}/logs", f"step:{head // 2}"), (GROUP, f"step:{head // 2}", "--volume", "logs")):
            beta.one("restore", *words)
            same_images("one volume", equal_pair(scene, "one volume"),
                        {"data": now["data"], "logs": wanted[head // 2]["logs"]})
            alpha.one("restore", GROUP, f"step:{head}")
        # The content of a branch.
        branch = beta.one("export", GROUP, f"step:{head}", "--writable")
        handle = connect(branch["uris"]["data"])
        handle.pwrite(b"\x5a" * 4096, 8192)
        handle.zero(65536, 0)
        handle.pwrite(b"\xa5" * 512, 512)
        handle.flush()
        handle.shutdown()
        content = {volume: read_device(uri) for volume, uri in branch["uris"].items()}
        told = [one for one in beta.do("exports", GROUP) if one["id"] == branch["id"]][0]
        alpha.one("restore", GROUP, f"t:{told['timeline']}@head")
        same_images("a branch", equal_pair(scene, "a branch"), content)

        for words, why in ((("step:999999",), "head"), ((f"step:{head + 1}",), "batch"), (("head", "--continue"), ""),
                           (("--continue",), "no restore"), (("--undo",), "no restore"), ((), "where to"),
                           (("head", "--volume", "nosuch"), "nosuch"), (("head", "--on", "gamma"), "gamma")):
            answer = alpha.cli("restore", GROUP, *words)
            require(answer.code in (2, 3) and why in answer.err, f"restore {words}: {answer.code} {answer.err}")
        same_images("after refusals", equal_pair(scene, "refusals"), content)
        # What differs is not known while the standby does not follow: nobody is disconnected for that.
        handle = connect(alpha.uri("data"))
        alpha.do("pause", GROUP)
        alpha.cli("restore", GROUP, "step:1", "--force").expect(4, "does not receive")
        handle.pread(512, 0)
        handle.shutdown()
        alpha.do("unpause", GROUP)
        scene.lab.wait_streaming()
        # Life goes on.
        handle = connect(alpha.uri("logs"))
        handle.pwrite(b"on" * 256, 0)
        handle.flush()
        handle.shutdown()
        equal_pair(scene, "afterwards")


def big_scene(context, **group):
    """A pair whose two ends differ so much that a restore can be cut in the middle."""
    scene = Scene(context, {"data": 96 << 20}, **group)
    scene.__enter__()
    scene.start()
    handle = connect(scene.alpha.uri())
    for at in 2 * list(range(0, 96 << 20, 1 << 20)):
        handle.pwrite(scene.random.randbytes(1 << 20), at)
    handle.flush()
    handle.shutdown()
    scene.lab.wait_caught_up(scene.alpha, scene.beta)
    return scene


def has_begun(node):
    return ((node.status().get("restore") or {}).get("done") or 0) > 0


def begin_and_cut(scene, cut, point="step:0", behind=None):
    """Begins a restore and calls `cut` in the middle of it, once the standby has a step behind `behind`."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        scene.primary.cli("restore", GROUP, point, seconds=180)))
    thread.start()
    wait_for("the restore writes", lambda: has_begun(scene.primary) and (
        behind is None or head_of(scene.standby) > behind), 60, 0.005)
    require(answers == [], f"the restore ended before it could be cut: {answers}")
    cut()
    thread.join(60)
    require(answers and answers[0].code != 0, "a restore that was cut says that it is done")


@check("restore.cut", 400)
def cut(context):
    scene = big_scene(context)
    with scene:
        alpha, beta = scene.alpha, scene.beta
        full, head = served(alpha), head_of(beta)
        zeroes = {"data": bytes(96 << 20)}
        for end, word, wanted in ((alpha.kill9, "--undo", full), (alpha.term, "--continue", zeroes),
                                  (alpha.kill9, "--continue", None)):
            if wanted is None:  # the other way, from a restore that is undone and cut again
                wanted = full
                head = head_of(beta)
                start = time.monotonic()
                alpha.one("restore", GROUP, FULL)
                context.say(f"96 MiB restored in {time.monotonic() - start:.1f} s")
                same_images("restored", equal_pair(scene, "restored"), full)
                begin_and_cut(scene, alpha.kill9)
                alpha.start()
                wait_for("it knows", lambda: alpha.status()["state"] == "refused", 60)
                begun = threading.Thread(target=lambda: alpha.cli("restore", GROUP, "--undo", seconds=180))
                begun.start()
                wait_for("the undo runs", lambda: has_begun(alpha), 60, 0.005)
                alpha.kill9()
                begun.join(60)
            else:
                begin_and_cut(scene, end)
            alpha.start()
            wait_for("the primary is up", lambda: alpha.status()["state"] == "refused", 60)
            status = alpha.status()
            require("--continue" in status["why"] and "--undo" in status["why"], f"why: {status['why']}")
            require(status["volumes"][0]["uri"] is None, "a volume that holds a mix is served")
            alpha.cli("restore", GROUP, f"step:{head}").expect(3, "--continue")
            alpha.cli("mark", GROUP, "middle").expect(3, "restore")
            require("alarm-restore" in [one["kind"] for one in alpha.events()], "no alarm")
            wait_for("the history is there", lambda: alpha.cli("restore", GROUP, word, seconds=180).code == 0, 120, 1)
            scene.lab.wait_streaming()
            same_images(f"after {end.__name__} and {word}", equal_pair(scene, word), wanted)
            require(alpha.status().get("restore") is None, "it is over")
            handle = connect(alpha.uri())
            handle.pwrite(b"x" * 512, 0)
            handle.pwrite(wanted["data"][:512], 0)
            handle.flush()
            handle.shutdown()
            scene.lab.wait_caught_up(alpha, beta)
            same_images(f"{FULL} stays", read_point(beta, FULL)[1], full)
            if wanted is zeroes:  # for the next turn
                alpha.one("restore", GROUP, FULL)
                same_images("full again", equal_pair(scene, "full"), full)


@check("restore.takeover_in_the_middle", 240)
def takeover_in_the_middle(context):
    scene = big_scene(context)
    with scene:
        alpha, beta = scene.alpha, scene.beta
        full, head = served(alpha), head_of(beta)
        begin_and_cut(scene, alpha.kill9, HALF, head)
        wait_for("the link is down", lambda: beta.status()["state"] == "waiting", 30)
        require(beta.status()["history"]["head"] > head, "the standby has nothing of the batch: nothing is tested")
        body = beta.one("takeover", GROUP, "--force")
        require(body["lsn"] == head, f"taken over at {body['lsn']}, the step before the restore is {head}")
        scene.lab.wait_serving(beta)
        same_images("taken over", {"data": read_device(beta.uri())}, full)
        # A node that serves through its store restores, too, and goes on after kill -9.
        scene.primary, scene.standby = beta, None
        begin_and_cut(scene, beta.kill9, HALF)
        beta.start()
        wait_for("it is up", lambda: beta.status()["state"] == "refused", 60)
        beta.one("restore", GROUP, "--undo")
        scene.lab.wait_serving(beta)
        same_images("undone", {"data": read_device(beta.uri())}, full)
        beta.one("restore", GROUP, "step:50")
        point = read_point(beta, "step:50")[1]
        same_images("restored", {"data": read_device(beta.uri())}, point)
        # The old primary comes back as a standby: its restore is forgotten with its data.
        alpha.start()
        wait_for("it knows of the other", lambda: alpha.status()["role"] == "standby", 60)
        alpha.one("adopt", GROUP, "--from", "beta")
        scene.lab.wait_streaming(alpha)
        scene.standby = alpha
        same_images("the pair", equal_pair(scene, "together"), point)


@check("restore.from_an_image", 240)
def from_an_image(context):
    """A chain of backups, and an image that nothing is known of, come back."""
    for tool in ("qemu-img", "qemu-nbd"):
        need_tool(tool)
    with Scene(context) as scene:
        scene.start()
        alpha, beta = scene.alpha, scene.beta
        chain = []
        for turn, name in enumerate(("full.qcow2", "second.qcow2", "third.qcow2")):
            scene.write(80, 2, 8)
            scene.settle()
            path = os.path.join(context.directory, name)
            beta.do("backup", f"{GROUP}/data", "head", "-o", path, *(("--since", "last") if turn else ()))
            chain.append((path, read_point(beta, "head")[1]["data"]))
        scene.write(80, 2, 8)
        scene.settle()
        logs = served(alpha)["logs"]
        for path, content in (chain[2], chain[0], chain[1]):
            dry = beta.one("restore", f"{GROUP}/data", "--from", path, "--dry-run")
            require(dry["bytes"] > 0, f"a dry run of what differs says {dry}")
            beta.one("restore", f"{GROUP}/data", "--from", path)
            same_images(f"restored from {path}", equal_pair(scene, path), {"data": content, "logs": logs})
            require(beta.do("exports") == [], "an export is left")
        again = beta.one("restore", f"{GROUP}/data", "--from", chain[1][0])
        require(again["bytes"] == 0, f"a second restore of the same writes {again['bytes']} bytes")

        # No backup: its format has to be said, its size has to be the volume's.
        raw = os.path.join(context.directory, "raw.img")
        content = bytearray(len(chain[0][1]))
        content[4096:8192] = scene.random.randbytes(4096)
        content[-512:] = scene.random.randbytes(512)
        with open(raw, "wb") as file:
            file.write(content)
        beta.cli("restore", f"{GROUP}/data", "--from", raw).expect(2, "--format")
        beta.one("restore", f"{GROUP}/data", "--from", raw, "--format", "raw")
        same_images("restored from a raw image", equal_pair(scene, "raw"), {"data": bytes(content), "logs": logs})

        before = served(alpha)
        for words, code, why in ((("restore", GROUP, "--from", raw, "--format", "raw"), 2, "logs"),
                                 (("restore", f"{GROUP}/logs", "--from", raw, "--format", "raw"), 3, "bytes"),
                                 (("restore", f"{GROUP}/logs", "--from", chain[0][0]), 3, "not of"),
                                 (("restore", f"{GROUP}/data", "--from", raw + ".no", "--format", "raw"), 1, "no such"),
                                 (("restore", f"{GROUP}/data", "--from", raw, "--format", "qcow2"), 1, "not in qcow2"),
                                 (("restore", f"{GROUP}/data", "head", "--from", raw), 2, "one of"),
                                 (("restore", f"{GROUP}/data", "head", "--format", "raw"), 2, "--from")):
            beta.cli(*words).expect(code, why)
        handle = connect(alpha.uri("data"))
        beta.cli("restore", f"{GROUP}/data", "--from", chain[0][0]).expect(3, "1 client is connected")
        handle.shutdown()
        require(beta.do("exports") == [], "an export is left")
        same_images("after refusals", equal_pair(scene, "refusals"), before)
