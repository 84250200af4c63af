"""The write-intent map: after a crash only what may differ is compared, and all of that."""

import os
import random
import re
import shutil
import struct
from contextlib import closing

import nbd
from checks.journal_tool import store_of, tool
from everstep_lab.base import need_root, need_tool, require, run, wait_for
from everstep_lab.nbdio import connect, raw_images, read_file
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.registry import check

MIB = REGION = 1 << 20
BLOCK = 4096
ODD = 3 * MIB + 1536
BIG = 5 << 30


def put(node, *places, volume="data"):
    """New content of a block at each of these places."""
    client = connect(node.uri(volume))
    for at in places:
        client.pwrite(os.urandom(min(BLOCK, client.get_size() - at)), at)
    client.shutdown()


def may_differ(node, standby="beta"):
    return next(peer for peer in node.status()["peers"] if peer["node"] == standby)["may_differ_bytes"]


def share(node, kind, what):
    """(bytes, of all) in the newest such event; None: there is none."""
    found = None
    for event in node.events():
        numbers = re.search(r"(\d+) of (\d+) bytes may differ", event["text"])
        if event["kind"] == kind and what in event["text"] and numbers:
            found = int(numbers[1]), int(numbers[2])
    return found


def compared(node, standby="beta"):
    return share(node, "resync", f"{standby}: ")


