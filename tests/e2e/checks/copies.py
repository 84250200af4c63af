"""A copy for a standby sends what differs: after an offline seed, bounded, compressed, and not without end."""

import os
import re
import shutil

from checks.reload import reload
from everstep_lab.base import require, wait_for
from everstep_lab.nbdio import connect, raw_images, read_device, read_file
from everstep_lab.nodes import GROUP
from everstep_lab.proxy import Proxy
from everstep_lab.registry import check
from everstep_lab.scene import Scene

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


def put(node, *places, length=MIB, content=None):
    """Noise, or the same bytes, at each of these places."""
    client = connect(node.uri())
    for at in places:
        client.pwrite(content or os.urandom(length), at)
    client.shutdown()


def equal_pair(scene):
    """Caught up, and the raw files are the same."""
    scene.lab.wait_streaming()
    scene.lab.wait_caught_up()
    require(raw_images(scene.beta) == raw_images(scene.alpha), "the pair is not equal")


def other_content(scene, write):
    """alpha comes back with the same file that holds something else, and no write-intent map that says where."""
    scene.alpha.kill9()
    with open(scene.alpha.device(), "r+b") as file:
        write(file)
    os.remove(os.path.join(scene.alpha.state, "groups", GROUP, "intent", "data"))
    scene.alpha.start()


def twenty_mib(file):
    for _ in range(20):
        file.write(b"b" * MIB)


def wait_stopped(scene):
    wait_for("the compare stops", lambda: "max_resync" in (peer_of(scene.alpha)["why"] or ""), 60)


