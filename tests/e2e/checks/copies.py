"""A copy for a standby sends what differs: after an offline seed, at a bounded rate, and not without end."""

import contextlib
import os
import re
import shutil

from checks.reload import reload
from everstep_lab.base import require, wait_for
from everstep_lab.nbdio import connect, raw_images, read_device, read_file
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.registry import check

MIB = 1 << 20
BLOCK = 4096


def differed(node, kind):
    """(bytes sent, of all) as the newest end of a copy says."""
    found = None
    for event in node.events():
        numbers = re.search(r"(\d+) of (\d+) bytes differed", event["text"])
        if event["kind"] == kind and numbers:
            found = int(numbers[1]), int(numbers[2])
    return found


def peer_of(node):
    return node.status()["peers"][0]


@check("copies.offline_seed", 120)
def offline_seed(context):
    """A replica that was copied by other means is taken in by hash: only blocks that differ are sent."""
    size = 64 * MIB
    lab = Lab(context.directory, {"data": size})
    try:
        with open(lab.alpha.device(), "wb") as file:
            file.write(os.urandom(size // 2))
            file.truncate(size)
        content = bytearray(read_file(lab.alpha.device()))
        places = [0, 5 * MIB + BLOCK, size // 2 - BLOCK]  # differ on the replica
        for at in places:
            content[at:at + 512] = bytes(512)
        content[size - 512:] = b"x" * 512  # data where the primary has a hole
        with open(lab.beta.device(), "wb") as file:
            file.write(content)
        lab.start()
        lab.wait_caught_up()
        require(raw_images(lab.beta) == raw_images(lab.alpha), "the pair is not equal")
        sent, total = differed(lab.alpha, "session")
        context.say(f"{sent} of {total} bytes were sent")
        require(total == size and sent == BLOCK * len(places), f"{sent} of {total} bytes, wanted {len(places)} blocks")
    except BaseException:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("copies.rate_and_progress", 180)
def rate_and_progress(context):
    """`sync_rate` bounds a first copy, and `status` says how far it is."""
    size = 24 * MIB
    lab = Lab(context.directory, {"data": size}, sync_rate="8MiB")
    try:
        with open(lab.alpha.device(), "wb") as file:
            file.write(os.urandom(size))
        lab.start(wait=False)
        lab.wait_serving()
        seen = []

        def half_way():
            copy = peer_of(lab.alpha)["copy"]
            if copy is not None:
                seen.append(copy)
            return copy is not None and 0 < copy["done_bytes"] < size
        wait_for("the copy is half way", half_way, 60, every=0.02)
        lab.wait_streaming()
        lab.wait_caught_up()
        require(all(one["total_bytes"] == size for one in seen), f"totals: {seen}")
        done = [one["done_bytes"] for one in seen]
        require(done == sorted(done), f"the progress went back: {done}")
        require(peer_of(lab.alpha)["copy"] is None, "a copy that is done is still told")
        require(raw_images(lab.beta) == raw_images(lab.alpha), "the pair is not equal")
    except BaseException:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("copies.too_different", 120)
def too_different(context):
    """A compare that finds more than `max_resync` different stops, and goes on at the operator's word."""
    size = 32 * MIB
    lab = Lab(context.directory, {"data": size}, max_resync="8MiB")
    try:
        lab.start()
        client = connect(lab.alpha.uri())
        client.pwrite(b"a" * BLOCK, 0)
        client.shutdown()
        lab.wait_caught_up()
        lab.alpha.kill9()
        with open(lab.alpha.device(), "r+b") as file:  # the same file, and not what it was
            for _ in range(20):
                file.write(b"b" * MIB)
        os.remove(os.path.join(lab.alpha.state, "groups", GROUP, "intent", "data"))
        lab.alpha.start()
        wait_for("the compare stops", lambda: "max_resync" in (peer_of(lab.alpha)["why"] or ""), 120)
        require(any(one["kind"] == "alarm-resync" for one in lab.alpha.events()), "no alarm")
        lab.beta.do("export", GROUP, "step:1")  # its last consistent step stays
        lab.alpha.do("adopt", GROUP, "--force")
        lab.wait_streaming()
        lab.wait_caught_up()
        require(read_file(lab.beta.device()) == read_file(lab.alpha.device()), "the pair is not equal")
    except BaseException:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("copies.an_empty_disk", 120)
def an_empty_disk(context):
    """Holes where the standby has data are different: a disk that was lost does not empty its replica."""
    size = 32 * MIB
    with contextlib.closing(Lab(context.directory, {"data": size}, max_resync="8MiB")) as lab:
        lab.start()
        client = connect(lab.alpha.uri())
        for at in range(0, size, MIB):
            client.pwrite(os.urandom(MIB), at)
        client.shutdown()
        newest = lab.wait_caught_up()
        was = read_file(lab.beta.device())
        lab.alpha.kill9()
        os.truncate(lab.alpha.device(), 0)
        os.truncate(lab.alpha.device(), size)
        os.remove(os.path.join(lab.alpha.state, "groups", GROUP, "intent", "data"))
        lab.alpha.start()
        wait_for("the compare stops", lambda: "max_resync" in (peer_of(lab.alpha)["why"] or ""), 60)
        device = lab.beta.one("export", GROUP, f"step:{newest}")["uris"]["data"]
        require(read_device(device) == was, "the last consistent step is not what it was")


@check("copies.more_is_allowed", 120)
def more_is_allowed(context):
    """A compare that has stopped begins again when `max_resync` allows more."""
    size = 32 * MIB
    with contextlib.closing(Lab(context.directory, {"data": size}, max_resync="8MiB")) as lab:
        lab.start()
        client = connect(lab.alpha.uri())
        client.pwrite(b"a" * BLOCK, 0)
        client.shutdown()
        lab.wait_caught_up()
        lab.alpha.kill9()
        with open(lab.alpha.device(), "r+b") as file:
            for _ in range(20):
                file.write(b"b" * MIB)
        os.remove(os.path.join(lab.alpha.state, "groups", GROUP, "intent", "data"))
        lab.alpha.start()
        wait_for("the compare stops", lambda: "max_resync" in (peer_of(lab.alpha)["why"] or ""), 60)
        lab.group["max_resync"] = "64MiB"
        lab.write_config()
        for node in (lab.beta, lab.alpha):
            reload(node, "max_resync")
        lab.wait_caught_up()
        require(read_file(lab.beta.device()) == read_file(lab.alpha.device()), "the pair is not equal")


@check("copies.holes_of_a_promoted_node", 120)
def holes_of_a_promoted_node(context):
    """A node that serves through its store knows what of its volumes is a hole: it is not compared block by block."""
    size = 1024 * MIB  # two minutes at that rate
    with contextlib.closing(Lab(context.directory, {"data": size}, standbys=("beta", "gamma"), sync_rate="8MiB")) as lab:
        gamma = lab.nodes["gamma"]
        lab.start()
        gamma.kill9()
        shutil.rmtree(gamma.state)
        os.remove(gamma.device())
        client = connect(lab.alpha.uri())
        for at in (0, 300 * MIB, size - MIB):
            client.pwrite(os.urandom(MIB), at)
        client.shutdown()
        lab.wait_caught_up()
        lab.alpha.kill9()
        lab.beta.one("takeover", GROUP, "--force")
        lab.wait_serving(lab.beta)
        client = connect(lab.beta.uri())
        client.pwrite(os.urandom(MIB), 600 * MIB + 512)
        client.trim(MIB // 2, 300 * MIB)
        gamma.start()
        lab.wait_streaming(gamma, 60)
        client.pwrite(os.urandom(BLOCK), 900 * MIB)
        lab.wait_caught_up(lab.beta, gamma)
        client.shutdown()
        require(read_file(gamma.device()) == read_device(lab.beta.uri()), "gamma is not equal")