def map_of(node, volume="data"):
    return os.path.join(node.state, "groups", GROUP, "intent", volume)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def marked_in(path):
    """The regions of a map's file that are marked for any standby; docs/write-intent-map.md has the format."""
    pages = read_file(path)
    masks = b"".join(pages[at + 64:at + 4096] for at in range(0, len(pages), 4096))
    return {at // 4 for at in range(0, len(masks), 4) if masks[at:at + 4] != bytes(4)}


def newest_gap(node):
    """Of a node that is stopped: the extents of its newest gap and how many bytes differed."""
    gaps = [line for line in tool("dump", store_of(node), "--json").expect(0).json() if line["kind"] == "gap"]
    require(gaps, f"the store of {node.name} has no gap")
    return gaps[-1]["extents"], gaps[-1]["differ"]


def inside(start, end, extents):
    return any(one["offset"] <= start and end <= one["offset"] + one["length"] for one in extents)


def stored(path):
    """What a sparse file holds: each block that is not all zeroes, by its place."""
    found = {}
    with open(path, "rb") as file:
        at, size = 0, os.path.getsize(path)
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            for block in range(at - at % BLOCK, end, BLOCK):
                file.seek(block)
                content = file.read(BLOCK)
                if content != bytes(len(content)):
                    found[block] = content
            at = end
    return found


def equal(lab, *standbys):
    for name in standbys or ("beta",):
        node = lab.nodes[name]
        lab.wait_caught_up(standby=node, seconds=180)
        for volume in lab.volumes:
            one, other = stored(lab.alpha.device(volume)), stored(node.device(volume))
            wrong = sorted(at for at in {*one, *other} if one.get(at) != other.get(at))
            if wrong:
                lab.say_logs(60)
            require(not wrong, f"{name}, {volume}: {len(wrong)} blocks differ from the primary, at {wrong[:5]}")


def begin(context, volumes=None, **group):
    lab = Lab(context.directory, volumes or {"data": 64 * MIB}, start_wait="5s", **group)
    lab.start()
    return lab


def start_again(lab, *names):
    for name in names or ("alpha",):
        lab.nodes[name].spawn()
    for name in names or ("alpha",):
        lab.nodes[name].wait_answer()
    lab.wait_serving()


@check("intent.only_marked_regions_are_compared", 120)
def only_marked(context):
    """The gap holds every block that was not shipped, nothing outside of the marks, and counts what differs."""
    with closing(begin(context, {"data": 64 * MIB, "odd": ODD})) as lab:
        put(lab.alpha, 2 * REGION, 40 * REGION)
        lab.wait_caught_up()
        before = raw_images(lab.beta)
        lab.alpha.do("pause", GROUP)
        lost = {"data": [2 * REGION + 8192, 20 * REGION, 21 * REGION - BLOCK, 63 * REGION + 5 * BLOCK],
                "odd": [0, ODD - 512]}
        for volume, places in lost.items():
            put(lab.alpha, *places, volume=volume)
        require(raw_images(lab.beta) == before, "a write passed the paused link")
        lab.alpha.kill9()
        marks = {volume: marked_in(map_of(lab.alpha, volume)) for volume in lab.volumes}
        require({at // REGION for at in lost["data"]} <= marks["data"] <= {2, 40, *range(20, 28), 63},
                f"marked are {marks['data']}")
        require(marks["odd"] == {0, 3}, f"of the odd volume are marked {marks['odd']}")
        marked = len(marks["data"]) * REGION + REGION + 1536
        start_again(lab)
        equal(lab)
        require(compared(lab.alpha) == (marked, 64 * MIB + ODD), f"compared are {compared(lab.alpha)}, marked {marked}")
        lab.beta.term()
        extents, differ = newest_gap(lab.beta)
        after = raw_images(lab.alpha)
        found = 0
        for index, volume in enumerate(lab.volumes):
            here = [one for one in extents if one["volume"] == index]
            size = lab.volumes[volume]
            for at in range(0, size, BLOCK):
                end = min(at + BLOCK, size)
                if before[volume][at:end] != after[volume][at:end]:
                    found += end - at
                    require(inside(at, end, here), f"{volume}: what differed at {at} is in no extent of the gap")
            for at in lost[volume]:
                require(inside(at, min(at + BLOCK, size), here), f"{volume}: {at} is in no extent")
            for one in here:
                touched = range(one["offset"] // REGION, (one["offset"] + one["length"] - 1) // REGION + 1)
                require(marks[volume] >= set(touched), f"{volume}: {one} lies outside of the marks {marks[volume]}")
        require(differ == found, f"the gap counts {differ} bytes, {found} differed")


def blocks_of(extents, volume):
    """The blocks that the extents of a volume touch."""
    return {block for one in extents if one["volume"] == volume
            for block in range(one["offset"] // BLOCK, (one["offset"] + one["length"] - 1) // BLOCK + 1)}


def write_at_random(node, sizes, choice, count):
    """Some of it in flight when the node is killed; some writes put back what was there."""
    clients = {volume: connect(node.uri(volume)) for volume in sizes}
    for number in range(count):
        volume = choice.choice(list(sizes))
        client, sectors = clients[volume], sizes[volume] // 512
        length = min(choice.choice((1, 3, 8, 9, 64, 256)), sectors)
        at = choice.randrange(sectors - length + 1) * 512
        kind = choice.randrange(6)
        if kind == 0:
            client.zero(length * 512, at)
        elif kind == 1:
            client.pwrite(client.pread(length * 512, at), at)
        elif number < count - 20:
            client.pwrite(choice.randbytes(length * 512), at)
        else:
            client.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(choice.randbytes(length * 512))), at)
    client.poll(1)
    node.kill9()


@check("intent.the_gap_is_what_differs", 240, 600)
def gap_is_what_differs(context):
    """Killed under writes that nobody has, under ack = "local": the gap is the blocks that differ, and no others."""
    sizes = {"data": 24 * MIB, "odd": ODD}
    choice = random.Random(context.seed)
    with closing(begin(context, sizes)) as lab:
        for _ in range(context.count(2, 12)):
            put(lab.alpha, *(choice.randrange(24) * REGION for _ in range(6)))
            lab.wait_caught_up()
            before = raw_images(lab.beta)
            lab.alpha.do("pause", GROUP)
            write_at_random(lab.alpha, sizes, choice, context.count(60, 400))
            marks = {volume: marked_in(map_of(lab.alpha, volume)) for volume in sizes}
            start_again(lab)
            equal(lab)
            lab.beta.term()
            extents, differ = newest_gap(lab.beta)
            after = raw_images(lab.alpha)
            total = 0
            for index, (volume, size) in enumerate(sizes.items()):
                wrong = {at // BLOCK for at in range(0, size, BLOCK)
                         if before[volume][at:at + BLOCK] != after[volume][at:at + BLOCK]}
                total += sum(min(BLOCK, size - block * BLOCK) for block in wrong)
                found = blocks_of(extents, index)
                require(found == wrong, f"{volume}: differing blocks {sorted(wrong - found)[:9]} are not in the gap, "
                                        f"equal ones {sorted(found - wrong)[:9]} are")
                outside = {block * BLOCK // REGION for block in found} - marks[volume]
                require(not outside, f"{volume}: regions {sorted(outside)} of the gap were not marked")
            require(total > 0 and differ == total, f"the gap counts {differ} bytes, {total} differed")
            lab.beta.start()


def removed(path):
    os.unlink(path)


def one_byte_flipped(path):
    with open(path, "r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))


def cut(path):
    os.truncate(path, 4095)


def of_another_group(path):
    page = bytearray(read_file(path))
    page[16:32] = os.urandom(16)
    page[8:12] = struct.pack("<I", crc32c(page[12:4096]))
    with open(path, "r+b") as file:
        file.write(page)


def a_directory(path):
    os.unlink(path)
    os.mkdir(path)


def unusable(context, damage, kind):
    with closing(begin(context)) as lab:
        put(lab.alpha, 5 * REGION)
        lab.wait_caught_up()
        lab.alpha.do("pause", GROUP)
        put(lab.alpha, 50 * REGION)
        lab.alpha.kill9()
        damage(map_of(lab.alpha))
        start_again(lab)
        equal(lab)
        require(compared(lab.alpha) == (64 * MIB, 64 * MIB), f"compared are {compared(lab.alpha)}, wanted all")
        told = [event for event in lab.alpha.events() if event["kind"] == kind]
        require(told, f"no event {kind} says so")
        put(lab.alpha, 30 * REGION)  # and writes go on
        # What was made anew, or recorded, holds at the next crash.
        lab.alpha.do("pause", GROUP)
        put(lab.alpha, 31 * REGION)
        lab.alpha.kill9()
        start_again(lab)
        equal(lab)


for damaged, event_kind in ((removed, "intent"), (one_byte_flipped, "intent"), (cut, "intent"),
                            (of_another_group, "intent"), (a_directory, "alarm-intent")):
    check(f"intent.unusable_map.{damaged.__name__}", 120)(
        lambda context, damage=damaged, kind=event_kind: unusable(context, damage, kind))


@check("intent.of_another_boot", 120)
def another_boot(context):
    """Behind a clean stop the map counts in another boot too; behind an unclean one all is compared."""
    need_root()
    unshare = need_tool("unshare")
    boot = os.path.join(context.directory, "boot_id")
    with open(boot, "w", encoding="ascii") as file:
        file.write("01234567-89ab-4cde-8f01-23456789abcd\n")
    other = [unshare, "-m", "sh", "-c", f'mount --bind {boot} /proc/sys/kernel/random/boot_id && exec "$@"', "sh"]
    with closing(begin(context)) as lab:
        put(lab.alpha, 5 * REGION)
        lab.wait_caught_up()
        lab.alpha.term()
        lab.alpha.prefix = other
        start_again(lab)
        lab.wait_caught_up()
        require(may_differ(lab.alpha) <= REGION, f"behind a clean stop {may_differ(lab.alpha)} bytes may differ")
        lab.alpha.do("pause", GROUP)
        put(lab.alpha, 50 * REGION)
        lab.alpha.kill9()
        start_again(lab)  # the same boot: marks count
        equal(lab)
        require(compared(lab.alpha) == (2 * REGION, 64 * MIB), f"in one boot {compared(lab.alpha)} are compared")
        lab.alpha.kill9()
        lab.alpha.prefix = []
        start_again(lab)
        equal(lab)
        require(compared(lab.alpha) == (64 * MIB, 64 * MIB), f"in another boot {compared(lab.alpha)} are compared")


def zero_much(node, standbys):
    """More marks than are kept for long; they go for these standbys when those have everything."""
    client = connect(node.uri())
    for at in range(0, 4200 * MIB, 1400 * MIB):
        client.zero(1400 * MIB, at)
    client.shutdown()
    wait_for("the marks are counted", lambda: any(may_differ(node, one) > 4200 * MIB for one in standbys), 20, every=0)
    for standby in standbys:
        node.lab.wait_caught_up(standby=node.lab.nodes[standby])
    wait_for(f"no mark is left for {standbys}", lambda: not any(may_differ(node, one) for one in standbys), 60)


@check("intent.each_standby_its_own", 300)
def its_own(context):
    """Marks go for the standby that has everything, and stay for the other; also when one of two maps is lost."""
    with closing(begin(context, {"data": BIG, "logs": 2 * MIB}, standbys=("beta", "gamma"))) as lab:
        alpha, gamma = lab.alpha, lab.nodes["gamma"]
        put(alpha, 4500 * REGION)
        zero_much(alpha, ("beta", "gamma"))
        gamma.term()
        put(alpha, 5000 * REGION)
        lab.wait_caught_up()
        alpha.kill9()
        start_again(lab, "alpha", "gamma")
        equal(lab, "beta", "gamma")
        for standby in ("beta", "gamma"):
            require(compared(alpha, standby) == (REGION, BIG + 2 * MIB), f"{standby}: {compared(alpha, standby)}")
        gamma.term()
        put(alpha, 4000 * REGION, 5001 * REGION)
        zero_much(alpha, ("beta",))
        require(may_differ(alpha, "gamma") > 4200 * MIB, "marks of a standby that is away have gone")
        alpha.kill9()
        a_directory(map_of(alpha, "logs"))
        start_again(lab, "alpha", "gamma")
        equal(lab, "beta", "gamma")
        require(compared(alpha)[0] < 16 * MIB, f"beta: {compared(alpha)}")
        require(4200 * MIB < compared(alpha, "gamma")[0] < BIG, f"gamma: {compared(alpha, 'gamma')}")


@check("intent.an_older_standby_is_compared_as_a_whole", 300)
def older_standby(context):
    """Marks have gone for what it had; its state of before that is put back and the primary is killed."""
    with closing(begin(context, {"data": BIG})) as lab:
        put(lab.alpha, 4500 * REGION)
        lab.wait_caught_up()
        lab.beta.term()
        whole = lab.directory + "/whole"
        run(["cp", "-a", "--sparse=always", lab.beta.directory, whole])
        lab.beta.start()
        lab.wait_caught_up()
        put(lab.alpha, 4500 * REGION, 5000 * REGION)
        zero_much(lab.alpha, ("beta",))
        lab.beta.kill9()
        lab.alpha.kill9()
        shutil.rmtree(lab.beta.state)
        run(["cp", "-a", whole + "/state", lab.beta.state])
        # In place: another file in the replica's place would be refused, and rightly so.
        run(["cp", "--sparse=always", whole + "/data.img", lab.beta.device()])
        start_again(lab, "alpha", "beta")
        equal(lab)
        require(compared(lab.alpha) == (BIG, BIG), f"compared are {compared(lab.alpha)}, wanted all")


@check("intent.a_pull_reads_the_marked_regions", 120)
def pull(context):
    """ack = "durable": what was answered is brought back, what was not is taken back, and nothing else is read."""
    with closing(begin(context, ack="durable", standby_timeout="60s")) as lab:
        put(lab.alpha, 5 * REGION, 6 * REGION)
        lab.wait_caught_up()
        wanted = read_file(lab.beta.device())
        lab.alpha.do("pause", GROUP)
        newest = lab.alpha.status()["positions"]["captured"]
        client = connect(lab.alpha.uri())
        client.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(os.urandom(BLOCK))), 40 * REGION)
        wait_for("the write is on the primary's device",
                 lambda: client.poll(10) >= 0 and lab.alpha.status()["positions"]["captured"] > newest, 20)
        require(read_file(lab.alpha.device()) != wanted, "the write is not on the device")
        lab.alpha.kill9()
        start_again(lab)
        equal(lab)
        require(read_file(lab.alpha.device()) == wanted, "the pull did not bring the answered content")
        found = share(lab.alpha, "pull", "bringing")
        require(found and 3 * REGION <= found[0] <= 16 * REGION and found[1] == 64 * MIB, f"read are {found}")
        require(lab.beta.status()["history"]["gaps"] == 0, "the pull made a gap")


@check("intent.a_clean_stop_compares_nothing", 120)
def clean_stop(context):
    """What was not delivered stays marked over it, and a crash behind it compares that too."""
    with closing(begin(context)) as lab:
        put(lab.alpha, 5 * REGION)
        lab.wait_caught_up()
        lab.beta.term()
        put(lab.alpha, 50 * REGION)
        lab.alpha.term()
        marks = marked_in(map_of(lab.alpha))
        require({50} <= marks <= {5, 50}, f"marked are {marks}")
        start_again(lab)
        require(may_differ(lab.alpha) == len(marks) * REGION, f"{may_differ(lab.alpha)} bytes may differ")
        lab.beta.start()
        equal(lab)
        require(compared(lab.alpha) is None, f"compared are {compared(lab.alpha)} behind a clean stop")
        require(lab.beta.status()["history"]["gaps"] == 0, "a clean stop made a gap")
        lab.beta.term()
        put(lab.alpha, 30 * REGION)
        lab.alpha.term()
        start_again(lab)
        lab.alpha.kill9()  # with its backlog
        start_again(lab, "alpha", "beta")
        equal(lab)
        require(compared(lab.alpha)[0] <= 3 * REGION, f"compared are {compared(lab.alpha)}")