@check("copies.offline_seed", 120)
def offline_seed(context):
    """A replica that was copied by other means is taken in by hash: only blocks that differ are sent."""
    size = 64 * MIB
    with Scene(context, {"data": size}) as scene:
        with open(scene.alpha.device(), "wb") as file:
            file.write(os.urandom(size // 2))
            file.truncate(size)
        content = bytearray(read_file(scene.alpha.device()))
        places = [0, 5 * MIB + BLOCK, size // 2 - BLOCK]  # differ on the replica
        for at in places:
            content[at:at + 512] = bytes(512)
        content[size - 512:] = b"x" * 512  # data where the primary has a hole
        with open(scene.beta.device(), "wb") as file:
            file.write(content)
        scene.lab.start()
        equal_pair(scene)
        sent, total = differed(scene.alpha, "session")
        context.say(f"{sent} of {total} bytes were sent")
        require(total == size and sent == BLOCK * len(places), f"{sent} of {total} bytes, wanted {len(places)} blocks")


@check("copies.rate_and_progress", 180)
def rate_and_progress(context):
    """`sync_rate` bounds a first copy, and `status` says how far it is."""
    size = 24 * MIB
    with Scene(context, {"data": size}, sync_rate="8MiB") as scene:
        with open(scene.alpha.device(), "wb") as file:
            file.write(os.urandom(size))
        scene.lab.start(wait=False)
        scene.lab.wait_serving()
        seen = []

        def half_way():
            copy = peer_of(scene.alpha)["copy"]
            if copy is not None:
                seen.append(copy)
            return copy is not None and 0 < copy["done_bytes"] < size
        wait_for("the copy is half way", half_way, 60, every=0.02)
        equal_pair(scene)
        require(all(one["total_bytes"] == size for one in seen), f"totals: {seen}")
        done = [one["done_bytes"] for one in seen]
        require(done == sorted(done), f"the progress went back: {done}")
        require(peer_of(scene.alpha)["copy"] is None, "a copy that is done is still told")


def text(length):
    """Every line another one: no block is equal to any other, and a compressor finds much."""
    lines = (b"line %d of a text that a compressor likes\n" % number for number in range(length // 40))
    return b"".join(lines)[:length].ljust(length, b"-")


@check("copies.compressed", 180)
def compressed(context):
    """What a first copy and a resync bring crosses the link compressed, and is the same there; noise is left alone."""
    half = 24 * MIB
    with Scene(context, {"data": 2 * half}, compression="auto") as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        with open(alpha.device(), "wb") as file:
            file.write(text(half) + os.urandom(half))
        proxy = Proxy(beta)
        alpha.config = lab.config + ".alpha"
        with open(alpha.config, "w", encoding="utf-8") as file:
            file.write(lab.config_text().replace(beta.address, proxy.address))
        lab.start()
        equal_pair(scene)
        found = alpha.status()["compression"]["copies"]
        context.say(f"the first copy: {proxy.total} bytes over the link, {found}")
        require(half < proxy.total < 1.5 * half, f"{half} bytes of text and as many of noise took {proxy.total}")
        require(found["bytes"] >= 2 * half and not found["working"], f"of noise behind text it says {found}")
        before = proxy.total

        def write(file):
            file.seek(half)
            file.write(text(half)[::-1])
        other_content(scene, write)
        equal_pair(scene)
        context.say(f"the resync: {proxy.total - before} bytes over the link")
        require(proxy.total - before < half / 2, f"{half} bytes of text took {proxy.total - before} in a resync")
        require(differed(alpha, "resync")[0] == half, f"the resync says {differed(alpha, 'resync')}")
        lab.group["compression"] = "off"
        lab.write_config()
        with open(alpha.config, "w", encoding="utf-8") as file:
            file.write(lab.config_text().replace(beta.address, proxy.address))
        reload(beta, "compression")
        before = proxy.total
        other_content(scene, lambda file: file.write(text(half)[::-1]))
        equal_pair(scene)
        require(proxy.total - before > half, f"without compression {half} bytes took {proxy.total - before}")
        proxy.close()


@check("copies.too_different", 120)
def too_different(context):
    """A compare that finds more than `max_resync` different stops, and goes on at the operator's word."""
    with Scene(context, {"data": 32 * MIB}, max_resync="8MiB") as scene:
        scene.lab.start()
        put(scene.alpha, 0, content=b"a" * BLOCK)
        scene.lab.wait_caught_up()
        other_content(scene, twenty_mib)
        wait_stopped(scene)
        require(any(one["kind"] == "alarm-resync" for one in scene.alpha.events()), "no alarm")
        scene.beta.do("export", GROUP, "step:1")  # its last consistent step stays
        scene.alpha.do("adopt", GROUP, "--force")
        equal_pair(scene)


@check("copies.an_empty_disk", 120)
def an_empty_disk(context):
    """Holes where the standby has data are different: a disk that was lost does not empty its replica."""
    size = 32 * MIB
    with Scene(context, {"data": size}, max_resync="8MiB") as scene:
        scene.lab.start()
        put(scene.alpha, *range(0, size, MIB))
        newest = scene.lab.wait_caught_up()
        was = read_file(scene.beta.device())

        def empty(file):
            file.truncate(0)
            file.truncate(size)
        other_content(scene, empty)
        wait_stopped(scene)
        device = scene.beta.one("export", GROUP, f"step:{newest}")["uris"]["data"]
        require(read_device(device) == was, "the last consistent step is not what it was")


@check("copies.more_is_allowed", 120)
def more_is_allowed(context):
    """A compare that has stopped begins again when `max_resync` allows more."""
    with Scene(context, {"data": 32 * MIB}, max_resync="8MiB") as scene:
        scene.lab.start()
        put(scene.alpha, 0, content=b"a" * BLOCK)
        scene.lab.wait_caught_up()
        other_content(scene, twenty_mib)
        wait_stopped(scene)
        scene.lab.group["max_resync"] = "64MiB"
        scene.lab.write_config()
        for node in (scene.beta, scene.alpha):
            reload(node, "max_resync")
        equal_pair(scene)


@check("copies.holes_of_a_promoted_node", 120)
def holes_of_a_promoted_node(context):
    """A node that serves through its store knows what of its volumes is a hole: it is not compared block by block."""
    size = 1024 * MIB  # two minutes at that rate
    with Scene(context, {"data": size}, standbys=("beta", "gamma"), sync_rate="8MiB") as scene:
        lab, beta, gamma = scene.lab, scene.beta, scene.lab.nodes["gamma"]
        lab.start()
        gamma.kill9()
        shutil.rmtree(gamma.state)
        os.remove(gamma.device())
        put(scene.alpha, 0, 300 * MIB, size - MIB)
        lab.wait_caught_up()
        scene.alpha.kill9()
        beta.one("takeover", GROUP, "--force")
        lab.wait_serving(beta)
        client = connect(beta.uri())
        client.pwrite(os.urandom(MIB), 600 * MIB + 512)
        client.trim(MIB // 2, 300 * MIB)
        gamma.start()
        lab.wait_streaming(gamma, 60)
        client.pwrite(os.urandom(BLOCK), 900 * MIB)
        lab.wait_caught_up(beta, gamma)
        client.shutdown()
        require(read_file(gamma.device()) == read_device(beta.uri()), "gamma is not equal")


@check("copies.of_a_promoted_node_under_writes", 180)
def of_a_promoted_node_under_writes(context):
    """It is read beside its writes: what they changed meanwhile is not what the copy leaves."""
    size = 24 * MIB
    with Scene(context, {"data": size}, standbys=("beta", "gamma"), sync_rate="8MiB") as scene:
        lab, beta, gamma = scene.lab, scene.beta, scene.lab.nodes["gamma"]
        lab.start()
        gamma.kill9()
        shutil.rmtree(gamma.state)
        os.remove(gamma.device())
        put(scene.alpha, *range(0, size, 2 * MIB))  # and holes
        lab.wait_caught_up()
        scene.alpha.kill9()
        beta.one("takeover", GROUP, "--force")
        lab.wait_serving(beta)
        client = connect(beta.uri())
        writes = 0

        def there():
            nonlocal writes
            for _ in range(50):
                at = scene.random.randrange(size // BLOCK) * BLOCK
                if scene.random.random() < 0.1:
                    client.trim(BLOCK, at)
                else:
                    client.pwrite(os.urandom(BLOCK), at)
                writes += 1
            return gamma.status()["state"] == "streaming"
        gamma.start()
        wait_for("gamma is copied", there, 60, every=0)
        context.say(f"{writes} writes under the copy")
        client.pwrite(os.urandom(BLOCK), 0)
        lab.wait_caught_up(beta, gamma)
        require(writes >= 500, f"only {writes} writes fell into the copy")
        require(read_file(gamma.device()) == read_device(beta.uri()), "gamma is not equal")
        client.shutdown()
